"""Copying a session's history into a new one, so that neither needs the other from then on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from stepwell.codecs.content import blob_names
from stepwell.io.ports import Ports
from stepwell.journal.decide import Append, Caller
from stepwell.journal.events import Attributes, Entry, Event, InvocationCreated, Place, StepPut
from stepwell.journal.index import Lookup
from stepwell.journal.record import TOKEN_SIZE, Record
from stepwell.journal.state import SessionState, check_behind
from stepwell.lane import BATCH_MAX_BYTES, BATCH_MAX_EVENTS, Intent, Lane, Settled
from stepwell.reader import BLOBS_AT_ONCE, Reader
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
        check_behind(self._last, head.slot)

    async def attributes(self, session: bytes, now: int, key: str | None) -> Attributes:
        """What the new session is called and carries: the origin's metadata and tags of today, a key of its own."""

        def question(state: SessionState, now: int) -> Attributes | Lookup:
            return state.attributes or Lookup((state.facts.attributes_slot,))

        theirs = await self._origin.ask(question)
        origin = (theirs.session, *self._last)
        return replace(theirs, session=session, created_at=now, updated_at=now, key=key, origin=origin)

    async def copy(self, target: Lane, caller: Caller) -> Settled | None:
        """Append the history, in records as large as they may be; None if there is none."""
        settled: Settled | None = None
        events: list[Event] = []
        tokens: list[bytes] = []
        weight = 0
        async for records in self._reader.forwards(self._origin, self._head.facts.base, self._head):
            for event, token in self._copied(records):
                size = _weight(event)
                if events and (weight + size > BATCH_MAX_BYTES or len(events) == BATCH_MAX_EVENTS):
                    settled = await self._append(target, caller, events, tokens)
                    events, tokens, weight = [], [], 0
                await self._copy_blobs(event, token, target)
                events.append(event)
                tokens.append(token)
                weight += size
        return await self._append(target, caller, events, tokens) if events else settled

    def _copied(self, records: Iterable[Record]) -> Iterator[tuple[Event, bytes]]:
        """The events that a copy holds, with their tokens."""
        for record in records:
            for at, entry in enumerate(record.entries):
                if entry is not None and Place(record.slot, at) <= self._last and (event := _timed(entry, record)):
                    yield event, entry.token

    async def _append(self, target: Lane, caller: Caller, events: list[Event], tokens: list[bytes]) -> Settled:
        whole = Append(tuple(events), tuple(tokens))
        token = self._ports.random(TOKEN_SIZE)
        return await target.submit(Intent(caller, token, lambda state, now: whole, 0, len(events)))

    async def _copy_blobs(self, event: Event, token: bytes, target: Lane) -> None:
        names = blob_names(event, token) if isinstance(event, StepPut) else []
        calls = [self._store.copy_blob(self._origin.journal, name, target.journal) for name in names]
        await self._ports.tasks.gather(calls, width=BLOBS_AT_ONCE)


def _timed(entry: Entry, record: Record) -> Event | None:
    """The event as a copy holds it, with the time it had; None for what is not copied."""
    match entry.event:
        case StepPut(time=None) as step:
            return step._replace(time=record.time)
        case InvocationCreated(created_at=None) as invocation:
            return replace(invocation, created_at=record.time)
        case StepPut() | InvocationCreated() as copied:
            return copied
        case _:
            return None


def _weight(event: Event) -> int:
    if isinstance(event, StepPut):
        return sum(100 + len(payload.stored) for payload in event.payloads) + 100
    return 100 + len(getattr(event, "description", None) or "") * 4
