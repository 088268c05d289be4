"""Reclaiming: what is due is purged, what was interrupted is finished, and what nobody can reach gives its space back.

Nothing is removed on first sight. A run *marks* what it finds, with the store's time if it tells one, and a later run
removes what was marked `RECLAIM_SECONDS` before: by then no writer that was under way can conclude anything from what
it knew (view.py). What could still be named by a record that is under way, blobs, is removed only behind a barrier: a
slot that the run takes itself, so that whoever decided before has to decide again, and is refused by `while_fresh`.

Marks are facts ("at that time nobody named this"): runs beside one another, killed and repeated ones do no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import ormsgpack

from stepwell.audit import Audit, audited
from stepwell.codecs.content import blob_names
from stepwell.creation import Creation
from stepwell.errors import (
    CorruptJournal,
    NotFound,
    NotSupported,
    OutcomeUnknown,
    PermissionDenied,
    StaleStore,
    StepwellError,
    Throttled,
    Unavailable,
)
from stepwell.io.ports import Ports
from stepwell.journal import decide
from stepwell.journal.decide import Caller, Decide
from stepwell.journal.events import Place, Redacted, StepPut
from stepwell.journal.index import Lookup
from stepwell.journal.record import TOKEN_SIZE, WRITER_SIZE, Record, Status
from stepwell.journal.state import SessionState
from stepwell.lane import Intent, Lane
from stepwell.lanes import Lanes
from stepwell.listing import Listing
from stepwell.models import GcReport
from stepwell.reader import Reader
from stepwell.removal import Removal
from stepwell.stores.base import JournalStore, ListingEntry
from stepwell.views import listing_version

RECLAIM_SECONDS = 24 * 3600
"""How long what nobody can reach is kept after it was first seen so: four times a view's age."""
FORGETTING_SECONDS = 7 * 24 * 3600
"""How long an expired session is left to a store that forgets by itself; what is there after that is purged."""
SESSIONS_AT_ONCE = 500
FAILURES_MAX = 3
"""A run ends when so many sessions in a row could not be dealt with: the store itself may be out of order."""
_IN_PARTS = (CorruptJournal, StaleStore, NotFound)
"""What reading a purged session may end in where it is damaged, or where a store that forgets has some of it left."""
_MICROSECONDS = 1_000_000


@dataclass(slots=True)
class _Marks:
    """What earlier runs saw of a session, and when; 0 and empty for nothing. Stored as msgpack of these members."""

    purged: int = 0
    stray: int = 0
    trimmed: tuple[int, int] = (0, 0)
    """The base, and when it was seen."""
    removed: int = 0
    """The base below which everything was removed."""
    unlisted: tuple[int, int] = (-1, 0)
    """The head's slot, and when it was seen without an entry in the list of sessions."""
    told: int = 0
    """The slot up to which audit records and redactions are known to be complete."""
    scanned: tuple[int, bytes] = (-1, b"")
    """The head's slot and the digest of the blobs' names when no blob was left over."""
    blobs: dict[str, int] = field(default_factory=dict[str, int])

    def pack(self) -> bytes:
        """As stored."""
        return ormsgpack.packb([getattr(self, name) for name in self.__slots__])

    @classmethod
    def unpack(cls, data: bytes) -> _Marks:
        """What `pack` made; no marks where it is damaged: they are found again."""
        try:
            members: list[Any] = ormsgpack.unpackb(data)
            purged, stray, trimmed, removed, unlisted, told, scanned, blobs = members
            return cls(purged, stray, tuple(trimmed), removed, tuple(unlisted), told, tuple(scanned), blobs)
        except (ValueError, TypeError):
            return cls()


