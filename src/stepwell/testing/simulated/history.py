"""Whether what clients were told agrees with what was written. Slots are the order, so each check is linear.

- What was acknowledged lies on its session's chain, once, where the caller was told, in the order of real time.
- What was refused does not; what is unknown may or may not, as a whole.
- `resolve` never lies: "committed" is on the chain, "absent" never comes to be there.
- A read answers what the session was at one moment between call and answer.
- No write is acknowledged behind a newer lease, or behind a foreign event where `if_head` was given.
- A key has one live session. What was deleted, trimmed or redacted does not come back.
- At the end what lives is found, listed and readable, and what does not has left the store.
- No call ends in an error that nothing caused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from stepwell.errors import (
    CorruptJournal,
    Fenced,
    InvalidRequest,
    NotFound,
    NotSupported,
    SessionEnded,
    StaleStore,
    StepwellError,
)
from stepwell.ids import uuid_text
from stepwell.journal.decide import is_redacted
from stepwell.journal.events import (
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
    Indexed,
    InvocationCreated,
    Leased,
    Place,
    Purged,
    Redacted,
    StepPut,
    Trimmed,
    Undeleted,
)
from stepwell.journal.record import Status
from stepwell.models import Text
from stepwell.testing.simulated.calls import Call
from stepwell.testing.simulated.chains import Chain
from stepwell.testing.simulated.schedule import SECOND
from stepwell.testing.simulated.stores import holds_some_of
from stepwell.views import place as place_of
from stepwell.views import position

WRITES: dict[str, type[Event]] = {
    "put": StepPut,
    "create_invocation": InvocationCreated,
    "update": AttributesSet,
    "tag": AttributesSet,
    "lease": Leased,
    "end": Ended,
    "delete": Purged,
    "delete_softly": Deleted,
    "undelete": Undeleted,
    "redact": Redacted,
    "trim": Trimmed,
    "extend": Extended,
}
"""What a call writes, beside what it takes along or is refused for."""
MAKES = ("create", "open", "fork")
_NO_ANSWERS = (CorruptJournal, StaleStore, NotSupported, InvalidRequest)
_NOBODYS = (Barrier, Indexed, Expired, Copied)
"""Events that `if_head` does not mind."""


@dataclass
class History:
    """Calls, chains, and whose token is whose. *left* is what the store holds at the end, by session."""

    calls: list[Call]
    chains: Mapping[str, Chain]
    tokens: Mapping[bytes, Call]
    final: list[Call] = field(default_factory=list[Call])
    """Calls of the end, when nothing was under way."""
    left: Mapping[str, list[bytes]] = field(default_factory=dict[str, list[bytes]])
    collected: bool = False
    """Whether everything was collected that can be."""
    forgets: bool = False
    """Whether the store forgets by itself what has expired."""

    def is_over(self, chain: Chain, call: Call) -> bool:
        """Whether a session was gone for good when *call* returned."""
        return chain.purged_by(call.returned or 0) or (self.forgets and chain.lapsed_by(call.told_at))

    def __post_init__(self) -> None:
        self.own: defaultdict[Call, list[tuple[Chain, Place, Entry]]] = defaultdict(list)
        for chain in self.chains.values():
            for place, entry in chain.entries.items():
                call = self.tokens.get(entry.token)
                if call is not None and not (chain.is_copy and call.session != chain.session and _copied(entry)):
                    self.own[call].append((chain, place, entry))

    def wrote(self, call: Call) -> list[tuple[Chain, Place, Entry]]:
        """What a call was made for, as far as it is on a chain."""
        kind = WRITES[call.operation]
        return [at for at in self.own[call] if isinstance(at[2].event, kind) and _is_reason_of(call, at[2].event)]

    def chain(self, call: Call) -> Chain | None:
        """The session's chain that a call was about."""
        return self.chains.get(call.session or "")


def _copied(entry: Entry) -> bool:
    return isinstance(entry.event, StepPut | InvocationCreated)


def _is_reason_of(call: Call, event: Event) -> bool:
    """A purge may be the grounds of a refusal: then its reason is not the caller's."""
    return not isinstance(event, Purged) or (event.why is not None and event.why.reason == call.reason)


def check(history: History) -> list[str]:
    """Every fault, in words."""
    return [fault for rule in RULES for fault in rule(history)]


Rule = Callable[[History], Iterable[str]]


