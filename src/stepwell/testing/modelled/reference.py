"""What a session is: plain lists and dicts, obviously right, and as slow as they come.

Everything that is decided is decided here in the words of the documentation: who is refused, and with which error.
Nothing is known of slots, records, caches or retries. A time is when the store wrote, by the writer's clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from stepwell.errors import (
    AlreadyExists,
    Conflict,
    Fenced,
    HeadMoved,
    NotFound,
    SessionEnded,
    SessionExpired,
    StepwellError,
)
from stepwell.models import Block, InvocationStep, Position, Redacted, Session

Refusal = type[StepwellError] | None
Place = tuple[int, int]


def place_of(position: Position) -> Place:
    """A position as something that can be compared."""
    slot, _, at = position.partition(".")
    return int(slot), int(at)


@dataclass(slots=True)
class Step:
    """A step as it was put."""

    invocation_id: str
    invocation_step_id: str
    time: datetime
    content: tuple[Block, ...]
    position: Position

    @classmethod
    def of(cls, put: InvocationStep) -> Step:
        """What a client answered."""
        return cls(
            put.invocation_id, put.invocation_step_id, put.invocation_step_time, tuple(put.content), put.position
        )

    @property
    def place(self) -> Place:
        """Where it lies."""
        return place_of(self.position)

    @property
    def redacted(self) -> bool:
        """Whether its content was erased."""
        return all(isinstance(block, Redacted) for block in self.content)


@dataclass(slots=True)
class Invocation:
    """When it was created, *exact* if a client said so, and where: None for one that was copied by a fork."""

    created_at: datetime
    place: Place | None
    exact: bool = True


@dataclass(slots=True)
class Mark:
    """A position that a program may name, and how many events lay up to there when it was seen."""

    position: Position
    events: int


@dataclass(slots=True, kw_only=True)
class Caller:
    """Who writes: the handle's name, its lease, and what it must not have been passed by."""

    writer: str
    epoch: int | None = None
    if_head: Mark | None = None


