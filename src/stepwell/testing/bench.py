"""What a case works with: handles on one store, or clients on one, as many as it asks for, and the time they see.

Stores, Clients    the one argument of a case
Abilities          what a backend can do; what it cannot, it must refuse
FakeClock          time that passes when it is told to
clients_on         clients of one colour on a journal store
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, ParamSpec, Protocol, TypeAlias, TypeVar, cast

from stepwell.blocking import run_sync
from stepwell.client import AsyncClient
from stepwell.errors import StepwellError
from stepwell.io.aio import AsyncioTasks
from stepwell.io.blocking import BlockingTasks
from stepwell.io.files import Files
from stepwell.io.ports import Clock, Ports
from stepwell.limits import Limits
from stepwell.stores.base import JournalStore
from stepwell.sync import Client
from stepwell.testing.lifted import Lifted

P = ParamSpec("P")
T = TypeVar("T")
E = TypeVar("E", bound=StepwellError)

Colour: TypeAlias = Literal["sync", "async"]
COLOURS: tuple[Colour, ...] = ("sync", "async")

OpenStore: TypeAlias = Callable[[Ports], JournalStore]
"""Opens one and the same store each time it is called, with the ports that it is to use."""

TENANT = "conformance"
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What not every backend does. The refusal of what is missing, `NotSupported`, is asserted as well."""

    encryption_keys: bool = False
    """`create_session(encryption_key_arn=…)`."""
    if_head: bool = True
    leases: bool = True
    forgets: bool = False
    """Whether it removes by itself what has expired: then `gc` leaves that to it."""


class FakeClock:
    """Time that passes when it is told to, and by *tick* at each look: no two events share one."""

    def __init__(self, start: datetime = datetime(2031, 5, 4, 3, 2, 1, tzinfo=UTC)) -> None:
        self.tick = timedelta(milliseconds=1)
        self._now = start
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """The time as the models show it."""
        self.advance(self.tick)
        return self._now

    def wall(self) -> int:
        """Microseconds since 1970."""
        return (self.now() - _EPOCH) // _MICROSECOND

    def boot(self) -> int:
        """The same time."""
        return self.wall()

    def advance(self, by: timedelta) -> None:
        """Let time pass."""
        with self._lock:
            self._now += by


class OpenClient(Protocol):
    """Opens a client on one and the same store each time."""

    def __call__(self, *, tenant: str, limits: Limits | None, clock: Clock) -> AsyncClient:
        """A new connection; `Lifted` ones are cast."""
        ...


class Stores:
    """Handles on one store."""

    def __init__(self, open_store: OpenStore, colour: Colour) -> None:
        self._open = open_store
        self._colour: Colour = colour
        self._opened: list[tuple[JournalStore, Ports]] = []

    def open(self) -> JournalStore:
        """A handle of its own, as another process would have it."""
        tasks = BlockingTasks() if self._colour == "sync" else AsyncioTasks()
        ports = Ports(FakeClock(), tasks, Files(), os.urandom)
        self._opened.append((self._open(ports), ports))
        return self._opened[-1][0]

    async def race(self, calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """The results of calls that run at once."""
        return await race(calls, self._colour)

    async def aclose(self) -> None:
        """Close every handle."""
        for store, ports in self._opened:
            await store.aclose()
            await ports.tasks.aclose()


class Clients:
    """Clients on one store, all with the same clock."""

    def __init__(self, open_client: OpenClient, colour: Colour, abilities: Abilities | None = None) -> None:
        self.abilities = abilities or Abilities()
        self.clock = FakeClock()
        self._open = open_client
        self._colour: Colour = colour
        self._opened: list[AsyncClient] = []

    def open(self, *, tenant: str = TENANT, limits: Limits | None = None) -> AsyncClient:
        """A client with a connection of its own, as another process would have it."""
        client = self._open(tenant=tenant, limits=limits, clock=self.clock)
        self._opened.append(client)
        return client

    async def race(self, calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """The results of calls that run at once."""
        return await race(calls, self._colour)

    async def aclose(self) -> None:
        """Close every client."""
        for client in self._opened:
            await client.aclose()


async def race(calls: Sequence[Coroutine[Any, Any, T]], colour: Colour) -> list[T]:
    """Run *calls* at once: each in a thread of its own, or all on the event loop."""
    if colour == "async":
        return await AsyncioTasks().gather(calls, width=len(calls))
    with ThreadPoolExecutor(len(calls)) as threads:
        return [started.result() for started in [threads.submit(run_sync, call) for call in calls]]


def clients_on(open_store: OpenStore, colour: Colour) -> OpenClient:
    """Opens clients of one colour on a journal store."""

    def open_client(*, tenant: str, limits: Limits | None, clock: Clock) -> AsyncClient:
        if colour == "async":
            return AsyncClient.from_store(open_store, tenant=tenant, limits=limits, clock=clock)
        client = Client.from_store(open_store, tenant=tenant, limits=limits, clock=clock)
        return cast(AsyncClient, Lifted(client))

    return open_client


async def refused(kind: type[E], call: Awaitable[object]) -> E:
    """The error of exactly this kind with which *call* is refused; anything else fails the case."""
    error = await attempt(call)
    assert isinstance(error, StepwellError), f"not refused: {kind.__name__} was expected"
    if type(error) is not kind:
        raise error
    return error


async def all_refused(kind: type[E], *calls: Coroutine[Any, Any, object]) -> list[E]:
    """The errors of calls that are all refused, one after the other."""
    try:
        return [await refused(kind, call) for call in calls]
    finally:
        for call in calls:
            call.close()  # those behind one that was not refused


async def attempt(call: Awaitable[T]) -> T | StepwellError:
    """What *call* returns, or the error that it raises."""
    try:
        return await call
    except StepwellError as error:
        return error


async def collected(read: Callable[P, AsyncIterator[T]], /, *args: P.args, **kwargs: P.kwargs) -> list[T]:
    """All that *read* yields when it is called with these arguments."""
    return [item async for item in read(*args, **kwargs)]
