"""Verifying a session as it is stored: every byte that a reader could come to need, every fault and not only the first.

It walks what the store holds, place by place and following no pointers, and checks what the format promises: each
record by its digest, the slots in order, one chain, headers that say what their events amount to, payloads and blobs
that are what was written, an index that finds every step. Behind a fault it goes on with what comes next. At the end it
reads the session as readers do: what hinders them is a fault too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from stepwell.errors import CorruptJournal, NotFound, StaleStore, Unavailable
from stepwell.ids import uuid_text
from stepwell.io.ports import Ports
from stepwell.journal.decide import visible
from stepwell.journal.events import BLOB, Indexed, InvocationCreated, RunRef, StepPut
from stepwell.journal.index import Created, Index, Run
from stepwell.journal.record import DIGEST_SIZE, Record, StoredStep, is_erased, stored_steps
from stepwell.journal.state import SessionState, events, resume
from stepwell.lane import Lane
from stepwell.models import Fault, Verification
from stepwell.reader import Reader
from stepwell.remains import Found, first_in, found_in, latest_in
from stepwell.stores.base import UNFINISHED, JournalStore

FAULTS_MAX = 100
"""So many faults are named; the rest are counted."""


class Verifier:
    """Verifies one session, once."""

    def __init__(self, store: JournalStore, ports: Ports, reader: Reader, lane: Lane) -> None:
        self._store = store
        self._ports = ports
        self._reader = reader
        self._lane = lane
        self._faults: list[Fault] = []
        self._unnamed = 0
        self._unfinished = False
        self._records = self._steps = self._blobs = 0

    async def run(self, on_progress: Callable[[int], None] | None) -> Verification:
        """See `AsyncClient.verify`; *on_progress* is told the number of places looked at."""
        latest, begun = await self._latest(), await self._store.remains(self._lane.journal, 0)
        self._base = 0 if latest is None else latest.facts.base
        self._chain = _Chain(self._base)
        self._index = _IndexCheck(await self._runs(latest), self._base)
        seen = 0
        async for found in found_in(self._store, self._lane.journal, begun):
            await self._look_at(found)
            seen += 1
            if on_progress:
                on_progress(seen)
        if not self._records and not self._faults:
            raise NotFound("no such session")
        if self._records and not self._chain.folded and not self._faults:
            self._fault("no record tells what the session was when the history that is left began", self._base)
        for slot in self._index.left():
            self._fault(f"the index run in slot {slot} is missing", slot)
        await self._read(latest)
        if self._faults and await first_in(self._store, self._lane.journal) != begun[:1]:
            raise Unavailable("older records were removed while the session was verified: verify it again")
        if self._unnamed:
            self._faults.append(Fault(reason=f"{self._unnamed} more faults, which are not named"))
        return Verification(
            session_id=uuid_text(self._lane.journal.session),
            records=self._records,
            steps=self._steps,
            blobs=self._blobs,
            faults=tuple(self._faults),
            unfinished=self._unfinished,
        )

    async def _latest(self) -> Record | None:
        """The head, or what is left nearest to it.

        Raises:
            NotFound: it says that the session is gone.
        """
        try:
            latest: Record | None = await self._lane.head()
        except (CorruptJournal, NotFound):
            latest = await latest_in(self._store, self._lane.journal)
        if latest is not None and (refusal := visible(latest.facts, self._ports.clock.wall())):
            raise refusal.error
        return latest

    async def _runs(self, latest: Record | None) -> Sequence[RunRef]:
        """The index runs in use."""
        slot = 0 if latest is None else latest.facts.snapshot_slot
        if not slot:
            return ()
        async for found in found_in(self._store, self._lane.journal):
            if found.record is not None and found.record.slot == slot:
                return _runs_after(found.record)
        return ()  # it is missing, as will be found

    def _fault(self, reason: str, slot: int | None = None, place: int | None = None) -> None:
        if len(self._faults) < FAULTS_MAX:
            self._faults.append(Fault(reason=reason, slot=slot, place=place))
        else:
            self._unnamed += 1

    async def _look_at(self, found: Found) -> None:
        if found.fault == UNFINISHED:
            self._unfinished = True
            return
        if found.slot is not None and found.slot < self._base:
            return  # trimmed away: its space is free to be reclaimed
        if found.fault:
            self._fault(found.fault, found.slot, found.place)
        if (record := found.record) is None:
            return
        if record.slot == self._base > 0:
            self._faults.clear()  # they were before the history that is left
        if record.slot < self._chain.slot:
            self._fault(f"slot {record.slot} lies here again, or in the wrong place", record.slot, found.place)
            return
        try:
            for reason, slot in self._chain.take(record):
                self._fault(reason, slot, found.place)
            if reason := self._index.take(record):
                self._fault(reason, record.slot, found.place)
            self._records += 1
            for step in stored_steps(record):
                await self._check_payloads(record, step, found.place)
        except CorruptJournal as error:
            self._fault(str(error), record.slot, found.place)

    async def _check_payloads(self, record: Record, step: StoredStep, place: int) -> None:
        try:
            await self._reader.fetched(self._lane, record, step)
        except CorruptJournal as error:
            self._fault(str(error), record.slot, place)
            return
        self._steps += 1
        self._blobs += sum(bool(block[1] & BLOB) and not is_erased(salt) for block, salt, _ in step[2])

    async def _read(self, latest: Record | None) -> None:
        """Read all records as a reader does."""
        try:
            head = await self._lane.head()
            async for records in self._reader.forwards(self._lane, head.facts.base, head):
                for _ in records:
                    pass  # verified as they come
        except CorruptJournal as error:
            self._fault(f"reading stops: {error}", error.slot, error.offset)
        except (NotFound, StaleStore) as error:
            self._fault(f"reading stops: {error}")
        else:
            if latest is not None and self._chain.slot <= latest.slot:
                self._fault(f"slot {self._chain.slot} is missing", self._chain.slot)


class _Chain:
    """Follows the records: their slots, their digests, and what their events amount to."""

    def __init__(self, base: int) -> None:
        self.slot = base
        """The next one."""
        self.folded = False
        """Whether any record told enough to begin with."""
        self._digest: bytes | None = None if base else bytes(DIGEST_SIZE)
        self._state: SessionState | None = None

    def take(self, record: Record) -> Iterator[tuple[str, int]]:
        """Go on to *record*, of this slot or a later one; what is wrong with that: reasons and slots."""
        if record.slot > self.slot:
            missing = f"slot {self.slot} is" if record.slot == self.slot + 1 else f"slots {self.slot} on are"
            yield f"{missing} missing before slot {record.slot}", self.slot
            self._state = None
        elif self._digest not in (None, record.prev):
            yield f"the record in slot {record.slot} does not follow the one before", record.slot
            self._state = None
        self.slot, self._digest = record.slot + 1, record.digest
        try:
            self._fold(record)
        except CorruptJournal as error:
            self._state = None
            yield str(error), record.slot

    def _fold(self, record: Record) -> None:
        snapshot = record.facts.snapshot_slot == record.slot > 0
        if self._state is not None:
            self._state.advance(record)
        elif snapshot or record.slot == 0:
            self._state, self.folded = resume(record), True
        if self._state is not None and snapshot:
            _check_tails(record, self._state)
            self._state.index.loaded = {}  # runs are checked one by one; together they may be large


def _check_tails(record: Record, state: SessionState) -> None:
    """Compare who wrote last, as a snapshot says it, with the events before it."""
    for event in events(record):
        if isinstance(event, Indexed):
            told = event.tail_writer, event.tail, event.other_last
            if told != (state.tail_writer, state.tail, state.other_last):
                raise CorruptJournal(f"the snapshot in slot {record.slot} contradicts the events before it")


class _IndexCheck:
    """Compares the index runs in use with the records that they tell of: each those since the run before it."""

    def __init__(self, runs: Sequence[RunRef], base: int) -> None:
        self._refs = {ref.slot: ref for ref in runs}
        self._base = base
        self._since = Run()

    def left(self) -> Sequence[int]:
        """The slots of runs that did not come."""
        return tuple(self._refs)

    def take(self, record: Record) -> str:
        """Note the ids in *record*; what is wrong with the run in it, if there is one."""
        if not self._refs:
            return ""  # what is younger than the last snapshot is in no run
        reason = ""
        for event in events(record):
            if isinstance(event, StepPut):
                self._since.add_step(event.invocation, event.step, record.slot)
            elif isinstance(event, InvocationCreated):
                self._since.add_invocation(event.invocation, Created(record.slot, 0))
            elif isinstance(event, Indexed) and (ref := self._refs.pop(record.slot, None)):
                reason = self._wrong(event, ref)
                self._since = Run()
        return reason

    def _wrong(self, snapshot: Indexed, ref: RunRef) -> str:
        if replace(ref, slot=0) != snapshot.runs[-1]:
            return f"the index names the run in slot {ref.slot} by other sizes or ids than it has"
        run, since = Run.from_bytes(snapshot.run, snapshot.invocations), self._since
        found = (
            all(set(slots) <= set(run.steps.get(mark, ())) for mark, slots in since.steps.items())
            and since.invocations.keys() <= run.invocations.keys()
            and ref.last_step >= since.last_step
            and ref.last_invocation >= since.last_invocation
        )
        return "" if found else f"the index run in slot {ref.slot} does not find all that came before it"


def _runs_after(snapshot: Record) -> Sequence[RunRef]:
    index = Index()
    for event in events(snapshot):
        if isinstance(event, Indexed):
            index.restart(event, snapshot.slot)
    return index.runs
