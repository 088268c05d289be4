"""1000 steps of 1 KB read cold: Stepwell beside the same rows in sqlite3, read into the same models.

    python -m benchmarks.read [--quick] [--json]

A round opens a new client or connection, reads all steps into a list of `InvocationStep`, and closes it; the two take
turns. The system's page cache is warm.

The peer's table is `steps(session_id, invocation_id, step_id, time, slot, content)` with an index on the session;
`content` is msgpack of the blocks. Of what was tried that is the fastest into these models: JSON takes 5 % longer (and
has no bytes), blocks made one by one in Python 10 % longer, a table WITHOUT ROWID 15 % longer.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import ormsgpack

import stepwell
from benchmarks.table import Row, Table, Target, median, ninth_decile, options
from stepwell import Data, InvocationStep, Text

STEPS = 1000
PAYLOAD_BYTES = 1024
TIMES_SQLITE = 1.5
STORED_PER_PAYLOAD = 1.25

_ROWS = "SELECT session_id, invocation_id, step_id, time, slot, content FROM steps WHERE session_id = ? ORDER BY slot"


def binary() -> Data:
    """A payload that no compression shrinks."""
    return Data(data=os.urandom(PAYLOAD_BYTES))


def text() -> Text:
    """Text of 1 KB, which compresses to about half."""
    return Text(text=os.urandom(PAYLOAD_BYTES // 2).hex())


def fill_stepwell(folder: Path, block: Callable[[], Data | Text]) -> str:
    """Write a session, a record for each step; its id."""
    with stepwell.Client(f"file:{folder}") as client:
        session_id = client.create_session().session_id
        invocation_id = client.create_invocation(session_id).invocation_id
        for _ in range(STEPS):
            client.put_invocation_step(session_id, invocation_id, block())
    return session_id


def read_stepwell(folder: Path, session_id: str) -> list[InvocationStep]:
    """All steps, by a client that knows nothing of them."""
    with stepwell.Client(f"file:{folder}") as client:
        return list(client.steps(session_id))


def fill_sqlite(path: Path, steps: Sequence[InvocationStep]) -> None:
    """Write the same steps."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(
            "CREATE TABLE steps (session_id TEXT, invocation_id TEXT, step_id TEXT, time INTEGER, slot INTEGER,"
            " content BLOB, PRIMARY KEY (session_id, slot))"
        )
        database.executemany("INSERT INTO steps VALUES (?, ?, ?, ?, ?, ?)", map(_row, steps))


def _row(step: InvocationStep) -> tuple[str, str, str, int, int, bytes]:
    content = ormsgpack.packb([block.model_dump() for block in step.content])
    microseconds = round(step.invocation_step_time.timestamp() * 1e6)
    ids = (step.session_id, step.invocation_id, step.invocation_step_id)
    return *ids, microseconds, step.slot, content


def read_sqlite(path: Path, session_id: str) -> list[InvocationStep]:
    """All steps, over a new connection."""
    with closing(sqlite3.connect(path)) as database:
        return [
            InvocationStep.model_validate(
                {
                    "session_id": session,
                    "invocation_id": invocation,
                    "invocation_step_id": step,
                    "invocation_step_time": datetime.fromtimestamp(microseconds / 1e6, UTC),
                    "content": ormsgpack.unpackb(content),
                    "slot": slot,
                    "position": f"{slot}.0",
                }
            )
            for session, invocation, step, microseconds, slot, content in database.execute(_ROWS, [session_id])
        ]


def measure(folder: Path, block: Callable[[], Data | Text], rounds: int) -> tuple[dict[str, list[float]], int]:
    """Milliseconds of each round, and the bytes that Stepwell keeps for the session."""
    folder.mkdir(mode=0o700)
    store, database = folder / "store", folder / "steps.db"
    session_id = fill_stepwell(store, block)
    steps = read_stepwell(store, session_id)
    fill_sqlite(database, steps)
    if read_sqlite(database, session_id) != steps:
        raise AssertionError("the two do not read the same")
    reads: dict[str, Callable[[], object]] = {
        "stepwell": lambda: read_stepwell(store, session_id),
        "sqlite3": lambda: read_sqlite(database, session_id),
    }
    samples: dict[str, list[float]] = {name: [] for name in reads}
    for _ in range(rounds):
        for name, read in reads.items():
            began = time.perf_counter_ns()
            read()
            samples[name].append((time.perf_counter_ns() - began) / 1e6)
    kept = sum(file.stat().st_size for file in (store / "sessions").rglob("*") if file.is_file())
    return samples, kept


def rows(kind: str, samples: dict[str, list[float]], kept: int, *, uncompressible: bool) -> list[Row]:
    """The figures of one kind of payload."""
    medians = {name: median(times) for name, times in samples.items()}
    ratio, stored = medians["stepwell"] / medians["sqlite3"], kept / (STEPS * PAYLOAD_BYTES)
    shown = [
        Row(
            f"{kind}: {name}",
            {
                "median ms": medians[name],
                "p90 ms": ninth_decile(times),
                "us a step": medians[name] * 1e3 / STEPS,
            },
        )
        for name, times in samples.items()
    ]
    limit = Target(f"<= {STORED_PER_PAYLOAD}", met=stored <= STORED_PER_PAYLOAD) if uncompressible else None
    return [
        *shown,
        Row(
            f"{kind}: stepwell / sqlite3",
            {"ratio": ratio},
            Target(f"<= {TIMES_SQLITE}", met=ratio <= TIMES_SQLITE),
        ),
        Row(f"{kind}: bytes stored / payload", {"ratio": stored}, limit),
    ]


def main() -> None:
    """Run it."""
    asked = options(__doc__)
    rounds = 15 if asked.quick else 100
    found: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="stepwell-read-") as name:
        samples, kept = measure(Path(name) / "binary", binary, rounds)
        found += rows("binary", samples, kept, uncompressible=True)
        samples, kept = measure(Path(name) / "text", text, rounds)
        found += rows("text", samples, kept, uncompressible=False)
    Table(
        f"{STEPS} steps of {PAYLOAD_BYTES} B read cold, {rounds} rounds (sqlite3 {sqlite3.sqlite_version})",
        ("median ms", "p90 ms", "us a step", "ratio"),
        found,
    ).show(as_json=asked.as_json)


if __name__ == "__main__":
    main()
