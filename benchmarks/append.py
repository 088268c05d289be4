"""1 KB durable appends: Stepwell beside a bare loop, sqlite3, and one file for each message.

    python -m benchmarks.append [--quick] [--json]

Every method stores the same bytes, which no compression shrinks, and returns when they are durable:

    bare loop           write, fdatasync
    sqlite3             WAL, synchronous=FULL, one commit for each message
    file per message    write, fsync, rename, fsync of the folder

They take turns in blocks of 20. CPU is user and system time of the process. `events/fsync` is counted in a run of its
own, in which 8 threads write to one session.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import stepwell
from benchmarks.table import Row, Table, Target, median, ninth_decile, options
from stepwell.io.files import Files
from stepwell.stores.file import FileStore

PAYLOAD_BYTES = 1024
BLOCK = 20
THREADS = 8
CPU_ABOVE_BARE_US = 120
EVENTS_PER_FSYNC = 3

Append = Callable[[bytes], object]

sync_data: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


@contextmanager
def stepwell_append(folder: Path) -> Generator[Append]:
    """A step with one block."""
    with stepwell.Client(f"file:{folder}") as client:
        session_id = client.create_session().session_id
        invocation_id = client.create_invocation(session_id).invocation_id
        yield lambda payload: client.put_invocation_step(session_id, invocation_id, stepwell.Data(data=payload))


@contextmanager
def bare_loop(folder: Path) -> Generator[Append]:
    """The least that a durable append can be."""
    with (folder / "log").open("wb", buffering=0) as log:

        def append(payload: bytes) -> None:
            log.write(payload)
            sync_data(log.fileno())

        yield append


@contextmanager
def sqlite(folder: Path) -> Generator[Append]:
    """One commit for each message."""
    with closing(sqlite3.connect(folder / "messages.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE messages (id INTEGER PRIMARY KEY, payload BLOB NOT NULL)")
        yield lambda payload: database.execute("INSERT INTO messages (payload) VALUES (?)", [payload])


@contextmanager
def file_per_message(folder: Path) -> Generator[Append]:
    """A whole file or none, under its final name."""
    parent = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    count = 0

    def append(payload: bytes) -> None:
        nonlocal count
        count += 1
        partial = folder / f"{count}.partial"
        with partial.open("wb", buffering=0) as file:
            file.write(payload)
            os.fsync(file.fileno())
        partial.rename(folder / f"{count}.message")
        os.fsync(parent)

    try:
        yield append
    finally:
        os.close(parent)


METHODS = {
    "stepwell": stepwell_append,
    "bare loop": bare_loop,
    "sqlite3": sqlite,
    "file per message": file_per_message,
}


@dataclass(slots=True)
class Samples:
    """Microseconds of each append."""

    wall: list[float] = field(default_factory=list[float])
    cpu: list[float] = field(default_factory=list[float])


def measure(folder: Path, rounds: int) -> dict[str, Samples]:
    """Let the methods take turns, each for a block of appends; who begins changes with every round."""
    samples = {name: Samples() for name in METHODS}
    with ExitStack() as stack:
        appends: list[tuple[str, Append]] = []
        for name, method in METHODS.items():
            own = folder / name.replace(" ", "-")
            own.mkdir(mode=0o700)
            appends.append((name, stack.enter_context(method(own))))
        for i in range(rounds + 1):
            for name, append in appends[i % len(appends) :] + appends[: i % len(appends)]:
                warm_up = Samples() if i == 0 else samples[name]
                for _ in range(BLOCK):
                    _time(append, os.urandom(PAYLOAD_BYTES), warm_up)
    return samples


def _time(append: Append, payload: bytes, samples: Samples) -> None:
    wall, cpu = time.perf_counter_ns(), time.process_time_ns()
    append(payload)
    samples.cpu.append((time.process_time_ns() - cpu) / 1e3)
    samples.wall.append((time.perf_counter_ns() - wall) / 1e3)


class CountingFiles(Files):
    """Counts syncs of data. One session's are one after the other, so it needs no lock."""

    data_syncs = 0

    def sync_data(self, fd: int) -> None:
        """Make a file's bytes durable."""
        self.data_syncs += 1
        super().sync_data(fd)


def events_per_fsync(folder: Path, appends: int) -> float:
    """Let threads write to one session: how many events share one sync of its log."""
    files = CountingFiles()
    store_folder = str(folder / "threads")
    with stepwell.Client.from_store(lambda ports: FileStore(store_folder, replace(ports, files=files))) as client:
        session_id = client.create_session().session_id
        invocation_id = client.create_invocation(session_id).invocation_id
        before = files.data_syncs

        def work() -> None:
            for _ in range(appends):
                client.put_invocation_step(session_id, invocation_id, stepwell.Data(data=os.urandom(PAYLOAD_BYTES)))

        threads = [threading.Thread(target=work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return THREADS * appends / (files.data_syncs - before)


def table(samples: dict[str, Samples], shared: float) -> Table:
    """The figures beside their targets."""
    wall = {name: median(of.wall) for name, of in samples.items()}
    cpu = {name: median(of.cpu) for name, of in samples.items()}
    above = cpu["stepwell"] - cpu["bare loop"]
    rows = [
        Row(
            name,
            {
                "median us": wall[name],
                "p90 us": ninth_decile(of.wall),
                "CPU us": cpu[name],
                "x stepwell": wall[name] / wall["stepwell"],
            },
            _ahead(wall[name] / wall["stepwell"]) if name in ("sqlite3", "file per message") else None,
        )
        for name, of in samples.items()
    ]
    rows += [
        Row(
            "stepwell above the bare loop",
            {"median us": wall["stepwell"] - wall["bare loop"], "CPU us": above},
            Target(f"CPU <= {CPU_ABOVE_BARE_US} us", met=above <= CPU_ABOVE_BARE_US),
        ),
        Row(
            f"stepwell, {THREADS} threads, one session",
            {"events/fsync": shared},
            Target(f">= {EVENTS_PER_FSYNC}", met=shared >= EVENTS_PER_FSYNC),
        ),
    ]
    count = len(samples["stepwell"].wall)
    columns = ("median us", "p90 us", "CPU us", "x stepwell", "events/fsync")
    return Table(
        f"{PAYLOAD_BYTES} B durable appends, {count} by each method (sqlite3 {sqlite3.sqlite_version})",
        columns,
        rows,
    )


def _ahead(ratio: float) -> Target:
    return Target("stepwell is ahead", met=ratio > 1)


def main() -> None:
    """Run it."""
    asked = options(__doc__)
    with tempfile.TemporaryDirectory(prefix="stepwell-append-") as name:
        folder = Path(name)
        samples = measure(folder, rounds=15 if asked.quick else 100)
        shared = events_per_fsync(folder, appends=50 if asked.quick else 250)
    table(samples, shared).show(as_json=asked.as_json)


if __name__ == "__main__":
    main()
