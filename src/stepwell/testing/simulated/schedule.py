"""A world without threads, sockets or clocks: coroutines are driven by hand, one random step after the other.

World     time, timers, and the tasks that may run; one seed, one order of steps
Process   one client's machine: its clocks, its tasks; it can be frozen and killed
Task      a coroutine that is driven
Tasks     the port of `stepwell.io`: sleep, gather, shield, lock and signal hand over to the world

A coroutine hands over by yielding None (it may go on at any time) or the list of those who wait for something.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import AbstractAsyncContextManager
from types import coroutine
from typing import Any, ParamSpec, TypeVar

from stepwell.io.ports import Signal
from stepwell.testing.simulated.calls import Call

P = ParamSpec("P")
T = TypeVar("T")

SECOND = 1_000_000
HOUR = 3600 * SECOND
START = 1_935_630_000 * SECOND
"""When every schedule begins: in 2031."""
STEPS_MAX = 20_000
"""A schedule of so many steps goes round in circles."""


class Killed(BaseException):
    """The process is no more, or the task was cancelled."""


class Stuck(Exception):
    """Tasks wait for one another, or never come to an end."""


class Task:
    """A coroutine of a process. *call* is what a client asked for with it."""

    __slots__ = ("call", "done", "error", "process", "result", "running", "waiters")

    def __init__(self, process: Process, running: Coroutine[Any, Any, Any], call: Call | None) -> None:
        self.process = process
        self.running = running
        self.call = call
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.waiters: list[Task] = []


class Process:
    """A machine with one client on it. Its wall clock may be wrong, its clock since boot never is."""

    __slots__ = ("ahead", "dead", "frozen_until", "held", "name", "skew", "tasks", "world")

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.skew = 0
        self.ahead = 0
        self.frozen_until = 0
        self.dead = False
        self.tasks: list[Task] = []
        self.held: list[Task] = []

    def wall(self) -> int:
        """Microseconds since 1970, as this machine believes."""
        return self.world.now + self.skew

    def boot(self) -> int:
        """Microseconds since some start."""
        return self.world.now - START


class World:
    """See the module."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = START
        self.steps = 0
        self.current: Task | None = None
        self.processes: list[Process] = []
        self.calls: list[Call] = []
        self.tokens: dict[bytes, Call] = {}
        self.trace: list[str] | None = None
        self._ready: list[Task] = []
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._timer = 0
        self._bytes = random.Random(seed ^ 0x5EED)

    def note(self, what: str) -> None:
        """Add a line to the trace, if there is one."""
        if self.trace is not None:
            whose = self.current.process.name if self.current else "-"
            self.trace.append(f"{self.steps:6} {(self.now - START) / HOUR:10.4f} h  {whose:4} {what}")

    # Processes and tasks

    def process(self, name: str) -> Process:
        """A new one."""
        made = Process(self, name)
        self.processes.append(made)
        return made

    def start(self, process: Process, running: Coroutine[Any, Any, Any], call: Call | None = None) -> Task:
        """A new task of a process."""
        task = Task(process, running, call)
        process.tasks.append(task)
        self._ready.append(task)
        return task

    async def join(self, task: Task) -> Any:
        """The task's result."""
        while not task.done:
            await self.pause(task.waiters)
        if task.error is not None:
            raise task.error
        return task.result

    @coroutine
    def pause(self, waiters: list[Task] | None = None) -> Generator[list[Task] | None, None, None]:
        """Hand over, for a while or until somebody wakes *waiters*. A dead process never goes on."""
        task = self.current
        assert task is not None
        if task.process.dead:
            raise Killed
        yield waiters
        if task.process.dead:
            raise Killed

    def wake(self, waiters: list[Task]) -> None:
        """Let those who wait go on."""
        self._ready += waiters
        waiters.clear()

    def freeze(self, process: Process, duration: int) -> None:
        """Let nothing of a process run for some time."""
        process.frozen_until = max(process.frozen_until, self.now + duration)
        self.after(process.frozen_until - self.now, lambda: self._thaw(process))

    def _thaw(self, process: Process) -> None:
        if process.frozen_until <= self.now:
            self.wake(process.held)

    def kill(self, process: Process) -> None:
        """End a process at once. What it has sent is on its way."""
        process.dead = True
        self.processes.remove(process)
        for task in process.tasks:
            self.cancel(task)

    def cancel(self, task: Task) -> None:
        """Let a task end where it stands."""
        if not task.done:
            before = self.current
            self._step(task, Killed())
            self.current = before

    def random_bytes(self, size: int) -> bytes:
        """A process's randomness; a write token is remembered as its call's."""
        made = self._bytes.randbytes(size)
        if self.current is not None and self.current.call is not None and size >= _TOKEN:
            self.tokens[made[:_TOKEN]] = self.current.call
        return made

    # Time

    def after(self, duration: int, do: Callable[[], None]) -> None:
        """Do something later."""
        self._timer += 1
        heapq.heappush(self._timers, (self.now + duration, self._timer, do))

    def pass_time(self, duration: int) -> None:
        """Let time pass, and what is due happen on the way."""
        until = self.now + duration
        while self._timers and self._timers[0][0] <= until:
            when, _, do = heapq.heappop(self._timers)
            self.now = max(self.now, when)
            do()
        self.now = max(self.now, until)

    async def sleep(self, duration: int) -> None:
        """Wait for some microseconds at least."""
        waiters: list[Task] = []
        until = self.now + duration
        self.after(duration, lambda: self.wake(waiters))
        while self.now < until:
            await self.pause(waiters)

    def timers_pending(self) -> bool:
        """Whether something is still to happen by itself."""
        return bool(self._timers)

    # Steps

    def run(self, until: Callable[[], bool], meddle: Callable[[float], None] | None = None) -> None:
        """Take random steps until *until* holds. *meddle* is given a random number before each.

        Raises:
            Stuck: nothing more can happen, or it never ends.
        """
        draw = self.random.random
        ready = self._ready
        while not until():
            self.steps += 1
            if self.steps > STEPS_MAX:
                raise Stuck("a schedule that never ends")
            chance = draw()
            if meddle is not None:
                meddle(chance)
            if not ready:
                if not self._timers:
                    raise Stuck("every task waits for another")
                self.current = None
                self.pass_time(max(0, self._timers[0][0] - self.now))
                continue
            at = int(draw() * len(ready))
            task = ready[at]
            ready[at] = ready[-1]
            ready.pop()
            if task.done:
                continue
            if task.process.frozen_until > self.now:
                task.process.held.append(task)
                continue
            moment = self.now + int(chance * _STEP_MICROSECONDS)
            if self._timers and self._timers[0][0] <= moment:
                self.pass_time(moment - self.now)
            else:
                self.now = moment
            self._step(task)

    def _step(self, task: Task, thrown: Killed | None = None) -> None:
        self.current = task
        try:
            waiters = task.running.send(None) if thrown is None else task.running.throw(thrown)
        except StopIteration as stop:
            task.result = stop.value
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # it is its waiter's, or the checker's
            task.error = error
        else:
            (self._ready if waiters is None else waiters).append(task)
            return
        task.done = True
        self.wake(task.waiters)


