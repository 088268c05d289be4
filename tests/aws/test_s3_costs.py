"""What S3 is asked to do for an append, a restore, a removal, a list: counted as botocore sends it."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest

from benchmarks import s3
from benchmarks.s3 import (
    APPENDS,
    BUCKET,
    COLD_MOST,
    REGION,
    RESTORE_MOST,
    RESTORES,
    Cost,
    Measured,
    Meter,
    Ours,
    is_small,
    measure,
    messages,
    metered,
    stored_messages,
    stored_steps,
)
from stepwell.blocking import run_sync
from stepwell.ids import uuid_bytes
from stepwell.io.aws import Given
from stepwell.io.blocking import BlockingTasks
from stepwell.io.files import Files
from stepwell.io.ports import Ports
from stepwell.stores.base import JournalId
from stepwell.stores.s3 import S3Store
from stepwell.stores.s3_options import S3Options, S3Place
from stepwell.testing import FakeClock

pytestmark = pytest.mark.faults

PUT, LIST, GET = "PutObject", "ListObjectsV2", "GetObject"


@pytest.fixture(scope="module")
def meter() -> Iterator[Meter]:
    with metered() as made:
        yield made


@pytest.fixture(scope="module")
def grown(meter: Meter) -> Measured:
    """A conversation that grew to 1000 messages of 600 characters."""
    return measure(meter, Ours(meter), APPENDS, RESTORES)


def opened(meter: Meter, prefix: str) -> S3Store:
    """A store that knows nothing yet."""
    ports = Ports(FakeClock(), BlockingTasks(), Files(), os.urandom)
    return S3Store(ports, S3Options(S3Place(BUCKET, prefix), REGION, given=Given(clients=(meter.client,))))


def journal(ours: Ours) -> JournalId:
    return JournalId("default", uuid_bytes("session", ours.session))


def test_a_warm_append_is_one_put_of_at_most_a_segment_and_a_record(grown: Measured) -> None:
    appends = [cost for costs in grown.appends.values() for cost in costs]
    assert len(appends) == 1000
    assert {cost.operations for cost in appends} == {(PUT,)}
    assert all(map(is_small, appends))


@pytest.mark.parametrize("count", [10, 100])
def test_a_restore_of_one_segment_by_key_is_two_requests(grown: Measured, count: int) -> None:
    assert grown.restores[count].operations == (GET, GET)


def test_a_restore_by_key_asks_for_the_key_the_list_and_each_segment(meter: Meter, grown: Measured) -> None:
    operations = grown.restores[1000].operations
    segments = [found for found in _names(meter, "ours/") if "/log/" in found]
    assert operations == (GET, GET, LIST, *[GET] * (len(segments) - 1))
    assert len(operations) <= RESTORE_MOST[1000]
    assert len(grown.restores[100].operations) <= RESTORE_MOST[100]
    assert grown.restores[1000].dollars < 10e-6


def _names(meter: Meter, prefix: str) -> list[str]:
    return [found["Key"] for found in meter.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]]


def test_by_id_it_is_one_request_less(grown: Measured) -> None:
    for count, cost in grown.restores.items():
        assert grown.more[f"restore of {count:,} by id"].requests == cost.requests - 1


def test_what_is_stored_is_little_more_than_what_was_said(meter: Meter, grown: Measured) -> None:
    """Of bytes that no compression shrinks, and of a conversation."""
    for row in (stored_steps(meter, 1000), stored_messages(grown)):
        assert row.target is not None
        assert row.target.met, row.values["x payload"]


def test_no_request_grows_with_the_conversation(meter: Meter) -> None:
    ours, texts = Ours(meter, "long"), messages()
    with ThreadPoolExecutor(100) as threads:
        list(threads.map(ours.append, islice(texts, 5000)))
    assert meter.stored(ours.prefix)[0] > 20
    assert all(is_small(meter.cost(lambda: ours.append(next(texts)))) for _ in range(20))
    cold = meter.cost(lambda: ours.append_cold(next(texts))).operations
    assert (cold[:3], set(cold[3:-1]) | {GET}, cold[-1]) == ((GET, LIST, GET), {GET}, PUT)
    assert len(cold) <= COLD_MOST


def test_a_head_is_one_request_in_one_segment_and_three_in_several(meter: Meter) -> None:
    ours = Ours(meter, "heads")
    assert meter.cost(lambda: run_sync(opened(meter, "heads").head(journal(ours)))).operations == (GET,)
    while len(_names(meter, f"{ours.prefix}default/sessions/")) == 1:
        ours.append(next(messages()))
    assert meter.cost(lambda: run_sync(opened(meter, "heads").head(journal(ours)))).operations == (GET, LIST, GET)


@pytest.mark.parametrize("objects", [3, 999, 1001])
def test_a_removal_is_one_delete_and_a_list_and_a_delete_for_each_thousand(meter: Meter, objects: int) -> None:
    prefix = f"removed-{objects}"
    ours = Ours(meter, prefix)
    folder = f"{prefix}/default/sessions/{ours.session}/blobs/"
    for at in range(objects):
        meter.client.put_object(Bucket=BUCKET, Key=f"{folder}{at:04}", Body=b"")
    cost = meter.cost(lambda: run_sync(opened(meter, prefix).remove(journal(ours))))
    pages = -(-objects // 1000)
    assert Counter(cost.operations) == {"DeleteObject": 1, LIST: pages, "DeleteObjects": pages}
    assert cost.operations[0] == "DeleteObject"
    assert cost.dollars == pytest.approx(pages * 5e-6)


def test_a_page_of_a_list_is_one_list_and_a_get_for_each(meter: Meter) -> None:
    with Ours(meter, "listed").client() as client:
        for _ in range(9):
            client.create_session()
        page = meter.cost(lambda: client.list_sessions(max_results=4))
        assert Counter(page.operations) == {LIST: 1, GET: 5}


def test_prices() -> None:
    cost = Cost((PUT, LIST, GET, "HeadObject", "DeleteObject", "DeleteObjects"))
    assert cost.dollars == pytest.approx((5 + 5 + 0.4 + 0.4) * 1e-6)
    assert cost.kinds == {"PUT": 1, "LIST": 1, "GET": 2, "DELETE": 2}


def test_the_benchmark_prints_its_figures(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["s3", "--json"])
    monkeypatch.setattr(s3, "BUCKET", "printed")
    monkeypatch.setattr(s3, "STEPS", 1)
    monkeypatch.setattr(s3, "STORED_MOST", 10)
    monkeypatch.setattr(s3, "APPENDS", (1, 12))
    monkeypatch.setattr(s3, "RESTORES", (10,))
    monkeypatch.setattr(s3, "peers", _none)
    s3.main()
    told = capsys.readouterr()
    figures = json.loads(told.out)
    assert {row["met"] for row in figures["rows"] if "met" in row} == {True}
    assert "pip install --group bench" in told.err


def _none(meter: Meter) -> list[Ours]:
    return []