class Collector:
    """One run over one tenant's sessions."""

    def __init__(
        self,
        store: JournalStore,
        ports: Ports,
        lanes: Lanes,
        reader: Reader,
        listing: Listing,
        audit: Audit,
        removal: Removal,
        creation: Creation,
        tenant: str,
    ) -> None:
        self._store = store
        self._ports = ports
        self._lanes = lanes
        self._reader = reader
        self._listing = listing
        self._audit = audit
        self._removal = removal
        self._creation = creation
        self._tenant = tenant
        self._list = f"~reclaim/{tenant}"

    async def run(self, *, dry_run: bool, on_progress: Callable[[int], None] | None) -> GcReport:
        """See `AsyncClient.gc`."""
        self._dry = dry_run
        self._failed: StepwellError | None = None
        self._failed_in_a_row = 0
        self._count = dict.fromkeys([name for name in GcReport.model_fields if name not in ("dry_run", "sessions")], 0)
        seen: set[bytes] = set()
        after: bytes | None = None
        while sessions := await self._store.journals(self._tenant, after, SESSIONS_AT_ONCE):
            for session in sessions:
                await self._tried(session)
                seen.add(session)
                if on_progress:
                    on_progress(len(seen))
            after = sessions[-1]
        if not dry_run:
            for listing in (self._tenant, self._list):
                await self._sweep(listing, seen)
        if self._failed:
            raise self._failed
        return GcReport(dry_run=dry_run, sessions=len(seen), **self._count)

    async def _tried(self, session: bytes) -> None:
        """Go on with the others where one session fails, and fail in the end; at once where one after another does."""
        try:
            await self._one(session)
        except (PermissionDenied, Throttled, Unavailable) as error:
            self._failed = self._failed or error
            self._failed_in_a_row += 1
            if self._failed_in_a_row == FAILURES_MAX:
                raise
        else:
            self._failed_in_a_row = 0

    async def _one(self, session: bytes) -> None:
        found = await self._store.get_entry(self._list, session)
        before = b"" if found is None else found.data
        marks = _Marks.unpack(before)
        try:
            with self._lanes.use(session) as lane:
                gone = await self._session(lane, marks)
        except (CorruptJournal, NotSupported, StaleStore):
            self._count["skipped"] += 1  # to be verified and salvaged by somebody
            return
        except NotFound:
            return  # another run was quicker
        if self._dry or gone:
            return
        if marks == _Marks():
            if before:
                await self._store.remove_entry(self._list, session)
        elif marks.pack() != before:
            await self._store.put_entry(self._list, ListingEntry(session, 0, marks.pack()))

    async def _session(self, lane: Lane, marks: _Marks) -> bool:
        """Do what is to be done for a session, and mark the rest; whether nothing is left of it."""
        try:
            head = await lane.head()
        except NotFound:
            marks.stray = marks.stray or marks.purged or self._now()
            return await self._reclaim(lane, marks.stray)
        marks.stray = 0
        if self._is_left_to_the_store(head):
            self._count["pending"] += 1
            await self._draw_consequences(lane, head, marks)
            return False
        if head.facts.status is not Status.PURGED and self._is_due(head):
            self._count["purged"] += 1
            if self._dry:
                return False
            await self._write(lane, decide.touch)  # which is refused: the purge is the grounds for that
            head = await lane.head()
        if head.facts.status is Status.PURGED:
            await self._hide(lane)
            await self._draw_consequences(lane, head, marks)
            marks.purged = marks.purged or self._now()
            return await self._reclaim(lane, marks.purged, head)
        await self._draw_consequences(lane, head, marks)
        await self._trim(lane, head, marks)
        await self._blobs(lane, head, marks)
        await self._list_or_take_back(lane, head, marks)
        return False

    def _is_due(self, head: Record) -> bool:
        return decide.visible(head.facts, self._ports.clock.wall(), hidden_too=True) is not None

    def _is_left_to_the_store(self, head: Record) -> bool:
        """Whether the store is about to remove the session by itself: it asks nothing for that, and deletions cost."""
        facts, now = head.facts, self._ports.clock.wall()
        expired = 0 < facts.expires_at <= now < facts.expires_at + FORGETTING_SECONDS * _MICROSECONDS
        deleted = facts.status is Status.PURGED or 0 < facts.purge_after <= now
        return self._store.forgets and expired and not deleted

    # Whole sessions

    async def _reclaim(self, lane: Lane, marked: int, head: Record | None = None) -> bool:
        if not self._is_old(marked):
            self._count["pending"] += 1
            return False
        self._count["reclaimed"] += 1
        if self._dry:
            return False
        if head is None:
            await self._listing.free_key(lane.journal.session)
        elif head.slot:  # a purge in slot 0 is the barrier against a session that never was
            await self._free_key(lane)
        await self._store.remove(lane.journal)
        await self._store.remove_entry(self._tenant, lane.journal.session)
        await self._store.remove_entry(self._list, lane.journal.session)
        return True

    async def _free_key(self, lane: Lane) -> None:
        """Let the key of a session name nothing; it is anybody's already, for what it names is gone."""

        def question(state: SessionState, now: int) -> str | Lookup | None:
            if state.attributes is None:
                return Lookup((state.facts.attributes_slot,))
            return state.attributes.key

        try:
            key = await lane.ask(question)
        except _IN_PARTS:
            return  # damage is no reason to keep what was deleted
        if key is not None:
            await self._listing.let_go(key, lane.journal.session)

    async def _hide(self, lane: Lane) -> None:
        if not self._dry:
            await self._listing.hide(lane.journal.session)

    async def _list_or_take_back(self, lane: Lane, head: Record, marks: _Marks) -> None:
        """List a session that is in no list, or take it back if it is not to be; bring an entry up to date.

        An entry that is older than the head was left so by a call that was interrupted.
        """
        session = lane.journal.session
        listed = await self._store.get_entry(self._tenant, session)
        if listed is not None:
            marks.unlisted = (-1, 0)
            if listed.version < listing_version(head.facts, head.facts.status) and not self._dry:
                await self._listing.renew(session)
            return
        slot, marked = marks.unlisted
        if slot != head.slot:
            marks.unlisted = (head.slot, self._now())
        elif self._is_old(marked):
            self._count["finished"] += 1
            if not self._dry:
                await self._creation.clear_up(lane)
            return
        self._count["pending"] += 1

    async def _sweep(self, listing: str, seen: set[bytes]) -> None:
        """Remove entries of sessions of which nothing is stored."""
        before: bytes | None = None
        while entries := await self._store.entries(listing, before, SESSIONS_AT_ONCE):
            for entry in entries:
                if entry.session in seen:
                    continue
                with self._lanes.use(entry.session) as lane:  # it may have come since
                    if await self._store.head(lane.journal) is None:
                        if listing == self._tenant:
                            await self._listing.free_key(entry.session)
                        await self._store.remove_entry(listing, entry.session)
            before = entries[-1].session

    # Parts of sessions

    async def _draw_consequences(self, lane: Lane, head: Record, marks: _Marks) -> None:
        """Note what was not noted, and erase what was not erased, where a call was interrupted."""
        latest = head.facts.audited_slot
        gone = head.facts.status is Status.PURGED
        try:
            async for event, place, time in audited(lane, latest, marks.told):
                if isinstance(event, Redacted) and not gone:
                    await self._finish_redaction(lane, event.place, head)
                if not self._dry:
                    await self._audit.note(lane.journal.session, event, place, time)
        except _IN_PARTS:
            if not gone:
                raise
        marks.told = latest

    async def _finish_redaction(self, lane: Lane, place: Place, head: Record) -> None:
        try:
            left = not await self._removal.is_erased(lane, place)
            self._count["finished"] += left
            if left and not self._dry:
                await self._removal.erase(lane, place)
        except (CorruptJournal, StaleStore):
            if place.slot >= head.facts.base:
                raise  # below it, the slot is removed already

    async def _trim(self, lane: Lane, head: Record, marks: _Marks) -> None:
        """Remove the slots below the base."""
        base, marked = marks.trimmed
        if head.facts.base <= marks.removed:
            return
        if base != head.facts.base:
            marks.trimmed = (head.facts.base, self._now())
        elif self._is_old(marked):
            self._count["trimmed"] += 1
            if not self._dry:
                await self._store.remove(lane.journal, base)
                marks.removed, marks.trimmed = base, (0, 0)
            return
        self._count["pending"] += 1

    async def _blobs(self, lane: Lane, head: Record, marks: _Marks) -> None:
        """Remove blobs that no record names: of puts that failed, of what was trimmed or redacted."""
        names = await self._store.blobs(lane.journal)
        digest = sha256(" ".join(sorted(names)).encode()).digest()
        if not names or marks.scanned == (head.slot, digest):
            marks.blobs = {}
            return
        left = set(names) - await self._named(lane, head)
        old = [name for name in sorted(left) if name in marks.blobs and self._is_old(marks.blobs[name])]
        marks.blobs = {name: marks.blobs.get(name) or self._now() for name in sorted(left)}
        marks.scanned = (-1, b"") if left else (head.slot, digest)
        self._count["pending"] += len(left) - len(old)
        self._count["blobs"] += len(old)
        if old and not self._dry:
            await self._write(lane, decide.touch)
            named = await self._named(lane, await lane.head())
            for name in [name for name in old if name not in named]:
                await self._store.remove_blob(lane.journal, name)
                del marks.blobs[name]

    async def _named(self, lane: Lane, head: Record) -> set[str]:
        """The blobs that the records up to *head* name."""
        named: set[str] = set()
        async for records in self._reader.forwards(lane, head.facts.base, head):
            for record in records:
                for entry in record.entries:
                    if entry is not None and isinstance(entry.event, StepPut):
                        named.update(blob_names(entry.event, entry.token))
        return named

    # Time, and writing

    def _now(self) -> int:
        return self._store.server_time or self._ports.clock.wall()

    def _is_old(self, marked: int) -> bool:
        return self._now() - marked >= RECLAIM_SECONDS * _MICROSECONDS

    async def _write(self, lane: Lane, wanted: Decide) -> None:
        caller = Caller(bytes(WRITER_SIZE), hidden_too=True)
        try:
            await lane.submit(Intent(caller, self._ports.random(TOKEN_SIZE), wanted, 0))
        except NotFound:
            pass  # it is gone now: that is what was to be, or the next run's matter
        except OutcomeUnknown as error:
            raise Unavailable("the store did not answer: run gc again") from error
