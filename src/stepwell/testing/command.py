"""What the commands of the fault kit have in common: options, progress, figures, and how they end.

Exit codes: 0, nothing was found; 1, something was; 2, the options were not understood; 130, interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from stepwell.errors import StepwellError

T = TypeVar("T")
C = TypeVar("C")

NOT_UNDERSTOOD, INTERRUPTED = 2, 130


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Defaults are shown, and the description is as it was written."""


def parser(module: str, doc: str | None) -> argparse.ArgumentParser:
    """The options of `python -m stepwell.testing.MODULE`, with those that all have; *doc* is the module's."""
    made = argparse.ArgumentParser(
        prog=f"python -m stepwell.testing.{module}", description=doc, formatter_class=_Formatter, allow_abbrev=False
    )
    made.add_argument("--json", action="store_true", help="print the figures as JSON")
    return made


def positive(text: str) -> int:
    """A number of things to do.

    Raises:
        ArgumentTypeError: it is none.
    """
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def spread(work: Callable[[C], T], chunks: Iterable[C], jobs: int) -> Iterator[T]:
    """The results of *work* on each chunk, in order, in so many processes."""
    if jobs == 1:
        yield from map(work, chunks)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(work, chunks)


def progress(text: str) -> None:
    """Show how far it is, where somebody looks."""
    if sys.stderr.isatty():
        print(f"\r{text}", end="", file=sys.stderr, flush=True)


def report(figures: Mapping[str, object], *, as_json: bool) -> None:
    """Print the figures, one a line, or as one JSON object."""
    if sys.stderr.isatty():
        print(file=sys.stderr)
    print(json.dumps(figures) if as_json else "\n".join(f"{name}: {value}" for name, value in figures.items()))


def ended(main: Callable[[], int]) -> int:
    """The exit code of *main*; what is no fault that was found is told in one line."""
    try:
        return main()
    except KeyboardInterrupt:
        print("\ninterrupted: the same seed begins with the same again", file=sys.stderr)
        return INTERRUPTED
    except StepwellError as error:
        print(error, file=sys.stderr)
        return NOT_UNDERSTOOD
