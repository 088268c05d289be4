"""What a client reads that knows nothing of a session, counted, before it can append to it."""

import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

import stepwell
from stepwell.ids import uuid7, uuid_text
from stepwell.journal.index import INTERVAL_BYTES, INTERVAL_SLOTS
from stepwell.stores.base import JournalStore
from stepwell.stores.memory import MemoryStore
from tests.faults.counting import CountingFiles, CountingStore, QuickFiles, client_of, file_store

SMALL, LARGE = 10, 10_000

NewId = Callable[[int], str | None]
"""The id of the n-th step, None for one that we make."""


def ours(_: int) -> None:
    return None


def time_ordered(number: int) -> str:
    return uuid_text(uuid7(1_700_000_000_000 + number, os.urandom(10)))


def at_random(_: int) -> str:
    return str(uuid4())


def put_one_by_one(store: JournalStore, steps: int, new_id: NewId) -> tuple[str, str]:
    """A new session with so many steps, a record for each."""
    client = client_of(store)
    session_id = client.create_session().session_id
    invocation_id = client.create_invocation(session_id).invocation_id
    for i in range(steps):
        client.put_invocation_step(session_id, invocation_id, f"step {i}", invocation_step_id=new_id(i))
    return session_id, invocation_id


def put_in_batches(store: JournalStore, steps: int, new_id: NewId) -> tuple[str, str]:
    """A new session with so many steps, 250 in a record."""
    client = client_of(store)
    session_id = client.create_session().session_id
    invocation_id = client.create_invocation(session_id).invocation_id
    new = [
        stepwell.NewStep(content=(stepwell.Text(text=f"step {i}"),), invocation_step_id=new_id(i)) for i in range(steps)
    ]
    for first in range(0, steps, 250):
        client.put_invocation_steps(session_id, invocation_id, new[first : first + 250])
    return session_id, invocation_id


def cold_append(store: JournalStore, ids: tuple[str, str], step_id: str | None) -> CountingStore:
    """Append with a new client; what it asked of the store."""
    counted = CountingStore(store)
    client_of(counted).put_invocation_step(*ids, "and on", invocation_step_id=step_id)
    return counted


@pytest.mark.parametrize("new_id", [ours, time_ordered])
def test_a_cold_append_reads_the_head_and_at_most_one_snapshot_interval_at_any_length(new_id: NewId) -> None:
    for steps in (SMALL, LARGE):
        store = MemoryStore()
        ids = put_one_by_one(store, steps, new_id)
        counted = cold_append(store, ids, new_id(steps))
        assert counted.calls == {"head": 1, "read": 1, "append": 1}
        assert counted.records_read <= 1 + 1 + INTERVAL_SLOTS


@pytest.mark.parametrize("new_id", [ours, time_ordered])
def test_a_cold_append_to_a_file_reads_the_bytes_of_one_snapshot_interval_at_any_length(
    tmp_path: Path, new_id: NewId
) -> None:
    for steps in (SMALL, LARGE):
        folder = tmp_path / str(steps)
        ids = put_in_batches(file_store(folder, QuickFiles()), steps, new_id)
        files = CountingFiles()
        counted = cold_append(file_store(folder, files), ids, new_id(steps))
        assert counted.calls == {"head": 1, "read": 1, "append": 1}
        assert files.bytes_read <= 2 * INTERVAL_BYTES


def test_a_caller_supplied_random_id_costs_one_read_more_for_each_run_of_the_index() -> None:
    store = MemoryStore()
    ids = put_one_by_one(store, LARGE, at_random)
    counted = cold_append(store, ids, at_random(LARGE))
    assert (counted.calls["head"], counted.calls["append"]) == (1, 1)
    assert counted.calls["read"] <= 1 + LARGE.bit_length()
    assert counted.bytes_read <= 2 * INTERVAL_BYTES
