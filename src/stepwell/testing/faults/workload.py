"""Random calls on a handful of sessions, and what has to be there after each.

Sessions      what should be there, by key: `Sessions.choose` makes up a call that fits it, `apply` is what that does
perform       makes the call
seen          what a client shows of it, to be compared

Whoever knows the seed and which calls returned knows what is there: a call is made of nothing but a `random.Random` and
what was there before it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import NamedTuple

from stepwell.errors import NotFound
from stepwell.ids import uuid_text
from stepwell.models import Content, Data, NewStep, Redacted, Text
from stepwell.sync import Client

KEYS = tuple(f"k{number}" for number in range(6))
STEPS_MAX = 30
"""A session with more is trimmed or deleted before it grows."""
BLOB_BYTES = 70_000
"""Too large for a record of any local store: kept beside the journal."""
HOUR = timedelta(hours=1)
PURGE_AFTER_HOURS = 72
REDACTED = "redacted"

# How often each call is made up, where it fits.
_WEIGHTS = {
    "create": 4,
    "open": 2,
    "put": 12,
    "batch": 6,
    "large": 5,
    "tag": 3,
    "end": 1,
    "fork": 3,
    "delete": 2,
    "hide": 2,
    "undelete": 2,
    "redact": 4,
    "trim": 3,
    "gc": 1,
}


class Call(NamedTuple):
    """A call: *name* says which, and is part of everything that it writes."""

    kind: str
    name: str
    key: str
    other: str = ""
    """Another key, or a step."""


@dataclass(slots=True)
class Step:
    """*batch* tells which steps were appended together; it is empty where nobody can know."""

    id: str
    content: str
    batch: str


@dataclass(slots=True)
class Expected:
    """A session. *hidden_until* is in hours, for one that is deleted and can be undeleted."""

    status: str = "ACTIVE"
    tags: dict[str, str] = field(default_factory=dict[str, str])
    steps: list[Step] = field(default_factory=list[Step])
    hidden_until: int | None = None

    def shown(self) -> object:
        """As `seen` tells it."""
        if self.hidden_until is not None:
            return "hidden"
        return self.status, self.tags, [(step.id, step.content) for step in self.steps]


@dataclass(slots=True)
class Sessions:
    """All of them, at an *hour* of the clock; *reasons* are those of calls that are audited."""

    hour: int = 0
    by_key: dict[str, Expected] = field(default_factory=dict[str, Expected])
    reasons: set[str] = field(default_factory=set[str])

    def shown(self) -> dict[str, object]:
        """As `seen` tells it."""
        return {key: session.shown() for key, session in self.by_key.items()}

    def copy(self) -> Sessions:
        """One that can change by itself."""
        return copy.deepcopy(self)

    def wait(self, hours: int) -> None:
        """Let time pass: hidden sessions that are due are gone."""
        self.hour += hours
        due = [k for k, session in self.by_key.items() if session.hidden_until and session.hidden_until <= self.hour]
        for key in due:
            del self.by_key[key]

    def choose(self, chance: Random, name: str) -> Call:
        """A call that fits."""
        while True:
            (kind,) = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
            keys = self._keys(kind)
            if not keys:
                continue
            key, other = chance.choice(keys), ""
            if kind == "fork":
                free = self._keys("create")
                if not free:
                    continue
                other = chance.choice(free)
            elif kind in ("redact", "trim"):
                other = chance.choice([s.id for s in self.by_key[key].steps if s.batch or kind == "redact"] or [""])
                if not other:
                    continue
            return Call(kind, name, key, other)

    def _keys(self, kind: str) -> list[str]:
        """The keys that a call of this kind may be for."""
        if kind == "gc":
            return ["-"]
        if kind == "create":
            return [key for key in KEYS if key not in self.by_key]
        shown = {key: s for key, s in self.by_key.items() if s.hidden_until is None}
        if kind == "open":
            return [key for key in KEYS if key in shown or key not in self.by_key]
        if kind == "undelete":
            return [key for key, s in self.by_key.items() if s.hidden_until is not None]
        if kind in ("put", "batch", "large"):
            return [key for key, s in shown.items() if s.status == "ACTIVE" and len(s.steps) < STEPS_MAX]
        if kind == "end":
            return [key for key, s in shown.items() if s.status == "ACTIVE" and len(s.steps) > STEPS_MAX // 2]
        return list(shown)

    def apply(self, call: Call) -> None:
        """What a call does."""
        session = self.by_key.get(call.key, Expected())
        if call.kind in ("delete", "hide", "undelete"):
            self.reasons.add(call.name)
        match call.kind:
            case "create" | "open":
                self.by_key.setdefault(call.key, Expected(tags={"by": call.name}))
            case "put" | "batch" | "large":
                session.steps += [Step(id_, content, call.name) for id_, content in _steps(call)]
            case "tag":
                session.tags["tagged"] = call.name
            case "end":
                session.status = "ENDED"
            case "fork":
                steps = [Step(step.id, step.content, "") for step in session.steps]
                self.by_key[call.other] = Expected(tags=dict(session.tags), steps=steps)
            case "delete":
                del self.by_key[call.key]
            case "hide":
                session.hidden_until, session.status = self.hour + PURGE_AFTER_HOURS, "ENDED"
            case "undelete":
                session.hidden_until = None
            case "redact":
                step = next(step for step in session.steps if step.id == call.other)
                if step.content != REDACTED:  # a second time changes nothing, and is not audited
                    self.reasons.add(call.name)
                step.content = REDACTED
            case "trim":
                batch = next(step.batch for step in session.steps if step.id == call.other)
                first = next(at for at, step in enumerate(session.steps) if step.batch == batch)
                if first:  # else it may be that nothing is trimmed
                    self.reasons.add(call.name)
                del session.steps[:first]
            case _:
                pass


def _uuid(name: str) -> str:
    return uuid_text(Random(name).randbytes(16))


def _steps(call: Call) -> list[tuple[str, str]]:
    """Ids and contents of the steps that a call puts."""
    names = [f"{call.name}.{part}" for part in range(3)] if call.kind == "batch" else [call.name]
    return [(_uuid(name), f"large {name}" if call.kind == "large" else name) for name in names]


def _content(content: str) -> Content:
    if not content.startswith("large"):
        return content
    return [content, Data(data=Random(content).randbytes(BLOB_BYTES))]


def perform(client: Client, call: Call) -> None:
    """Make a call."""
    match call.kind:
        case "create":
            client.create_session(key=call.key, tags={"by": call.name})
            return
        case "open":
            client.open_session(key=call.key, tags={"by": call.name})
            return
        case "gc":
            client.gc()
            return
        case "undelete":
            hidden = next(shown for shown in client.sessions(deleted=True) if shown.key == call.key)
            client.undelete(hidden.session_id, reason=call.name)
            return
        case _:
            _change(client, client.get_session(key=call.key).session_id, call)


def _change(client: Client, session: str, call: Call) -> None:
    match call.kind:
        case "put" | "batch" | "large":
            steps = [NewStep(content=_content(content), invocation_step_id=id_) for id_, content in _steps(call)]
            client.put_invocation_steps(session, _INVOCATION, steps, create_invocation=True)
        case "tag":
            client.tag_resource(session, {"tagged": call.name})
        case "end":
            client.end_session(session)
        case "fork":
            client.fork(session, key=call.other)
        case "delete":
            client.delete_session(session, end=True, reason=call.name)
        case "hide":
            client.delete_session(session, end=True, purge_after=PURGE_AFTER_HOURS * HOUR, reason=call.name)
        case "redact":
            client.redact(session, _INVOCATION, call.other, reason=call.name)
        case "trim":
            position = client.get_invocation_step(session, _INVOCATION, call.other).position
            client.trim(session, before=position, reason=call.name)
        case _:
            raise AssertionError(call.kind)


_INVOCATION = _uuid("invocation")


def seen(client: Client) -> dict[str, object]:
    """What *client* shows. Sessions are read by their keys before they are listed, which mends lists.

    Raises:
        AssertionError: lists and keys do not agree.
    """
    shown: dict[str, object] = {}
    for key in KEYS:
        try:
            session = client.get_session(key=key)
        except NotFound:
            continue
        steps = [(step.invocation_step_id, _read(step.content)) for step in client.steps(session.session_id)]
        shown[key] = (session.session_status, dict(session.tags or {}), steps)
    listed = [summary.key for summary in client.sessions()]
    assert sorted(shown) == sorted(str(key) for key in listed), f"by their keys {sorted(shown)}, listed {listed}"
    return shown | {str(summary.key): "hidden" for summary in client.sessions(deleted=True)}


def _read(content: tuple[Text | object, ...]) -> str:
    match content:
        case (Text(text=text),):
            return text
        case (Text(text=text), Data(data=data)) if data == Random(text).randbytes(BLOB_BYTES):
            return text
        case _ if all(isinstance(block, Redacted) for block in content):
            return REDACTED
        case _:
            raise AssertionError("a step's content is not what was put")
