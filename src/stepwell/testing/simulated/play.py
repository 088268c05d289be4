"""One schedule from its beginning to its end: clients, faults, the quiet afterwards, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from stepwell.ids import uuid_text
from stepwell.limits import Limits
from stepwell.stores.base import JournalId, JournalStore
from stepwell.testing.simulated.calls import Call
from stepwell.testing.simulated.chains import chains
from stepwell.testing.simulated.clients import KEYS, MIXES, TENANT, Client, Handle, Program, shares
from stepwell.testing.simulated.faults import DELIVERED_WITHIN, Line, Meddler, Weather
from stepwell.testing.simulated.history import History, check
from stepwell.testing.simulated.schedule import HOUR, Process, Task, World
from stepwell.testing.simulated.stores import Written, store_named

REVIVED_MOST = 20
"""How often one client is started again: what it calls may take longer than processes live, and so end never."""
COLLECTIONS = 4
"""Runs of gc at the end, a day and an hour apart."""


@dataclass(frozen=True, slots=True)
class Played:
    """What became of a schedule."""

    seed: int
    faults: tuple[str, ...]
    steps: int
    calls: int
    outcomes: Sequence[str]
    trace: Sequence[str]


class Schedule:
    """See the module."""

    def __init__(self, seed: int, mix: str, store: str, *, traced: bool = False) -> None:
        self.seed = seed
        self.world = World(seed)
        if traced:
            self.world.trace = []
        draw = self.world.random
        self._hot = mix == "hot"
        self._weather = Weather.drawn(self.world, hot=self._hot)
        if store == "memory":
            self._weather.jump = 0.0  # one machine has one clock
        self._written = Written(self.world)
        self._store = store_named(store)(self.world, self._written)
        self._program = Program(self.world, MIXES[mix], self._store)
        self._limits = self._drawn_limits()
        self._drivers: list[Task] = []
        clients = draw.randint(2, 4)
        for at, calls in enumerate(shares(draw.randint(6, 15), clients)):
            self._start(f"c{at}", calls)
        if self._hot and draw.random() < _COLLECTOR:
            process = self.world.process("gc")
            handle = Handle("gc", Client(process, self._store, self._weather, self._limits))
            self._drivers.append(self.world.start(process, self._program.collect(handle, draw.randint(2, 5))))

    def _drawn_limits(self) -> Limits:
        """A retention in some schedules, more often and of more kinds where the store forgets."""
        draw, forgets = self.world.random, self._store.forgets
        if not self._hot or draw.random() >= (1 / 2 if forgets else 1 / 4):
            return Limits.none()
        return Limits(retention=timedelta(hours=draw.choice(_RETENTIONS) if forgets else 90))

    def _start(self, name: str, calls: int) -> None:
        process = self.world.process(name)
        client = Client(process, self._store, self._weather, self._limits)
        handles = [Handle(name, client)]
        if calls > 1 and self.world.random.random() < _TWO_HANDLES:
            handles.append(Handle(name + "b", client.handle()))
        for handle, share in zip(handles, shares(calls, len(handles)), strict=True):
            self._drivers.append(self.world.start(process, self._program.run(handle, share)))

    def _revive(self, process: Process) -> None:
        if process.name.count("'") < REVIVED_MOST:
            self._start(process.name + "'", 2)

    def play(self) -> Played:
        """Play it, and say what is wrong."""
        final: list[Call] = []
        faults: list[str] = []
        left: dict[str, list[bytes]] = {}
        world = self.world
        try:
            world.run(self._is_over, Meddler(world, self._weather, self._revive))
            final = self._end(left)
        except Exception as error:
            faults.append(f"{type(error).__name__}: {error}")
        for process in list(world.processes):
            world.kill(process)
        try:
            faults += self._judged(final, left, collected=self._hot and not faults)
        except Exception as error:  # what is written is such that it cannot even be judged
            faults.append(f"{type(error).__name__}: {error}")
        return Played(
            self.seed,
            tuple(faults),
            world.steps,
            len(world.calls),
            [call.outcome for call in world.calls],
            world.trace or (),
        )

    def _judged(self, final: list[Call], left: dict[str, list[bytes]], *, collected: bool) -> list[str]:
        history = History(
            self.world.calls,
            chains(self._written.records),
            self.world.tokens,
            final,
            left,
            collected=collected,
            forgets=self._store.forgets,
        )
        return check(history)

    def _is_over(self) -> bool:
        while self._drivers and self._drivers[-1].done:
            self._drivers.pop()
        return not self._drivers

    # The end

    def _end(self, left: dict[str, list[bytes]]) -> list[Call]:
        """Let everything arrive, and ask a fresh client."""
        world = self.world
        world.note("-- faults end")
        self._weather.on = False
        world.run(lambda: all(task.done for process in world.processes for task in process.tasks))
        world.pass_time(DELIVERED_WITHIN + HOUR)
        process = world.process("end")
        handle = Handle("end", Client(process, self._store, self._weather, self._limits))
        final: list[Call] = []
        task = world.start(process, self._ending(handle, final, self._store.open(Line(process, self._weather)), left))
        world.run(lambda: task.done)
        if task.error is not None:
            raise task.error
        return final

    async def _ending(
        self, handle: Handle, final: list[Call], store: JournalStore, left: dict[str, list[bytes]]
    ) -> None:
        await self._ask(handle, final)
        if not self._hot:
            return
        for _ in range(COLLECTIONS):
            final.append(await self._program.record(Call(0, "end", "gc", None), handle.client.gc()))
            self.world.pass_time(25 * HOUR)
        for session in await store.journals(TENANT, None, 1000):  # before anybody asks: resolve takes slots
            journal = JournalId(TENANT, session)
            held = self._store.held(journal)
            left[uuid_text(session)] = [held] if held else []
        await self._ask(handle, final)

    async def _ask(self, handle: Handle, final: list[Call]) -> None:
        """Settle what is unknown, and read everything."""
        program = self._program
        final += [await program.resolve(handle, token, call) for token, call in program.tokens]
        for journal in list(self._written.records):
            session = uuid_text(journal.session)
            final += [await program.get(handle, session), await program.read(handle, session)]
        final += [await program.find(handle, key) for key in KEYS]
        final += [await program.listed(handle, deleted=True), await program.listed(handle)]


_TWO_HANDLES, _COLLECTOR = 0.3, 0.6
_RETENTIONS = (20, 40, 90)
