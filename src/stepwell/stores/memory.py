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
from stepwell.journal.record import ERASED
from stepwell.stores.base import READ_BYTES, JournalId, ListingEntry, Remain, SlotTaken


class MemoryStore:
    """Journals in lists, and the slot that each begins with."""

    inline_bytes = 256 * 1024
    forgets = False
    sees_gaps = True
    server_time: int | None = None
    copies: tuple[str, ...] = ()

    def __init__(self, name: str = "") -> None:
        self.name = f"memory:{name}"
        self._journals: defaultdict[JournalId, list[bytes]] = defaultdict(list)
        self._first: dict[JournalId, int] = {}
        self._blobs: dict[tuple[JournalId, str], bytes] = {}
        self._blank: set[tuple[JournalId, str]] = set()
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
            records, first = self._journals.get(journal, []), self._first.get(journal, 0)
            if slot < first:
                return SlotTaken()
            if slot < first + len(records):
                return SlotTaken(records[slot - first])
            if slot > first + len(records):
                raise StaleStore(f"slot {slot - 1} is gone")
            self._journals[journal].append(record)
            return None

    async def head(self, journal: JournalId) -> bytes | None:
        """See `JournalStore`."""
        records = self._journals.get(journal)
        return records[-1] if records else None

    async def read(self, journal: JournalId, first: int, last: int | None = None) -> Sequence[bytes]:
        """See `JournalStore`."""
        with self._lock:
            records, least = self._journals.get(journal, []), self._first.get(journal, 0)
            if first < least:
                return ()
            size, end = 0, first - least
            stop = len(records) if last is None else min(len(records), last + 1 - least)
            while end < stop and size < READ_BYTES:
                size += len(records[end])
                end += 1
            return records[first - least : end]

    async def erase(self, journal: JournalId, slot: int, spans: Sequence[tuple[int, int]]) -> None:
        """See `JournalStore`."""
        with self._lock:
            records, first = self._journals.get(journal, []), self._first.get(journal, 0)
            if not first <= slot < first + len(records):
                raise StaleStore(f"slot {slot} is gone")
            record = bytearray(records[slot - first])
            for offset, size in spans:
                record[offset : offset + size] = ERASED * size
            records[slot - first] = bytes(record)

    async def remove(self, journal: JournalId, below: int | None = None) -> None:
        """See `JournalStore`."""
        with self._lock:
            if below is None:
                self._journals.pop(journal, None)
                self._first.pop(journal, None)
                for whose, name in [known for known in self._blobs if known[0] == journal]:
                    self._drop_blob(whose, name)
                return
            records, first = self._journals.get(journal, []), self._first.get(journal, 0)
            if below >= first + len(records):
                raise StaleStore(f"slot {below} is gone")
            if below > first:
                del records[: below - first]
                self._first[journal] = below

    async def journals(self, tenant: str, after: bytes | None, limit: int) -> Sequence[bytes]:
        """See `JournalStore`."""
        with self._lock:
            every = {*self._journals, *(whose for whose, _ in self._blobs)}
            found = sorted(session for whose, session in every if whose == tenant and session > (after or b""))
            return found[:limit]

    async def blobs(self, journal: JournalId) -> Sequence[str]:
        """See `JournalStore`."""
        with self._lock:
            return [name for whose, name in self._blobs if whose == journal]

    async def blank_blob(self, journal: JournalId, name: str) -> None:
        """See `JournalStore`."""
        with self._lock:
            self._blobs[journal, name] = b""
            self._blank.add((journal, name))

    async def remove_blob(self, journal: JournalId, name: str) -> None:
        """See `JournalStore`."""
        with self._lock:
            self._drop_blob(journal, name)

    def _drop_blob(self, journal: JournalId, name: str) -> None:
        self._blobs.pop((journal, name), None)
        self._blank.discard((journal, name))

    async def remains(self, journal: JournalId, place: int) -> Sequence[Remain]:
        """See `JournalStore`; a place is a slot."""
        first = self._first.get(journal, 0)
        place = max(place, first)
        return [Remain(place + at, record) for at, record in enumerate(await self.read(journal, place))]

    async def keep(self, journal: JournalId, until: int) -> None:
        """Nothing expires by itself."""

    def check_blob(self, size: int) -> None:
        """Any will do."""

    async def put_blob(self, journal: JournalId, name: str, data: bytes) -> None:
        """See `JournalStore`."""
        with self._lock:
            self._blobs.setdefault((journal, name), data)

    async def get_blob(self, journal: JournalId, name: str) -> bytes:
        """See `JournalStore`."""
        with self._lock:
            if (journal, name) in self._blank or (journal, name) not in self._blobs:
                raise CorruptJournal("a blob is gone")
            return self._blobs[journal, name]

    async def copy_blob(self, source: JournalId, name: str, target: JournalId) -> None:
        """See `JournalStore`."""
        await self.put_blob(target, name, await self.get_blob(source, name))

    async def get_key(self, tenant: str, key: str) -> bytes | None:
        """See `JournalStore`."""
        return self._keys.get((tenant, key))

    async def swap_key(self, tenant: str, key: str, session: bytes | None, *, expected: bytes | None) -> bytes | None:
        """See `JournalStore`."""
        with self._lock:
            former = self._keys.get((tenant, key))
            if former == expected and session is not None:
                self._keys[tenant, key] = session
            elif former == expected:
                self._keys.pop((tenant, key), None)
            return former

    async def put_entry(self, listing: str, entry: ListingEntry) -> None:
        """See `JournalStore`."""
        with self._lock:
            entries = self._entries[listing]
            if entry.session not in entries:
                bisect.insort(self._order[listing], entry.session)
            elif entries[entry.session].version > entry.version:
                return
            entries[entry.session] = entry

    async def get_entry(self, listing: str, session: bytes) -> ListingEntry | None:
        """See `JournalStore`."""
        return self._entries[listing].get(session)

    async def remove_entry(self, listing: str, session: bytes) -> None:
        """See `JournalStore`."""
        with self._lock:
            if self._entries[listing].pop(session, None) is not None:
                self._order[listing].remove(session)

    async def entries(self, listing: str, before: bytes | None, limit: int) -> Sequence[ListingEntry]:
        """See `JournalStore`."""
        with self._lock:
            order = self._order[listing]
            end = len(order) if before is None else bisect.bisect_left(order, before)
            return [self._entries[listing][session] for session in reversed(order[max(0, end - limit) : end])]

    async def encrypts_with(self, key_arn: str) -> bool:
        """Nothing is encrypted."""
        return False

    async def ping(self) -> None:
        """Memory is always there."""

    async def aclose(self) -> None:
        """Nothing to let go of."""


_named: dict[str, MemoryStore] = {}


def named(name: str) -> MemoryStore:
    """The store of this name, kept as long as the process lives; the empty name is always a new one."""
    return _named.setdefault(name, MemoryStore(name)) if name else MemoryStore()
