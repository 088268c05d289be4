"""One run of the command: what goes wrong, told in one line and an exit code."""

from __future__ import annotations

import logging
import sys
from io import TextIOWrapper

from stepwell.cli.exits import FAILED, INTERRUPTED, code_of, tell, tell_interrupted
from stepwell.cli.terminal import printable
from stepwell.errors import StepwellError
from stepwell.extras import require


def run() -> None:
    """Run the command that `sys.argv` names."""
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
    except KeyboardInterrupt:
        tell_interrupted("nothing was changed")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.exit(FAILED)
    except (StepwellError, OSError) as error:
        tell(error)
        sys.exit(code_of(error))


class _OneLine(logging.Formatter):
    """Warnings may quote what is stored."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))
