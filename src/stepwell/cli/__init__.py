"""The command line: `stepwell COMMAND`. It needs the extra `cli`, and `stepwell demo` the extra `demo` as well.

Exit codes: 0, it was done; 1, it failed, and one line on stderr says why; 2, the command was not understood.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper

from stepwell.cli.terminal import printable
from stepwell.errors import StepwellError
from stepwell.extras import require


def main() -> None:
    """Run the command that `sys.argv` names."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Unicode shows escapes
    try:
        require("demo" if "demo" in sys.argv[1:2] else "cli", "rich", "typer")
        from stepwell.cli.app import app

        app()
    except (StepwellError, OSError) as error:
        sys.exit(f"stepwell: {printable(str(error))}")
