"""Simulated schedules: several clients, one store, and everything that can go wrong between them.

    python -m stepwell.testing.simulate --schedules 10000 --seed 1 --mix hot

One seed is one schedule, the same in every run. It says which client goes on next, at every request and every wait;
which requests are lost, late, slow or throttled; which processes freeze, die, or see a wrong time; and when hours pass.
The clients are real ones, the store keeps its promises and nothing more. Afterwards what each call was told is compared
to what was written (simulated/history.py).

Stores: see simulated/stores.py, which says how another one joins.
"""

from __future__ import annotations

import gc
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterable
from functools import partial

from stepwell.testing.command import ended, parser, positive, progress, report, spread
from stepwell.testing.simulated.clients import MIXES
from stepwell.testing.simulated.play import Played, Schedule
from stepwell.testing.simulated.stores import STORES

TRACE_SHOWN = 40
CHUNK = 100
FAILURES_SHOWN = 5


def play(seed: int, mix: str, store: str, *, traced: bool = False) -> Played:
    """Play one schedule."""
    logging.getLogger("stepwell").setLevel(logging.CRITICAL)  # what is only logged is part of the schedule
    return Schedule(seed, mix, store, traced=traced).play()


def _chunk(seeds: range, mix: str, store: str) -> tuple[Counter[str], list[int]]:
    """The figures of some schedules, and the seeds of those with faults."""
    figures: Counter[str] = Counter()
    bad: list[int] = []
    gc.disable()  # each schedule leaves cycles behind: collected together they cost less
    gc.freeze()  # and what was there before is not looked through each time
    for seed in seeds:
        played = play(seed, mix, store)
        figures.update(schedules=1, steps=played.steps, calls=played.calls, faulty=bool(played.faults))
        figures.update(played.outcomes)
        if played.faults:
            bad.append(seed)
    gc.enable()
    gc.collect()
    gc.unfreeze()
    return figures, bad


def simulate(
    schedules: int, seed: int, mix: str, store: str = "sliced", jobs: int = 1
) -> tuple[Counter[str], list[int]]:
    """Play *schedules* of them from *seed* on: the figures, and the seeds of those with faults."""
    chunks = [range(at, min(at + CHUNK, seed + schedules)) for at in range(seed, seed + schedules, CHUNK)]
    figures: Counter[str] = Counter()
    bad: list[int] = []
    for done, found in spread(partial(_chunk, mix=mix, store=store), chunks, jobs):
        figures += done
        bad += found
        progress(f"{figures['schedules']} of {schedules} schedules, {len(bad)} with faults")
    return figures, bad


def explain(seed: int, mix: str, store: str) -> str:
    """A schedule with faults, in words: the faults, its last steps, and how to repeat it."""
    played = play(seed, mix, store, traced=True)
    lines = [f"seed {seed}:", *(f"  {fault}" for fault in played.faults), f"  its last {TRACE_SHOWN} steps:"]
    lines += [f"    {line}" for line in played.trace[-TRACE_SHOWN:]]
    command = f"python -m stepwell.testing.simulate --schedules 1 --seed {seed} --mix {mix} --store {store} --trace"
    return "\n".join([*lines, f"  repeat it: {command}"])


def main(arguments: Iterable[str] | None = None) -> int:
    """The command; 1 if a schedule has a fault."""
    options = parser("simulate", __doc__)
    options.add_argument("--schedules", type=positive, default=1000, help="how many")
    options.add_argument("--seed", type=int, default=1, help="of the first")
    options.add_argument("--mix", choices=sorted(MIXES), default="hot", help="how often each operation is called")
    options.add_argument("--store", default="sliced", help=f"{', '.join(sorted(STORES))}, or MODULE:NAME of your own")
    options.add_argument("--jobs", type=positive, default=1, help="processes")
    options.add_argument("--trace", action="store_true", help="print every step of the first schedule, and only that")
    given = options.parse_args(None if arguments is None else list(arguments))
    if given.store not in STORES and ":" not in given.store:
        options.error(f"--store {given.store}: {', '.join(sorted(STORES))}, or MODULE:NAME")
    if given.trace:
        played = play(given.seed, given.mix, given.store, traced=True)
        print(*played.trace, *played.faults, sep="\n")
        return bool(played.faults)
    began = time.perf_counter()
    figures, bad = simulate(given.schedules, given.seed, given.mix, given.store, given.jobs)
    for seed in bad[:FAILURES_SHOWN]:
        print(explain(seed, given.mix, given.store), file=sys.stderr)
    seconds = round(time.perf_counter() - began, 1)
    summary = {"seed": given.seed, **figures, "seconds": seconds, "seeds_with_faults": bad}
    report(summary, as_json=given.json)
    return bool(bad)


if __name__ == "__main__":
    raise SystemExit(ended(main))
