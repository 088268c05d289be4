"""Salvaging: what is whole of a damaged session, in a new one. The old one is only read.

A first walk over all that is left chooses a record for each slot and gathers what the later ones say of the earlier
ones: what was trimmed away, what was redacted, which invocations there were. A second one copies, in the order of the
slots, the invocations and the steps whose payloads are whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace

from stepwell.copying import Copy, erased, timed
from stepwell.errors import CorruptJournal, Unavailable
from stepwell.io.ports import Ports
from stepwell.journal.decide import Caller, visible
from stepwell.journal.events import (
    TELLING,
    Attributes,
    Indexed,
    InvocationCreated,
    Place,
    Redacted,
    StepPut,
)
from stepwell.journal.index import Created, Run
from stepwell.journal.record import Record, StoredStep, identity, stored_steps
from stepwell.lane import Lane, Settled
from stepwell.reader import Reader
from stepwell.remains import first_in, found_in, opened
from stepwell.stores.base import JournalStore


@dataclass(slots=True)
class _Sighting:
    """A record of a slot, and where it lies."""

    place: int
    digest: bytes
    prev: bytes


@dataclass(slots=True)
class _Survey:
    """What the first walk found. *latest* is the record with the greatest slot, *told* that of *attributes*."""

    slots: dict[int, list[_Sighting]] = field(default_factory=dict[int, list[_Sighting]])
    latest: Record | None = None
    attributes: Attributes | None = None
    told: int = -1
    redacted: set[Place] = field(default_factory=set[Place])
    created: set[bytes] = field(default_factory=set[bytes])
    """Invocations whose creation is in a record that is whole."""
    indexed: dict[bytes, Created] = field(default_factory=dict[bytes, Created])
    """Invocations as snapshots tell of them."""

    def take(self, record: Record, place: int) -> None:
        """Note a record.

        Raises:
            CorruptJournal: its events have no valid form.
        """
        entries = record.entries
        sightings = self.slots.setdefault(record.slot, [])
        if all(seen.digest != record.digest for seen in sightings):
            sightings.append(_Sighting(place, record.digest, record.prev))
        if self.latest is None or record.slot > self.latest.slot:
            self.latest = record
        for entry in entries:
            match None if entry is None else entry.event:
                case event if isinstance(event, TELLING) and record.slot >= self.told:
                    self.attributes, self.told = event.attributes, record.slot
                case Redacted(at):
                    self.redacted.add(at)
                case InvocationCreated(invocation):
                    self.created.add(invocation)
                case Indexed(run, invocations):
                    self.indexed.update(Run.from_bytes(run, invocations).invocations)
                case _:
                    pass

    def chosen(self, base: int) -> Iterator[tuple[int, int]]:
        """Slot and place of one record for each slot from *base* on; of several, the one on the chain."""
        places: list[tuple[int, int]] = []
        above, wanted = -1, b""
        for slot in sorted(self.slots, reverse=True):
            sightings = self.slots[slot]
            below = {seen.digest for seen in self.slots.get(slot - 1, ())}
            named = wanted if above == slot + 1 else b""
            best = max(sightings, key=lambda seen: (seen.digest == named, seen.prev in below))
            above, wanted = slot, best.prev
            if slot >= base:
                places.append((slot, best.place))
        return reversed(places)


class Salvager:
    """Saves what it can of one session, once."""

    def __init__(self, store: JournalStore, ports: Ports, reader: Reader, origin: Lane) -> None:
        self._store = store
        self._ports = ports
        self._reader = reader
        self._origin = origin
        self._survey = _Survey()
        self.steps = 0
        """How many steps were copied."""

    async def attributes(self, session: bytes, now: int, key: str | None) -> Attributes:
        """What the new session is called and carries, from the latest record that says so.

        Raises:
            NotFound: the latest record says that the session is gone.
            CorruptJournal: nothing of it is whole.
        """
        begun = await self._store.remains(self._origin.journal, 0)
        self._first = begun[:1]
        async for found in found_in(self._store, self._origin.journal, begun):
            if found.record is not None:
                try:
                    self._survey.take(found.record, found.place)
                except CorruptJournal:
                    continue  # nothing can be told from it
        latest = self._survey.latest
        if latest is None:
            raise CorruptJournal("no record of the session is whole: there is nothing to salvage")
        if refusal := visible(latest.facts, self._ports.clock.wall()):
            raise refusal.error
        old = self._origin.journal.session
        origin = (old, latest.slot, len(latest.entries))
        theirs = self._survey.attributes or Attributes(old, now, now, None, None, {}, {})
        return replace(theirs, session=session, created_at=now, updated_at=now, key=key, origin=origin)

    async def copy(self, target: Lane, caller: Caller, on_progress: Callable[[int], None] | None) -> Settled:
        """Append what is whole. *on_progress* is told the number of steps copied."""
        copy = Copy(self._store, self._ports, self._origin.journal, target, caller)
        latest = self._survey.latest
        assert latest is not None
        base = latest.facts.base
        for invocation, created in self._left_by_trim(base):
            await copy.add(InvocationCreated(invocation, None, created.time), latest.token)
        async for record in self._records(base):
            for event, token in await self._whole(record):
                known = self._survey.indexed.get(event.invocation)
                await copy.add(event, token, None if known is None else known.time)
                self.steps += isinstance(event, StepPut)
                if on_progress:
                    on_progress(self.steps)
        return await copy.finish()

    def _left_by_trim(self, base: int) -> list[tuple[bytes, Created]]:
        """The invocations that a trimmed history begins with."""
        survey = self._survey
        left = [(key, at) for key, at in survey.indexed.items() if at.slot == base > 0 and key not in survey.created]
        return sorted(left, key=lambda item: (item[1].time, item[0]))

    async def _records(self, base: int) -> AsyncIterator[Record]:
        """The chosen records, in the order of their slots.

        Raises:
            Unavailable: they lie elsewhere by now, for older ones were removed since the survey began.
        """
        journal = self._origin.journal
        whose = identity(*journal)
        near: dict[int, Record] = {}
        for slot, place in self._survey.chosen(base):
            if place not in near:
                remains = [opened(remain, whose) for remain in await self._store.remains(journal, place)]
                near = {found.place: found.record for found in remains if found.record is not None}
            if place not in near or near[place].slot != slot:
                raise _moved()
            yield near[place]
        if await first_in(self._store, journal) != self._first:
            raise _moved()

    async def _whole(self, record: Record) -> list[tuple[InvocationCreated | StepPut, bytes]]:
        """A record's events as a copy holds them, with their tokens, without the steps that are damaged."""
        damaged = {step[0] for step in stored_steps(record) if not await self._is_whole(record, step)}
        kept: list[tuple[InvocationCreated | StepPut, bytes]] = []
        for at, entry in enumerate(record.entries):
            event = None if entry is None else timed(entry.event, record.time)
            if entry is None or event is None or at in damaged:
                continue
            if isinstance(event, StepPut) and Place(record.slot, at) in self._survey.redacted:
                event = erased(event)
            kept.append((event, entry.token))
        return kept

    async def _is_whole(self, record: Record, step: StoredStep) -> bool:
        if Place(record.slot, step[0]) in self._survey.redacted:
            return True
        try:
            await self._reader.fetched(self._origin, record, step)
        except CorruptJournal:
            return False
        return True


def _moved() -> Unavailable:
    return Unavailable("older records were removed while the session was salvaged: salvage it again")
