"""A view: what a writer has read of a journal, and when it began to read.

A session's state is folded from its last index snapshot on, so a cold view reads the head and at most one snapshot
interval. A view is renewed by reading on from its head, or by an append that was acknowledged; what a failed condition
returned does not renew it. No conclusion is drawn from a view that is `VIEW_MAX_SECONDS` old: a journal is reclaimed no
sooner than a day after it was purged, so whoever was frozen meanwhile can never acknowledge what nobody can read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from stepwell.clocks import Instant, instant
from stepwell.errors import CorruptJournal, NotFound, StaleStore, StepwellError, Unavailable
from stepwell.io.ports import Ports
from stepwell.journal.decide import Decide, Decision, Refuse, visible
from stepwell.journal.index import Lookup
from stepwell.journal.record import Record, identity, open_record
from stepwell.journal.state import SessionState, resume
from stepwell.stores.base import SHORT_READ_BYTES, JournalId, JournalStore

T = TypeVar("T")

VIEW_MAX_SECONDS = 6 * 3600
VIEW_RENEW_SECONDS = 3 * 3600
LOOKUPS_MAX = 64
"""How often one question may ask for records of the past."""


def while_fresh(wanted: Decide, began: Instant, ports: Ports, store: JournalStore) -> Decide:
    """*wanted*, refused once so much time has passed since *began*, when blobs were put, that they look left over."""

    def decided(state: SessionState, now: int) -> Decision:
        if instant(ports, store).seconds_since(began) >= VIEW_MAX_SECONDS:
            return Refuse(Unavailable("too much time passed since the payloads were put: try again"))
        return wanted(state, now)

    return decided


class Chain:
    """How far a chain of records was followed: the next *slot*, and the *digest* it must name, if that is known."""

    __slots__ = ("digest", "slot")

    def __init__(self, slot: int, digest: bytes | None = None) -> None:
        self.slot = slot
        self.digest = digest


class View:
    """One journal as it was read. Its user holds a lock."""

    def __init__(self, journal: JournalId, store: JournalStore, ports: Ports) -> None:
        self.journal = journal
        self.identity = identity(journal.tenant, journal.session)
        self.state: SessionState | None = None
        self._store = store
        self._ports = ports
        self._began = Instant(0, 0, None)

    def now(self) -> Instant:
        """This moment."""
        return instant(self._ports, self._store)

    def is_old(self) -> bool:
        """Whether no conclusion may be drawn from it any more."""
        return self.now().seconds_since(self._began) >= VIEW_MAX_SECONDS

    def is_blank(self) -> bool:
        """Whether it is of a journal that is only begun, and not known to have any slot."""
        return self.state is not None and self.state.slot < 0

    def adopt(self, state: SessionState, began: Instant) -> None:
        """Take *state* as what a reading that *began* then would have found."""
        state.index = state.index.settled()
        self.state, self._began = state, began

    def forget(self) -> None:
        """Read anew next time."""
        self.state = None

    async def read(self, first: int, last: int | None) -> list[Record]:
        """Some records from *first* on, each verified by itself."""
        return list(self.opened(await self.stored(first, last), Chain(first)))

    async def stored(self, first: int, last: int | None) -> Sequence[bytes]:
        """Some records from *first* on, as they are stored."""
        return await self._store.read(self.journal, first, last)

    def opened(self, stored: Iterable[bytes], chain: Chain) -> Iterator[Record]:
        """Records as they are needed, one by one, each verified by itself and along *chain*."""
        journal, slot, digest = self.identity, chain.slot, chain.digest
        for data in stored:
            record = open_record(data, journal)
            if record.slot != slot or (digest is not None and record.prev != digest):
                raise CorruptJournal(f"the record in slot {slot} does not follow", slot=slot)
            slot, digest = slot + 1, record.digest
            chain.slot, chain.digest = slot, digest
            yield record

    async def head(self) -> Record:
        """The last record.

        Raises:
            NotFound: there is no journal.
        """
        data = await self._store.head(self.journal)
        if data is None:
            raise NotFound("no such session")
        return open_record(data, self.identity)

    async def gap(self, slot: int) -> StepwellError:
        """Why *slot*, which lies below a head that was read before, is not there.

        Raises:
            NotFound: the session was reclaimed meanwhile, or had expired before all of it was kept for longer.
        """
        facts = (await self.head()).facts
        if refusal := visible(facts, self._ports.clock.wall(), hidden_too=True, begun_too=True):
            return refusal.error
        if facts.base > slot:
            return Unavailable("the history was trimmed while it was read: read it again")
        return StaleStore(f"slot {slot} is gone")

    async def current(self, now: Instant, *, fresh: bool) -> SessionState:
        """The state to decide against, read on if it must be *fresh* or is growing old, and read anew if it is old.

        Of a journal that is being reclaimed any slots may be left: whoever reads on from one may take it for the head.
        """
        age = now.seconds_since(self._began)
        if age >= VIEW_MAX_SECONDS:
            self.forget()
        if self.state is not None and (fresh or age >= VIEW_RENEW_SECONDS):
            await self._refresh(self.state)
        return self.state or await self.load()

    async def load(self) -> SessionState:
        """Read the head, and what lies between it and the last index snapshot."""
        self.state = None
        began = self.now()
        head = await self.head()
        state = resume(head) if head.facts.snapshot_slot == head.slot else await self._interval(head)
        if state.digest != head.digest:
            raise CorruptJournal(f"slot {head.slot} changed while it was read", slot=head.slot)
        self.adopt(state, began)
        return state

    async def _interval(self, head: Record) -> SessionState:
        first = head.facts.snapshot_slot
        state: SessionState | None = None
        while state is None or state.slot < head.slot:
            records = await self.read(first if state is None else state.slot + 1, head.slot)
            if not records:
                raise await self.gap(first if state is None else state.slot + 1)
            for record in records:
                if state is None:
                    state = resume(record)
                else:
                    state.advance(record)
        return state

    async def _refresh(self, state: SessionState) -> None:
        """Read on from the head that is known. If it is not there any more, the view is forgotten."""
        began = self.now()
        self.state = None  # until it was taken in as a whole
        if state.slot < 0:
            return
        records = await self.read(state.slot, None)
        if not records or records[0].digest != state.digest:
            return
        behind = records[1:]
        while True:
            for record in behind:
                state.advance(record)
            if _size(records) < SHORT_READ_BYTES:
                break
            behind = records = await self.read(state.slot + 1, None)
        self.adopt(state, began)

    async def look_up(self, lookup: Lookup, state: SessionState) -> None:
        """Let *state* learn the records that it asks for."""
        for slot in lookup.slots:
            for record in await self.read(slot, slot):
                state.learn(record)

    async def ask(self, question: Callable[[SessionState, int], T | Refuse | Lookup]) -> T:
        """Answer *question* from a fresh view; it gets the state and the time.

        Raises:
            NotFound: there is no such session.
            StepwellError: the question's own refusal.
        """
        state = await self.current(self.now(), fresh=True)
        for _ in range(LOOKUPS_MAX):
            answer = question(state, max(self._ports.clock.wall(), state.time))
            if isinstance(answer, Lookup):
                await self.look_up(answer, state)
                continue
            state.evidence.clear()
            if isinstance(answer, Refuse):
                raise answer.error
            return answer
        raise Unavailable("the question needs more look-ups than LOOKUPS_MAX")


def _size(records: list[Record]) -> int:
    return sum(record.size for record in records)
