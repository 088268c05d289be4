"""File operations and stores that count what is asked of them, or do less than they are asked.

CountingFiles    the real ones, counted
QuickFiles       counted, and nothing is made durable: for tests that build much
CountingStore    any store, its calls and the records that it returned counted
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import stepwell
from stepwell.io.blocking import BlockingTasks
from stepwell.io.clock import SystemClock
from stepwell.io.files import Files
from stepwell.io.ports import Ports
from stepwell.stores.base import JournalId, JournalStore, ListingEntry, SlotTaken
from stepwell.stores.file import FileStore


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


class CountingStore:
    """Passes everything on."""

    def __init__(self, store: JournalStore) -> None:
        self._store = store
        self.name = store.name
        self.inline_bytes = store.inline_bytes
        self.server_time = store.server_time
        self.encryption_keys = store.encryption_keys
        self.calls = Counter[str]()
        self.records_read = 0
        self.bytes_read = 0

    def _returned(self, records: Sequence[bytes]) -> None:
        self.records_read += len(records)
        self.bytes_read += sum(map(len, records))

    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        self.calls["append"] += 1
        return await self._store.append(journal, slot, record)

    async def head(self, journal: JournalId) -> bytes | None:
        self.calls["head"] += 1
        head = await self._store.head(journal)
        self._returned([] if head is None else [head])
        return head

    async def read(self, journal: JournalId, first: int, last: int | None = None) -> Sequence[bytes]:
        self.calls["read"] += 1
        records = await self._store.read(journal, first, last)
        self._returned(records)
        return records

    async def put_blob(self, journal: JournalId, name: str, data: bytes) -> None:
        self.calls["put_blob"] += 1
        await self._store.put_blob(journal, name, data)

    async def get_blob(self, journal: JournalId, name: str) -> bytes:
        self.calls["get_blob"] += 1
        return await self._store.get_blob(journal, name)

    async def copy_blob(self, source: JournalId, name: str, target: JournalId) -> None:
        self.calls["copy_blob"] += 1
        await self._store.copy_blob(source, name, target)

    async def get_key(self, tenant: str, key: str) -> bytes | None:
        self.calls["get_key"] += 1
        return await self._store.get_key(tenant, key)

    async def swap_key(self, tenant: str, key: str, session: bytes, *, expected: bytes | None) -> bytes | None:
        self.calls["swap_key"] += 1
        return await self._store.swap_key(tenant, key, session, expected=expected)

    async def put_entry(self, tenant: str, entry: ListingEntry) -> None:
        self.calls["put_entry"] += 1
        await self._store.put_entry(tenant, entry)

    async def get_entry(self, tenant: str, session: bytes) -> ListingEntry | None:
        self.calls["get_entry"] += 1
        return await self._store.get_entry(tenant, session)

    async def entries(self, tenant: str, before: bytes | None, limit: int) -> Sequence[ListingEntry]:
        self.calls["entries"] += 1
        return await self._store.entries(tenant, before, limit)

    async def ping(self) -> None:
        await self._store.ping()

    async def aclose(self) -> None:
        await self._store.aclose()


def file_store(folder: Path, files: Files) -> FileStore:
    """The file store in *folder*, through *files*, for one thread at a time or many."""
    return FileStore(os.fspath(folder), Ports(SystemClock(), BlockingTasks(), files, os.urandom))


def client_of(store: JournalStore) -> stepwell.Client:
    """A client of *store*."""
    return stepwell.Client.from_store(lambda _: store)


def file_client(folder: Path, files: Files) -> stepwell.Client:
    """A client of the file store in *folder*, through *files*."""
    return client_of(file_store(folder, files))