_TOKEN = 16
_STEP_MICROSECONDS = 20_000


class _Lock:
    __slots__ = ("_held", "_waiters", "_world")

    def __init__(self, world: World) -> None:
        self._world = world
        self._held = False
        self._waiters: list[Task] = []

    async def __aenter__(self) -> None:
        while self._held:
            await self._world.pause(self._waiters)
        self._held = True

    async def __aexit__(self, *exc: object) -> None:
        self._held = False
        self._world.wake(self._waiters)


class _Signal:
    __slots__ = ("_set", "_waiters", "_world")

    def __init__(self, world: World) -> None:
        self._world = world
        self._set = False
        self._waiters: list[Task] = []

    def set(self) -> None:
        self._set = True
        self._world.wake(self._waiters)

    async def wait(self) -> None:
        while not self._set:
            await self._world.pause(self._waiters)


class Tasks:
    """Tasks of one process."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._world = process.world

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._world.sleep(int(seconds * SECOND))

    async def run(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do blocking work, here."""
        return call(*args, **kwargs)

    async def gather(self, calls: Sequence[Coroutine[Any, Any, T]], *, width: int) -> list[T]:
        """The results in order; *width* is no matter to a world without limits. The first error cancels the rest."""
        if len(calls) <= 1:
            return [await call for call in calls]
        tasks = [self._start(call) for call in calls]
        waiters: list[Task] = []
        for task in tasks:
            task.waiters = waiters
        try:
            while not all(task.done for task in tasks):
                if any(task.error is not None for task in tasks):
                    break
                await self._world.pause(waiters)
            for task in tasks:
                if task.error is not None:
                    raise task.error
            return [task.result for task in tasks]
        finally:
            for task in tasks:
                self._world.cancel(task)

    async def shield(self, call: Coroutine[Any, Any, T]) -> T:
        """Finish *call* even if the caller is cancelled meanwhile."""
        result: T = await self._world.join(self._start(call))
        return result

    def _start(self, call: Coroutine[Any, Any, Any]) -> Task:
        current = self._world.current
        return self._world.start(self._process, call, None if current is None else current.call)

    def lock(self) -> AbstractAsyncContextManager[object]:
        """A new lock."""
        return _Lock(self._world)

    async def settle(self) -> None:
        """The world waits for everything."""

    def signal(self) -> Signal:
        """A new signal."""
        return _Signal(self._world)

    async def aclose(self) -> None:
        """Nothing to let go of."""
