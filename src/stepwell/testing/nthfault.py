"""Every method of the client, on a disk whose n-th operation fails, for every n.

    python -m stepwell.testing.nthfault
    python -m stepwell.testing.nthfault --operation put_invocation_step
    python -m stepwell.testing.nthfault --pairs 2000 --seed 7

Each run takes a fresh copy of a small store, opens a client (warm: it has read and written there before), and calls
one method while the disk fails: once, or from then on. Then the disk is whole again, and this has to hold:

- the method succeeded, or raised `Unavailable` or `OutcomeUnknown` with advice in its message; nothing else
- it happened, or it did not happen: what a client that knew nothing before reads is one or the other; `Unavailable`
  says that it did not, and `OutcomeUnknown.token` settles it
- all else is as it was; lists and keys agree with the sessions
- both clients can append, and that is durable: it is there when the operating system has forgotten what it remembered
- no lock is held, and when the clients are closed no descriptor is open

It takes no time to wait: clocks and pauses are simulated.
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import random
import shlex
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Protocol

from stepwell.blocking import run_sync
from stepwell.client import AsyncClient
from stepwell.errors import NotFound, OutcomeUnknown, StepwellError, Unavailable
from stepwell.io.blocking import BlockingTasks
from stepwell.io.ports import Ports
from stepwell.limits import Limits
from stepwell.models import Text
from stepwell.stores.file import FileStore
from stepwell.testing.bench import FakeClock, attempt, collected
from stepwell.testing.command import ended, parser, positive, progress, report
from stepwell.testing.faults.disk import KINDS, Disk, Fault
from stepwell.testing.faults.picture import Picture, picture
from stepwell.testing.faults.places import in_memory
from stepwell.testing.faults.scenarios import SCENARIOS, Scenario, World, build, method, warm_up

TENANT = "default"
ADVICE = ("try again", "resolve(error.token)", "run gc again", "check the disk", "ulimit")
"""What a message may tell the caller to do."""
AND_ON = "and on"
_LIMITS = Limits(retention=timedelta(days=30))
_PAIR_SPAN = 30


class Violation(AssertionError):
    """Something did not hold."""


class PatientTasks(BlockingTasks):
    """Nobody waits: the clock is told that time has passed."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self._clock.advance(timedelta(seconds=seconds))


class Opened(NamedTuple):
    """A client and the store it works on."""

    client: AsyncClient
    store: FileStore


