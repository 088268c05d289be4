"""Tasks on threads. No coroutine here ever suspends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class _Lock:
    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()

    async def __aenter__(self) -> None:
        self._lock.acquire()

    async def __aexit__(self, *exc: object) -> None:
        self._lock.release()


class _Signal:
    """A lock that is held until the signal is set: far lighter than `threading.Event`."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        if self._lock.locked():
            self._lock.release()

    async def wait(self) -> None:
        self._lock.acquire()


class BlockingTasks:
    """Each call blocks its own thread."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    async def run(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do blocking work, here."""
        return call(*args, **kwargs)

    async def gather(self, calls: Sequence[Coroutine[Any, Any, T]], *, width: int) -> list[T]:
        """One after the other: *width* is for those who can."""
        try:
            return [await call for call in calls]
        finally:
            for call in calls:
                call.close()

    async def shield(self, call: Coroutine[Any, Any, T]) -> T:
        """Threads are not cancelled."""
        return await call

    def lock(self) -> AbstractAsyncContextManager[object]:
        """A new `threading.Lock`."""
        return _Lock()

    async def settle(self) -> None:
        """What other threads do is theirs."""

    def signal(self) -> _Signal:
        """A new signal."""
        return _Signal()

    async def aclose(self) -> None:
        """Nothing to let go of."""
