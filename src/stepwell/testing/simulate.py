"""Simulated schedules: several clients, one store, and everything that can go wrong between them.

    python -m stepwell.testing.simulate --schedules 10000 --seed 1 --mix hot

One seed is one schedule, the same in every run. It says which client goes on next, at every request and every wait;
which requests are lost, late, slow or throttled; which processes freeze, die, or see a wrong time; and when hours pass.
The clients are real ones, the store keeps its promises and nothing more. Afterwards what each call was told is compared
to what was written (simulated/history.py).

Stores: see simulated/stores.py, which says how another one joins.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

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
    gc.disable()
    for seed in seeds:
        played = play(seed, mix, store)
        figures.update(schedules=1, steps=played.steps, calls=played.calls, faulty=bool(played.faults))
        figures.update(played.outcomes)
        if played.faults:
            bad.append(seed)
    gc.enable()
    gc.collect()
    return figures, bad


def simulate(
    schedules: int, seed: int, mix: str, store: str = "sliced", jobs: int = 1
) -> tuple[Counter[str], list[int]]:
    """Play *schedules* of them from *seed* on: the figures, and the seeds of those with faults."""
    chunks = [range(at, min(at + CHUNK, seed + schedules)) for at in range(seed, seed + schedules, CHUNK)]
    figures: Counter[str] = Counter()
    bad: list[int] = []
    for done, found in _map(partial(_chunk, mix=mix, store=store), chunks, jobs):
        figures += done
        bad += found
        print(f"\r{figures['schedules']} of {schedules} schedules, {len(bad)} with faults", end="", file=sys.stderr)
    print(file=sys.stderr)
    return figures, bad


def _map(
    work: partial[tuple[Counter[str], list[int]]], chunks: list[range], jobs: int
) -> Iterator[tuple[Counter[str], list[int]]]:
    if jobs == 1:
        yield from map(work, chunks)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(work, chunks)


def explain(seed: int, mix: str, store: str) -> str:
    """A schedule with faults, in words: the faults, its last steps, and how to repeat it."""
    played = play(seed, mix, store, traced=True)
    lines = [f"seed {seed}:", *(f"  {fault}" for fault in played.faults), f"  its last {TRACE_SHOWN} steps:"]
    lines += [f"    {line}" for line in played.trace[-TRACE_SHOWN:]]
    command = f"python -m stepwell.testing.simulate --schedules 1 --seed {seed} --mix {mix} --store {store} --trace"
    return "\n".join([*lines, f"  repeat it: {command}"])


def main(arguments: Iterable[str] | None = None) -> int:
    """The command line; 1 if a schedule has a fault."""
    parser = argparse.ArgumentParser(
        prog="python -m stepwell.testing.simulate", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--schedules", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mix", choices=sorted(MIXES), default="hot")
    parser.add_argument("--store", choices=sorted(STORES), default="sliced")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--trace", action="store_true", help="print every step of the first schedule")
    options = parser.parse_args(None if arguments is None else list(arguments))
    if options.trace:
        played = play(options.seed, options.mix, options.store, traced=True)
        print(*played.trace, *played.faults, sep="\n")
        return bool(played.faults)
    began = time.perf_counter()
    figures, bad = simulate(options.schedules, options.seed, options.mix, options.store, options.jobs)
    for seed in bad[:FAILURES_SHOWN]:
        print(explain(seed, options.mix, options.store), file=sys.stderr)
    seconds = time.perf_counter() - began
    summary = dict(figures) | {"seconds": round(seconds, 1), "seeds_with_faults": bad}
    print(json.dumps(summary) if options.json else "\n".join(f"{name}: {value}" for name, value in summary.items()))
    return bool(bad)


if __name__ == "__main__":
    raise SystemExit(main())
