"""Random programs of client operations, each answer compared with a reference of plain lists and dicts.

    python -m stepwell.testing.model --programs 300 --steps 50 --seed 1 --url memory: --colour sync

A program is a sequence of operations by several handles and processes on one store: sessions, steps, forks, leases,
deletions, reclaiming; lost requests and replies, killed and frozen processes, clocks that jump. Afterwards a new client
reads everything back (modelled/). Programs come in chunks of CHUNK, chunk number n from the seed --seed + n, the same
in every run with one version of hypothesis. A program that fails is made as short as hypothesis can.

--url is `memory:`, or `file:DIR` with a folder in which each program gets an empty one of its own; `file:` alone takes
a temporary one, in memory where the system has such a place.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from stepwell.extras import require
from stepwell.stores.file import FileStore
from stepwell.stores.memory import MemoryStore
from stepwell.testing.bench import COLOURS, Colour, OpenStore

CHUNK = 50
STEPS = 50
SHRINK_SECONDS = 60
"""How long a program that fails is made shorter, at most."""
IN_MEMORY = Path("/dev/shm")


def place(url: str) -> tuple[OpenStore, Callable[[], None]]:
    """An empty store, and what to call when it is not needed any more."""
    if url == "memory:":
        memory = MemoryStore()
        return lambda ports: memory, lambda: None
    parent = url.removeprefix("file:") or (str(IN_MEMORY) if IN_MEMORY.is_dir() else None)
    folder = tempfile.mkdtemp(prefix="stepwell-model-", dir=parent)
    return lambda ports: FileStore(f"{folder}/store", ports), lambda: shutil.rmtree(folder, ignore_errors=True)


def chunk(
    seed: int, programs: int, *, steps: int, url: str, colour: Colour, shrink: bool = True
) -> tuple[Counter[str], str]:
    """Run some programs: the figures, and the failure in words, empty if there is none."""
    require("testing", "hypothesis")
    from hypothesis import HealthCheck, Phase, Verbosity, settings
    from hypothesis import seed as seeded
    from hypothesis.internal.conjecture import engine
    from hypothesis.stateful import run_state_machine_as_test

    from stepwell.testing.modelled.machine import Machine

    logging.getLogger("stepwell").setLevel(logging.CRITICAL)
    figures: Counter[str] = Counter()

    class Program(Machine):
        def open_place(self) -> tuple[OpenStore, Callable[[], None]]:
            return place(url)

    Program.colour, Program.figures = colour, figures
    engine.MAX_SHRINKING_SECONDS = SHRINK_SECONDS  # no setting says so; where it is not read, shrinking takes longer
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    chosen = settings(
        max_examples=programs,
        stateful_step_count=steps,
        database=None,
        deadline=None,
        derandomize=False,
        phases=phases,
        report_multiple_bugs=False,
        suppress_health_check=[check for check in HealthCheck if isinstance(check, HealthCheck)],
        verbosity=Verbosity.normal,
    )
    failure = ""
    try:
        run_state_machine_as_test(seeded(seed)(Program), settings=chosen)
    except Exception as error:
        failure = "".join(traceback.format_exception(error))
    figures["programs"] = min(figures["programs"], programs)  # not counting those that it tries beside
    return figures, failure


def run(
    programs: int, seed: int, *, steps: int = STEPS, url: str = "memory:", colour: Colour = "sync", jobs: int = 1
) -> tuple[Counter[str], list[str]]:
    """Run *programs* of them: the figures, and the failures in words."""
    work = partial(_chunk_of, programs=programs, seed=seed, steps=steps, url=url, colour=colour)
    chunks = range((programs + CHUNK - 1) // CHUNK)
    figures: Counter[str] = Counter()
    failures: list[str] = []
    for number, (done, failure) in enumerate(_map(work, chunks, jobs), 1):
        figures += done
        failures += [failure] if failure else []
        over = min(number * CHUNK, programs)
        print(f"\r{over} of {programs} programs, {len(failures)} chunks failed", end="", file=sys.stderr)
    print(file=sys.stderr)
    return figures, failures


def _chunk_of(
    number: int, *, programs: int, seed: int, steps: int, url: str, colour: Colour
) -> tuple[Counter[str], str]:
    size = min(CHUNK, programs - number * CHUNK)
    figures, failure = chunk(seed + number, size, steps=steps, url=url, colour=colour)
    if failure:
        command = f"--programs {size} --steps {steps} --seed {seed + number} --url {url} --colour {colour}"
        failure += f"\nrepeat it: python -m stepwell.testing.model {command}\n"
    return figures, failure


def _map(work: partial[tuple[Counter[str], str]], chunks: range, jobs: int) -> Iterator[tuple[Counter[str], str]]:
    if jobs == 1:
        yield from map(work, chunks)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(work, chunks)


def main(arguments: Iterable[str] | None = None) -> int:
    """The command line; 1 if a program fails."""
    parser = argparse.ArgumentParser(
        prog="python -m stepwell.testing.model", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--programs", type=int, default=300)
    parser.add_argument("--steps", type=int, default=STEPS, help="operations in each program, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--url", default="memory:", help="memory:, file: or file:DIR")
    parser.add_argument("--colour", choices=COLOURS, default="sync")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(None if arguments is None else list(arguments))
    began = time.perf_counter()
    figures, failures = run(
        options.programs,
        options.seed,
        steps=options.steps,
        url=options.url,
        colour=options.colour,
        jobs=options.jobs,
    )
    for failure in failures:
        print(failure, file=sys.stderr)
    summary = dict(figures) | {"seconds": round(time.perf_counter() - began, 1), "failed chunks": len(failures)}
    print(json.dumps(summary) if options.json else "\n".join(f"{name}: {value}" for name, value in summary.items()))
    return bool(failures)


if __name__ == "__main__":
    raise SystemExit(main())
