"""What the rest of Stepwell may ask of the world.

Clock   now, twice: by the wall, and since boot (which runs on while the machine sleeps)
Tasks   sleep, run blocking work, gather, shield, lock, signal: threads or asyncio
Files   system calls (see files.py)
Ports   one of each, and randomness
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, ParamSpec, Protocol, TypeVar

from stepwell.io.files import Files

P = ParamSpec("P")
T = TypeVar("T")


class Clock(Protocol):
    """Times in microseconds."""

    def wall(self) -> int:
        """Since 1970, UTC."""
        ...

    def boot(self) -> int:
        """Since some start, never set back, counting the time that the machine sleeps where the system can."""
        ...


class Signal(Protocol):
    """One waits, another sets it, once or more."""

    def set(self) -> None:
        """Let the one who waits go on, now or later."""
        ...

    async def wait(self) -> None:
        """Wait until it is set."""
        ...


class Tasks(Protocol):
    """Concurrency of one kind."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    async def run(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do blocking work."""
        ...

    async def gather(self, calls: Sequence[Coroutine[Any, Any, T]], *, width: int) -> list[T]:
        """The results in order, at most *width* at once; the first error ends it."""
        ...

    async def shield(self, call: Coroutine[Any, Any, T]) -> T:
        """Finish *call* even if the caller is cancelled meanwhile."""
        ...

    def lock(self) -> AbstractAsyncContextManager[object]:
        """A new lock: `async with` holds it. Not reentrant."""
        ...

    async def settle(self) -> None:
        """Wait for what is under way."""
        ...

    def signal(self) -> Signal:
        """A new signal."""
        ...

    async def aclose(self) -> None:
        """Let go of threads."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """The world, as a client sees it."""

    clock: Clock
    tasks: Tasks
    files: Files
    random: Callable[[int], bytes]
