"""The protocol that the clients stand on: Bedrock's operations, and ours beyond, as async methods over models.

Arguments are checked and canonical: ids are lowercase UUIDs, limits were applied. `JournalBackend` implements it over
any store; the service itself can be another.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from stepwell.journal.decide import Caller
from stepwell.journal.events import Place, Why
from stepwell.models import (
    AuditRecord,
    Data,
    GcReport,
    Image,
    Invocation,
    InvocationStep,
    InvocationStepSummary,
    InvocationSummary,
    Lease,
    Page,
    Redaction,
    Resolution,
    Salvaged,
    Session,
    SessionStatus,
    SessionSummary,
    Text,
    Verification,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFilter:
    """Which sessions a list shows: all that are given must hold."""

    status: SessionStatus | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    key_prefix: str = ""
    created_after: datetime | None = None
    deleted: bool = False

    def describe(self) -> tuple[str, ...]:
        """Its parts as text, equal for equal filters."""
        tags = [part for pair in sorted(self.tags.items()) for part in pair]
        return (self.status or "", self.key_prefix, str(self.created_after or ""), str(self.deleted), *tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRange:
    """Which steps to read: of one invocation, behind a position, newest first."""

    invocation_id: str | None = None
    after: Place | None = None
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class StepToPut:
    """A step as its caller gave it: a missing id is made, a missing time is the record's."""

    content: tuple[Text | Image | Data, ...]
    invocation_step_id: str | None = None
    invocation_step_time: datetime | None = None


class Backend(Protocol):
    """See the module; what each operation means and raises is documented at `AsyncClient`."""

    async def create_session(
        self,
        caller: Caller,
        *,
        key: str | None,
        metadata: Mapping[str, str],
        tags: Mapping[str, str],
        encryption_key_arn: str | None,
        retention: timedelta | None,
    ) -> Session: ...

    async def get_session(self, session_id: str) -> Session: ...

    async def head(self, session_id: str) -> tuple[int, SessionStatus]: ...

    async def session_of_key(self, key: str) -> str: ...

    async def update_session(self, caller: Caller, session_id: str, metadata: Mapping[str, str]) -> Session: ...

    async def end_session(self, caller: Caller, session_id: str) -> Session: ...

    async def delete_session(
        self, caller: Caller, session_id: str, why: Why, *, end: bool, purge_after: timedelta | None
    ) -> None: ...

    async def undelete(self, caller: Caller, session_id: str, why: Why) -> Session: ...

    async def extend_retention(self, caller: Caller, session_id: str, why: Why, *, until: datetime) -> Session: ...

    async def list_sessions(
        self, chosen: SessionFilter, max_results: int, next_token: str | None
    ) -> Page[SessionSummary]: ...

    async def create_invocation(
        self, caller: Caller, session_id: str, invocation_id: str | None, description: str | None
    ) -> Invocation: ...

    async def list_invocations(
        self, session_id: str, max_results: int, next_token: str | None
    ) -> Page[InvocationSummary]: ...

    async def put_steps(
        self,
        caller: Caller,
        session_id: str,
        invocation_id: str,
        steps: Sequence[StepToPut],
        *,
        create_invocation: bool,
    ) -> tuple[InvocationStep, ...]: ...

    async def get_invocation_step(self, session_id: str, invocation_id: str, step_id: str) -> InvocationStep: ...

    async def list_invocation_steps(
        self, session_id: str, invocation_id: str | None, max_results: int, next_token: str | None
    ) -> Page[InvocationStepSummary]: ...

    def steps(self, session_id: str, chosen: StepRange) -> AsyncGenerator[Sequence[InvocationStep]]: ...

    async def tag(self, caller: Caller, session_id: str, tags: Mapping[str, str]) -> None: ...

    async def untag(self, caller: Caller, session_id: str, keys: Sequence[str]) -> None: ...

    async def lease(self, caller: Caller, session_id: str) -> Lease: ...

    async def fork(self, caller: Caller, session_id: str, *, at: Place | None, key: str | None) -> Session: ...

    async def redact(
        self, caller: Caller, session_id: str, invocation_id: str, step_id: str, why: Why
    ) -> Redaction: ...

    async def trim(self, caller: Caller, session_id: str, why: Why, *, before: Place) -> Session: ...

    def audit_records(self, session_id: str | None) -> AsyncGenerator[AuditRecord]: ...

    async def gc(self, *, dry_run: bool, on_progress: Callable[[int], None] | None) -> GcReport: ...

    async def resolve(self, token: str) -> Resolution: ...

    async def verify(self, session_id: str, *, on_progress: Callable[[int], None] | None) -> Verification: ...

    async def salvage(
        self, caller: Caller, session_id: str, *, key: str | None, on_progress: Callable[[int], None] | None
    ) -> Salvaged: ...

    async def ping(self) -> None: ...

    async def aclose(self) -> None: ...