def answers_are_typed(history: History) -> Iterator[str]:
    """No call ends in an error that nothing caused."""
    for call in history.calls:
        if call.error is None:
            if call.outcome == "pending":
                yield f"{call} never ended"
        elif not isinstance(call.error, StepwellError):
            yield f"{call} ended in an error of no type"
        elif isinstance(call.error, _NO_ANSWERS) or (
            call.operation in ("gc", "create", "open") and isinstance(call.error, NotFound)
        ):
            yield f"{call} ended in {type(call.error).__name__}, which nothing caused"


def acknowledged_writes_are_there(history: History) -> Iterator[str]:
    """Each where it was told, once."""
    for call in history.calls:
        if call.operation not in WRITES:
            continue
        found = history.wrote(call)
        most = len(call.given.get("steps", [0]))
        if len(found) > most:
            yield f"{call} lies on the chain more than once: {_places(found)}"
        if any(chain.session != call.session for chain, _, _ in found):
            yield f"{call} lies in another session"
        if call.outcome == "done":
            yield from _missing(history, call, found)
        elif call.outcome == "refused" and found:
            yield f"{call} was refused, and lies on the chain at {_places(found)}"
        elif found and len(found) != most:
            yield f"{call} lies on the chain in part: {_places(found)}"


def _missing(history: History, call: Call, found: list[tuple[Chain, Place, Entry]]) -> Iterator[str]:
    chain = history.chain(call)
    if chain is None:
        yield f"{call} was acknowledged in a session that never was"
    elif call.operation == "put":
        told = [place_of("", step.position) for step in call.value]
        if found and told != [place for _, place, _ in found]:
            yield f"{call} was told {told}, and lies at {_places(found)}"
        for step, place in zip(call.value, told, strict=True):
            entry = chain.entries.get(place)
            if entry is None or not isinstance(entry.event, StepPut):
                yield f"{call} was acknowledged at {position(place)}, where no step is"
            elif uuid_text(entry.event.step) != step.invocation_step_id:
                yield f"{call} was acknowledged at {position(place)}, where another step is"
    elif not found and not _was_done_before(chain, call):
        yield f"{call} was acknowledged, and is not on the chain"
    late = [place for of, place, _ in found if call.returned is not None and of.durable[place.slot] > call.returned]
    if late:
        yield f"{call} was acknowledged before it was durable"


def _was_done_before(chain: Chain, call: Call) -> bool:
    """Whether there was nothing to do for a call."""
    heads = [head for head in chain.heads_between(call.invoked, call.returned or 0) if head >= 0]
    facts = [chain.records[head].facts for head in heads]
    match call.operation:
        case "end":
            return any(f.status is Status.ENDED for f in facts)
        case "undelete":
            return any(not f.purge_after for f in facts)
        case "trim":
            return any(f.base >= place_of("", call.given["before"]).slot for f in facts)
        case "extend":
            return any(not f.expires_at or f.expires_at >= call.given["until"] for f in facts)
        case "redact":
            return any(
                place.slot >= chain.records[head].facts.base and _is_about(call, chain, place, head)
                for head in heads
                for place in chain.steps
            )
        case _:
            return False


def _is_about(call: Call, chain: Chain, place: Place, head: int) -> bool:
    """Whether a call is about the step at a place, and that is redacted when *head* is the last slot."""
    step = chain.entries[place].event
    assert isinstance(step, StepPut)
    if (uuid_text(step.invocation), uuid_text(step.step)) != (call.given["invocation"], call.given["step"]):
        return False
    return is_redacted(step) or any(
        isinstance(entry.event, Redacted) and entry.event.place == place and at.slot <= head
        for at, entry in chain.entries.items()
    )


def _places(found: list[tuple[Chain, Place, Entry]]) -> str:
    return ", ".join(f"{chain.session[-6:]} {position(place)}" for chain, place, _ in found)


def made_sessions_are_there(history: History) -> Iterator[str]:
    """A session that was made begins at slot 0; one that was refused is taken back."""
    for call in history.calls:
        if call.operation not in MAKES:
            continue
        begun = [chain for chain, _, entry in history.own[call] if isinstance(entry.event, Created)]
        if call.outcome == "done":
            chain = history.chain(call)
            if chain is None or not chain.records:
                yield f"{call} was acknowledged, and has no slot 0"
            elif not any(chain.is_visible_at(h) for h in chain.heads_between(call.invoked, call.returned or 0)):
                yield f"{call} was told of a session that was gone"
        elif call.outcome == "refused":
            for chain in begun:
                if not history.is_over(chain, call) and not chain.expired_by(call.latest):
                    yield f"{call} was refused, and session {chain.session[-6:]} is there"


