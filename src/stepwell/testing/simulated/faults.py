"""What goes wrong: requests are lost, late or refused, replies are lost, processes freeze, die, and see wrong times.

Weather   how often, in one schedule
Line      a process's connection to the store: every request of it suspends before it is sent, and before its reply
Meddler   freezes, kills and sets clocks between the steps
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from stepwell.errors import OutcomeUnknown, StepwellError, Throttled, Unavailable
from stepwell.testing.simulated.schedule import HOUR, SECOND, Process, Task, World

T = TypeVar("T")

DELIVERED_WITHIN = 5 * HOUR
"""No request arrives later than this after it was sent."""
FREEZES = (20 * SECOND, 600 * SECOND, 7 * HOUR, 30 * HOUR, 60 * HOUR)
LONG_FREEZES = FREEZES[2:]
CLOCK_JUMPS = tuple(sign * size for sign in (-1, 1) for size in (60 * SECOND, 7 * HOUR, 26 * HOUR, 72 * HOUR))


@dataclass(slots=True, kw_only=True)
class Weather:
    """Chances: of each request to be lost, of its reply, of it to be late, slow or throttled; and of each step."""

    lost: float = 0.0
    reply_lost: float = 0.0
    late: float = 0.0
    slow: float = 0.0
    throttled: float = 0.0
    frozen: float = 0.0
    """Of a write to find its process frozen before it is sent, and of its answer."""
    freeze: float = 0.0
    kill: float = 0.0
    cancel: float = 0.0
    jump: float = 0.0
    hours_pass: float = 0.0
    on: bool = True

    @classmethod
    def drawn(cls, world: World, *, hot: bool) -> Weather:
        """Some weather: in each schedule a few things go wrong, and those often."""
        draw = world.random.random
        most = 0.25 if hot else 0.15
        lost, reply_lost, late, slow, throttled = (most * draw() if draw() < _SHARE else 0.0 for _ in range(5))
        frozen = world.random.choice((0.0, 0.0, 0.02, 0.1, 0.3)) if hot else 0.02 * draw()
        freeze, kill, cancel, jump, hours = (_PER_STEP * draw() if draw() < _SHARE else 0.0 for _ in range(5))
        return cls(
            lost=lost,
            reply_lost=reply_lost,
            late=late,
            slow=slow,
            throttled=throttled,
            frozen=frozen,
            freeze=freeze,
            kill=kill,
            cancel=cancel,
            jump=jump,
            hours_pass=hours if hot else 0.0,
        )


_SHARE, _PER_STEP, _OFTEN = 0.5, 0.02, 0.05


class Line:
    """A process's connection."""

    def __init__(self, process: Process, weather: Weather) -> None:
        self.process = process
        self.world = process.world
        self.server_time: int | None = None
        self._weather = weather

    @property
    def calm(self) -> bool:
        """Whether nothing goes wrong any more."""
        return not self._weather.on

    async def request(self, what: str, apply: Callable[[], T], *, writes: bool) -> T:
        """The result of *apply*, which is done by the store at one moment."""
        world, weather = self.world, self._weather
        if not weather.on:
            self.server_time = world.now
            return apply()
        await self._pause(writes=writes)  # a process that is frozen here has not sent it yet
        chance = world.random.random()
        if chance < weather.throttled:
            world.note(f"{what}: throttled")
            raise Throttled("simulated: too many requests")
        chance -= weather.throttled
        if chance < weather.lost:
            world.note(f"{what}: lost")
            await world.pause()
            raise _silence(what, writes=writes)
        chance -= weather.lost
        if writes and chance < weather.late:
            self._late(what, apply)
            await world.pause()
            raise _silence(what, writes=True)
        chance -= weather.late
        if chance < weather.slow:
            return await self._slow(what, apply)
        chance -= weather.slow
        try:
            result, failed = apply(), None
        except StepwellError as error:
            result, failed = None, error
        if world.trace is not None:
            world.note(f"{what}: {failed or _told(result)}")
        told = world.now
        await self._pause(writes=writes)  # a process that is frozen here has not heard of it yet
        if chance < weather.reply_lost:
            world.note(f"{what}: reply lost")
            raise _silence(what, writes=writes)
        self._hear(told)
        if failed is not None:
            raise failed
        return result  # type: ignore[return-value]

    async def _pause(self, *, writes: bool) -> None:
        world = self.world
        if writes and world.random.random() < self._weather.frozen:
            duration = world.random.choice(LONG_FREEZES if self._weather.frozen > _OFTEN else FREEZES)
            world.note(f"-- freezes for {duration / HOUR:.2f} h")
            world.freeze(self.process, duration)
        await world.pause()

    def _hear(self, told: int) -> None:
        self.server_time = max(told, self.server_time or 0)

    def _late(self, what: str, apply: Callable[[], object]) -> None:
        """Let it arrive later, when nobody waits for it any more."""
        world = self.world
        world.note(f"{what}: no answer, under way")

        def arrive() -> None:
            try:
                told = _told(apply())
            except StepwellError as error:
                told = str(error)
            world.note(f"{what}: sent by {self.process.name}, arrives: {told}")

        world.after(self._delay(), arrive)

    async def _slow(self, what: str, apply: Callable[[], T]) -> T:
        """Let it arrive later; the client waits."""
        world = self.world
        waiters: list[Task] = []
        arrived: list[tuple[T | None, StepwellError | None, int]] = []

        def arrive() -> None:
            try:
                arrived.append((apply(), None, world.now))
            except StepwellError as error:
                arrived.append((None, error, world.now))
            world.note(f"{what}: slow, sent by {self.process.name}, arrives")
            world.wake(waiters)

        world.after(self._delay(), arrive)
        while not arrived:
            await world.pause(waiters)
        await world.pause()
        result, failed, told = arrived[0]
        self._hear(told)
        if failed is not None:
            raise failed
        return result  # type: ignore[return-value]

    def _delay(self) -> int:
        draw = self.world.random.random
        return int(draw() * (SECOND if draw() < _SOON else DELIVERED_WITHIN))


