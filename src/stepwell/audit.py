"""The audit records: who took something away, or brought it back, when and why.

The journal's own event says it first; an audit record repeats it in a list of the tenant's, where it outlives the
session. Its id is made of the event's time, place and session: they sort as they happened, and writing one again
changes nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from hashlib import sha256
from typing import NamedTuple, cast

import ormsgpack

from stepwell.errors import CorruptJournal
from stepwell.ids import uuid_text
from stepwell.journal.events import (
    Deleted,
    Event,
    Extended,
    Place,
    Purged,
    Redacted,
    Trimmed,
    Undeleted,
    Why,
    why_of,
)
from stepwell.lane import Lane
from stepwell.models import AuditedOperation, AuditRecord
from stepwell.stores.base import JournalStore, ListingEntry
from stepwell.views import moment, position

AT_ONCE = 1000
_TIME_SIZE, _DIGEST_SIZE = 7, 4


class _Told(NamedTuple):
    """What an event tells beside where and when it was written."""

    operation: AuditedOperation
    why: Why
    until: int = 0
    before: int = 0
    invocation: bytes = b""
    step: bytes = b""


class Audit:
    """One tenant's audit records."""

    def __init__(self, store: JournalStore, tenant: str) -> None:
        self._store = store
        self._listing = f"~audit/{tenant}"

    async def note(self, session: bytes, event: Event, place: Place, time: int) -> None:
        """Write the audit record of an event, if it is of a kind that has one."""
        told = _told(event)
        if told is not None:
            data = [told.operation, session, time, *place, told.why.reason, told.why.approver, *told[2:]]
            await self._store.put_entry(
                self._listing, ListingEntry(_id(session, place, time), 0, ormsgpack.packb(data))
            )

    async def records(self, session: bytes | None) -> AsyncGenerator[AuditRecord]:
        """Those of one session or of all, the newest first.

        Raises:
            CorruptJournal: some are damaged; after all others.
        """
        before: bytes | None = None
        damaged = 0
        while entries := await self._store.entries(self._listing, before, AT_ONCE):
            for entry in entries:
                try:
                    record, of = _record(entry)
                except (ValueError, TypeError, AttributeError, OverflowError):
                    damaged += 1
                    continue
                if session in (None, of):
                    yield record
            before = entries[-1].session
        if damaged:
            raise CorruptJournal(f"{damaged} audit records are damaged, and were left out")


async def audited(lane: Lane, slot: int, least: int) -> AsyncGenerator[tuple[Event, Place, int]]:
    """The events that have audit records, with their places and times: from that in *slot* down to behind *least*.

    It ends where the journal was removed.
    """
    while slot > least:
        earlier = 0
        for record in await lane.read(slot, slot):
            for at, entry in reversed(list(enumerate(record.entries))):
                why = None if entry is None else why_of(entry.event)
                if entry is None or why is None:
                    continue
                yield entry.event, Place(slot, at), record.time
                if why.earlier < slot:  # others name one in the same record
                    earlier = why.earlier
        slot = earlier


def _id(session: bytes, place: Place, time: int) -> bytes:
    digest = sha256(b"%s %d %d" % (session, *place)).digest()
    slot, at = place.slot.to_bytes(4, "big"), min(place.at, 255).to_bytes(1, "big")
    return time.to_bytes(_TIME_SIZE, "big") + slot + at + digest[:_DIGEST_SIZE]


def _told(event: Event) -> _Told | None:
    match event:
        case Deleted(purge_after=until, why=why):
            return _Told("delete", why, until=until)
        case Undeleted(why=why):
            return _Told("undelete", why)
        case Purged(why=why) if why is not None:
            return _Told("purge", why)
        case Redacted(invocation=invocation, step=step, why=why):
            return _Told("redact", why, invocation=invocation, step=step)
        case Trimmed(base=base, why=why):
            return _Told("trim", why, before=base)
        case Extended(until=until, why=why):
            return _Told("extend_retention", why, until=until)
        case _:
            return None


def _record(entry: ListingEntry) -> tuple[AuditRecord, bytes]:
    operation, session, time, slot, at, reason, approver, until, before, invocation, step = ormsgpack.unpackb(
        entry.data
    )
    record = AuditRecord(
        session_id=uuid_text(session),
        operation=cast(AuditedOperation, operation),
        time=moment(time),
        reason=reason,
        approver=approver,
        position=position(Place(slot, at)),
        until=moment(until) if until else None,
        before=position(Place(before, 0)) if before else None,
        invocation_id=uuid_text(invocation) if invocation else None,
        invocation_step_id=uuid_text(step) if step else None,
    )
    return record, bytes(session)
