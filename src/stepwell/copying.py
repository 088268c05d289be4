"""Copying events of one session into a new one, which begins with them."""

from __future__ import annotations

from dataclasses import replace

from stepwell.clocks import Instant, instant
from stepwell.codecs.content import blob_names
from stepwell.errors import NotFound, Unavailable
from stepwell.io.ports import Ports
from stepwell.journal.decide import Append, Caller
from stepwell.journal.events import Copied, Event, InvocationCreated, Payload, StepPut
from stepwell.journal.record import ERASED, SALT_SIZE, TOKEN_SIZE
from stepwell.lane import BATCH_MAX_BYTES, BATCH_MAX_EVENTS, NO_CALL, Intent, Lane, Settled
from stepwell.reader import BLOBS_AT_ONCE
from stepwell.stores.base import JournalId, JournalStore
from stepwell.view import while_fresh


class Copy:
    """Appends events to *target*, in records as large as they may be; their blobs go before them.

    No step comes before its invocation: one that nobody created is created where its first step is.
    """

    def __init__(self, store: JournalStore, ports: Ports, source: JournalId, target: Lane, caller: Caller) -> None:
        self._store = store
        self._ports = ports
        self._source = source
        self._target = target
        self._caller = caller._replace(begins=True)
        self._known: set[bytes] = set()
        self._begin()

    def _begin(self) -> None:
        self._events: list[Event] = []
        self._tokens: list[bytes] = []
        self._weight = 0
        self._began: Instant = instant(self._ports, self._store)

    async def add(self, event: InvocationCreated | StepPut, token: bytes, created_at: int | None = None) -> None:
        """Copy an event with the token of the call that wrote it; both have their times.

        *created_at* is when its invocation was created, if that is known from elsewhere.

        Raises:
            CorruptJournal: a blob is gone.
        """
        if event.invocation not in self._known:
            self._known.add(event.invocation)
            if isinstance(event, StepPut):
                created = InvocationCreated(event.invocation, None, event.time if created_at is None else created_at)
                await self._add(created, token)
        await self._add(event, token)

    async def _add(self, event: InvocationCreated | StepPut, token: bytes) -> None:
        size = _weight(event)
        if self._events and (self._weight + size > BATCH_MAX_BYTES or len(self._events) == BATCH_MAX_EVENTS):
            await self._append()
        names = blob_names(event, token) if isinstance(event, StepPut) else []
        calls = [self._store.copy_blob(self._source, name, self._target.journal) for name in names]
        await self._ports.tasks.gather(calls, width=BLOBS_AT_ONCE)
        self._events.append(event)
        self._tokens.append(token)
        self._weight += size

    async def finish(self) -> Settled:
        """Append what is left, and that it is whole."""
        self._events.append(Copied())
        self._tokens.append(NO_CALL)
        return await self._append()

    async def _append(self) -> Settled:
        """Append what was added.

        Raises:
            Unavailable: it took so long that the new session is over, or was taken back.
        """
        wanted = Append(tuple(self._events), tuple(self._tokens))
        whole = while_fresh(lambda state, now: wanted, self._began, self._ports, self._store)
        token = self._ports.random(TOKEN_SIZE)
        try:
            settled = await self._target.submit(Intent(self._caller, token, whole, 0, len(self._events)))
        except NotFound as error:
            raise Unavailable("copying took so long that the new session is gone: try again") from error
        self._begin()
        return settled


def timed(event: Event, time: int) -> InvocationCreated | StepPut | None:
    """An event of a record written at *time* as a copy holds it, with the time it had; None for what is not copied."""
    match event:
        case StepPut():
            return event._replace(time=time) if event.time is None else event
        case InvocationCreated():
            return replace(event, created_at=time) if event.created_at is None else event
        case _:
            return None


def erased(step: StepPut) -> StepPut:
    """A step that was redacted, whether or not its payloads were erased in time."""
    payloads = [Payload(ERASED * SALT_SIZE, ERASED * len(payload.stored)) for payload in step.payloads]
    return step._replace(payloads=tuple(payloads))


def _weight(event: InvocationCreated | StepPut) -> int:
    if isinstance(event, StepPut):
        return sum(100 + len(payload.stored) for payload in event.payloads) + 100
    return 100 + len(event.description or "") * 4
