"""Memory: the reference store, and a quick one for tests. `memory:` is private, `memory:name` shared in the process.

A forked child has its own copy from then on.
"""

from __future__ import annotations

import bisect
import threading
from collections import defaultdict
from collections.abc import Sequence

from stepwell.errors import CorruptJournal, StaleStore
from stepwell.io.fork import after_fork
from stepwell.stores.base import READ_BYTES, JournalId, ListingEntry, SlotTaken


class MemoryStore:
    """Journals in lists."""

    inline_bytes = 256 * 1024
    server_time: int | None = None
    encryption_keys = False

    def __init__(self, name: str = "") -> None:
        self.name = f"memory:{name}"
        self._journals: defaultdict[JournalId, list[bytes]] = defaultdict(list)
        self._blobs: dict[tuple[JournalId, str], bytes] = {}
        self._keys: dict[tuple[str, str], bytes] = {}
        self._entries: defaultdict[str, dict[bytes, ListingEntry]] = defaultdict(dict)
        self._order: defaultdict[str, list[bytes]] = defaultdict(list)
        self._unlock()
        after_fork(self._unlock)

    def _unlock(self) -> None:
        self._lock = threading.Lock()

    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        """See `JournalStore`."""
        with self._lock:
            records = self._journals.get(journal, [])
            if slot < len(records):
                return SlotTaken(records[slot])
            if slot > len(records):
                raise StaleStore(f"slot {slot - 1} is gone")
            self._journals[journal].append(record)
            return None

    async def head(self, journal: JournalId) -> bytes | None:
        """See `JournalStore`."""
        records = self._journals.get(journal)
        return records[-1] if records else None

    async def read(self, journal: JournalId, first: int, last: int | None = None) -> Sequence[bytes]:
        """See `JournalStore`."""
        records = self._journals.get(journal, [])
        size, end = 0, first
        stop = len(records) if last is None else min(len(records), last + 1)
        while end < stop and size < READ_BYTES:
            size += len(records[end])
            end += 1
        return records[first:end]

    async def put_blob(self, journal: JournalId, name: str, data: bytes) -> None:
        """See `JournalStore`."""
        self._blobs[journal, name] = data

    async def get_blob(self, journal: JournalId, name: str) -> bytes:
        """See `JournalStore`."""
        try:
            return self._blobs[journal, name]
        except KeyError:
            raise CorruptJournal(f"blob {name} is gone") from None

    async def copy_blob(self, source: JournalId, name: str, target: JournalId) -> None:
        """See `JournalStore`."""
        await self.put_blob(target, name, await self.get_blob(source, name))

    async def get_key(self, tenant: str, key: str) -> bytes | None:
        """See `JournalStore`."""
        return self._keys.get((tenant, key))

    async def swap_key(self, tenant: str, key: str, session: bytes, *, expected: bytes | None) -> bytes | None:
        """See `JournalStore`."""
        with self._lock:
            former = self._keys.get((tenant, key))
            if former == expected:
                self._keys[tenant, key] = session
            return former

    async def put_entry(self, tenant: str, entry: ListingEntry) -> None:
        """See `JournalStore`."""
        with self._lock:
            entries = self._entries[tenant]
            if entry.session not in entries:
                bisect.insort(self._order[tenant], entry.session)
            elif entries[entry.session].version > entry.version:
                return
            entries[entry.session] = entry

    async def get_entry(self, tenant: str, session: bytes) -> ListingEntry | None:
        """See `JournalStore`."""
        return self._entries[tenant].get(session)

    async def entries(self, tenant: str, before: bytes | None, limit: int) -> Sequence[ListingEntry]:
        """See `JournalStore`."""
        with self._lock:
            order = self._order[tenant]
            end = len(order) if before is None else bisect.bisect_left(order, before)
            return [self._entries[tenant][session] for session in reversed(order[max(0, end - limit) : end])]

    async def ping(self) -> None:
        """Memory is always there."""

    async def aclose(self) -> None:
        """Nothing to let go of."""


_named: dict[str, MemoryStore] = {}


def named(name: str) -> MemoryStore:
    """The store of this name, kept as long as the process lives; the empty name is always a new one."""
    return _named.setdefault(name, MemoryStore(name)) if name else MemoryStore()
