"""AsyncClient: the operations, with their defaults and checks.

`Client` is the same text, driven synchronously (sync.py). Each client is one *handle*: leases and `if_head` belong to
it. `handle()` gives another one on the same connection. An `AsyncClient` belongs to one event loop; a `Client` may be
used from many threads, and after `fork()`.

Every method may raise, beside what it names: `InvalidRequest` for a malformed argument, `LimitExceeded` for one beyond
the client's limits, `PermissionDenied`, `Throttled`, `Unavailable`, `CorruptJournal`, `StaleStore`; and, if it writes,
`OutcomeUnknown`. `error.operation` is the method.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from datetime import datetime, timedelta
from functools import cache, wraps
from inspect import signature
from math import inf
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from stepwell import ids, urls
from stepwell.backend import Backend, SessionFilter, StepRange, StepToPut
from stepwell.batched import Batched
from stepwell.errors import (
    AlreadyExists,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    SessionEnded,
    StepwellError,
    Unavailable,
)
from stepwell.io.aws import check_given
from stepwell.io.clock import SystemClock
from stepwell.io.files import Files
from stepwell.io.fork import after_fork
from stepwell.io.ports import Clock, Ports, Tasks
from stepwell.journal.decide import Caller
from stepwell.journal.events import Why
from stepwell.journal.record import WRITER_SIZE
from stepwell.journal_backend import JournalBackend
from stepwell.limits import Limits, check_limits, check_time
from stepwell.models import (
    AuditRecord,
    Content,
    GcReport,
    Invocation,
    InvocationStep,
    InvocationStepSummary,
    InvocationSummary,
    Lease,
    NewStep,
    Page,
    Position,
    Redaction,
    Resolution,
    Salvaged,
    Session,
    SessionStatus,
    SessionSummary,
    Verification,
    blocks,
)
from stepwell.paging import PAGE_DEFAULT, PAGE_MAX, check_page_size
from stepwell.stores.base import JournalStore
from stepwell.views import microseconds, moment, place

P = ParamSpec("P")
T = TypeVar("T")

STEPS_PER_CALL_MAX = 250
OPEN_ATTEMPTS = 5
_IDS = ("session_id", "invocation_id", "invocation_step_id")
LINGER_MAX_SECONDS = 10.0
WHY_MAX_CHARACTERS = 1000
"""Of a reason, and of an approver."""
LEASES_MAX = 10_000
"""Leases that one handle may hold."""
TAIL_POLL_FIRST_SECONDS, TAIL_POLL_LAST_SECONDS = 0.02, 1.0


_signature = cache(signature)


def _operation(
    method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    """Name the operation in its errors."""

    name = method.__name__

    @wraps(method)
    async def call(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(self, *args, **kwargs)
        except StepwellError as error:
            error.operation = name
            _name_ids(error, _signature(method).bind_partial(self, *args, **kwargs).arguments)
            raise

    return call


def _name_ids(error: StepwellError, arguments: Mapping[str, Any]) -> None:
    """Let an error carry the ids that its operation was called with, where they are ids."""
    named = {"resource_arn": "session_id", **{name: name for name in _IDS}}
    for argument, attribute in named.items():
        value = arguments.get(argument)
        if getattr(error, attribute) is None and value is not None:
            try:
                setattr(error, attribute, ids.session_id(value))
            except InvalidRequest:
                continue  # what is no id is not repeated


def _is_time(seconds: object) -> bool:
    return isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < inf


def _why(reason: str, approver: str) -> Why:
    for name, text in (("reason", reason), ("approver", approver)):
        if len(ids.check_text(name, text)) > WHY_MAX_CHARACTERS:
            raise LimitExceeded(f"{name}: {len(text)} characters, the limit WHY_MAX_CHARACTERS is {WHY_MAX_CHARACTERS}")
    return Why(reason, approver)


def _optional_text(field: str, text: str | None) -> str | None:
    return None if text is None else ids.check_text(field, text)


def _check_progress(on_progress: object) -> None:
    if on_progress is not None and not callable(on_progress):
        raise InvalidRequest("on_progress: a function that takes a number, or None")


@contextmanager
def _naming(operation: str, **arguments: object) -> Generator[None]:
    try:
        yield
    except StepwellError as error:
        error.operation = operation
        _name_ids(error, arguments)
        raise


class AsyncClient:
    """Sessions in a store. Use as `async with stepwell.AsyncClient(url) as client:`.

    Args:
        url: where, see docs/urls.md; default: `STEPWELL_URL`, else a folder in the user's data directory.
        tenant: whose sessions; nobody sees another tenant's. Default: the URL's, else "default".
        limits: quotas and times, applied to what this client writes and recorded in sessions that it creates.
        linger: seconds that a write waits for others to share its record; 0 shares only what piles up by itself.
        boto3_session: for a store on AWS: the session whose credentials and region are used.
        boto3_client: for a store on AWS: a client to call through, or one for each service, used as they are.
        botocore_config: for a store on AWS: a `botocore.config.Config`, which wins in all but retries.
        clock: the time, for tests.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        tenant: str | None = None,
        limits: Limits | None = None,
        linger: float = 0.0,
        boto3_session: Any = None,
        boto3_client: Any = None,
        botocore_config: Any = None,
        clock: Clock | None = None,
    ) -> None:
        given = check_given(boto3_session, boto3_client, botocore_config)
        target = urls.parse(urls.default_url() if url is None else url, tenant, given)
        self._open(None, target.open, target.tenant, target.limits(limits), linger, clock)

    @classmethod
    def from_store(
        cls,
        open_store: Callable[[Ports], JournalStore],
        *,
        tenant: str | None = None,
        limits: Limits | None = None,
        linger: float = 0.0,
        clock: Clock | None = None,
        tasks: Tasks | None = None,
    ) -> AsyncClient:
        """A client over a store of your own: *open_store* gets the ports that it is to use."""
        client = cls.__new__(cls)
        whose = ids.check_tenant(urls.DEFAULT_TENANT if tenant is None else tenant)
        client._open(tasks, open_store, whose, check_limits(limits), linger, clock)
        return client

    def _open(
        self,
        tasks: Tasks | None,
        open_store: Callable[[Ports], JournalStore],
        tenant: str,
        limits: Limits,
        linger: float,
        clock: Clock | None,
    ) -> None:
        if not _is_time(linger) or linger > LINGER_MAX_SECONDS:
            raise InvalidRequest(f"linger: seconds, 0 to {LINGER_MAX_SECONDS}")
        if tasks is None:
            from stepwell.io.aio import AsyncioTasks

            tasks = AsyncioTasks()
        ports = Ports(clock or SystemClock(), tasks, Files(), os.urandom)
        backend = JournalBackend(open_store(ports), ports, tenant=tenant, limits=limits, linger=linger)
        self._attach(backend, limits, ports)

    def _attach(self, backend: Backend, limits: Limits, ports: Ports) -> None:
        self._backend = backend
        self._limits = limits
        self._ports = ports
        self._become_new()
        after_fork(self._become_new)

    def _become_new(self) -> None:
        self._writer = self._ports.random(WRITER_SIZE)
        self._leases: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._backend!r})"

    def handle(self) -> AsyncClient:
        """Another handle on the same connection, with leases and an `if_head` of its own."""
        other = type(self).__new__(type(self))
        other._attach(self._backend, self._limits, self._ports)
        return other

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Finish what is under way and let go of the store, for every handle on it. Using one again opens it anew."""
        await self._backend.aclose()

    def _caller(self, session_id: str, if_head: Position | None = None) -> Caller:
        seen = None if if_head is None else place("if_head", if_head)
        return Caller(self._writer, self._leases.get(session_id), seen)

    # Sessions

    @_operation
    async def create_session(
        self,
        *,
        key: str | None = None,
        metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        encryption_key_arn: str | None = None,
        retention: timedelta | None = None,
    ) -> Session:
        """Create a session. *key* is your own name for it, 1 to 512 characters, unique among live sessions.

        It is kept for *retention* from now on, 1 second to 36,525 days; default: the client's `limits.retention`, then
        the `ttl` of its URL, then for ever.

        Raises:
            AlreadyExists: another session has the key.
            NotSupported: this store cannot encrypt with *encryption_key_arn*.
        """
        return await self._backend.create_session(
            Caller(self._writer),
            key=None if key is None else ids.check_key(key),
            metadata=self._limits.check_metadata({} if metadata is None else metadata),
            tags=self._limits.check_tags({} if tags is None else tags),
            encryption_key_arn=_optional_text("encryption_key_arn", encryption_key_arn),
            retention=None if retention is None else check_time("retention", retention),
        )

    @_operation
    async def open_session(
        self,
        *,
        key: str,
        metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        retention: timedelta | None = None,
    ) -> Session:
        """The session that *key* names, created if there is none; all but the key is for a new one only."""
        for _ in range(OPEN_ATTEMPTS):
            try:
                return await self.get_session(key=key)
            except NotFound:
                pass  # create it
            try:
                return await self.create_session(key=key, metadata=metadata, tags=tags, retention=retention)
            except AlreadyExists:
                pass  # somebody was quicker
        raise Unavailable("the key is taken and given up again and again: try again")

    @_operation
    async def get_session(self, session_id: str | None = None, *, key: str | None = None) -> Session:
        """A session by its id, its ARN or its *key*, tags included.

        Raises:
            NotFound: there is none.
        """
        return await self._backend.get_session(await self._session_id(session_id, key))

    async def _session_id(self, session_id: str | None, key: str | None) -> str:
        if (session_id is None) == (key is None):
            raise InvalidRequest("session_id, key: give exactly one of them")
        if session_id is not None:
            return ids.session_id(session_id)
        return await self._backend.session_of_key(ids.check_key(key or ""))

    @_operation
    async def update_session(self, session_id: str, metadata: Mapping[str, str]) -> Session:
        """Replace a session's metadata.

        Raises:
            NotFound: there is none.
            SessionEnded, SessionExpired: it is not ACTIVE.
            Fenced: another handle took a newer lease.
        """
        session_id = ids.session_id(session_id)
        checked = self._limits.check_metadata(metadata)
        return await self._backend.update_session(self._caller(session_id), session_id, checked)

    @_operation
    async def end_session(self, session_id: str) -> Session:
        """End a session: nothing is added to it from then on. Ending it again is a success.

        Raises:
            NotFound: there is none.
            Fenced: another handle took a newer lease.
        """
        session_id = ids.session_id(session_id)
        try:
            return await self._backend.end_session(self._caller(session_id), session_id)
        except SessionEnded:
            return await self._backend.get_session(session_id)

    @_operation
    async def delete_session(
        self,
        session_id: str,
        *,
        end: bool = False,
        purge_after: timedelta | None = None,
        reason: str = "",
        approver: str = "",
    ) -> None:
        """Delete a session; an ACTIVE one only with *end*.

        With *purge_after* it is hidden, keeps its key, and can be brought back by `undelete` for so long; without, it
        is gone at once, also one that was hidden before. *reason* and *approver* are for `audit_records`.

        Raises:
            NotFound: there is none.
            Conflict: it is ACTIVE, and *end* was not given.
            Fenced: another handle took a newer lease.
        """
        session_id = ids.session_id(session_id)
        if not isinstance(end, bool):
            raise InvalidRequest("end: True or False")
        if purge_after is not None:
            check_time("purge_after", purge_after)
        await self._backend.delete_session(
            self._caller(session_id), session_id, _why(reason, approver), end=end, purge_after=purge_after
        )

    @_operation
    async def undelete(self, session_id: str, *, reason: str = "", approver: str = "") -> Session:
        """Bring back a session that was deleted with *purge_after*. One that is not deleted is returned as it is.

        Raises:
            NotFound: there is none, or it is gone for good.
            Fenced: another handle took a newer lease.
        """
        session_id = ids.session_id(session_id)
        return await self._backend.undelete(self._caller(session_id), session_id, _why(reason, approver))

    @_operation
    async def extend_retention(
        self, session_id: str, *, until: datetime, reason: str = "", approver: str = ""
    ) -> Session:
        """Keep a session until then at least; it never shortens a retention, and does nothing where there is none.

        Raises:
            NotFound: there is no such session, or its retention has ended.
            Fenced: another handle took a newer lease.
        """
        session_id = ids.session_id(session_id)
        microseconds("until", until)
        return await self._backend.extend_retention(
            self._caller(session_id), session_id, _why(reason, approver), until=until
        )

    @_operation
    async def list_sessions(
        self, *, max_results: int = PAGE_DEFAULT, next_token: str | None = None
    ) -> Page[SessionSummary]:
        """One page of sessions, newest first."""
        return await self._backend.list_sessions(SessionFilter(), check_page_size(max_results), next_token)

    async def sessions(
        self,
        *,
        status: SessionStatus | None = None,
        tags: Mapping[str, str] | None = None,
        key_prefix: str = "",
        created_after: datetime | None = None,
        deleted: bool = False,
    ) -> AsyncIterator[SessionSummary]:
        """All sessions for which everything given holds, newest first, read as they are needed.

        With *deleted*: those that were deleted and can be brought back by `undelete`, instead of the others.
        """
        with _naming("sessions"):
            if status not in (None, "ACTIVE", "EXPIRED", "ENDED"):
                raise InvalidRequest("status: ACTIVE, EXPIRED or ENDED")
            if not isinstance(deleted, bool):
                raise InvalidRequest("deleted: True or False")
            chosen = SessionFilter(
                status=status,
                tags=Limits.none().check_tags({} if tags is None else tags),
                key_prefix=ids.check_text("key_prefix", key_prefix),
                created_after=None if created_after is None else moment(microseconds("created_after", created_after)),
                deleted=deleted,
            )
            token: str | None = None
            while True:
                page = await self._backend.list_sessions(chosen, PAGE_MAX // 10, token)
                for item in page.items:
                    yield item
                if (token := page.next_token) is None:
                    return

    # Invocations

    @_operation
    async def create_invocation(
        self, session_id: str, *, invocation_id: str | None = None, description: str | None = None
    ) -> Invocation:
        """Begin an invocation: a turn or a task, to which steps belong. *description* is kept, and returned only here.

        Raises:
            NotFound: no such session.
            AlreadyExists: the session has this invocation.
            SessionEnded, SessionExpired: it is not ACTIVE.
            Fenced: another handle took a newer lease.
        """
        session_id = ids.session_id(session_id)
        if invocation_id is not None:
            ids.uuid_bytes("invocation_id", invocation_id)
        if description is not None:
            self._limits.check_description(description)
        return await self._backend.create_invocation(self._caller(session_id), session_id, invocation_id, description)

    @_operation
    async def list_invocations(
        self, session_id: str, *, max_results: int = PAGE_DEFAULT, next_token: str | None = None
    ) -> Page[InvocationSummary]:
        """One page of a session's invocations, newest first.

        Raises:
            NotFound: no such session.
        """
        return await self._backend.list_invocations(
            ids.session_id(session_id), check_page_size(max_results), next_token
        )

    # Steps

    @_operation
    async def put_invocation_step(
        self,
        session_id: str,
        invocation_id: str,
        content: Content,
        *,
        invocation_step_id: str | None = None,
        invocation_step_time: datetime | None = None,
        create_invocation: bool = False,
        if_head: Position | None = None,
    ) -> InvocationStep:
        """Write a step; when this returns, it is durable.

        With *invocation_step_id*, writing the same content again is a success and writes nothing.

        Raises:
            NotFound: no such session, or no such invocation and *create_invocation* was not given.
            AlreadyExists: the step id has other content.
            SessionEnded, SessionExpired: the session is not ACTIVE.
            HeadMoved: another handle wrote behind *if_head*.
            Fenced: another handle took a newer lease.
        """
        step = StepToPut(blocks(content), invocation_step_id, invocation_step_time)
        put = await self._put(session_id, invocation_id, [step], create_invocation=create_invocation, if_head=if_head)
        return put[0]

    @_operation
    async def put_invocation_steps(
        self,
        session_id: str,
        invocation_id: str,
        steps: Sequence[NewStep | Content],
        *,
        create_invocation: bool = False,
        if_head: Position | None = None,
    ) -> tuple[InvocationStep, ...]:
        """Write up to 250 steps in one append: all of them or none. Raises as `put_invocation_step`."""
        if isinstance(steps, str | bytes) or not isinstance(steps, Sequence) or not steps:
            raise InvalidRequest("steps: give a sequence of at least one NewStep or content")
        if len(steps) > STEPS_PER_CALL_MAX:
            raise LimitExceeded(f"steps: {len(steps)}, the limit STEPS_PER_CALL_MAX is {STEPS_PER_CALL_MAX}")
        wanted = [
            StepToPut(blocks(step.content), step.invocation_step_id, step.invocation_step_time)
            if isinstance(step, NewStep)
            else StepToPut(blocks(step))
            for step in steps
        ]
        return await self._put(session_id, invocation_id, wanted, create_invocation=create_invocation, if_head=if_head)

    async def _put(
        self,
        session_id: str,
        invocation_id: str,
        steps: Sequence[StepToPut],
        *,
        create_invocation: bool,
        if_head: Position | None,
    ) -> tuple[InvocationStep, ...]:
        session_id = ids.session_id(session_id)
        if len(steps) > 1:
            given = [step.invocation_step_id for step in steps if step.invocation_step_id is not None]
            if len(set(given)) < len(given):
                raise InvalidRequest("steps: two of them have the same invocation_step_id")
        for step in steps:
            self._limits.check_content(step.content)
        return await self._backend.put_steps(
            self._caller(session_id, if_head),
            session_id,
            invocation_id,
            steps,
            create_invocation=create_invocation,
        )

    @_operation
    async def get_invocation_step(self, session_id: str, invocation_id: str, invocation_step_id: str) -> InvocationStep:
        """A step by its ids.

        Raises:
            NotFound: no such session, or no such step in this invocation.
        """
        return await self._backend.get_invocation_step(ids.session_id(session_id), invocation_id, invocation_step_id)

    @_operation
    async def list_invocation_steps(
        self,
        session_id: str,
        invocation_id: str | None = None,
        *,
        max_results: int = PAGE_DEFAULT,
        next_token: str | None = None,
    ) -> Page[InvocationStepSummary]:
        """One page of the steps of a session or of one invocation, newest first, without content.

        Raises:
            NotFound: no such session or invocation.
        """
        return await self._backend.list_invocation_steps(
            ids.session_id(session_id), invocation_id, check_page_size(max_results), next_token
        )

    def steps(
        self,
        session_id: str | None = None,
        *,
        key: str | None = None,
        invocation_id: str | None = None,
        after: Position | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> AsyncIterator[InvocationStep]:
        """The steps of a session with their content, oldest first, as far as it goes when the reading begins.

        Args:
            session_id: the session, or give its *key*.
            invocation_id: only this invocation's.
            after: only those behind this position.
            limit: at most so many.
            reverse: newest first.

        Raises:
            NotFound: no such session or invocation.
        """
        return Batched(self._step_batches(session_id, key, invocation_id, after, limit, reverse=reverse))

    async def _step_batches(
        self,
        session_id: str | None,
        key: str | None,
        invocation_id: str | None,
        after: Position | None,
        limit: int | None,
        *,
        reverse: bool,
    ) -> AsyncGenerator[Sequence[InvocationStep]]:
        with _naming("steps", session_id=session_id, invocation_id=invocation_id):
            if limit is not None and (type(limit) is not int or limit < 0):
                raise InvalidRequest("limit: a whole number, 0 or more")
            behind = None if after is None else place("after", after)
            chosen = StepRange(invocation_id=invocation_id, after=behind, reverse=reverse)
            session_id = await self._session_id(session_id, key)
            if limit == 0:
                return
            async with aclosing(self._backend.steps(session_id, chosen)) as batches:
                async for steps in batches:
                    yield steps if limit is None else steps[:limit]
                    if limit is not None and (limit := limit - len(steps)) <= 0:
                        return

    async def tail(
        self,
        session_id: str | None = None,
        *,
        key: str | None = None,
        after: Position | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[InvocationStep]:
        """The steps behind *after* (default: all), then each new one as it comes, until the session is not ACTIVE.

        Reconnect with the last step's `position` as *after*. After *timeout* seconds without a new step it just ends.

        Raises:
            NotFound: no such session, or it was deleted.
        """
        with _naming("tail", session_id=session_id):
            session_id = await self._session_id(session_id, key)
            behind = None if after is None else place("after", after)
            if timeout is not None and not _is_time(timeout):
                raise InvalidRequest("timeout: seconds, 0 or more")
            pause, quiet, seen = TAIL_POLL_FIRST_SECONDS, 0.0, -1
            while True:
                head, status = await self._backend.head(session_id)
                if head != seen:
                    seen = head
                    async with aclosing(self._backend.steps(session_id, StepRange(after=behind))) as batches:
                        async for steps in batches:
                            for step in steps:
                                behind, pause, quiet = place("after", step.position), TAIL_POLL_FIRST_SECONDS, 0.0
                                yield step
                if status != "ACTIVE" or (timeout is not None and quiet >= timeout):
                    return
                await self._ports.tasks.sleep(pause)
                quiet, pause = quiet + pause, min(2 * pause, TAIL_POLL_LAST_SECONDS)

    # Tags

    @_operation
    async def tag_resource(self, resource_arn: str, tags: Mapping[str, str]) -> None:
        """Add tags to a session, or replace their values, whatever its status.

        Raises:
            NotFound: no such session.
            Fenced: another handle took a newer lease.
        """
        session_id = ids.session_id(resource_arn)
        if not tags:
            raise InvalidRequest("tags: at least one is needed")
        await self._backend.tag(self._caller(session_id), session_id, self._limits.check_tags(tags))

    @_operation
    async def untag_resource(self, resource_arn: str, tag_keys: Sequence[str]) -> None:
        """Remove tags from a session, whatever its status; those that it has not are passed over.

        Raises:
            NotFound: no such session.
            Fenced: another handle took a newer lease.
        """
        session_id = ids.session_id(resource_arn)
        if isinstance(tag_keys, str) or not isinstance(tag_keys, Sequence) or not tag_keys:
            raise InvalidRequest("tag_keys: give a sequence of at least one key")
        await self._backend.untag(
            self._caller(session_id), session_id, [ids.check_text("tag_keys", key) for key in tag_keys]
        )

    @_operation
    async def list_tags_for_resource(self, resource_arn: str) -> dict[str, str]:
        """A session's tags.

        Raises:
            NotFound: no such session.
        """
        session = await self._backend.get_session(ids.session_id(resource_arn))
        return dict(session.tags or {})

    # Beyond Bedrock

    @_operation
    async def lease(self, session_id: str) -> Lease:
        """Take the right to write: every other handle that holds a lease is `Fenced` from now on.

        It needs no clock and is never given back; whoever wants it takes it. Handles that never took one interleave.

        Raises:
            NotFound: no such session.
            SessionEnded, SessionExpired: it is not ACTIVE.
        """
        session_id = ids.session_id(session_id)
        if session_id not in self._leases and len(self._leases) >= LEASES_MAX:
            raise LimitExceeded(f"this handle holds LEASES_MAX, {LEASES_MAX}, leases: use another handle()")
        lease = await self._backend.lease(Caller(self._writer), session_id)
        self._leases[session_id] = lease.epoch
        return lease

    @_operation
    async def fork(self, session_id: str, *, at: Position | None = None, key: str | None = None) -> Session:
        """A new ACTIVE session with the history of this one up to *at* (default: all of it), whatever its status.

        The copy stands by itself. It keeps ids and times of invocations and steps, metadata and tags; the key is new.

        Raises:
            NotFound: no such session.
            AlreadyExists: another session has the key.
        """
        upto = None if at is None else place("at", at)
        checked = None if key is None else ids.check_key(key)
        return await self._backend.fork(Caller(self._writer), ids.session_id(session_id), at=upto, key=checked)

    @_operation
    async def redact(
        self,
        session_id: str,
        invocation_id: str,
        invocation_step_id: str,
        *,
        reason: str,
        approver: str = "",
    ) -> Redaction:
        """Erase the content of a step where it is stored, whatever the session's status. Its blocks read as `Redacted`.

        The step stays, with its ids and times, and the history still verifies. Redacting it again is a success.

        Raises:
            NotFound: no such session, or no such step in this invocation.
            Fenced: another handle took a newer lease.
            OutcomeUnknown: it was decided, and may not be erased yet: `resolve` and `gc` finish it.
        """
        session_id = ids.session_id(session_id)
        return await self._backend.redact(
            self._caller(session_id), session_id, invocation_id, invocation_step_id, _why(reason, approver)
        )

    @_operation
    async def trim(self, session_id: str, *, before: Position, reason: str = "", approver: str = "") -> Session:
        """Let a session's history begin at the append that *before* belongs to; what is older is gone at once.

        Steps that were appended together stay together. An invocation stays if one of its steps does, or if it was
        created there or later; the newest one always stays. `gc` gives the space back, a day after it saw the trim.

        Raises:
            NotFound: no such session.
            LimitExceeded: more than TRIM_MAX_INVOCATIONS, 4096, invocations would stay.
            StaleStore: *before* lies behind the session's end.
            Fenced: another handle took a newer lease.
        """
        session_id = ids.session_id(session_id)
        return await self._backend.trim(
            self._caller(session_id), session_id, _why(reason, approver), before=place("before", before)
        )

    async def audit_records(self, session_id: str | None = None) -> AsyncIterator[AuditRecord]:
        """Who deleted, undeleted, purged, redacted, trimmed or kept for longer: of all sessions or one, newest first.

        They outlive their session. Of a call that was interrupted, the record may come only when `gc` finishes it.
        """
        with _naming("audit_records", session_id=session_id):
            chosen = None if session_id is None else ids.session_id(session_id)
            async with aclosing(self._backend.audit_records(chosen)) as records:
                async for record in records:
                    yield record

    @_operation
    async def gc(self, *, dry_run: bool = False, on_progress: Callable[[int], None] | None = None) -> GcReport:
        """Reclaim: purge the tenant's sessions that are due, finish what was interrupted, and free what is not needed.

        What it finds for the first time it only marks; a run a day later or more removes it. Run it once a day. It may
        be stopped at any time, and run beside writers and beside itself. *on_progress* is told the number of sessions
        done. With *dry_run* nothing is written.
        """
        if not isinstance(dry_run, bool):
            raise InvalidRequest("dry_run: True or False")
        _check_progress(on_progress)
        return await self._backend.gc(dry_run=dry_run, on_progress=on_progress)

    @_operation
    async def resolve(self, token: str) -> Resolution:
        """What became of a write that raised `OutcomeUnknown`, by that error's token, from any process.

        "committed" and "absent" are final; "unknown" means that the journal was trimmed or reclaimed meanwhile. What
        an interrupted call had still to do is done.

        Raises:
            NotFound: no such session.
        """
        return await self._backend.resolve(token)

    @_operation
    async def verify(self, session_id: str, *, on_progress: Callable[[int], None] | None = None) -> Verification:
        """Check everything that is stored of a session, and name every fault. It writes nothing, and heals nothing.

        What cannot be told from what is stored is whether whole records are missing at the end: who remembers a later
        position is told `StaleStore` when it passes that as `after=` or `if_head`. *on_progress* is told the number of
        places looked at.

        Raises:
            NotFound: no such session, or it is deleted.
            NotSupported: a newer version of Stepwell wrote some of it.
        """
        _check_progress(on_progress)
        return await self._backend.verify(ids.session_id(session_id), on_progress=on_progress)

    @_operation
    async def salvage(
        self, session_id: str, *, key: str | None = None, on_progress: Callable[[int], None] | None = None
    ) -> Salvaged:
        """A new ACTIVE session with all that is whole of a damaged one, which stays as it is.

        It keeps ids and times of invocations and steps, and the latest metadata and tags that are whole; the key is
        new. A step with a damaged block is left out as a whole. *on_progress* is told the number of steps copied.

        Raises:
            NotFound: no such session, or it is deleted.
            CorruptJournal: nothing of it is whole.
            AlreadyExists: another session has the key.
            NotSupported: a newer version of Stepwell wrote some of it.
        """
        checked = None if key is None else ids.check_key(key)
        session_id = ids.session_id(session_id)
        _check_progress(on_progress)
        return await self._backend.salvage(Caller(self._writer), session_id, key=checked, on_progress=on_progress)

    @_operation
    async def ping(self) -> None:
        """Return if the store can be reached and used; raise why not."""
        await self._backend.ping()