@dataclass(slots=True, kw_only=True)
class Kept:
    """A session, and all that ever happened to it."""

    session_id: str
    key: str | None
    created_at: datetime
    expires_at: datetime | None
    idle: timedelta | None
    metadata: dict[str, str]
    tags: dict[str, str]
    activity: datetime
    time: datetime
    """Of the last write: a session's time never goes back."""
    base: int = 0
    """The slot that its history begins at."""
    epoch: int = 0
    ended: bool = False
    expired: bool = False
    purged: bool = False
    purge_after: datetime | None = None
    invocations: dict[str, Invocation] = field(default_factory=dict[str, Invocation])
    steps: list[Step] = field(default_factory=list[Step])
    writers: list[str] = field(default_factory=list[str])
    """Who wrote each event, the oldest first."""
    marks: list[Mark] = field(default_factory=list[Mark])
    audited: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Operation and reason."""

    @classmethod
    def of(cls, made: Session, idle: timedelta | None, writer: str, time: datetime) -> Kept:
        """A session that was just created."""
        kept = cls(
            session_id=made.session_id,
            key=made.key,
            created_at=made.created_at,
            expires_at=made.expires_at,
            idle=idle,
            metadata=dict(made.metadata),
            tags=dict(made.tags or {}),
            activity=made.last_activity_at,
            time=time,
        )
        kept.wrote(writer, time, made.head)
        return kept

    # What it is at a time

    def gone(self, now: datetime) -> bool:
        """Whether nothing brings it back."""
        now = max(now, self.time)
        ends = (self.expires_at, self.purge_after)
        return self.purged or any(end is not None and now >= end for end in ends)

    def visible(self, now: datetime) -> bool:
        """Whether readers find it."""
        return not self.gone(now) and self.purge_after is None

    def status(self, now: datetime) -> str:
        """As readers see it."""
        if self.ended:
            return "ENDED"
        idle = self.idle is not None and max(now, self.time) - self.activity >= self.idle
        return "EXPIRED" if self.expired or idle else "ACTIVE"

    # Who is refused

    def admits(self, caller: Caller, now: datetime, *, hidden_too: bool = False) -> Refusal:
        """Whether somebody may write at all."""
        if self.gone(now) or (self.purge_after and not hidden_too):
            return NotFound
        if caller.epoch is not None and caller.epoch < self.epoch:
            return Fenced
        if caller.if_head and any(writer != caller.writer for writer in self.writers[caller.if_head.events :]):
            return HeadMoved
        return None

    def adds(self, caller: Caller, now: datetime) -> Refusal:
        """Whether somebody may add to it."""
        refused = {"ENDED": SessionEnded, "EXPIRED": SessionExpired, "ACTIVE": None}[self.status(now)]
        return self.admits(caller, now) or refused

    def find(self, invocation_id: str, step_id: str | None) -> Step | None:
        """A step by its ids."""
        same = [s for s in self.steps if (s.invocation_id, s.invocation_step_id) == (invocation_id, step_id)]
        return same[0] if same else None

    def puts(
        self,
        caller: Caller,
        now: datetime,
        invocation_id: str,
        wanted: list[tuple[str | None, tuple[Block, ...], datetime | None]],
        *,
        create: bool,
    ) -> Refusal:
        """Whether steps, each with its id, content and time, may be put."""
        if refused := self.admits(caller, now):
            return refused
        found = [(self.find(invocation_id, step_id), content, time) for step_id, content, time in wanted]
        for old, content, time in found:
            if old and (old.content != content or time not in (None, old.time)):
                return AlreadyExists
        there = [old for old, _, _ in found if old]
        if there:
            return None if len(there) == len(wanted) else AlreadyExists
        return self.adds(caller, now) or (None if create or invocation_id in self.invocations else NotFound)

    def deletes(self, caller: Caller, now: datetime, *, end: bool, for_a_while: bool) -> Refusal:
        """Whether it may be deleted."""
        if refused := self.admits(caller, now, hidden_too=not for_a_while):
            return refused
        return Conflict if self.status(now) == "ACTIVE" and not end and not self.purge_after else None

    # What happens

    def refused(self, why: Refusal, now: datetime) -> None:
        """What a writer was refused for is settled from then on, whatever other clocks say."""
        if why is NotFound and self.gone(now):
            self.purged = True
        if why is SessionExpired:
            self.expired = True

    def wrote(
        self, writer: str, time: datetime, head: Position | None = None, events: int = 1, *, active: bool = False
    ) -> None:
        """Events of one writer; *head* is the position of the last of them, where it is known."""
        self.time = max(self.time, time)
        if active:
            self.activity = self.time
        self.writers += [writer] * events
        if head is not None:
            self.marks.append(Mark(head, len(self.writers)))

    def put(self, writer: str, time: datetime, steps: list[Step]) -> None:
        """New steps of one invocation, which is created if need be."""
        first = steps[0]
        if first.invocation_id not in self.invocations:
            at = first.place
            self.invocations[first.invocation_id] = Invocation(time, (at[0], at[1] - 1), exact=False)
            self.wrote(writer, time)
        for step in steps:
            self.steps.append(step)
            self.wrote(writer, time, step.position, active=True)

    def trim(self, before: Place) -> tuple[set[str], set[str]]:
        """Let the history begin there; the invocations that stay, and those that may."""
        self.base = before[0]
        self.steps = [step for step in self.steps if step.place[0] >= self.base]
        used = {step.invocation_id for step in self.steps}
        later = {key for key, at in self.invocations.items() if at.place and at.place[0] >= self.base}
        return used | later, set(self.invocations)


@dataclass(slots=True)
class Reference:
    """A store of sessions."""

    sessions: dict[str, Kept] = field(default_factory=dict[str, Kept])
    keys: dict[str, str] = field(default_factory=dict[str, str])
    """Which session a key names; that one may be gone."""

    def add(self, kept: Kept) -> None:
        """A session that came to be."""
        self.sessions[kept.session_id] = kept
        if kept.key is not None:
            former = self.named(kept.key)
            assert former is None or former.purged, f"{kept.key!r} changed hands before its session was purged"
            self.keys[kept.key] = kept.session_id

    def named(self, key: str) -> Kept | None:
        """Whose key it is, or was."""
        return self.sessions.get(self.keys.get(key, ""))

    def takes(self, key: str | None, now: datetime) -> Refusal:
        """Whether a new session may have a key."""
        holder = None if key is None else self.named(key)
        if holder is None or holder.gone(now):
            return None
        return Conflict if holder.purge_after else AlreadyExists

    def listed(self, now: datetime, *, deleted: bool) -> list[Kept]:
        """What lists show, the newest id first."""
        every = [kept for kept in self.sessions.values() if not kept.gone(now)]
        chosen = [kept for kept in every if (kept.purge_after is not None) == deleted]
        return sorted(chosen, key=lambda kept: kept.session_id, reverse=True)
