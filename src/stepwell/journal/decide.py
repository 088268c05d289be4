"""What a caller wants, decided against a state: events to append, or why not. Pure.

Every function here answers one of `Append`, `Refuse`, `Done` or `Lookup`; the caller reads what a `Lookup` asks for,
lets the state learn it, and asks again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

from stepwell.errors import (
    AlreadyExists,
    Conflict,
    Fenced,
    HeadMoved,
    LimitExceeded,
    NotFound,
    SessionEnded,
    SessionExpired,
    StaleStore,
    StepwellError,
)
from stepwell.ids import uuid_text
from stepwell.journal.events import (
    Attributes,
    AttributesSet,
    Barrier,
    Deleted,
    Ended,
    Event,
    Expired,
    Extended,
    Extending,
    InvocationCreated,
    Leased,
    Place,
    Purged,
    Redacted,
    StepPut,
    Trimmed,
    Undeleted,
    Why,
)
from stepwell.journal.index import Lookup
from stepwell.journal.record import Facts, Record, Status, is_erased
from stepwell.journal.state import SessionState

MICROSECONDS = 1_000_000


class Append(NamedTuple):
    """Append these events, all or none. *tokens* is given only where each event keeps a token of its own."""

    events: tuple[Event, ...]
    tokens: tuple[bytes, ...] = ()


class Refuse(NamedTuple):
    """Raise *error* once *events*, the grounds for it, are durable."""

    error: StepwellError
    events: tuple[Event, ...] = ()


class Done(NamedTuple):
    """Nothing to append: it was done before, at these places."""

    places: tuple[Place, ...]


Decision: TypeAlias = Append | Refuse | Done | Lookup
Decide: TypeAlias = Callable[[SessionState, int], Decision]
"""Decides against a draft, whose `slot` is that of the record to be written, at a time."""
SameContent: TypeAlias = Callable[[StepPut, StepPut], bool]
"""Whether the first, which is stored, holds what the second is to hold."""


class Caller(NamedTuple):
    """Who asks: the handle, the epoch of its lease if it has one, and the position it must not have been passed by.

    *hidden_too* lets it change a session that is deleted and not yet purged, *begins* one that is not whole yet.
    """

    writer: bytes
    epoch: int | None = None
    if_head: Place | None = None
    hidden_too: bool = False
    begins: bool = False


def visible(facts: Facts, now: int, *, hidden_too: bool = False, begun_too: bool = False) -> Refuse | None:
    """Refuse a session that is gone, or hidden. *now* is in microseconds since 1970, as all times here."""
    if facts.status is Status.PURGED or (facts.status is Status.BEGUN and not begun_too):
        return Refuse(NotFound("no such session"))
    if facts.expires_at and now >= facts.expires_at:
        return Refuse(NotFound("no such session"), (Purged(_linked(RETENTION_ENDED, facts)),))
    if facts.purge_after and now >= facts.purge_after:
        return Refuse(NotFound("no such session"), (Purged(_linked(PURGE_DUE, facts)),))
    if facts.purge_after and not hidden_too:
        return Refuse(NotFound("the session was deleted, and can be brought back for a while: undelete(session_id)"))
    return None


def _linked(why: Why, facts: Facts) -> Why:
    """*why*, in the chain of events that have audit records."""
    return why._replace(earlier=facts.audited_slot)


RETENTION_ENDED, PURGE_DUE = Why("its retention ended"), Why("it was deleted, and the time to undelete it is over")
TRIM_MAX_INVOCATIONS = 4096
"""Invocations that may be left when a session is trimmed."""


def status_at(facts: Facts, now: int) -> Status:
    """The status by the clock: an idle session is EXPIRED before anybody wrote so."""
    idle = facts.idle_seconds * MICROSECONDS
    if facts.status is Status.ACTIVE and idle and now - facts.last_activity >= idle:
        return Status.EXPIRED
    return facts.status


def admit(state: SessionState, now: int, caller: Caller) -> Refuse | None:
    """Refuse a caller that may not write to this session at all, whatever it wants to write."""
    if gone := visible(state.facts, now, hidden_too=caller.hidden_too, begun_too=caller.begins):
        return gone
    if caller.epoch is not None and caller.epoch < state.facts.epoch:
        return Refuse(Fenced(f"lease {caller.epoch} was taken over by lease {state.facts.epoch}: stop, or lease again"))
    if caller.if_head is not None and caller.if_head.slot >= state.slot:
        return Refuse(StaleStore("if_head lies behind the session's end: the store was set back, or it is another's"))
    if caller.if_head is not None and state.foreign_after(caller.if_head, caller.writer):
        return Refuse(HeadMoved("another writer's event lies behind if_head: read on from there, then decide again"))
    return None


def writable(state: SessionState, now: int) -> Refuse | None:
    """Refuse to add to a session that is not ACTIVE."""
    match status_at(state.facts, now):
        case Status.ENDED:
            return Refuse(SessionEnded("the session was ended: read it, or fork it to go on"))
        case Status.EXPIRED:
            grounds = (Expired(),) if state.facts.status is Status.ACTIVE else ()
            return Refuse(SessionExpired("the session was idle for too long: read it, or fork it to go on"), grounds)
        case _:
            return None


def put_steps(
    steps: Sequence[StepPut], *, made_ids: bool, create_invocation: bool, most: int | None, same: SameContent
) -> Decide:
    """Put steps of one invocation. *made_ids*: we made the step ids just now, so none of them can exist."""

    def decide(state: SessionState, now: int) -> Decision:
        invocation = steps[0].invocation
        known = state.index.has_invocation(invocation)
        if isinstance(known, Lookup):
            return known
        existing = () if made_ids or not known else _existing(state, steps, same)
        if isinstance(existing, Lookup | Refuse):
            return existing
        if existing:
            return Done(existing)
        if refusal := writable(state, now):
            return refusal
        if not known and not create_invocation:
            return Refuse(NotFound("no such invocation in this session: create it first"))
        if most is not None and state.facts.steps + len(steps) > most:
            return Refuse(LimitExceeded(f"the session would have more steps than the limit steps_per_session, {most}"))
        return Append((*steps,) if known else (InvocationCreated(invocation, None), *steps))

    return decide


def _existing(state: SessionState, steps: Sequence[StepPut], same: SameContent) -> tuple[Place, ...] | Lookup | Refuse:
    """The places of *steps* if all of them exist with the same content; empty if none exists."""
    answers = [find_step(state, step.invocation, step.step) for step in steps]
    if missing := {slot for answer in answers if isinstance(answer, Lookup) for slot in answer.slots}:
        return Lookup(tuple(sorted(missing)))
    places: list[Place] = []
    for step, found in zip(steps, answers, strict=True):
        if found is None or isinstance(found, Lookup):
            continue
        place, event = found
        time = state.evidence[place.slot].time if event.time is None else event.time
        if is_redacted(event):
            return Refuse(AlreadyExists("the step id is taken by a step that was redacted"))
        if step.time not in (None, time) or not same(event, step):
            return Refuse(AlreadyExists("the step id is taken by a step with other content"))
        places.append(place)
    if places and len(places) < len(steps):
        return Refuse(AlreadyExists("some of the steps exist already: put only those that do not"))
    return tuple(places)


def find_step(state: SessionState, invocation: bytes, step: bytes) -> tuple[Place, StepPut] | Lookup | None:
    """A step by its ids: where it lies, and its event."""
    slots = state.index.slots_of_step(invocation, step)
    if isinstance(slots, Lookup):
        return slots
    if missing := tuple(slot for slot in slots if slot not in state.evidence):
        return Lookup(missing)
    every = (found for slot in slots for found in steps_in(state.evidence[slot]))
    return next((found for found in every if (found[1].invocation, found[1].step) == (invocation, step)), None)


def is_redacted(step: StepPut) -> bool:
    """Whether a step's payloads were erased."""
    return all(is_erased(payload.salt) for payload in step.payloads)


