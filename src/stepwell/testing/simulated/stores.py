"""Stores that a simulated world can hold. A store is opened once per process, with that process's `Line`.

Sliced      as a table or a bucket is: one conditional write per slot, no look at the slot before it; a journal is
            removed slot by slot
Whole       `MemoryStore`: each call is one request, and nothing comes between
dynamodb    the DynamoDB store on a simulated service (dynamodb.py)
s3          the S3 store on another (s3_store.py)

A store of your own joins as these do: whatever touches the world goes through `Line.request`, and `Written.note` is
told of every record when it is durable. `--store module:name` names what makes one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ParamSpec, Protocol, TypeVar

from stepwell.blocking import run_sync
from stepwell.errors import CorruptJournal, StaleStore
from stepwell.journal.record import ERASED
from stepwell.stores.base import JournalId, JournalStore, ListingEntry, Remain, SlotTaken
from stepwell.stores.forwarded import Forwarded
from stepwell.stores.memory import MemoryStore
from stepwell.testing.simulated.faults import Line
from stepwell.testing.simulated.schedule import World

P = ParamSpec("P")
T = TypeVar("T")

INLINE_BYTES = 64
PIECE_BYTES = 16
"""Short enough that whatever part of a blob is left holds a piece whole."""


def holds_some_of(held: bytes, text: str) -> bool:
    """Whether stored bytes hold a text, or a part of it: a blob may be left in part."""
    whole = text.encode()
    pieces = range(0, max(1, len(whole) - PIECE_BYTES + 1), PIECE_BYTES)
    return bool(held) and any(whole[at : at + PIECE_BYTES] in held for at in pieces)


class Written:
    """Every record that ever became durable: the slot, the bytes, and the step of the schedule at which it did."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.records: defaultdict[JournalId, list[tuple[int, bytes, int]]] = defaultdict(list)

    def note(self, journal: JournalId, slot: int, record: bytes) -> None:
        """A record is durable now."""
        self.records[journal].append((slot, record, self._world.steps))


class SimulatedStore(Protocol):
    """What all processes share."""

    forgets: bool
    """Whether it removes by itself what has expired, some time after."""

    def open(self, line: Line) -> JournalStore:
        """The store, as one process sees it."""
        ...

    def held(self, journal: JournalId) -> bytes:
        """All that is stored of a journal at this moment, records and blobs."""
        ...


@dataclass(slots=True)
class _Tables:
    """What a sliced store holds. *first* is the slot that a trimmed journal begins with; a blank blob is None."""

    slots: defaultdict[JournalId, dict[int, bytes]] = field(default_factory=lambda: defaultdict(dict))
    first: dict[JournalId, int] = field(default_factory=dict[JournalId, int])
    blobs: defaultdict[JournalId, dict[str, bytes | None]] = field(default_factory=lambda: defaultdict(dict))
    keys: dict[tuple[str, str], bytes] = field(default_factory=dict[tuple[str, str], bytes])
    entries: defaultdict[str, dict[bytes, ListingEntry]] = field(default_factory=lambda: defaultdict(dict))


class Sliced:
    """See the module."""

    forgets = False

    def __init__(self, world: World, written: Written) -> None:
        self._tables = _Tables()
        self._written = written
        self._winners = world.random.random() < 1 / 2

    def open(self, line: Line) -> JournalStore:
        """The store, as one process sees it."""
        return _SlicedStore(line, self._tables, self._written, tells_winners=self._winners)

    def held(self, journal: JournalId) -> bytes:
        """All that is stored of a journal at this moment."""
        return b"".join([*self._tables.slots[journal].values(), *filter(None, self._tables.blobs[journal].values())])


