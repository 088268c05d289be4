"""The command line: `stepwell COMMAND`. It needs the extra `cli`, and `stepwell demo` the extra `demo` as well.

Exit codes: 0, it was done; 1, it failed; 2, it was not understood; 3, not found; 4, damage was found; 5, the outcome is
unknown; 130, it was interrupted. One line on stderr says why, or with `--json` one JSON object. When nobody reads its
output any more it ends with 1, quietly.
"""

from __future__ import annotations

import sys

from stepwell.cli import interruption


def main() -> None:
    """Run the command that `sys.argv` names."""
    interruption.begin()
    try:
        from stepwell.cli.run import run
    except KeyboardInterrupt:  # while modules are loaded: `exits` is not at hand yet
        interruption.caught()
        told = '{"error": {"type": "Interrupted", "message": "interrupted", "retryable": true}}'
        print(told if "--json" in sys.argv else "stepwell: interrupted", file=sys.stderr)
        sys.exit(130)
    run()