def steps_in(record: Record) -> list[tuple[Place, StepPut]]:
    """The steps of a record, with their places."""
    return [
        (Place(record.slot, index), entry.event)
        for index, entry in enumerate(record.entries)
        if entry is not None and isinstance(entry.event, StepPut)
    ]


def create_invocation(invocation: bytes, description: str | None, *, made_id: bool) -> Decide:
    """Create an invocation; *made_id* as in `put_steps`."""

    def decide(state: SessionState, now: int) -> Decision:
        if refusal := writable(state, now):
            return refusal
        known = False if made_id else state.index.has_invocation(invocation)
        if isinstance(known, Lookup):
            return known
        if known:
            return Refuse(AlreadyExists("the session has this invocation already", invocation_id=uuid_text(invocation)))
        return Append((InvocationCreated(invocation, description),))

    return decide


Change: TypeAlias = Callable[[Attributes], tuple[Mapping[str, str], Mapping[str, str]]]
"""From the attributes to the new metadata and tags. It may raise `LimitExceeded`."""


def set_attributes(change: Change, *, activity: bool) -> Decide:
    """Replace metadata (*activity*: refused unless ACTIVE) or tags (in every state: Bedrock declares no conflict)."""

    def decide(state: SessionState, now: int) -> Decision:
        if activity and (refusal := writable(state, now)):
            return refusal
        if state.attributes is None:
            return Lookup((state.facts.attributes_slot,))
        try:
            metadata, tags = change(state.attributes)
        except LimitExceeded as error:
            return Refuse(error)
        changed = replace(state.attributes, metadata=metadata, tags=tags, updated_at=now)
        return Append((AttributesSet(changed, activity),))

    return decide


def end(state: SessionState, now: int) -> Decision:
    """End the session. An expired one can still be ended."""
    if state.facts.status is Status.ENDED:
        return Refuse(SessionEnded("the session was ended before"))
    if state.attributes is None:
        return Lookup((state.facts.attributes_slot,))
    return Append((Ended(replace(state.attributes, updated_at=now)),))


