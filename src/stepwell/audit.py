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

from stepwell.ids import uuid_text
from stepwell.journal.events import Deleted, Event, Extended, Place, Purged, Redacted, Trimmed, Undeleted, Why
from stepwell.journal.record import Record
from stepwell.models import AuditedOperation, AuditRecord
from stepwell.stores.base import JournalStore, ListingEntry
from stepwell.views import moment, position

AT_ONCE = 100
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
            data = [told.operation, session, time, *place, *told.why, *told[2:]]
            await self._store.put_entry(
                self._listing, ListingEntry(_id(session, place, time), 0, ormsgpack.packb(data))
            )

    async def note_all(self, session: bytes, record: Record) -> None:
        """Write the audit records of all events of a record."""
        for at, entry in enumerate(record.entries):
            if entry is not None:
                await self.note(session, entry.event, Place(record.slot, at), record.time)

    async def records(self, session: bytes | None) -> AsyncGenerator[AuditRecord]:
        """Those of one session or of all, the newest first."""
        before: bytes | None = None
        while entries := await self._store.entries(self._listing, before, AT_ONCE):
            for entry in entries:
                record, of = _record(entry)
                if session in (None, of):
                    yield record
            before = entries[-1].session


def is_audited(event: Event) -> bool:
    """Whether an event has an audit record."""
    return _told(event) is not None


def _id(session: bytes, place: Place, time: int) -> bytes:
    digest = sha256(b"%s %d %d" % (session, *place)).digest()
    slot, at = place.slot.to_bytes(4, "big"), min(place.at, 255).to_bytes(1, "big")
    return time.to_bytes(_TIME_SIZE, "big") + slot + at + digest[:_DIGEST_SIZE]


def _told(event: Event) -> _Told | None:
    match event:
        case Deleted(_, purge_after, why):
            return _Told("delete", why, until=purge_after)
        case Undeleted(_, why):
            return _Told("undelete", why)
        case Purged(why) if why is not None:
            return _Told("purge", why)
        case Redacted(_, invocation, step, _, why):
            return _Told("redact", why, invocation=invocation, step=step)
        case Trimmed(_, base, why):
            return _Told("trim", why, before=base)
        case Extended(_, until, why):
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
