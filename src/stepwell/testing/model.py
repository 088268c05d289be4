"""Random programs of client operations, each answer compared with a reference of plain lists and dicts.

    python -m stepwell.testing.model --programs 300 --steps 50 --seed 1 --url memory: --colour sync

A program is a sequence of operations by several handles and processes on one store: sessions, steps, forks, leases,
deletions, reclaiming; lost requests and replies, killed and frozen processes, clocks that jump. Afterwards a new client
reads everything back (modelled/). Programs come in chunks of CHUNK, chunk number n from the seed --seed + n, the same
in every run with one version of hypothesis. A program that fails is made as short as hypothesis can.

--url is `memory:`, or `file:DIR` with a folder in which each program gets an empty one of its own; `file:` alone takes
a temporary one, in memory where the system has such a place. A store of your own is `MODULE:NAME`, the name of a
function without arguments that returns what `place` does.
"""

from __future__ import annotations

import gc
import logging
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module

from stepwell.extras import require
from stepwell.stores.file import FileStore
from stepwell.stores.memory import MemoryStore
from stepwell.testing.bench import COLOURS, Colour, OpenStore
from stepwell.testing.command import ended, parser, positive, progress, report, spread
from stepwell.testing.faults.places import in_memory

CHUNK = 50
STEPS = 50
SHRINK_SECONDS = 60
"""How long a program that fails is made shorter, at most."""
_OURS = re.compile(r"memory:|file:.*|[\w.]+:[\w]+")


def place(url: str) -> tuple[OpenStore, Callable[[], None]]:
    """An empty store, and what to call when it is not needed any more."""
    if url == "memory:":
        memory = MemoryStore()
        return lambda ports: memory, lambda: None
    if not url.startswith("file:"):
        module, _, name = url.partition(":")
        made: tuple[OpenStore, Callable[[], None]] = getattr(import_module(module), name)()
        return made
    parent = url.removeprefix("file:") or in_memory()
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
    gc.collect()
    gc.disable()  # each program leaves cycles behind: collected together they cost less
    try:
        run_state_machine_as_test(seeded(seed)(Program), settings=chosen)
    except Exception as error:
        failure = "".join(traceback.format_exception(error))
    finally:
        gc.enable()
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
    for number, (done, failure) in enumerate(spread(work, chunks, jobs), 1):
        figures += done
        failures += [failure] if failure else []
        over = min(number * CHUNK, programs)
        progress(f"{over} of {programs} programs, {len(failures)} chunks failed")
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


def main(arguments: Iterable[str] | None = None) -> int:
    """The command; 1 if a program fails."""
    options = parser("model", __doc__)
    options.add_argument("--programs", type=positive, default=300, help="how many")
    options.add_argument("--steps", type=positive, default=STEPS, help="operations in each program, at most")
    options.add_argument("--seed", type=int, default=1, help="of the first chunk")
    options.add_argument("--url", default="memory:", help="memory:, file:, file:DIR, or MODULE:NAME of your own")
    options.add_argument("--colour", choices=COLOURS, default="sync", help="of the clients")
    options.add_argument("--jobs", type=positive, default=1, help="processes")
    given = options.parse_args(None if arguments is None else list(arguments))
    if not _OURS.fullmatch(given.url):
        options.error(f"--url {given.url}: memory:, file:, file:DIR, or MODULE:NAME")
    began = time.perf_counter()
    figures, failures = run(
        given.programs, given.seed, steps=given.steps, url=given.url, colour=given.colour, jobs=given.jobs
    )
    for failure in failures:
        print(failure, file=sys.stderr)
    seconds = round(time.perf_counter() - began, 1)
    report({"seed": given.seed, **figures, "seconds": seconds, "failed_chunks": len(failures)}, as_json=given.json)
    return bool(failures)


if __name__ == "__main__":
    raise SystemExit(ended(main))
