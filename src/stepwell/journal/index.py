"""Where an id lies, without reading the whole journal.

What came since the last index snapshot is held as it is. A snapshot turns it into a *run* and names the runs before
it; runs of like size are merged as they come (a log-structured merge), so an id is written O(log n) times and looked
up in O(log n) runs. A run whose greatest id is below the one looked for is not read: time-ordered ids cost nothing.

Steps are kept as 8-byte fingerprints of (invocation, step): a hit names the slots to look into, and no hit is proof
of absence. Look-ups answer `Lookup` where a run must be read first.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from stepwell.journal.events import Indexed, Place, RunRef

INTERVAL_SLOTS = 256
INTERVAL_BYTES = 256 * 1024
INTERVAL_ENTRIES = 2048
"""A snapshot is due after so many slots, bytes or ids."""
RUN_MAX_ENTRIES = 4096
"""Runs are not merged beyond this; such a run is about 64 KB."""
ACTIVE_MAX = 256
"""Invocations that a snapshot names as recently written to."""

_STEP = struct.Struct(">8sI")
_INVOCATION = struct.Struct(">16sIq")
_LEAST = bytes(16)


@dataclass(frozen=True, slots=True)
class Lookup:
    """These slots must be read before the question can be answered."""

    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Created:
    """Where and when an invocation was created."""

    slot: int
    time: int


@dataclass(slots=True)
class Run:
    """The ids of one or more snapshot intervals."""

    steps: dict[bytes, tuple[int, ...]] = field(default_factory=dict[bytes, tuple[int, ...]])
    invocations: dict[bytes, Created] = field(default_factory=dict[bytes, Created])
    last_step: bytes = _LEAST
    last_invocation: bytes = _LEAST

    def add_step(self, invocation: bytes, step: bytes, slot: int) -> None:
        """Note a step."""
        mark = _mark(invocation, step)
        self.steps[mark] = (*self.steps.get(mark, ()), slot)
        self.last_step = max(self.last_step, step)

    def add_invocation(self, invocation: bytes, created: Created) -> None:
        """Note an invocation."""
        self.invocations[invocation] = created
        self.last_invocation = max(self.last_invocation, invocation)

    def merged(self, older: Run) -> Run:
        """This run and an older one as a new one."""
        both = Run(dict(older.steps), dict(older.invocations), older.last_step, older.last_invocation)
        both.absorb(self)
        return both

    def above(self, base: int) -> Run:
        """What of it does not lie below slot *base*."""
        steps = {mark: kept for mark, slots in self.steps.items() if (kept := tuple(s for s in slots if s >= base))}
        invocations = {key: created for key, created in self.invocations.items() if created.slot >= base}
        return Run(steps, invocations, self.last_step, self.last_invocation)

    def entries(self) -> int:
        """How many ids it holds."""
        return len(self.steps) + len(self.invocations)

    def absorb(self, newer: Run) -> None:
        """Take in what came after."""
        for mark, slots in newer.steps.items():
            self.steps[mark] = (*self.steps.get(mark, ()), *slots)
        self.invocations.update(newer.invocations)
        self.last_step = max(self.last_step, newer.last_step)
        self.last_invocation = max(self.last_invocation, newer.last_invocation)

    def to_bytes(self) -> tuple[bytes, bytes]:
        """Steps and invocations, packed."""
        steps = b"".join(_STEP.pack(mark, slot) for mark, slots in self.steps.items() for slot in slots)
        invocations = b"".join(_INVOCATION.pack(key, at.slot, at.time) for key, at in self.invocations.items())
        return steps, invocations

    @classmethod
    def from_bytes(cls, steps: bytes, invocations: bytes) -> Run:
        """The run that was packed; its greatest ids stay unknown (a `RunRef` holds them)."""
        run = cls()
        for mark, slot in _STEP.iter_unpack(steps):
            run.steps[mark] = (*run.steps.get(mark, ()), slot)
        for key, slot, time in _INVOCATION.iter_unpack(invocations):
            run.invocations[key] = Created(slot, time)
        return run


@dataclass(slots=True)
class Index:
    """The ids of a session as far as they were read: `recent` whole, `runs` by name, some of them `loaded`.

    A draft holds only what was added to the index `below` it. What lies in slots below *base* is not there any more.
    """

    recent: Run = field(default_factory=Run)
    active: dict[bytes, None] = field(default_factory=dict[bytes, None])
    runs: tuple[RunRef, ...] = ()
    loaded: dict[int, Run] = field(default_factory=dict[int, Run])
    below: Index | None = None
    base: int = 0

    def draft(self) -> Index:
        """An index to draft on; this one is not changed by it."""
        return Index(runs=self.runs, loaded=self.loaded, below=self, base=self.base)

    def settled(self) -> Index:
        """This index without drafts: the one below takes in what they added, and is changed."""
        return self if self.below is None else self.below.settled().absorb(self)

    def flat(self) -> Index:
        """This index without drafts, as a copy."""
        if self.below is not None:
            return self.below.flat().absorb(self)
        recent = Run(dict(self.recent.steps), dict(self.recent.invocations))
        recent.last_step, recent.last_invocation = self.recent.last_step, self.recent.last_invocation
        return Index(recent, dict(self.active), self.runs, self.loaded, base=self.base)

    def absorb(self, newer: Index) -> Index:
        """Take in what a draft added."""
        self.recent.absorb(newer.recent)
        for invocation in newer.active:
            self.active.pop(invocation, None)  # the latest stand last
            self.active[invocation] = None
        self.runs, self.loaded = newer.runs, newer.loaded
        return self

    def recent_entries(self) -> int:
        """How many ids came since the last snapshot."""
        return self.recent.entries() + (0 if self.below is None else self.below.recent_entries())

    def add_step(self, invocation: bytes, step: bytes, slot: int) -> None:
        """Note a step, and that its invocation is in use."""
        self.recent.add_step(invocation, step, slot)
        self.active.pop(invocation, None)
        self.active[invocation] = None

    def has_invocation(self, invocation: bytes) -> bool | Lookup:
        """Whether the session has this invocation."""
        if self.is_recent(invocation):
            return True
        candidates = [ref for ref in self.runs if ref.invocations and ref.last_invocation >= invocation]
        if missing := self._missing(candidates):
            return missing
        found = [self.loaded[ref.slot].invocations.get(invocation) for ref in candidates]
        return any(created is not None and created.slot >= self.base for created in found)

    def slots_of_step(self, invocation: bytes, step: bytes) -> tuple[int, ...] | Lookup:
        """The slots in which this step may lie; none is proof that it does not exist."""
        mark = _mark(invocation, step)
        candidates = [ref for ref in self.runs if ref.steps and ref.last_step >= step]
        if found := self.recent_slots(mark):
            return found
        if missing := self._missing(candidates):
            return missing
        every = [slot for ref in candidates for slot in self.loaded[ref.slot].steps.get(mark, ())]
        return tuple(slot for slot in every if slot >= self.base)

    def invocations(self) -> list[tuple[bytes, Created]] | Lookup:
        """All invocations, newest first."""
        candidates = [ref for ref in self.runs if ref.invocations]
        if missing := self._missing(candidates):
            return missing
        every: dict[bytes, Created] = {}
        for ref in candidates:
            every.update(self.loaded[ref.slot].above(self.base).invocations)
        every.update(self.flat().recent.invocations)
        return sorted(every.items(), key=lambda item: (item[1].slot, item[1].time, item[0]), reverse=True)

    def sealed(self, tail_writer: bytes, tail: Place, other_last: Place) -> Indexed | Lookup:
        """The snapshot of this index; `recent` becomes a run, merged with earlier ones that are no larger."""
        whole = self.flat()
        run, runs = whole.recent, list(self.runs)
        while runs and _entries(runs[-1]) <= run.entries() and _entries(runs[-1]) + run.entries() <= RUN_MAX_ENTRIES:
            older = self.loaded.get(runs[-1].slot)
            if older is None:
                return Lookup((runs[-1].slot,))
            ref = runs.pop()
            run = run.merged(Run(older.steps, older.invocations, ref.last_step, ref.last_invocation).above(self.base))
        steps, invocations = run.to_bytes()
        own = RunRef(0, len(run.steps), len(run.invocations), run.last_step, run.last_invocation)
        return Indexed(
            steps, invocations, (*runs, own), tuple(whole.active)[-ACTIVE_MAX:], tail_writer, tail, other_last
        )

    def restart(self, snapshot: Indexed, slot: int) -> None:
        """Go on from a snapshot in *slot*."""
        *earlier, own = snapshot.runs
        ref = RunRef(slot, own.steps, own.invocations, own.last_step, own.last_invocation)
        self.runs = (*earlier, ref)
        self.below = None
        self.recent = Run()
        self.active = dict.fromkeys(snapshot.active)
        self.learn(slot, snapshot)
        named = {known.slot for known in self.runs}
        self.loaded = {slot: run for slot, run in self.loaded.items() if slot in named}

    def trim(self, base: int, kept: Sequence[tuple[bytes, Created]]) -> None:
        """Forget what lies below *base*; *kept* are all invocations that are left.

        A run holds nothing that is younger than itself, so one below the base holds nothing else.
        """
        recent = self.flat().recent.above(base)
        recent.invocations = {}
        for invocation, created in kept:
            recent.add_invocation(invocation, Created(max(created.slot, base), created.time))
        active = dict.fromkeys(invocation for invocation in self.flat().active if invocation in recent.invocations)
        self.base, self.below, self.recent, self.active = base, None, recent, active
        self.runs = tuple(ref for ref in self.runs if ref.slot >= base)

    def learn(self, slot: int, snapshot: Indexed) -> None:
        """Load the run of a snapshot that was read."""
        self.loaded = {**self.loaded, slot: Run.from_bytes(snapshot.run, snapshot.invocations)}

    def weight(self) -> int:
        """About how many bytes of memory it takes."""
        loaded = sum(map(Run.entries, self.loaded.values())) if self.loaded else 0
        return _BYTES_PER_ENTRY * (len(self.recent.steps) + len(self.recent.invocations) + len(self.active) + loaded)

    def is_recent(self, invocation: bytes) -> bool:
        """Whether an invocation was written to since the last snapshot, or shortly before."""
        if invocation in self.active or invocation in self.recent.invocations:
            return True
        return self.below is not None and self.below.is_recent(invocation)

    def recent_slots(self, mark: bytes) -> tuple[int, ...]:
        """The slots since the last snapshot in which a step of this fingerprint may lie."""
        below = () if self.below is None else self.below.recent_slots(mark)
        return below + self.recent.steps.get(mark, ())

    def _missing(self, candidates: list[RunRef]) -> Lookup | None:
        slots = tuple(ref.slot for ref in candidates if ref.slot not in self.loaded)
        return Lookup(slots) if slots else None


_BYTES_PER_ENTRY = 200


def _entries(ref: RunRef) -> int:
    return ref.steps + ref.invocations


def _mark(invocation: bytes, step: bytes) -> bytes:
    return sha256(invocation + step).digest()[:8]
