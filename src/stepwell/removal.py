"""Taking away, and bringing back: soft delete, undelete, redact, trim, a longer retention.

Each appends its event, which decides the matter, and then does what follows from it: the audit record, the bytes that
are to be erased, what lists show. Whatever interrupts that leaves a durable event whose consequences are drawn later,
by `resolve` with the error's token or by `gc`; every one of them may be drawn twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from stepwell.audit import Audit
from stepwell.codecs.content import blob_name
from stepwell.errors import CorruptJournal, NotFound, OutcomeUnknown, StaleStore, StepwellError, Unavailable
from stepwell.ids import uuid_text
from stepwell.io.ports import Ports
from stepwell.journal import decide
from stepwell.journal.decide import Caller, Decide
from stepwell.journal.events import BLOB, TELLING, Entry, Event, Place, Purged, Redacted, StepPut, Why
from stepwell.journal.record import TOKEN_SIZE, Record, areas_of
from stepwell.journal.state import check_behind
from stepwell.lane import EVENT_BYTES, Intent, Lane, Settled
from stepwell.listing import Listing
from stepwell.outcomes import InDoubt, outcome_token
from stepwell.reader import Reader
from stepwell.stores.base import JournalStore
from stepwell.views import text_bytes


class Removal:
    """The operations of one tenant."""

    def __init__(self, store: JournalStore, ports: Ports, reader: Reader, listing: Listing, audit: Audit) -> None:
        self._store = store
        self._ports = ports
        self._reader = reader
        self._listing = listing
        self._audit = audit

    async def carry_out(self, lane: Lane, caller: Caller, wanted: Decide, why: Why) -> Settled:
        """Append what *wanted* decides, and draw its consequences.

        Raises:
            OutcomeUnknown: it is durable, but not all of its consequences are.
        """
        intent = Intent(
            caller, self._ports.random(TOKEN_SIZE), wanted, EVENT_BYTES + text_bytes({why.reason: why.approver})
        )
        settled = await lane.submit(intent)
        try:
            for event, place in zip(settled.events, settled.places, strict=False):
                await self.follow(lane, event, place, settled.time)
        except StepwellError as error:
            doubt = InDoubt(lane.journal.tenant, lane.journal.session, settled.places[0].slot, intent.token)
            raise OutcomeUnknown(
                "it was decided, but not everything that follows from it was done: call resolve(error.token)",
                token=outcome_token(doubt),
                session_id=uuid_text(lane.journal.session),
            ) from error
        return settled

    async def redact(self, lane: Lane, caller: Caller, invocation: bytes, step: bytes, why: Why) -> int:
        """Erase a step's payloads; how many blocks it has."""
        found: list[StepPut] = []
        settled = await self.carry_out(lane, caller, decide.redact(invocation, step, why, found.append), why)
        if not settled.events:  # erased before: only its blobs may be left
            await self._erase_unless_trimmed(lane, settled.places[0])
        return len(found[-1].blocks)

    async def trim(self, lane: Lane, caller: Caller, before: Place, why: Why) -> Settled:
        """Let the history begin with the record of *before*."""
        head = await self._reader.visible_head(lane)
        check_behind(before, head.slot)
        used: set[bytes] = set()
        if before.slot > head.facts.base:
            async for records in self._reader.forwards(lane, before.slot, head):
                for record in records:
                    used.update(event.invocation for _, event in decide.steps_in(record))
        return await self.carry_out(lane, caller, decide.trim(before.slot, why, head.slot, used), why)

    async def extend(self, lane: Lane, caller: Caller, until: int, why: Why) -> Settled:
        """Let the session expire at *until*, and not before: bytes that would expire by themselves go first."""
        try:
            begun = await self.carry_out(lane, caller, decide.begin_extending(until), why)
        except OutcomeUnknown as error:  # by itself it extends nothing, whether it is there or not
            raise Unavailable("the retention was not extended: try again") from error
        if not begun.events:
            return begun
        await self._store.keep(lane.journal, until)
        return await self.carry_out(lane, caller, decide.extend(until, why), why)

    async def follow_all(self, lane: Lane, record: Record, call: bytes) -> None:
        """Draw the consequences of the events that *call* wrote into a record."""
        for at, entry in enumerate(record.entries):
            if entry is not None and entry.token == call:
                await self.follow(lane, entry.event, Place(record.slot, at), record.time)

    async def follow(self, lane: Lane, event: Event, place: Place, time: int) -> None:
        """Draw the consequences of an event."""
        session = lane.journal.session
        if isinstance(event, Redacted):  # first of all: what cannot be noted is erased nevertheless
            await self._erase_unless_trimmed(lane, event.place)
        await self._audit.note(session, event, place, time)
        if isinstance(event, Purged):
            await self._listing.hide(session)
        elif isinstance(event, TELLING):
            try:
                await self._listing.renew(session)
            except NotFound:
                pass  # whoever has purged it since hides it

    async def _erase_unless_trimmed(self, lane: Lane, place: Place) -> None:
        try:
            await self.erase(lane, place)
        except (CorruptJournal, StaleStore):
            if place.slot >= (await lane.head()).facts.base:
                raise

    async def is_erased(self, lane: Lane, place: Place) -> bool:
        """Whether the payloads of the step at *place* are erased."""
        return _erased((await self._step(lane, place))[1])

    async def erase(self, lane: Lane, place: Place) -> bool:
        """Erase the payloads of the step at *place*; False if they were erased before.

        Raises:
            CorruptJournal: the store has not erased what it said it had.
        """
        record, entry = await self._step(lane, place)
        fresh = not _erased(entry)
        await self._store.erase(lane.journal, place.slot, areas_of(record, place.at))
        # The blobs go last: whoever misses one looks at the salt again, and sees why. Their names stay taken: a request
        # that puts one again may still be on its way. `gc` frees them a day later.
        for name in _names(entry):
            await self._store.blank_blob(lane.journal, name)
        if fresh and not _erased((await self._step(lane, place))[1]):
            raise CorruptJournal(f"slot {place.slot} still holds what was to be erased", slot=place.slot)
        return fresh

    async def _step(self, lane: Lane, place: Place) -> tuple[Record, Entry]:
        records = await lane.read(place.slot, place.slot)
        entry = records[0].entries[place.at] if records and place.at < len(records[0].entries) else None
        if entry is None or not isinstance(entry.event, StepPut):
            raise CorruptJournal(f"slot {place.slot} holds no such step", slot=place.slot)
        return records[0], entry


def _names(entry: Entry) -> Sequence[str]:
    blocks = entry.event.blocks if isinstance(entry.event, StepPut) else ()
    return [blob_name(entry.token, ref) for ref in blocks if ref.codec & BLOB]


def _erased(entry: Entry) -> bool:
    return isinstance(entry.event, StepPut) and decide.is_redacted(entry.event)
