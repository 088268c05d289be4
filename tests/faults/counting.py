"""File operations and stores that count what is asked of them, or do less than they are asked.

CountingFiles    the real ones, counted
QuickFiles       counted, and nothing is made durable: for tests that build much
CountingStore    any store, its calls and the records that it returned counted
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

import stepwell
from stepwell.io.blocking import BlockingTasks
from stepwell.io.clock import SystemClock
from stepwell.io.files import Files
from stepwell.io.ports import Ports
from stepwell.stores.base import JournalId, JournalStore
from stepwell.stores.file import FileStore
from stepwell.stores.forwarded import Forwarded

P = ParamSpec("P")
T = TypeVar("T")


class CountingFiles(Files):
    """The real ones. `opened` counts by name."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.opened = Counter[str]()
        self.data_syncs = 0
        self.syncs = 0
        self.bytes_read = 0

    def open(self, name: str, folder: int, flags: int) -> int:
        with self._guard:
            self.opened[name] += 1
        return super().open(name, folder, flags)

    def read_at(self, fd: int, size: int, offset: int) -> bytes:
        data = super().read_at(fd, size, offset)
        with self._guard:
            self.bytes_read += len(data)
        return data

    def sync_data(self, fd: int) -> None:
        with self._guard:
            self.data_syncs += 1
        super().sync_data(fd)

    def sync(self, fd: int) -> None:
        with self._guard:
            self.syncs += 1
        super().sync(fd)


class QuickFiles(CountingFiles):
    """Like a disk that needs no time to be durable."""

    def sync_data(self, fd: int) -> None:
        with self._guard:
            self.data_syncs += 1

    def sync(self, fd: int) -> None:
        with self._guard:
            self.syncs += 1


class CountingStore(Forwarded):
    """Passes everything on."""

    def __init__(self, store: JournalStore) -> None:
        super().__init__(store)
        self.calls = Counter[str]()
        self.records_read = 0
        self.bytes_read = 0

    def _returned(self, records: Sequence[bytes]) -> None:
        self.records_read += len(records)
        self.bytes_read += sum(map(len, records))

    async def call(self, method: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        self.calls[method.__name__] += 1
        return await super().call(method, *args, **kwargs)

    async def head(self, journal: JournalId) -> bytes | None:
        head = await super().head(journal)
        self._returned([] if head is None else [head])
        return head

    async def read(self, journal: JournalId, first: int, last: int | None = None) -> Sequence[bytes]:
        records = await super().read(journal, first, last)
        self._returned(records)
        return records


def file_store(folder: Path, files: Files) -> FileStore:
    """The file store in *folder*, through *files*, for one thread at a time or many."""
    return FileStore(os.fspath(folder), Ports(SystemClock(), BlockingTasks(), files, os.urandom))


def client_of(store: JournalStore) -> stepwell.Client:
    """A client of *store*."""
    return stepwell.Client.from_store(lambda _: store)


def file_client(folder: Path, files: Files) -> stepwell.Client:
    """A client of the file store in *folder*, through *files*."""
    return client_of(file_store(folder, files))