_SOON = 0.6


def _silence(what: str, *, writes: bool) -> StepwellError:
    return OutcomeUnknown(f"simulated: {what}: no answer") if writes else Unavailable(f"simulated: {what}: no answer")


def _told(result: object) -> str:
    return "ok" if result is None else type(result).__name__


class Meddler:
    """What happens to processes between the steps. *revive* is called with each that was killed."""

    def __init__(self, world: World, weather: Weather, revive: Callable[[Process], None]) -> None:
        self._world = world
        self._weather = weather
        self._revive = revive
        chances = (weather.freeze, weather.kill, weather.cancel, weather.jump, weather.hours_pass)
        self._acts = (self._freeze, self._kill, self._cancel, self._jump, self._pass_hours)
        self._limits = [sum(chances[: i + 1]) for i in range(len(chances))]
        self._most = self._limits[-1]

    def __call__(self, chance: float) -> None:
        """Do something, if it is time."""
        if chance >= self._most or not self._world.processes:
            return
        for limit, act in zip(self._limits, self._acts, strict=True):
            if chance < limit:
                act(self._world.random.choice(self._world.processes))
                return

    def _freeze(self, process: Process) -> None:
        duration = self._world.random.choice(FREEZES)
        self._world.note(f"-- {process.name} freezes for {duration / HOUR:.2f} h")
        self._world.freeze(process, duration)

    def _kill(self, process: Process) -> None:
        self._world.note(f"-- {process.name} is killed")
        self._world.kill(process)
        self._revive(process)

    def _cancel(self, process: Process) -> None:
        calling = [task for task in process.tasks if not task.done and task.call is not None]
        if calling and process.frozen_until <= self._world.now:
            task = self._world.random.choice(calling)
            self._world.note(f"-- {task.call} of {process.name} is cancelled")
            self._world.cancel(task)

    def _jump(self, process: Process) -> None:
        process.skew += self._world.random.choice(CLOCK_JUMPS)
        process.ahead = max(process.ahead, process.skew)
        self._world.note(f"-- the clock of {process.name} is {process.skew / HOUR:+.2f} h wrong")

    def _pass_hours(self, process: Process) -> None:
        hours = self._world.random.choice((1, 4, 7, 25, 49))
        self._world.note(f"-- {hours} h pass")
        self._world.pass_time(hours * HOUR)
