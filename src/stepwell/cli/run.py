"""One run of the command: what goes wrong, told in one line and an exit code."""

from __future__ import annotations

import logging
import os
import sys
from io import TextIOWrapper
from pathlib import Path

from stepwell.cli import interruption
from stepwell.cli.exits import FAILED, INTERRUPTED, code_of, remark, tell, tell_interrupted
from stepwell.cli.terminal import harmless
from stepwell.errors import StepwellError
from stepwell.extras import require


def run() -> None:
    """Run the command that `sys.argv` names."""
    as_json = "--json" in sys.argv
    _check_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Unicode shows escapes
    try:
        require("demo" if "demo" in sys.argv[1:2] else "cli", "rich", "typer")
        from stepwell.cli.app import app

        handler = logging.StreamHandler()
        handler.setFormatter(_OneLine("stepwell: %(message)s"))
        logging.basicConfig(level=logging.WARNING, handlers=[handler])
        app()
    except BrokenPipeError:
        sys.exit(FAILED)
    except (KeyboardInterrupt, Exception) as error:
        interruption.caught()
        if interruption.happened() or isinstance(error, KeyboardInterrupt):
            tell_interrupted(as_json=as_json)
            sys.exit(INTERRUPTED)
        if not isinstance(error, StepwellError | OSError):
            raise
        tell(error, as_json=as_json)
        sys.exit(code_of(error))


def _check_streams() -> None:
    """End if there is nowhere to print to: what is opened next, a journal, would become the standard output."""
    if sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison]  (`2>&-`)
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  (until the process ends)
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]  (`>&-`)
        remark("the standard output is closed")
        sys.exit(FAILED)


class _OneLine(logging.Formatter):
    """Warnings may quote what is stored."""

    def format(self, record: logging.LogRecord) -> str:
        return harmless(super().format(record))
