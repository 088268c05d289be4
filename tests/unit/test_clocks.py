"""Time, where a store's server tells one that differs from the machine's."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest

from stepwell import Client, Limits
from stepwell.clocks import Instant, StoreClock, instant
from stepwell.errors import NotFound, SessionExpired
from stepwell.io.blocking import BlockingTasks
from stepwell.io.files import Files
from stepwell.io.ports import Ports
from stepwell.stores.memory import MemoryStore
from tests.unit.worlds import START, FakeClock

HOUR = 3600 * 1_000_000
TIMED = Limits(idle_timeout=timedelta(hours=1), retention=timedelta(days=1))


class Told(MemoryStore):
    """Memory whose server tells the time."""

    server_time: int | None = START


def client_of(store: Told, clock: FakeClock) -> Client:
    return Client.from_store(lambda ports: store, limits=TIMED, clock=clock)


def test_a_session_is_over_once_the_store_says_so() -> None:
    store, slow = Told(), FakeClock("wall")
    client = client_of(store, slow)
    session = client.create_session().session_id
    store.server_time = START + 2 * HOUR
    assert client.get_session(session).session_status == "EXPIRED"
    with pytest.raises(SessionExpired):
        client.create_invocation(session)
    assert client.list_sessions().items[0].session_status == "EXPIRED"
    store.server_time = START + 25 * HOUR
    with pytest.raises(NotFound):
        client.get_session(session)
    assert client.list_sessions().items == ()


def test_a_session_is_over_once_the_machine_says_so() -> None:
    store, clock = Told(), FakeClock()
    client = client_of(store, clock)
    session = client.create_session().session_id
    clock.pass_seconds(2 * 3600)
    assert client.get_session(session).session_status == "EXPIRED"


def test_a_session_begins_by_the_later_clock() -> None:
    store = Told()
    store.server_time = START + 2 * HOUR
    made = client_of(store, FakeClock("wall")).create_session()
    assert made.created_at.timestamp() == (START + 2 * HOUR) / 1e6


def test_a_store_that_tells_no_time_leaves_it_to_the_machine() -> None:
    store = Told()
    store.server_time = None
    clock = StoreClock(FakeClock(), store)
    assert (clock.wall(), clock.boot()) == (START, START)


def test_a_moment_keeps_the_clocks_apart() -> None:
    """Else a machine whose clock is slow would take the store's first word for hours that it was frozen."""
    store, slow = Told(), FakeClock("wall", "boot")
    store.server_time = None
    ports = Ports(StoreClock(slow, store), BlockingTasks(), Files(), os.urandom)
    before = instant(ports, store)
    store.server_time = START + 10 * HOUR
    assert instant(ports, store) == Instant(START, START, START + 10 * HOUR)
    assert instant(ports, store).seconds_since(before) == 0