def forks_hold_what_their_origin_held(history: History) -> Iterator[str]:
    """A fork begins with the steps that its origin had at a moment between call and answer."""
    for call in history.calls:
        chain = history.chain(call)
        origin = history.chains.get(call.given.get("origin", ""))
        if call.operation != "fork" or call.outcome != "done" or chain is None or origin is None:
            continue
        whole = next((place for place, entry in chain.entries.items() if isinstance(entry.event, Copied)), None)
        copied = [_ids(chain, place) for place in chain.steps if whole is not None and place < whole]
        heads = [head for head in origin.heads_between(call.invoked, call.returned or 0) if head >= 0]
        if all(copied != [_ids(origin, place) for place in origin.steps_at(head)] for head in heads):
            yield f"{call} holds {len(copied)} steps, which its origin did at no moment"


def _ids(chain: Chain, place: Place) -> tuple[bytes, bytes]:
    step = chain.entries[place].event
    assert isinstance(step, StepPut)
    return step.invocation, step.step


def refusals_have_grounds(history: History) -> Iterator[str]:
    """Whoever is refused, for a lease or an end, is so by what was there at a moment before the answer."""
    for call in history.calls:
        chain = history.chain(call)
        if chain is None or call.operation not in WRITES or call.outcome != "refused":
            continue
        facts = [chain.records[h].facts for h in chain.heads_between(call.invoked, call.returned or 0) if h >= 0]
        if isinstance(call.error, SessionEnded) and not any(f.status is Status.ENDED for f in facts):
            yield f"{call} was refused, and the session was never ended"
        if isinstance(call.error, Fenced) and not any(f.epoch > (call.given["epoch"] or 0) for f in facts):
            yield f"{call} was refused, and nobody took the lease over"


def what_is_redacted_is_erased(history: History) -> Iterator[str]:
    """When a redaction is acknowledged, nothing that is stored of the session holds the text."""
    for call in history.calls:
        if call.given.get("still there"):
            yield f"{call} was acknowledged, and the text is still stored"


def real_time_is_the_order(history: History) -> Iterator[str]:
    """What was over before something else began lies before it."""
    by_session: defaultdict[str, list[tuple[Place, Call]]] = defaultdict(list)
    for call in history.calls:
        if call.operation in WRITES and call.outcome == "done":
            by_session[call.session or ""] += [(place, call) for _, place, _ in history.wrote(call)]
    for written in by_session.values():
        latest: Call | None = None
        for _, call in sorted(written, key=lambda at: at[0]):
            if latest is not None and call.returned is not None and call.returned < latest.invoked:
                yield f"{call} was over before {latest} began, and lies behind it"
            if latest is None or call.invoked > latest.invoked:
                latest = call


def resolutions_are_true(history: History) -> Iterator[str]:
    """Committed is on the chain; absent is never there."""
    for call in history.calls:
        if call.operation != "resolve" or call.outcome != "done":
            continue
        of: Call = history.calls[int(call.given["of"])]
        outcome = call.value.outcome
        if of.operation in MAKES:
            yield from _resolved_session(history, call, of, outcome)
            continue
        if of.operation not in WRITES:
            continue
        own = history.own[of] if of.operation != "extend" else history.wrote(of)
        chain = history.chain(of)
        whole = chain is not None and chain.is_visible_at(len(chain.records) - 1) and not chain.records[-1].facts.base
        if outcome == "unknown" and whole and call in history.final:
            yield f"{call} answered unknown, when nothing else was under way"
        if outcome == "absent" and history.wrote(of):
            yield f"{call} answered absent, and {of} is on the chain at {_places(history.wrote(of))}"
        if outcome == "committed" and call.value.position not in [position(p) for _, p, _ in history.own[of]]:
            yield f"{call} answered committed at {call.value.position}, and {of} is on the chain at {_places(own)}"


def _resolved_session(history: History, call: Call, of: Call, outcome: str) -> Iterator[str]:
    begun = [chain for chain, _, entry in history.own[of] if isinstance(entry.event, Created)]
    if outcome == "committed" and not begun:
        yield f"{call} answered committed, and {of} has no slot 0"
    if outcome == "absent" and call.session is None:
        for chain in begun:
            if not chain.expired_by(call.latest) and not chain.purged_by(call.returned or 0):
                yield f"{call} answered absent, and {of} is there: session {chain.session[-6:]}"


