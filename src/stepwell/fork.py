"""Copying a session's history into a new one, so that neither needs the other from then on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

from stepwell.audit import audited
from stepwell.copying import Copy, erased, timed
from stepwell.errors import CorruptJournal, NotFound, Unavailable
from stepwell.io.ports import Ports
from stepwell.journal.decide import Caller, find_step, is_redacted
from stepwell.journal.events import Attributes, InvocationCreated, Place, Redacted, StepPut
from stepwell.journal.index import Lookup
from stepwell.journal.record import Record
from stepwell.journal.state import SessionState, check_behind
from stepwell.journal.state import events as events_of
from stepwell.lane import Lane, Settled
from stepwell.reader import Reader
from stepwell.stores.base import JournalStore


class Forker:
    """Copies one session, up to a position if one is given."""

    def __init__(
        self, store: JournalStore, ports: Ports, reader: Reader, origin: Lane, head: Record, at: Place | None
    ) -> None:
        self._store = store
        self._ports = ports
        self._reader = reader
        self._origin = origin
        self._head = head
        self._last = at or Place(head.slot, len(head.entries))
        self._redacted: set[Place] = set()
        check_behind(self._last, head.slot)
        if self._last.slot < head.facts.base:
            raise NotFound("the history before this position was trimmed away: fork at a later one")

    async def attributes(self, session: bytes, now: int, key: str | None) -> Attributes:
        """What the new session is called and carries: the origin's metadata and tags of today, a key of its own."""

        def question(state: SessionState, now: int) -> Attributes | Lookup:
            return state.attributes or Lookup((state.facts.attributes_slot,))

        theirs = await self._origin.ask(question)
        origin = (theirs.session, *self._last)
        return replace(theirs, session=session, created_at=now, updated_at=now, key=key, origin=origin)

    async def copy(self, target: Lane, caller: Caller) -> Settled:
        """Append the history, in records as large as they may be.

        Raises:
            Unavailable: some of it was redacted meanwhile.
        """
        self._redacted = await self._redactions(self._head.facts.audited_slot, 0)
        copy = Copy(self._store, self._ports, self._origin.journal, target, caller)
        async for event, token in self._history():
            try:
                await copy.add(event, token)
            except CorruptJournal as error:
                if await self._was_redacted(event):
                    raise _redacted_meanwhile() from error
                raise
        settled = await copy.finish()
        slot = (await self._origin.head()).facts.audited_slot
        if await self._redactions(slot, self._head.facts.audited_slot):
            raise _redacted_meanwhile()
        return settled

    async def _redactions(self, slot: int, least: int) -> set[Place]:
        """The steps that were redacted, or are to be, by the events from *slot* down to behind *least*."""
        return {event.place async for event, _, _ in audited(self._origin, slot, least) if isinstance(event, Redacted)}

    async def _history(self) -> AsyncIterator[tuple[InvocationCreated | StepPut, bytes]]:
        """The events that a copy holds, with their tokens."""
        base = self._head.facts.base
        older = await self._left_by_trim() if base else {}
        async for records in self._reader.forwards(self._origin, base, self._head):
            for record in records:
                if record.slot == base:
                    own = {event.invocation for event in events_of(record) if isinstance(event, InvocationCreated)}
                    for invocation in [key for key in older if key not in own]:
                        yield InvocationCreated(invocation, None, older[invocation]), record.token
                for copied in self._copied(record):
                    yield copied

    async def _left_by_trim(self) -> dict[bytes, int]:
        """The invocations that a trimmed history begins with, and when they were created."""
        base = self._head.facts.base
        every = await self._origin.ask(lambda state, now: state.index.invocations())
        return {invocation: created.time for invocation, created in reversed(every) if created.slot == base}

    def _copied(self, record: Record) -> Iterator[tuple[InvocationCreated | StepPut, bytes]]:
        """The events of a record that a copy holds, with their tokens."""
        for at, entry in enumerate(record.entries):
            if (
                entry is not None
                and Place(record.slot, at) <= self._last
                and (event := timed(entry.event, record.time))
            ):
                if isinstance(event, StepPut) and Place(record.slot, at) in self._redacted:
                    event = erased(event)
                yield event, entry.token

    async def _was_redacted(self, event: InvocationCreated | StepPut) -> bool:
        """Whether a step has none of its payloads any more."""
        if not isinstance(event, StepPut):
            return False

        def question(state: SessionState, now: int) -> bool | Lookup:
            found = find_step(state, event.invocation, event.step)
            return found if isinstance(found, Lookup) else found is not None and is_redacted(found[1])

        return await self._origin.ask(question)


def _redacted_meanwhile() -> Unavailable:
    return Unavailable("a step was redacted while it was copied: fork again")
