"""The S3 store on SeaweedFS: what moto cannot show, for it takes any signature, any checksum, and one call at a time.

The rule of two servers: every case runs on both. moto tells the status codes of AWS; SeaweedFS says who wins a race,
and refuses what was not signed, or changed on its way. They differ in one answer that the store meets, to `If-Match`
on an object that is not there: see the test of it.

STEPWELL_RACE_ROUNDS=100     how many rounds the twenty writers race, instead of ten
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stepwell import Client, Data, Text
from stepwell.blocking import run_sync
from stepwell.errors import PermissionDenied, Unavailable
from stepwell.io.aws import AwsTarget, Boto3Aws, Given
from stepwell.io.blocking import BlockingTasks
from stepwell.io.files import Files
from stepwell.io.ports import Ports
from stepwell.stores.base import JournalStore, SlotTaken
from stepwell.stores.s3_bucket import Bucket
from stepwell.testing import (
    Abilities,
    ClientCase,
    FakeClock,
    StoreCase,
    check_client,
    check_store,
    client_cases,
    store_cases,
)
from stepwell.testing.clients.sessions import KMS_KEY
from stepwell.testing.stores.records import everything, journal, record
from stepwell.testing.writers import race
from tests.aws import moto, seaweedfs
from tests.aws.moto import Service
from tests.aws.servers import Around, Folder, Server

pytestmark = pytest.mark.faults

ABILITIES = Abilities(encryption_keys=True)
SHORT = 1000
"""Bytes of a segment: two or three records."""
WRITERS = 20
ROUNDS = int(os.environ.get("STEPWELL_RACE_ROUNDS", "10"))


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all processes of the tests."""
    if why := seaweedfs.missing():
        assert not seaweedfs.has_to_run(), why
        pytest.skip(why)
    base = tmp_path_factory.getbasetemp()
    with seaweedfs.serving((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "seaweedfs") as server:
        yield server


@pytest.fixture
def folder(running: Server) -> Folder:
    return Folder(running, seaweedfs.client(running.url), SHORT, around=seaweedfs.Swept)


def ports() -> Ports:
    return Ports(FakeClock(), BlockingTasks(), Files(), os.urandom)


@pytest.mark.parametrize("case", store_cases())
def test_store(case: StoreCase, folder: Folder) -> None:
    asyncio.run(check_store(case, folder.open_store, "sync"))


@pytest.mark.parametrize("case", client_cases())
def test_client(case: ClientCase, folder: Folder) -> None:
    asyncio.run(check_client(case, folder.open_store, "sync", ABILITIES))


# Races


@pytest.mark.timeout(60 + 20 * ROUNDS)  # who meets another's lock waits a second at a time
def test_of_twenty_writers_one_appends_and_the_others_learn_of_it(folder: Folder) -> None:
    """To begin a journal, to add to a segment, to begin the next segment."""
    here = journal("raced")
    stores = [folder.open_store(ports()) for _ in range(WRITERS)]
    with ThreadPoolExecutor(WRITERS) as threads:
        for slot in range(ROUNDS):
            records = [record(here, slot, b"writer %d of slot %d" % (at, slot)) for at in range(WRITERS)]
            barrier = Barrier(WRITERS)

            def append(store: JournalStore, data: bytes) -> SlotTaken | None:
                barrier.wait()  # noqa: B023 -- it is called within the round
                return run_sync(store.append(here, slot, data))  # noqa: B023

            answers = list(threads.map(append, stores, records))
            winners = [data for data, answer in zip(records, answers, strict=True) if answer is None]
            assert len(winners) == 1, f"slot {slot}"
            assert {answer.winner for answer in answers if answer is not None} == {winners[0]}
            assert run_sync(everything(stores[slot % WRITERS], here))[slot:] == winners
    assert len(run_sync(everything(folder.open_store(ports()), here))) == ROUNDS
    assert _kinds(folder) >= {"IfNoneMatch", "IfMatch"}


def _kinds(folder: Folder) -> set[str]:
    puts: Sequence[dict[str, Any]] = folder.told.called("put_object")
    return {kind for put in puts for kind in ("IfNoneMatch", "IfMatch") if kind in put}


@pytest.mark.parametrize(("writers", "steps", "own_clients"), [(8, 5, True), (64, 2, False)])
def test_what_racing_processes_were_told_is_there_once_and_in_order(
    running: Server, monkeypatch: pytest.MonkeyPatch, writers: int, steps: int, own_clients: bool
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", seaweedfs.ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seaweedfs.SECRET)
    prefix = f"race-{writers}"
    url = f"s3://{running.bucket}/{prefix}?region={running.region}&endpoint_url={running.url}&segment=4096"
    told = race(url, "acme", writers=writers, steps=steps, processes=2, own_clients=own_clients)
    assert (len(told.acknowledged), told.unsettled, told.refused) == (writers * steps, [], [])


# Signatures and checksums


def _open(folder: Folder) -> Client:
    return Client.from_store(folder.open_store, clock=FakeClock())


def test_a_wrong_secret_is_refused(running: Server, folder: Folder) -> None:
    with _open(folder) as client:
        session_id = client.create_session().session_id
    with _open(Folder(running, seaweedfs.client(running.url, "wrong"), name=folder.name)) as client:
        for call in (client.create_session, client.ping, lambda: client.get_session(session_id)):
            with pytest.raises(PermissionDenied):
                call()
    with _open(folder) as client:
        assert [found.session_id for found in client.sessions()] == [session_id]


class _Damaged(Around):
    """Bodies change behind the checksum, and are signed as they are."""

    async def call(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        if operation == "put_object" and arguments["Body"]:
            arguments["Body"] = _changed(arguments["Body"])
        return await super().call(operation, **arguments)


def _changed(body: bytes) -> bytes:
    return body[:-1] + bytes([body[-1] ^ 1])


def test_a_body_that_changed_behind_its_checksum_is_refused(running: Server, folder: Folder) -> None:
    damaged = Folder(running, folder.client, around=_Damaged, name=folder.name)
    _check_refused(damaged, folder)


def test_a_body_that_changed_behind_its_signature_is_refused(running: Server, folder: Folder) -> None:
    client = seaweedfs.client.__wrapped__(running.url)

    def change(request: Any, **_: Any) -> None:
        body = request.body if isinstance(request.body, bytes) else request.body.read()
        request.body = _changed(body) if body else body

    client.meta.events.register("before-send.s3.PutObject", change)
    _check_refused(Folder(running, client, name=folder.name), folder)


def _check_refused(damaged: Folder, whole: Folder) -> None:
    here = journal("damaged")
    bad, good = damaged.open_store(ports()), whole.open_store(ports())
    with pytest.raises(Unavailable):
        run_sync(bad.append(here, 0, record(here, 0, b"a")))
    assert run_sync(good.head(here)) is None
    assert run_sync(good.append(here, 0, record(here, 0, b"b"))) is None
    with pytest.raises(Unavailable):
        run_sync(bad.append(here, 1, record(here, 1, b"c")))
    assert run_sync(everything(good, here)) == [record(here, 0, b"b")]


# Where servers differ


@pytest.mark.parametrize(("name", "status"), [("moto", 404), ("SeaweedFS", 412)])
def test_if_match_on_an_object_that_is_not_there_is_told_in_two_ways_and_means_the_same(
    folder: Folder, alone: Service, name: str, status: int
) -> None:
    """AWS documents 404, as moto answers. It is the one exception to the rule that both servers answer alike."""
    client, bucket = (moto.client("s3"), moto.BUCKET) if name == "moto" else (folder.client, seaweedfs.BUCKET)
    with pytest.raises(ClientError) as refusal:
        client.put_object(Bucket=bucket, Key="nothing", Body=b"", IfMatch='"0"')
    response: Any = refusal.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status
    calls = Boto3Aws(AwsTarget("s3", given=Given(clients=(client,))), BlockingTasks())
    assert run_sync(Bucket(calls, bucket, BlockingTasks()).put_over("nothing", b"", '"0"')) is None


# Keys


def test_a_session_with_a_key_of_its_own_comes_back_and_all_of_it_is_encrypted_with_that(
    running: Server, folder: Folder
) -> None:
    large = os.urandom(50_000)
    with _open(folder) as client:
        made = client.create_session(encryption_key_arn=KMS_KEY)
        for content in (Text(text="said"), Data(data=large), Text(text="more")):
            client.put_invocation_step(made.session_id, made.session_id, content, create_invocation=True)
    with _open(folder) as client:
        assert client.get_session(made.session_id).encryption_key_arn == KMS_KEY
        assert [step.content[0] for step in client.steps(made.session_id)] == [
            Text(text="said"),
            Data(data=large),
            Text(text="more"),
        ]
    calls: Any = folder.client
    pages = calls.get_paginator("list_objects_v2").paginate(
        Bucket=running.bucket, Prefix=f"{folder.name}/default/sessions/{made.session_id}/"
    )
    keys = [found["Key"] for page in pages for found in page["Contents"]]
    heads = [calls.head_object(Bucket=running.bucket, Key=key) for key in keys]
    assert {"log", "blobs"} == {key.split("/")[4] for key in keys}
    assert {(head["ServerSideEncryption"], head["SSEKMSKeyId"]) for head in heads} == {("aws:kms", KMS_KEY)}
