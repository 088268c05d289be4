"""Simulated power losses: whatever was acknowledged is there afterwards, whole, and nothing else is.

    python -m stepwell.testing.powerloss --states 10000 --seed 1

Random programs of client operations run on a simulated disk (disk.py). At some of their system calls, power fails: a
disk that this may leave is drawn, with any part of what was not synced, and a new client on it is asked for everything
(power/check.py). That disk fails again, while the client recovers and afterwards. In every fourth state, processes are
killed instead: then only the rest of one write is missing, and memory that processes share survives.

A state is one disk that a client was asked on. One seed is one program and its crashes, the same in every run.
"""

from __future__ import annotations

import gc
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from stepwell.testing.bench import FakeClock
from stepwell.testing.command import ended, parser, positive, progress, report, spread
from stepwell.testing.power.check import check
from stepwell.testing.power.program import Program

OPERATIONS = 20
CALLS_SHARE, ENDS_SHARE, KILL_SHARE = 0.03, 0.2, 0.25
"""Of the system calls, and of the moments after an operation: power fails there. Few of each program, for what programs
do differs more than what is left of one. But the calls of `DELICATE` are cut short everywhere."""
FAULTS_SHOWN = 5
PROGRAMS_PER_JOB = 8


@dataclass(slots=True)
class Figures:
    """What was done, and the faults that were found, each with the command that repeats it."""

    counts: Counter[str] = field(default_factory=Counter[str])
    faults: list[str] = field(default_factory=list[str])

    def add(self, other: Figures) -> None:
        """Both together."""
        self.counts += other.counts
        self.faults += other.faults


class Crashes:
    """One program and its crashes."""

    def __init__(self, seed: int) -> None:
        self.figures = Figures()
        self._seed = seed
        self._chance = random.Random(~seed)
        self._program = Program(seed)

    def run(self) -> Figures:
        """Run it to its end, or to its first fault."""
        self._program.disk.on_change = self._changed
        try:
            self._program.run(OPERATIONS, self._acknowledged)
        except Exception as error:
            self._fault("in the program, not in a crash", error)
        self.figures.counts["programs"] += 1
        self.figures.counts["secrets"] += len(self._program.told.secrets)
        self.figures.counts += self._program.watched.calls
        return self.figures

    def _changed(self) -> None:
        self.figures.counts["system calls"] += 1
        within = self._program.watched.within
        if within:
            self.figures.counts[f"crashes in {within}"] += 1
        if within or self._chance.random() < CALLS_SHARE:
            self._crash()

    def _acknowledged(self) -> None:
        if self._chance.random() < ENDS_SHARE:
            self._crash()

    def _crash(self) -> None:
        """Crash here, unless a fault was found: one is enough."""
        if self.figures.faults:
            return
        killed = self._chance.random() < KILL_SHARE
        self.figures.counts["kills" if killed else "power losses"] += 1
        disk = self._program.disk
        left = disk.killed(self._chance) if killed else disk.crash(self._chance)
        try:
            told, clock = self._program.told, FakeClock(self._program.clock.now())
            self.figures.counts["states"] += check(left, told, self._chance, clock)
        except Exception as error:
            self._fault("after a kill" if killed else "after a power loss", error)

    def _fault(self, where: str, error: Exception) -> None:
        during = self._program.told.doing or "nothing"
        self.figures.faults.append(
            f"{where}, during {during}, state {self.figures.counts['states']}: {type(error).__name__}: {error}\n"
            f"  repeat it: python -m stepwell.testing.powerloss --states 1 --seed {self._seed}"
        )


def run_programs(seeds: range) -> Figures:
    """Run the programs of these seeds."""
    figures = Figures()
    gc.disable()  # each state leaves cycles behind: collected together they cost less
    gc.freeze()  # and what was there before is not looked through each time
    for seed in seeds:
        figures.add(Crashes(seed).run())
    gc.enable()
    gc.collect()
    gc.unfreeze()
    return figures


def power_losses(states: int, seed: int, jobs: int = 1) -> Figures:
    """Run programs from *seed* on until there were so many states, or a fault."""
    figures = Figures()
    for done in _batches(seed, jobs):
        figures.add(done)
        count = figures.counts["states"]
        progress(f"{count} of {states} states, {len(figures.faults)} faults")
        if count >= states or figures.faults:
            break
    return figures


def _batches(seed: int, jobs: int) -> Iterator[Figures]:
    """Figures of a few programs at a time, without end."""
    size = PROGRAMS_PER_JOB if jobs > 1 else 1
    while True:
        yield from spread(run_programs, [range(seed + at * size, seed + (at + 1) * size) for at in range(jobs)], jobs)
        seed += jobs * size


def main(arguments: Iterable[str] | None = None) -> int:
    """The command; 1 if there was a fault."""
    options = parser("powerloss", __doc__)
    options.add_argument(
        "--states", type=positive, default=5000, help="how many at least: the last program is finished"
    )
    options.add_argument("--seed", type=int, default=1, help="of the first program")
    options.add_argument("--jobs", type=positive, default=1, help="processes")
    given = options.parse_args(None if arguments is None else list(arguments))
    began = time.perf_counter()
    figures = power_losses(given.states, given.seed, given.jobs)
    for fault in figures.faults[:FAULTS_SHOWN]:
        print(fault, file=sys.stderr)
    seconds = round(time.perf_counter() - began, 1)
    summary = {"seed": given.seed, **figures.counts, "faults": len(figures.faults), "seconds": seconds}
    report(summary, as_json=given.json)
    return bool(figures.faults)


if __name__ == "__main__":
    raise SystemExit(ended(main))
