"""Tasks on asyncio. Blocking work runs in a bounded pool of threads of its own, so that a slow disk stalls no loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, ParamSpec, TypeVar

from stepwell.io.ports import Signal

P = ParamSpec("P")
T = TypeVar("T")

_NO_LOOP = "no event loop is running: an async port was given to a sync client"
THREADS_MAX = 16
"""Threads for blocking work, per client."""


class _Signal:
    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()


class AsyncioTasks:
    """Tasks of one event loop: a client belongs to the loop that first uses it."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None
        self._shielded: set[asyncio.Task[Any]] = set()
        self._running: set[asyncio.Future[Any]] = set()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def run(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do blocking work in a thread."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS_MAX, "stepwell")
        work = asyncio.get_running_loop().run_in_executor(self._threads, partial(call, *args, **kwargs))
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        return await asyncio.shield(work)

    async def gather(self, calls: Sequence[Coroutine[Any, Any, T]], *, width: int) -> list[T]:
        """The results in order, at most *width* at once; the first error cancels the rest."""
        free = asyncio.Semaphore(width)

        async def one(call: Coroutine[Any, Any, T]) -> T:
            async with free:
                return await call

        tasks = [asyncio.ensure_future(one(call)) for call in calls]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def shield(self, call: Coroutine[Any, Any, T]) -> T:
        """Finish *call* even if the caller is cancelled meanwhile."""
        try:
            task = asyncio.get_running_loop().create_task(call)
        except RuntimeError:
            call.close()
            raise RuntimeError(_NO_LOOP) from None
        self._shielded.add(task)
        task.add_done_callback(self._settled)
        return await asyncio.shield(task)

    def _settled(self, task: asyncio.Task[Any]) -> None:
        self._shielded.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may be gone; an error must not be reported as never retrieved

    def lock(self) -> AbstractAsyncContextManager[object]:
        """A new `asyncio.Lock`."""
        return asyncio.Lock()

    async def settle(self) -> None:
        """Wait for what is under way, also for callers that were cancelled."""
        while pending := {*self._shielded, *self._running}:
            await asyncio.wait(pending)

    def signal(self) -> Signal:
        """A new signal."""
        return _Signal()

    async def aclose(self) -> None:
        """Let go of the threads."""
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None
