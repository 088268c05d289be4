"""What was really written: each session's chain from slot 0, and when each slot became durable."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping

from stepwell.ids import uuid_text
from stepwell.journal.events import Created, Entry, Place, Redacted, StepPut
from stepwell.journal.record import DIGEST_SIZE, Facts, Record, Status, identity, open_record
from stepwell.stores.base import JournalId
from stepwell.testing.simulated.schedule import HOUR

FORGOTTEN_AFTER = 24 * HOUR
"""How long a store that forgets keeps what is not needed any more, at least."""


class Chain:
    """A session's records, also those that were removed since. Slots that no chain leads to are left out."""

    def __init__(self, journal: JournalId, written: Iterable[tuple[int, bytes, int]]) -> None:
        self.journal = journal
        self.session = uuid_text(journal.session)
        self.records: list[Record] = []
        self.durable: list[int] = []
        """The step of the schedule at which each slot became durable."""
        self.entries: dict[Place, Entry] = {}
        whose, prev = identity(*journal), bytes(DIGEST_SIZE)
        by_slot: dict[int, list[tuple[Record, int]]] = {}
        for slot, data, step in written:
            by_slot.setdefault(slot, []).append((open_record(data, whose), step))
        while following := [at for at in by_slot.get(len(self.records), ()) if at[0].prev == prev]:
            record, step = following[0]
            self.records.append(record)
            self.durable.append(step)
            prev = record.digest
            for at, entry in enumerate(record.entries):
                if entry is not None:
                    self.entries[Place(record.slot, at)] = entry
        self.steps = [place for place, entry in self.entries.items() if isinstance(entry.event, StepPut)]

    @property
    def facts(self) -> Facts | None:
        """What the head says; None for a session that never was."""
        return self.records[-1].facts if self.records else None

    @property
    def key(self) -> str | None:
        """The session's key."""
        first = self.entries.get(Place(0, 0))
        return first.event.attributes.key if first and isinstance(first.event, Created) else None

    @property
    def is_copy(self) -> bool:
        """Whether it is a fork."""
        first = self.entries.get(Place(0, 0))
        return bool(first and isinstance(first.event, Created) and first.event.attributes.origin)

    def heads_between(self, invoked: int, returned: int) -> range:
        """The slots that were the head at some moment between two steps; -1 before slot 0."""
        return range(bisect_left(self.durable, invoked) - 1, bisect_right(self.durable, returned))

    def steps_at(self, head: int) -> list[Place]:
        """The steps that the session has when *head* is its last slot."""
        base = self.records[head].facts.base
        return self.steps[bisect_left(self.steps, Place(base, 0)) : bisect_left(self.steps, Place(head + 1, 0))]

    def is_visible_at(self, head: int) -> bool:
        """Whether the session can be seen, by its events alone."""
        if head < 0:
            return False
        facts = self.records[head].facts
        return facts.status not in (Status.PURGED, Status.BEGUN) and not facts.purge_after

    def purged_by(self, step: int) -> bool:
        """Whether the session was gone for good at a step."""
        known = bisect_right(self.durable, step)
        return any(record.facts.status is Status.PURGED for record in self.records[:known])

    def expired_by(self, now: int) -> bool:
        """Whether its retention ended."""
        return self.facts is not None and 0 < self.facts.expires_at <= now

    def lapsed_by(self, now: int) -> bool:
        """Whether a store that forgets may have forgotten all of it, by the world's time."""
        expires = [record.facts.expires_at for record in self.records]
        return bool(expires) and all(expires) and now >= max(expires) + FORGOTTEN_AFTER

    def redacted(self) -> dict[Place, int]:
        """The steps that were redacted, and the step of the schedule at which that was decided."""
        found: dict[Place, int] = {}
        for place, entry in self.entries.items():
            if isinstance(entry.event, Redacted):
                found.setdefault(entry.event.place, self.durable[place.slot])
        return found


def chains(written: Mapping[JournalId, Iterable[tuple[int, bytes, int]]]) -> dict[str, Chain]:
    """Every session's chain, by its id."""
    made = [Chain(journal, records) for journal, records in written.items()]
    return {chain.session: chain for chain in made}
