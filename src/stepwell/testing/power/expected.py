"""Sessions as their writer was told they are, and as a client finds them.

Step, Known    a step, a session; what is found is written the same way, so that the two compare
Told           everything that was acknowledged, and the one operation that was not yet
secrets_of     bytes that are to be in no file once their step is gone
found          a session as a client finds it
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

from stepwell.errors import NotFound
from stepwell.models import ContentBlock, Data, InvocationStep, Position, Redacted, Text
from stepwell.sync import Client
from stepwell.testing.disk import SimulatedDisk

Presence = Literal["here", "hidden", "gone"]
SECRET_SIZE = 24


class Step(NamedTuple):
    """A step. Without a position it was not acknowledged: it may lie anywhere."""

    invocation: str
    step: str
    content: tuple[ContentBlock, ...]
    position: Position | None = None
    slot: int = -1

    @classmethod
    def of(cls, step: InvocationStep) -> Step:
        """As a client returned it."""
        return cls(step.invocation_id, step.invocation_step_id, step.content, step.position, step.slot)

    def redacted(self) -> Step:
        """The same one after it was redacted."""
        return self._replace(content=(Redacted(),) * len(self.content))

    def agrees(self, with_found: Step) -> bool:
        """Whether it was found as it should be."""
        if self.position is None:
            return self[:3] == with_found[:3]
        return self == with_found


@dataclass(frozen=True, slots=True)
class Known:
    """A session. Its id is empty while nobody was told it."""

    key: str
    session_id: str = ""
    presence: Presence = "here"
    status: str = "ACTIVE"
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    expires_at: datetime | None = None
    steps: tuple[Step, ...] = ()

    def agrees(self, with_found: Known) -> bool:
        """Whether it was found as it should be."""
        if self.presence != "here" or with_found.presence != "here":
            return self.presence == with_found.presence
        return (
            (self.key, self.status, self.tags) == (with_found.key, with_found.status, with_found.tags)
            and self.session_id in ("", with_found.session_id)
            and (self.expires_at is None or self.expires_at == with_found.expires_at)
            and len(self.steps) == len(with_found.steps)
            and all(mine.agrees(theirs) for mine, theirs in zip(self.steps, with_found.steps, strict=True))
        )


@dataclass(slots=True)
class Told:
    """See the module. *pending* is the number of a session, and what it is once the operation is done."""

    sessions: list[Known] = field(default_factory=list[Known])
    pending: tuple[int, Known] | None = None
    doing: str = ""
    secrets: list[bytes] = field(default_factory=list[bytes])
    """Bytes that were redacted or reclaimed, and acknowledged to be: no file may hold them."""
    dropped: list[Step] = field(default_factory=list[Step])
    """Steps that were trimmed, or whose session was deleted: a session's log holds them until they are reclaimed."""

    def acknowledge(self) -> None:
        """The operation returned."""
        if self.pending is not None:
            number, known = self.pending
            self.sessions[number : number + 1] = [known]
        self.pending = None

    def holds_key(self, number: int) -> bool:
        """Whether no later session has the key of this one."""
        key = self.sessions[number].key
        return all(other.key != key for other in self.sessions[number + 1 :])

    def named(self, *, but: int | None = None) -> set[str]:
        """The steps of all sessions but one, by their ids: what a fork copied is there still."""
        return {
            step.step
            for number, known in enumerate(self.sessions)
            if number != but and known.presence != "gone"
            for step in known.steps
        }

    def reclaimable(self) -> list[Step]:
        """What was dropped, and is in no session any more."""
        named = self.named()
        return [step for step in self.dropped if step.step not in named]


def secrets_of(steps: Iterable[Step], disk: SimulatedDisk) -> list[bytes]:
    """Bytes by which the content of steps is known again, those that files hold now: no others can be seen to go."""
    blocks = [block for step in steps for block in step.content]
    texts = [block.text.encode()[:SECRET_SIZE] for block in blocks if isinstance(block, Text)]
    data = [block.data[:SECRET_SIZE] for block in blocks if isinstance(block, Data)]
    contents = [content for _, content in disk.files()]
    return [
        secret
        for secret in (*texts, *data)
        if len(secret) == SECRET_SIZE and any(secret in content for content in contents)
    ]


def found(client: Client, known: Known) -> Known:
    """A session as *client* finds it: by its id if that is known, else by its key."""
    try:
        session = client.get_session(known.session_id) if known.session_id else client.get_session(key=known.key)
    except NotFound:
        hidden = any(session.session_id == known.session_id for session in client.sessions(deleted=True))
        return Known(known.key, known.session_id, "hidden" if hidden else "gone")
    return Known(
        known.key if session.key is None else session.key,
        session.session_id,
        "here",
        session.session_status,
        dict(session.tags or {}),
        session.expires_at,
        tuple(Step.of(step) for step in client.steps(session.session_id)),
    )
