"""fold(records) -> SessionState: what a session is after its records, and every rule of how events change it.

A fold starts at a record that tells enough by itself (slot 0, or one with an index snapshot) and goes on record by
record. `advance` verifies the chain, and that each header says what its events amount to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, assert_never

from stepwell.errors import CorruptJournal, StaleStore
from stepwell.journal.events import (
    TELLING,
    Attributes,
    AttributesSet,
    Barrier,
    Copied,
    Created,
    Deleted,
    Ended,
    Entry,
    Event,
    Expired,
    Extended,
    Extending,
    Indexed,
    InvocationCreated,
    Leased,
    Place,
    Purged,
    Redacted,
    StepPut,
    Telling,
    Trimmed,
    Undeleted,
    why_of,
)
from stepwell.journal.index import INTERVAL_BYTES, INTERVAL_ENTRIES, INTERVAL_SLOTS, Index
from stepwell.journal.index import Created as InvocationAt
from stepwell.journal.record import DIGEST_SIZE, WRITER_SIZE, Facts, Record, Status

_NOWHERE = Place(-1, -1)
_ALONE, _PER_TEXT = 2000, 2000


@dataclass(slots=True)
class SessionState:
    """A session as far as its head.

    *attributes* is None while the record that holds them was not read. *evidence* holds single records that were
    read to answer a question; it is nobody's memory. *tail_writer* wrote the newest event, *other_last* is the newest
    one by anybody else.
    """

    slot: int
    digest: bytes
    time: int
    facts: Facts
    index: Index
    attributes: Attributes | None = None
    tail_writer: bytes = bytes(WRITER_SIZE)
    tail: Place = _NOWHERE
    other_last: Place = _NOWHERE
    bytes_since_snapshot: int = 0
    evidence: dict[int, Record] = field(default_factory=dict[int, Record])

    def copy(self) -> SessionState:
        """A copy to draft on."""
        return SessionState(
            self.slot,
            self.digest,
            self.time,
            self.facts,
            self.index.draft(),
            self.attributes,
            self.tail_writer,
            self.tail,
            self.other_last,
            self.bytes_since_snapshot,
            dict(self.evidence),
        )

    def weight(self) -> int:
        """About how many bytes of memory it takes."""
        a = self.attributes
        texts = 0 if a is None else _PER_TEXT * (len(a.metadata) + len(a.tags))
        return _ALONE + texts + self.index.weight()

    def snapshot_due(self, added_bytes: int) -> bool:
        """Whether the record being drafted, with so many bytes, is to carry an index snapshot."""
        return (
            0 < self.facts.trimmed_slot == self.slot
            or self.slot - self.facts.snapshot_slot >= INTERVAL_SLOTS
            or self.bytes_since_snapshot + added_bytes >= INTERVAL_BYTES
            or self.index.recent_entries() >= INTERVAL_ENTRIES
        )

    def foreign_after(self, position: Place, writer: bytes) -> bool:
        """Whether somebody other than *writer* wrote behind *position*."""
        return (self.other_last if self.tail_writer == writer else self.tail) > position

    def apply(self, entry: Entry, place: Place, time: int) -> None:
        """Take in one event of the record in `place.slot`, written at *time*."""
        event = entry.event
        change: dict[str, Any] = {}
        match event:
            case StepPut():
                self.index.add_step(event.invocation, event.step, place.slot)
                change = {"steps": self.facts.steps + 1, "last_activity": time}
            case InvocationCreated():
                created = InvocationAt(place.slot, time if event.created_at is None else event.created_at)
                self.index.recent.add_invocation(event.invocation, created)
                change = {"invocations": self.facts.invocations + 1, "last_activity": time}
            case Created() | AttributesSet() | Ended() | Deleted() | Undeleted() | Trimmed() | Extended():
                self.attributes = event.attributes
                if isinstance(event, Trimmed):
                    self.index.trim(event.base, [(key, InvocationAt(slot, at)) for key, slot, at in event.kept])
                change = {"attributes_slot": place.slot, **_told(event, place.slot, time)}
            case Redacted():
                pass
            case Extending():
                change = {"keep_until": max(self.facts.keep_until, event.until)}
            case Leased():
                change = {"epoch": event.epoch, "last_activity": time}
            case Expired():
                change = {"status": Status.EXPIRED}
            case Purged():
                change = {"status": Status.PURGED}
            case Indexed():
                self.index.restart(event, place.slot)
                self.bytes_since_snapshot = 0
                change = {"snapshot_slot": place.slot}
            case Copied():
                change = {"status": Status.ACTIVE}
            case Barrier():
                return
            case _:
                assert_never(event)
        if why_of(event) is not None:
            change["audited_slot"] = place.slot
        self.facts = self.facts._replace(**change)
        if not isinstance(event, Indexed | Expired | Copied):
            self._note_writer(entry.writer, place)

    def _note_writer(self, writer: bytes, place: Place) -> None:
        if writer != self.tail_writer:
            self.tail_writer, self.other_last = writer, self.tail
        self.tail = place

    def advance(self, record: Record) -> None:
        """Take in the next record.

        Raises:
            CorruptJournal: it does not follow, or its header does not say what its events amount to.
        """
        if record.slot != self.slot + 1 or record.prev != self.digest or record.time < self.time:
            raise CorruptJournal(f"the record in slot {record.slot} does not follow slot {self.slot}", slot=record.slot)
        entries = record.entries  # refused, if need be, before anything is taken in
        self.bytes_since_snapshot += record.size
        self.slot = record.slot
        for index, entry in enumerate(entries):
            if entry is not None:
                self.apply(entry, Place(record.slot, index), record.time)
        if self.facts != record.facts:
            raise CorruptJournal(f"the header in slot {record.slot} contradicts its events", slot=record.slot)
        self.digest, self.time = record.digest, record.time

    def learn(self, record: Record) -> None:
        """Take in a record of the past, read to answer a question."""
        self.evidence[record.slot] = record
        for event in events(record):
            if isinstance(event, Indexed):
                self.index.learn(record.slot, event)
            elif isinstance(event, TELLING) and record.slot == self.facts.attributes_slot:
                self.attributes = event.attributes


def _told(event: Telling, slot: int, time: int) -> dict[str, Any]:
    """What an event that carries the attributes changes beside them."""
    match event:
        case Created():
            status = Status.BEGUN if event.attributes.origin else Status.ACTIVE
            times = {"idle_seconds": event.idle_seconds, "expires_at": event.expires_at, "last_activity": time}
            return {"status": status, **times}
        case AttributesSet():
            return {"last_activity": time} if event.activity else {}
        case Ended():
            return {"status": Status.ENDED, "last_activity": time}
        case Deleted():
            return {"purge_after": event.purge_after}
        case Undeleted():
            return {"purge_after": 0}
        case Extended():
            return {"expires_at": event.until}
        case Trimmed():
            return {"base": event.base, "trimmed_slot": slot}
        case _:
            assert_never(event)


def events(record: Record) -> Iterable[Event]:
    """The events of a record that this version knows."""
    return (entry.event for entry in record.entries if entry is not None)


def check_behind(place: Place, head: int) -> None:
    """Refuse a place that is behind the head's slot.

    Raises:
        StaleStore: it is: the store was set back, or the place is another session's.
    """
    if place.slot > head:
        raise StaleStore(
            "the position lies behind the session's end: the store was set back, or it is another session's"
        )


def blank() -> SessionState:
    """Before slot 0."""
    facts = Facts(Status.ACTIVE, *[0] * (len(Facts._fields) - 1))
    return SessionState(-1, bytes(DIGEST_SIZE), 0, facts, Index())


def resume(record: Record) -> SessionState:
    """The state after *record*, which is slot 0 or holds an index snapshot.

    Raises:
        CorruptJournal: it is neither.
    """
    if record.slot == 0:
        state = blank()
        state.advance(record)
        return state
    state = SessionState(record.slot, record.digest, record.time, record.facts, Index(base=record.facts.base))
    for event in events(record):
        if isinstance(event, Indexed):
            state.index.restart(event, record.slot)
            state.tail_writer, state.tail, state.other_last = event.tail_writer, event.tail, event.other_last
            return state
        if isinstance(event, TELLING):
            state.attributes = event.attributes
    raise CorruptJournal(f"slot {record.slot} should hold an index snapshot and does not", slot=record.slot)