def reads_are_of_one_moment(history: History) -> Iterator[str]:
    """What was read is what the session was, at a moment between call and answer."""
    for call in history.calls:
        chain = history.chain(call)
        if call.operation not in ("steps", "get") or call.returned is None:
            continue
        if chain is None:
            if call.outcome == "done":
                yield f"{call} read a session that never was"
            continue
        heads = chain.heads_between(call.invoked, call.returned)
        if call.outcome == "done":
            seen = [head for head in heads if chain.is_visible_at(head)]
            if not seen:
                yield f"{call} read a session that was gone"
            elif all(0 < chain.records[head].facts.expires_at <= call.invoked_at - SECOND for head in seen):
                yield f"{call} read a session that had expired"
            elif call.operation == "steps":
                told = [place_of("", step.position) for step in call.value]
                if all(told != chain.steps_at(head) for head in seen):
                    yield f"{call} read {told}, which was at no moment; at last {chain.steps_at(seen[-1])}"
                else:
                    yield from _contents(history, chain, call)
            elif all(not _describes(chain, head, call) for head in seen):
                yield f"{call} read {call.value!r}, which was at no moment"
        elif isinstance(call.error, NotFound) and not _may_be_missing(chain, heads, call):
            yield f"{call} did not find a session that is there"


def _may_be_missing(chain: Chain, heads: range, call: Call) -> bool:
    if any(not chain.is_visible_at(head) for head in heads):
        return True
    return any(0 < chain.records[head].facts.expires_at <= call.latest for head in heads)


def _describes(chain: Chain, head: int, call: Call) -> bool:
    told = place_of("", call.value.head)
    last = max((place for place, e in chain.entries.items() if place.slot <= head and _counts(e)), default=None)
    return told == last


def _counts(entry: Entry) -> bool:
    return not isinstance(entry.event, _NOBODYS)


def _contents(history: History, chain: Chain, call: Call) -> Iterator[str]:
    redacted = chain.redacted()
    for step in call.value:
        place = place_of("", step.position)
        entry = chain.entries[place]
        (block,) = step.content
        if isinstance(block, Text):
            expected = _text_of(history, entry)
            if block.text != expected:
                yield f"{call} read another text at {step.position}"
            if any((of.returned or 0) < call.invoked for of in _acknowledged_redactions(history, chain, place)):
                yield f"{call} read at {step.position} what was redacted before"
        elif redacted.get(place, call.returned or 0) > (call.returned or 0) or (
            place not in redacted and not chain.is_copy
        ):
            yield f"{call} read at {step.position} as redacted what was not"


def _text_of(history: History, entry: Entry) -> str | None:
    call = history.tokens.get(entry.token)
    if call is None or call.operation != "put":
        return None
    event = entry.event
    assert isinstance(event, StepPut)
    own = [e.event.step for _, _, e in history.wrote(call) if isinstance(e.event, StepPut)]
    return call.given["texts"][own.index(event.step)] if event.step in own else None


def _acknowledged_redactions(history: History, chain: Chain, place: Place) -> list[Call]:
    entry = chain.entries[place].event
    assert isinstance(entry, StepPut)
    return [
        call
        for call in history.calls
        if call.operation == "redact"
        and call.outcome == "done"
        and call.session == chain.session
        and call.given["step"] == uuid_text(entry.step)
        and call.given["invocation"] == uuid_text(entry.invocation)
        and chain.redacted().get(place, 1 << 60) <= (call.returned or 0)
    ]


def leases_and_heads_hold(history: History) -> Iterator[str]:
    """No write behind a newer lease, or behind a foreign event where `if_head` was given."""
    for call in history.calls:
        if call.operation not in WRITES or call.outcome != "done" or call.operation == "lease":
            continue
        epoch, if_head = call.given.get("epoch"), call.given.get("if_head")
        for chain, place, entry in history.wrote(call)[:1]:
            for at, other in chain.entries.items():
                if epoch is not None and at < place and isinstance(other.event, Leased) and other.event.epoch > epoch:
                    yield f"{call} was acknowledged with lease {epoch} behind lease {other.event.epoch}"
                if (
                    if_head is not None
                    and place_of("", if_head) < at < place
                    and other.writer != entry.writer
                    and _counts(other)
                ):
                    yield f"{call} was acknowledged behind {position(at)}, which is foreign and behind {if_head}"


def deleted_sessions_stay_so(history: History) -> Iterator[str]:
    """Nothing is acknowledged in a session after its deletion was."""
    gone: dict[str, Call] = {}
    for call in history.calls:
        if call.operation == "delete" and call.outcome == "done" and call.session is not None:
            known = gone.get(call.session)
            if known is None or (call.returned or 0) < (known.returned or 0):
                gone[call.session] = call
    for call in history.calls:
        by = gone.get(call.session or "")
        if by is None or call is by or call.outcome != "done" or call.operation == "resolve":
            continue
        if call.invoked > (by.returned or 0):
            yield f"{call} found a session that {by} had deleted"
    for chain in history.chains.values():
        if any(record.facts.status is Status.PURGED for record in chain.records[:-1]):
            yield f"session {chain.session[-6:]} went on after it was purged"