class _SlicedStore:
    name = "sliced"
    inline_bytes = INLINE_BYTES
    forgets = False
    sees_gaps = False
    copies: tuple[str, ...] = ()

    def __init__(self, line: Line, tables: _Tables, written: Written, *, tells_winners: bool) -> None:
        self._line = line
        self._request = line.request
        self._tables = tables
        self._written = written
        self._tells_winners = tells_winners

    @property
    def server_time(self) -> int | None:
        return self._line.server_time

    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        def apply() -> SlotTaken | None:
            slots = self._tables.slots[journal]
            if slot in slots:
                return SlotTaken(slots[slot] if self._tells_winners else None)
            slots[slot] = record
            self._written.note(journal, slot, record)
            return None

        return await self._request(f"append {_short(journal)} slot {slot}", apply, writes=True)

    async def head(self, journal: JournalId) -> bytes | None:
        def apply() -> bytes | None:
            slots = self._tables.slots[journal]
            return slots[max(slots)] if self._tables.first.get(journal, 0) in slots else None

        return await self._request(f"head {_short(journal)}", apply, writes=False)

    async def read(self, journal: JournalId, first: int, last: int | None = None) -> Sequence[bytes]:
        def apply() -> Sequence[bytes]:
            slots, found, slot = self._tables.slots[journal], list[bytes](), first
            while slot in slots and (last is None or slot <= last):
                found.append(slots[slot])
                slot += 1
            return found

        return await self._request(f"read {_short(journal)} slots {first} to {last}", apply, writes=False)

    async def erase(self, journal: JournalId, slot: int, spans: Sequence[tuple[int, int]]) -> None:
        def apply() -> None:
            slots = self._tables.slots[journal]
            if slot not in slots:
                raise StaleStore(f"slot {slot} is gone")
            record = bytearray(slots[slot])
            for offset, size in spans:
                record[offset : offset + size] = ERASED * size
            slots[slot] = bytes(record)

        await self._request(f"erase {_short(journal)} slot {slot}", apply, writes=True)

    async def remove(self, journal: JournalId, below: int | None = None) -> None:
        tables = self._tables
        if below is not None:

            def begin_at() -> None:
                if below not in tables.slots[journal]:
                    raise StaleStore(f"slot {below} is gone")
                tables.first[journal] = max(below, tables.first.get(journal, 0))

            await self._request(f"begin {_short(journal)} at slot {below}", begin_at, writes=True)
        here = await self._request(f"slots of {_short(journal)}", lambda: sorted(tables.slots[journal]), writes=False)
        first = 0 if below is not None else tables.first.get(journal, 0)
        for slot in sorted(here, key=lambda slot: (slot != first, slot)):
            if below is None or slot < below:
                drop = _drop(tables.slots[journal], slot)
                await self._request(f"remove {_short(journal)} slot {slot}", drop, writes=True)
        if below is None:
            for name in await self.blobs(journal):
                await self.remove_blob(journal, name)
            await self._request(f"forget {_short(journal)}", _drop(tables.first, journal), writes=True)

    async def journals(self, tenant: str, after: bytes | None, limit: int) -> Sequence[bytes]:
        def apply() -> Sequence[bytes]:
            tables = self._tables
            here = {journal for kept in (tables.slots, tables.blobs) for journal, held in kept.items() if held}
            return sorted(session for whose, session in here if whose == tenant and session > (after or b""))[:limit]

        return await self._request("journals", apply, writes=False)

    def check_blob(self, size: int) -> None:
        pass

    async def put_blob(self, journal: JournalId, name: str, data: bytes) -> None:
        def apply() -> None:
            self._tables.blobs[journal].setdefault(name, data)

        await self._request(f"put blob {_short(journal)} {name[:6]}", apply, writes=True)

    async def get_blob(self, journal: JournalId, name: str) -> bytes:
        def apply() -> bytes:
            return self._blob(journal, name)

        return await self._request(f"get blob {_short(journal)} {name[:6]}", apply, writes=False)

    async def copy_blob(self, source: JournalId, name: str, target: JournalId) -> None:
        def apply() -> None:
            self._tables.blobs[target].setdefault(name, self._blob(source, name))

        await self._request(f"copy blob {_short(source)} {name[:6]} to {_short(target)}", apply, writes=True)

    def _blob(self, journal: JournalId, name: str) -> bytes:
        data = self._tables.blobs[journal].get(name)
        if data is None:
            raise CorruptJournal(f"blob {name[:6]} is gone")
        return data

    async def blobs(self, journal: JournalId) -> Sequence[str]:
        return await self._request(f"blobs {_short(journal)}", lambda: list(self._tables.blobs[journal]), writes=False)

    async def blank_blob(self, journal: JournalId, name: str) -> None:
        def apply() -> None:
            self._tables.blobs[journal][name] = None

        await self._request(f"blank blob {_short(journal)} {name[:6]}", apply, writes=True)

    async def remove_blob(self, journal: JournalId, name: str) -> None:
        drop = _drop(self._tables.blobs[journal], name)
        await self._request(f"remove blob {_short(journal)} {name[:6]}", drop, writes=True)

    async def remains(self, journal: JournalId, place: int) -> Sequence[Remain]:
        def apply() -> Sequence[Remain]:
            slots = self._tables.slots[journal]
            return [Remain(slot, slots[slot]) for slot in sorted(slots) if slot >= place]

        return await self._request(f"remains {_short(journal)} from {place}", apply, writes=False)

    async def keep(self, journal: JournalId, until: int) -> None:
        await self._request(f"keep {_short(journal)}", lambda: None, writes=True)

    async def get_key(self, tenant: str, key: str) -> bytes | None:
        return await self._request(f"get key {key}", lambda: self._tables.keys.get((tenant, key)), writes=False)

    async def swap_key(self, tenant: str, key: str, session: bytes | None, *, expected: bytes | None) -> bytes | None:
        def apply() -> bytes | None:
            keys = self._tables.keys
            former = keys.get((tenant, key))
            if former == expected and session is None:
                keys.pop((tenant, key), None)
            elif former == expected and session is not None:
                keys[tenant, key] = session
            return former

        named = "nothing" if session is None else session.hex()[-6:]
        return await self._request(f"let key {key} name {named}", apply, writes=True)

    async def put_entry(self, listing: str, entry: ListingEntry) -> None:
        def apply() -> None:
            entries = self._tables.entries[listing]
            if entry.session not in entries or entries[entry.session].version <= entry.version:
                entries[entry.session] = entry

        await self._request(f"put entry {listing} {entry.session.hex()[-6:]}", apply, writes=True)

    async def get_entry(self, listing: str, session: bytes) -> ListingEntry | None:
        get = self._tables.entries[listing].get
        return await self._request(f"get entry {listing} {session.hex()[-6:]}", lambda: get(session), writes=False)

    async def remove_entry(self, listing: str, session: bytes) -> None:
        drop = _drop(self._tables.entries[listing], session)
        await self._request(f"remove entry {listing} {session.hex()[-6:]}", drop, writes=True)

    async def entries(self, listing: str, before: bytes | None, limit: int) -> Sequence[ListingEntry]:
        def apply() -> Sequence[ListingEntry]:
            entries = self._tables.entries[listing]
            return [entries[s] for s in sorted(entries, reverse=True) if before is None or s < before][:limit]

        return await self._request(f"entries {listing}", apply, writes=False)

    async def encrypts_with(self, key_arn: str) -> bool:
        return False

    async def ping(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


def _short(journal: JournalId) -> str:
    return journal.session.hex()[-6:]


def _drop(kept: dict[Any, Any], what: object) -> Callable[[], None]:
    def apply() -> None:
        kept.pop(what, None)

    return apply


class Whole:
    """See the module."""

    forgets = False

    def __init__(self, world: World, written: Written) -> None:
        self._store = MemoryStore()
        self._written = written

    def open(self, line: Line) -> JournalStore:
        """The store, as one process sees it."""
        return _WholeStore(self._store, line, self._written)

    def held(self, journal: JournalId) -> bytes:
        """All that is stored of a journal at this moment."""
        store = self._store
        records = [remain.record for remain in run_sync(store.remains(journal, 0))]
        return b"".join([*records, *[_bytes_of(store, journal, name) for name in run_sync(store.blobs(journal))]])


def _bytes_of(store: MemoryStore, journal: JournalId, name: str) -> bytes:
    try:
        return run_sync(store.get_blob(journal, name))
    except CorruptJournal:  # it is blank
        return b""


_READS = frozenset({"head", "read", "get_blob", "blobs", "journals", "remains", "get_key", "get_entry", "entries"})


class _WholeStore(Forwarded):
    def __init__(self, store: MemoryStore, line: Line, written: Written) -> None:
        super().__init__(store)
        self.inline_bytes = INLINE_BYTES
        self._line = line
        self._written = written

    async def call(self, method: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        async def whole() -> T:
            return await method(*args, **kwargs)

        name = method.__name__
        return await self._line.request(name, lambda: run_sync(whole()), writes=name not in _READS)

    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        def apply() -> SlotTaken | None:
            taken = run_sync(self.below.append(journal, slot, record))
            if taken is None:
                self._written.note(journal, slot, record)
            return taken

        return await self._line.request(f"append {_short(journal)} slot {slot}", apply, writes=True)


STORES: dict[str, str] = {
    "sliced": f"{__name__}:Sliced",
    "memory": f"{__name__}:Whole",
    "dynamodb": "stepwell.testing.simulated.dynamodb:SimulatedDynamoDB",
    "s3": "stepwell.testing.simulated.s3_store:SimulatedS3Store",
}
"""By name; each is imported when it is asked for."""


def store_named(name: str) -> Callable[[World, Written], SimulatedStore]:
    """What makes the store of this name, or the one that `module:name` refers to."""
    module, _, attribute = STORES.get(name, name).partition(":")
    made: Callable[[World, Written], SimulatedStore] = getattr(import_module(module), attribute)
    return made
