"""The suite over real sockets: moto's server once, and the servers that environment variables name (CONTRIBUTING.md).

STEPWELL_MINISTACK_URL, STEPWELL_DYNAMODB_LOCAL_URL   where one listens
STEPWELL_LIVE=1, STEPWELL_LIVE_TABLE                   a table of the AWS account that the environment is set up for
STEPWELL_LIVE=1, STEPWELL_LIVE_BUCKET                  a bucket there
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import pytest

import stepwell
from stepwell import AsyncClient, Data, Text
from stepwell.stores.s3_options import SEGMENT_LEAST_BYTES
from stepwell.testing import (
    COLOURS,
    Abilities,
    ClientCase,
    Colour,
    FakeClock,
    StoreCase,
    check_client,
    check_store,
    client_cases,
    store_cases,
)
from stepwell.testing.clients import content, forks, sessions, steps
from stepwell.testing.clients import removal as client_removal
from stepwell.testing.stores import races, removal
from tests.aws.moto import SleeplessThreads
from tests.aws.servers import Folder, Proxy, Server, Stretch, serving

pytestmark = pytest.mark.faults

ABILITIES = Abilities(forgets=True)
A_FEW: tuple[ClientCase, ...] = (
    sessions.everybody_who_opens_a_session_gets_the_same,
    steps.steps_of_many_writers_are_all_kept,
    content.a_step_of_twenty_images_comes_back,
    forks.a_fork_outlives_its_origin,
    client_removal.reclaiming_leaves_what_is_there_and_takes_what_is_gone,
)
LONG: tuple[StoreCase, ...] = (removal.the_oldest_slots_are_removed, races.five_workers_count_to_fifty)
"""A thousand requests each, of kinds that others make too: on moto's server they are left out."""
CUTS = (0, 10, 17, 60, 100, 150, 200, -1)
"""Bytes of a reply that arrive: none, in the status, in the headers, in the body."""


_OURS = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
"""What the user's environment says, before the tests put something else in its place."""


@pytest.fixture(scope="module")
def moto_server() -> Iterator[Server]:
    with serving() as server, pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", "test")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
        server.prepare()
        yield server


Named: TypeAlias = Iterator[tuple[str, Server | str]]
"""Servers by the variable that names them; text says why one is left out."""


def named() -> Named:
    """The servers that a user named, and why others are left out."""
    for variable in ("STEPWELL_MINISTACK_URL", "STEPWELL_DYNAMODB_LOCAL_URL"):
        url = os.environ.get(variable)
        yield variable, Server(url, table="stepwell-tests") if url else f"{variable} is not set"
    table = _live("STEPWELL_LIVE_TABLE")
    yield "STEPWELL_LIVE", Server(None, table, region=None) if table else f"{_NOT_LIVE} STEPWELL_LIVE_TABLE is not set"


def named_buckets() -> Named:
    """The same, of S3."""
    bucket = _live("STEPWELL_LIVE_BUCKET")
    live = Server(None, bucket=bucket, region=None) if bucket else f"{_NOT_LIVE} STEPWELL_LIVE_BUCKET is not set"
    yield "STEPWELL_LIVE", live


_NOT_LIVE = "STEPWELL_LIVE is not 1, or"


def _live(variable: str) -> str | None:
    return os.environ.get(variable) if os.environ.get("STEPWELL_LIVE") == "1" else None


def on_servers(cases: Sequence[Any], servers: Named) -> pytest.MarkDecorator:
    """Each case on each of them."""
    sets: list[Any] = []
    for name, server in servers:
        if isinstance(server, str):
            sets.append(pytest.param(None, cases[0], id=name, marks=pytest.mark.skip(reason=server)))
        else:
            sets += [pytest.param(server, case, id=f"{name}-{case.__name__}") for case in cases]
    return pytest.mark.parametrize(("server", "case"), sets)


@pytest.fixture
def prepared(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, credentials: None) -> None:
    server: Server = request.getfixturevalue("server")
    if server.url is None:
        for name, value in _OURS.items():
            monkeypatch.setenv(name, value)
    elif server.url not in _prepared:
        server.prepare()
        _prepared.add(server.url)


_prepared: set[str] = set()


def run_store(case: StoreCase, server: Server, colour: Colour) -> None:
    with Stretch(server) as stretch:
        asyncio.run(check_store(case, stretch.open_store, colour))


def run_client(case: ClientCase, server: Server, colour: Colour) -> None:
    with Stretch(server, objects=True) as stretch:
        asyncio.run(check_client(case, stretch.open_store, colour, ABILITIES))


# moto's


@pytest.mark.parametrize("case", [case for case in store_cases() if case not in LONG])
def test_a_store_over_a_socket(case: StoreCase, moto_server: Server) -> None:
    run_store(case, moto_server, "sync")


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("case", A_FEW)
def test_clients_over_a_socket(case: ClientCase, moto_server: Server, colour: Colour) -> None:
    run_client(case, moto_server, colour)


@pytest.mark.parametrize("cut", CUTS)
def test_a_reply_whose_connection_is_cut_is_lost_and_nothing_else(moto_server: Server, cut: int) -> None:
    """After the commit: of a record, of a list's entry, of an object; and of what is read."""
    proxy = Proxy(moto_server)
    cutting = Stretch(replace(moto_server, url=proxy.url), objects=True)
    clock = FakeClock()
    driven = AsyncClient.from_store(cutting.open_store, clock=clock, tasks=SleeplessThreads(clock))
    try:
        with stepwell.Client.over(driven) as client:
            made = client.create_session(metadata={"a": "b"})
            contents = [Text(text="said"), Data(data=os.urandom(9_000)), Text(text="said again")]
            for content in contents:
                proxy.cut = cut
                client.put_invocation_step(made.session_id, made.session_id, content, create_invocation=True)
            proxy.cut = cut
            client.update_session(made.session_id, {"a": "c"})
            proxy.cut = cut
            found = client.get_session(made.session_id)
            proxy.cut = cut
            assert [step.content[0] for step in client.steps(made.session_id)] == contents
        assert (found.metadata, proxy.cuts) == ({"a": "c"}, 6)
    finally:
        proxy.close()


# Those that a user names


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("colour", COLOURS)
@on_servers(store_cases(), named())
def test_a_store_on_another_server(case: StoreCase, server: Server, colour: Colour) -> None:
    run_store(case, server, colour)


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("colour", COLOURS)
@on_servers(client_cases(), named())
def test_clients_on_another_server(case: ClientCase, server: Server, colour: Colour) -> None:
    run_client(case, server, colour)


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("colour", COLOURS)
@on_servers(store_cases(), named_buckets())
def test_a_store_in_another_bucket(case: StoreCase, server: Server, colour: Colour) -> None:
    with Folder(server, segment_bytes=SEGMENT_LEAST_BYTES) as folder:
        asyncio.run(check_store(case, folder.open_store, colour))


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("colour", COLOURS)
@on_servers(
    [case for case in client_cases() if case is not sessions.an_encryption_key_is_kept_or_refused], named_buckets()
)
def test_clients_in_another_bucket(case: ClientCase, server: Server, colour: Colour) -> None:
    """But for keys of KMS, of which the account would need one."""
    with Folder(server, segment_bytes=SEGMENT_LEAST_BYTES) as folder:
        asyncio.run(check_client(case, folder.open_store, colour, Abilities(encryption_keys=True)))