def nobodys_sessions_are_taken_back(history: History) -> Iterator[str]:
    """A session is purged without a reason only if nobody was told that something was written to it."""
    for chain in history.chains.values():
        last = chain.entries.get(Place(len(chain.records) - 1, 0))
        if last is not None and isinstance(last.event, Purged) and last.event.why is None:
            for call in history.calls:
                ours = call.operation in WRITES and call.outcome == "done" and call.session == chain.session
                if ours and history.wrote(call):
                    yield f"session {chain.session[-6:]} was taken back, in which {call} was acknowledged"
                    break


def keys_name_one_session(history: History) -> Iterator[str]:
    """No two sessions of one key were acknowledged while both lived."""
    by_key: defaultdict[str, list[Call]] = defaultdict(list)
    for call in history.calls:
        if call.operation in MAKES and call.outcome == "done" and call.given["key"] is not None:
            by_key[call.given["key"]].append(call)
    for key, calls in by_key.items():
        first: dict[str, Call] = {}
        for call in sorted(calls, key=lambda call: call.returned or 0):
            first.setdefault(call.session or "", call)
        told = list(first.values())
        for at, call in enumerate(told):
            for other in told[at + 1 :]:
                if not (_gone(history, call, other) or _gone(history, other, call)):
                    yield f"{call} and {other} have the key {key}, and both live"


def _gone(history: History, call: Call, other: Call) -> bool:
    chain = history.chain(call)
    return chain is None or history.is_over(chain, other)


def nothing_is_left_and_nothing_is_missing(history: History) -> Iterator[str]:
    """At the end what lives is found and listed, what does not is neither; collected, it has left the store."""
    living = {s for s, chain in history.chains.items() if chain.is_visible_at(len(chain.records) - 1)}
    told = {call.session for call in history.calls if call.operation in MAKES and call.outcome == "done"}
    for call in history.final:
        if call.error is not None and not isinstance(call.error, NotFound):
            yield f"{call} failed, when nothing else was under way"
        if call.operation == "find":
            named = {s for s in living & told if s and history.chains[s].key == call.given["key"]}
            found = call.value.session_id if call.outcome == "done" else None
            if named and found not in named and not _is_expired(history, named, call):
                yield f"{call} does not find session {named}"
        if call.operation == "sessions" and call.outcome == "done" and not call.given["deleted"]:
            for session in living & told:
                if session not in call.value and not _is_expired(history, {session or ""}, call):
                    yield f"{call} does not list session {(session or '')[-6:]}"
            if history.collected and call is history.final[-1]:
                for session in set(call.value) - living:
                    yield f"{call} lists session {session[-6:]}, which is gone"
    if not history.collected:
        return
    begun = next(call.invoked for call in history.final if call.operation == "gc")
    for session, kept in history.left.items():
        chain = history.chains.get(session)
        if kept and (chain is None or not chain.records or chain.purged_by(begun)):
            yield f"{len(kept)} records or blobs of session {session[-6:]}, which is gone, were not collected"
    yield from _redacted_bytes(history)


def _is_expired(history: History, sessions: Iterable[str], call: Call) -> bool:
    return any(history.chains[session].expired_by(call.latest) for session in sessions)


def _redacted_bytes(history: History) -> Iterator[str]:
    for chain in history.chains.values():
        kept = b"".join(history.left.get(chain.session, ()))
        for place in chain.redacted():
            entry = chain.entries[place]
            text = _text_of(history, entry)
            if not any(of.outcome == "done" for of in _acknowledged_redactions(history, chain, place)):
                continue
            event = entry.event
            assert isinstance(event, StepPut)
            again = [
                p
                for p in chain.steps
                if isinstance(e := chain.entries[p].event, StepPut)
                and (e.invocation, e.step) == (event.invocation, event.step)
            ]
            if len(again) == 1 and text is not None and not text.startswith("own") and holds_some_of(kept, text):
                yield f"session {chain.session[-6:]} still holds the text of {position(place)}, which was redacted"


RULES: tuple[Rule, ...] = (
    answers_are_typed,
    acknowledged_writes_are_there,
    made_sessions_are_there,
    forks_hold_what_their_origin_held,
    refusals_have_grounds,
    what_is_redacted_is_erased,
    real_time_is_the_order,
    resolutions_are_true,
    reads_are_of_one_moment,
    leases_and_heads_hold,
    deleted_sessions_stay_so,
    nobodys_sessions_are_taken_back,
    keys_name_one_session,
    nothing_is_left_and_nothing_is_missing,
)