class Bench:
    """Clients on one folder, one disk and one clock."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.folder = folder
        self.disk = Disk()
        self._clock = clock
        self._opened: list[Opened] = []

    def open(self) -> Opened:
        """A client that knows nothing."""
        stores: list[FileStore] = []

        def open_store(ports: Ports) -> FileStore:
            stores.append(FileStore(os.fspath(self.folder), replace(ports, files=self.disk)))
            return stores[0]

        tasks = PatientTasks(self._clock)
        client = AsyncClient.from_store(open_store, tenant=TENANT, limits=_LIMITS, clock=self._clock, tasks=tasks)
        self._opened.append(Opened(client, stores[0]))
        return self._opened[-1]

    async def aclose(self) -> None:
        """Close every client."""
        for opened in self._opened:
            await opened.client.aclose()
        self.disk.drop_caches()


@dataclass(slots=True)
class Template:
    """What a scenario begins with, and what runs without a fault make of it, cold (False) and warm (True)."""

    scenario: Scenario
    folder: Path
    world: World
    start: datetime
    before: Picture
    after: Picture
    results: dict[bool, object] = field(default_factory=dict[bool, object])
    operations: dict[bool, list[frozenset[str]]] = field(default_factory=dict[bool, list[frozenset[str]]])


@dataclass(slots=True)
class Summary:
    """Figures of a whole run."""

    scenarios: int = 0
    operations: int = 0
    runs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter[str])
    failures: list[str] = field(default_factory=list[str])

    def shown(self) -> dict[str, int]:
        """For people and programs."""
        return {
            "scenarios": self.scenarios,
            "operations": self.operations,
            "runs": self.runs,
            **dict(sorted(self.outcomes.items())),
            "failures": len(self.failures),
        }


async def template(name: str, folder: Path) -> Template:
    """Build what a scenario begins with, and see what it does where nothing fails."""
    scenario, clock = SCENARIOS[name], FakeClock()
    bench = Bench(folder / "store", clock)
    client = bench.open().client
    world = await build(client)
    if scenario.prepare is not None:
        await scenario.prepare(client, world)
    clock.advance(scenario.later)
    opened = bench.open()
    before = await picture(*opened, TENANT, frozenset())
    await bench.aclose()
    made = Template(scenario, folder / "store", world, clock.now(), before, before)
    for warm in (False, True):
        with tempfile.TemporaryDirectory(dir=folder) as copy:
            bench = _copy(made, Path(copy))
            client = await _client(bench, made, warm=warm)
            bench.disk.arm()
            made.results[warm] = await scenario.call(client, world)
            made.operations[warm] = bench.disk.trace
            bench.disk.lift()
            made.after = await picture(*bench.open(), TENANT, before.ids)
            await bench.aclose()
    return made


def _copy(made: Template, folder: Path) -> Bench:
    shutil.copytree(made.folder, folder / "store")
    return Bench(folder / "store", FakeClock(made.start))


async def _client(bench: Bench, made: Template, *, warm: bool) -> AsyncClient:
    client = bench.open().client
    if warm:
        await warm_up(client)
    return client


async def run(made: Template, folder: Path, faults: Sequence[Fault], *, warm: bool) -> str:
    """One run; how it ended.

    Raises:
        Violation: what did not hold.
    """
    fds = _open_fds()
    bench = _copy(made, folder)
    client = await _client(bench, made, warm=warm)
    bench.disk.arm(*faults)
    try:
        result = await attempt(made.scenario.call(client, made.world))
    except Exception as error:
        raise Violation(f"{type(error).__name__} was raised, which is no StepwellError") from error
    fired = bench.disk.fired
    bench.disk.lift()
    ended = await _check_result(result, made, bench, warm=warm)
    _check_locks(bench.folder)
    await _check_world(ended, client, made, bench)
    await bench.aclose()
    left = _open_fds() - fds
    if left:
        raise Violation(f"{len(left)} descriptors stay open: {[bench.disk.names_of_open.get(fd) for fd in left]}")
    return ended if fired else "untouched"


async def _check_result(result: object, made: Template, bench: Bench, *, warm: bool) -> str:
    """How the call ended: "done", "refused" or "unknown", then settled as "committed" or "absent"."""
    if not isinstance(result, StepwellError):
        if made.scenario.reads and result != made.results[warm]:
            raise Violation(f"it returned {result!r}, not {made.results[warm]!r}") from None
        return "done"
    if not isinstance(result, Unavailable | OutcomeUnknown):
        raise Violation(f"{type(result).__name__} was raised for a disk that fails: {result}") from result
    if not any(advice in str(result) for advice in ADVICE):
        raise Violation(f"the message does not say what to do: {result}") from result
    if isinstance(result, Unavailable):
        return "refused"
    if not result.token:
        raise Violation("OutcomeUnknown has no token") from result
    try:
        return f"unknown, {(await bench.open().client.resolve(result.token)).outcome}"
    except StepwellError as error:
        raise Violation(f"resolve raised {type(error).__name__}: {error}") from result


async def _check_world(ended: str, client: AsyncClient, made: Template, bench: Bench) -> None:
    """What is there fits how the call ended, for every client, now and when nothing is remembered."""
    expected = {
        "done": [made.after],
        "refused": [made.before],
        "unknown, committed": [made.after],
        "unknown, absent": [made.before],
    }.get(ended, [])
    known = made.before.ids
    seen = await picture(client, bench.open().store, TENANT, known)
    if made.scenario.piecemeal:
        expected, seen = [made.before._replace(audit=())], seen._replace(audit=())
    if seen not in expected:
        raise Violation(f"it {ended}, and the same client shows {_difference(seen, expected)}")
    appended = [await _append(client, made, seen), await _append(bench.open().client, made, seen)]
    bench.disk.drop_caches()
    fresh = bench.open()
    later = await picture(*fresh, TENANT, known)
    if made.scenario.piecemeal:
        later = later._replace(audit=())
    lost = [session for session in appended if not await _holds(fresh.client, session)]
    if lost:
        raise Violation(f"it {ended}, and an append after it was lost")
    if _without_appended(later) != seen:
        raise Violation(f"it {ended}, and a fresh client shows {_difference(_without_appended(later), [seen])}")


async def _append(client: AsyncClient, made: Template, seen: Picture) -> tuple[str, str]:
    """Append a step where that can be; the ids of its session and of itself."""
    kept = made.world.kept
    session, invocation = kept.session, kept.invocation
    if (session, "ACTIVE") not in [(shown.name, shown.status) for shown in seen.sessions]:
        session = (await client.create_session(metadata={AND_ON: AND_ON})).session_id
        invocation = (await client.create_invocation(session)).invocation_id
    return session, (await client.put_invocation_step(session, invocation, AND_ON)).invocation_step_id


async def _holds(client: AsyncClient, appended: tuple[str, str]) -> bool:
    session, step = appended
    try:
        return step in [found.invocation_step_id for found in await collected(client.steps, session)]
    except NotFound:
        return False


def _without_appended(shown: Picture) -> Picture:
    sessions = [
        session._replace(steps=tuple(step for step in session.steps if step[2] != (Text(text=AND_ON),)))
        for session in shown.sessions
        if (AND_ON, AND_ON) not in session.metadata
    ]
    return shown._replace(sessions=tuple(sessions))


def _difference(shown: Picture, expected: Sequence[Picture]) -> str:
    """What differs, in few words."""
    for other in expected:
        missing = [
            f"-{item}" for item in (*other.sessions, *other.audit) if item not in (*shown.sessions, *shown.audit)
        ]
        more = [f"+{item}" for item in (*shown.sessions, *shown.audit) if item not in (*other.sessions, *other.audit)]
        return "\n  ".join(["something else:", *missing, *more])
    return "something that fits no outcome"


def _check_locks(folder: Path) -> None:
    """Nobody holds a lock: another process could take each."""
    for path in (folder / "locks").iterdir():
        fd = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Violation(f"the lock {path.name} is still held") from None
        finally:
            os.close(fd)


def _open_fds() -> set[int]:
    return {int(path.name) for path in Path("/dev/fd").iterdir() if _is_open(int(path.name))}


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False  # the one that listed them
    return True


# What to run


def every_fault(made: Template, *, warm: bool) -> Iterator[tuple[Fault, ...]]:
    """Each operation with each kind that suits it, once and lasting."""
    for at, operation in enumerate(made.operations[warm], 1):
        for kind, (_, suits) in KINDS.items():
            if not suits.isdisjoint(operation):
                yield (Fault(at, kind),)
                yield (Fault(at, kind, lasting=True),)


def random_pair(chance: random.Random, made: Template, *, warm: bool) -> tuple[Fault, ...]:
    """Two faults, the second while the first is being dealt with, or in what comes after it."""
    first = chance.randint(1, max(1, len(made.operations[warm])))
    second = first + chance.randint(1, _PAIR_SPAN)
    return Fault(first, chance.choice(list(KINDS))), Fault(second, chance.choice(list(KINDS)))


class Choose(Protocol):
    """Gives the faults of every run with a template."""

    def __call__(self, made: Template, *, warm: bool) -> Iterable[Sequence[Fault]]:
        """Those for a warm client, or for a cold one."""
        ...


class Loop:
    """Runs of so many scenarios, counted."""

    def __init__(self, scenarios: int = 1) -> None:
        self.summary = Summary()
        self._scenarios = scenarios

    def run(self, name: str, choose: Choose) -> None:
        """Run a scenario with the faults that *choose* gives for a template, cold and warm."""
        with tempfile.TemporaryDirectory(prefix="stepwell-nthfault-", dir=in_memory()) as folder:
            made = run_sync(template(name, Path(folder)))
            self.summary.scenarios += 1
            for warm in (False, True):
                self.summary.operations += len(made.operations[warm])
                for faults in choose(made, warm=warm):
                    self._one(name, made, Path(folder), faults, warm=warm)

    def _one(self, name: str, made: Template, folder: Path, faults: Sequence[Fault], *, warm: bool) -> None:
        self.summary.runs += 1
        done, failed = self.summary.scenarios, len(self.summary.failures)
        progress(f"{done} of {self._scenarios} scenarios, {self.summary.runs} runs, {failed} failures: {name:40.40}")
        with tempfile.TemporaryDirectory(dir=folder) as copy:
            try:
                self.summary.outcomes[run_sync(run(made, Path(copy), faults, warm=warm))] += 1
            except Exception as error:
                self.summary.failures.append(
                    f"{type(error).__name__}: {error}\n  repeat it: {again(name, faults, warm=warm)}"
                )


def again(name: str, faults: Sequence[Fault], *, warm: bool) -> str:
    """The command that repeats a run."""
    given = ["python -m stepwell.testing.nthfault", f"--operation {shlex.quote(name)}"]
    given += [f"--fault {shlex.quote(written(fault))}" for fault in faults]
    return " ".join([*given, "--warm" if warm else "--cold"])


def written(fault: Fault) -> str:
    """A fault as the command line takes it."""
    return f"{fault.at}{'+' if fault.lasting else ''}:{fault.kind}"


def read_fault(text: str) -> Fault:
    """What `written` wrote."""
    at, _, kind = text.partition(":")
    if kind not in KINDS or not at.rstrip("+").isdigit():
        raise argparse.ArgumentTypeError(f"N:KIND or N+:KIND, where KIND is one of {', '.join(KINDS)}")
    return Fault(int(at.rstrip("+")), kind, at.endswith("+"))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 if something did not hold."""
    options = parser("nthfault", __doc__)
    options.add_argument("--operation", metavar="NAME", help="only this method or scenario")
    options.add_argument("--pairs", type=positive, metavar="N", help="N random pairs of faults instead of each")
    options.add_argument("--seed", type=int, default=1, help="of the pairs")
    options.add_argument("--fault", type=read_fault, action="append", metavar="N:KIND", help="only this; N+: and on")
    temperature = options.add_mutually_exclusive_group()
    temperature.add_argument("--warm", action="store_const", const=True, dest="warm", help="only a warm client")
    temperature.add_argument("--cold", action="store_const", const=False, dest="warm", help="only a cold client")
    given = options.parse_args(arguments)
    names = [name for name in SCENARIOS if given.operation in (None, name, method(name))]
    if not names:
        options.error(f"--operation: one of {', '.join(SCENARIOS)}")
    logging.getLogger("stepwell").addHandler(logging.NullHandler())  # that a list is stale is what is being tried
    loop = Loop(len(names))
    chance = random.Random(given.seed)

    def choose(made: Template, *, warm: bool) -> Iterable[Sequence[Fault]]:
        if given.warm not in (None, warm):
            return ()
        if given.fault:
            return (given.fault,)
        if given.pairs:
            count = max(1, given.pairs // (2 * len(names)))
            return [random_pair(chance, made, warm=warm) for _ in range(count)]
        return every_fault(made, warm=warm)

    for name in names:
        loop.run(name, choose)
    for failure in loop.summary.failures:
        print(failure, file=sys.stderr)
    report({"seed": given.seed, **loop.summary.shown()}, as_json=given.json)
    return bool(loop.summary.failures)


if __name__ == "__main__":
    raise SystemExit(ended(main))
