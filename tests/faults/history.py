"""What writers were told, checked against what a reader finds.

Acknowledged     an append that returned, with the times around it
check_history    every acknowledged step is there once, at its place, in real-time order, in a journal without a gap
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import stepwell
from stepwell.blocking import run_sync
from stepwell.ids import uuid_bytes
from stepwell.io.files import Files
from stepwell.journal.events import Place
from stepwell.journal.record import DIGEST_SIZE, Record, identity, open_record
from stepwell.stores.base import JournalId
from stepwell.views import place
from tests.faults.counting import file_store


class Acknowledged(NamedTuple):
    """An append. Times are nanoseconds of the monotonic clock, the same for all processes."""

    step_id: str
    text: str
    position: str
    started: int
    finished: int

    @property
    def place(self) -> Place:
        """Where it lies."""
        return place("position", self.position)


def append(client: stepwell.Client, session_id: str, invocation_id: str, text: str) -> Acknowledged:
    """Put a step and note when."""
    started = time.monotonic_ns()
    step = client.put_invocation_step(session_id, invocation_id, text)
    return Acknowledged(step.invocation_step_id, text, step.position, started, time.monotonic_ns())


def records(folder: Path, session_id: str) -> list[Record]:
    """All records of a session in a file store, slot by slot from 0, the chain verified."""
    store = file_store(folder, Files())
    session = uuid_bytes("session_id", session_id)
    found: list[Record] = []
    digest = bytes(DIGEST_SIZE)
    try:
        while more := run_sync(store.read(JournalId("default", session), len(found))):
            for data in more:
                record = open_record(data, identity("default", session))
                assert (len(found), digest) == (record.slot, record.prev)
                found.append(record)
                digest = record.digest
    finally:
        run_sync(store.aclose())
    return found


def check_history(folder: Path, session_id: str, acknowledged: Sequence[Acknowledged]) -> None:
    """Compare what a new client reads to what was acknowledged, when everything written was.

    Raises:
        AssertionError: something acknowledged is missing, moved or doubled, or was not acknowledged, or out of order.
    """
    with stepwell.Client(f"file:{folder}") as client:
        steps = list(client.steps(session_id))
    found = sorted((step.invocation_step_id, step.text, step.position) for step in steps)
    assert sorted(done[:3] for done in acknowledged) == found
    places = [place("position", step.position) for step in steps]
    assert sorted(set(places)) == places
    assert max(places).slot <= len(records(folder, session_id)) - 1
    assert overtaken(acknowledged) == []


def overtaken(acknowledged: Sequence[Acknowledged]) -> list[Acknowledged]:
    """Appends that were over before another began, and yet lie behind it."""
    found: list[Acknowledged] = []
    latest_start = 0
    for done in sorted(acknowledged, key=lambda done: done.place):
        if done.finished < latest_start:
            found.append(done)
        latest_start = max(latest_start, done.started)
    return found