def delete(why: Why, *, end: bool, hidden: int = 0) -> Decide:
    """Delete the session; an ACTIVE one only if *end*. It is gone at once, or *hidden* for so many microseconds."""

    def decide(state: SessionState, now: int) -> Decision:
        if status_at(state.facts, now) is Status.ACTIVE and not end and not state.facts.purge_after:
            return Refuse(Conflict("the session is ACTIVE: end it first, or delete it with end=True"))
        if not hidden:
            return Append((Purged(_linked(why, state.facts)),))
        if state.attributes is None:
            return Lookup((state.facts.attributes_slot,))
        purge_after = now + hidden  # by the session's time: the caller's clock may be behind it
        if status_at(state.facts, now) is not Status.ACTIVE:
            return Append((Deleted(state.attributes, purge_after, _linked(why, state.facts)),))
        ended = replace(state.attributes, updated_at=now)
        return Append((Ended(ended), Deleted(ended, purge_after, _linked(why, state.facts))))

    return decide


def purge(state: SessionState, now: int) -> Decision:
    """Take back a session that never came to be."""
    return Append((Purged(),))


def undelete(why: Why) -> Decide:
    """Let the session be seen again."""

    def decide(state: SessionState, now: int) -> Decision:
        if state.attributes is None:
            return Lookup((state.facts.attributes_slot,))
        if not state.facts.purge_after:
            return Done(())
        return Append((Undeleted(state.attributes, _linked(why, state.facts)),))

    return decide


def redact(invocation: bytes, step: bytes, why: Why, found_step: Callable[[StepPut], object]) -> Decide:
    """Say that a step's payloads are to be erased, unless they are. *found_step* is told what it is about."""

    def decide(state: SessionState, now: int) -> Decision:
        found = find_step(state, invocation, step)
        if isinstance(found, Lookup):
            return found
        if found is None:
            return Refuse(NotFound("no such step in this invocation"))
        place, event = found
        found_step(event)
        if is_redacted(event):
            return Done((place,))
        return Append((Redacted(place, invocation, step, _linked(why, state.facts)),))

    return decide


def trim(base: int, why: Why, seen: int, used: Collection[bytes]) -> Decide:
    """Let the history begin at slot *base*. *used* are the invocations of the steps in *base* to *seen*."""

    def decide(state: SessionState, now: int) -> Decision:
        if base <= state.facts.base:
            return Done(())
        if newer := tuple(slot for slot in range(max(seen + 1, base), state.slot) if slot not in state.evidence):
            return Lookup(newer)
        if state.attributes is None:
            return Lookup((state.facts.attributes_slot,))
        every = state.index.invocations()
        if isinstance(every, Lookup):
            return every
        drafted = state.index.active  # a draft names only those that were written to in it
        read = [record for record in state.evidence.values() if record.slot > seen]
        later = [event.invocation for record in read for _, event in steps_in(record)]
        named = {*used, *later, *drafted, *[key for key, _ in every[:1]]}
        kept = tuple((key, at.slot, at.time) for key, at in every if key in named or at.slot >= base)
        if len(kept) > TRIM_MAX_INVOCATIONS:
            return Refuse(
                LimitExceeded(f"{len(kept)} invocations stay, the limit TRIM_MAX_INVOCATIONS is {TRIM_MAX_INVOCATIONS}")
            )
        return Append((Trimmed(state.attributes, base, _linked(why, state.facts), kept),))

    return decide


def begin_extending(until: int) -> Decide:
    """Let nothing that is written from here on expire by itself before *until*."""

    def decide(state: SessionState, now: int) -> Decision:
        return Append((Extending(until),)) if 0 < state.facts.expires_at < until else Done(())

    return decide


def extend(until: int, why: Why) -> Decide:
    """Let the session expire at *until*, if that is later than it would."""

    def decide(state: SessionState, now: int) -> Decision:
        if state.attributes is None:
            return Lookup((state.facts.attributes_slot,))
        if not 0 < state.facts.expires_at < until:
            return Done(())
        return Append((Extended(state.attributes, until, _linked(why, state.facts)),))

    return decide


def lease(state: SessionState, now: int) -> Decision:
    """Take the right to write from whoever has it."""
    return writable(state, now) or Append((Leased(state.facts.epoch + 1),))


def touch(state: SessionState, now: int) -> Decision:
    """Take a slot, so that whatever was decided before, and is not durable yet, has to be decided again."""
    return Append((Barrier(),))


def purge_unchanged(slot: int) -> Decide:
    """Take back a session that was begun and never listed, if nothing lies behind *slot*."""

    def decide(state: SessionState, now: int) -> Decision:
        return Append((Purged(),)) if state.slot == slot + 1 else Done(())

    return decide


def barrier(slot: int) -> Decide:
    """Take *slot*, unless somebody has."""

    def decide(state: SessionState, now: int) -> Decision:
        if state.slot > slot:
            return Done(())
        if state.slot < slot:
            return Refuse(StaleStore(f"slot {slot - 1} is gone"))
        return Append((Barrier() if slot else Purged(),))

    return decide
