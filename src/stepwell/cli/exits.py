"""How a command ends: its exit code, and one line on stderr.

    0    done
    1    failed
    2    not understood: an option, an argument, a URL
    3    not found
    4    damage was found
    5    the outcome is unknown; the message says what settles it
    130  interrupted

With `--json`, the line is an object: {"error": {"type", "message", "retryable", ...}}.
"""

from __future__ import annotations

import json
import sys
from typing import Final

from stepwell.cli.terminal import printable
from stepwell.errors import CorruptJournal, InvalidRequest, NotFound, OutcomeUnknown, StepwellError
from stepwell.models import Position

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
DAMAGED: Final = 4
UNKNOWN: Final = 5
INTERRUPTED: Final = 130

_CODES: Final[tuple[tuple[type[StepwellError], int], ...]] = (
    (InvalidRequest, USAGE),
    (NotFound, NOT_FOUND),
    (CorruptJournal, DAMAGED),
    (OutcomeUnknown, UNKNOWN),
)


def code_of(error: StepwellError | OSError) -> int:
    """The exit code that an error stands for."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)


def tell(error: StepwellError | OSError, *, as_json: bool = False, hint: str = "") -> None:
    """Say on stderr what went wrong, in one line, and *hint*: what to do."""
    message = f"{error}; {hint}" if hint else str(error)
    if as_json:
        print(json.dumps({"error": _members(error) | {"message": message}}), file=sys.stderr)
    else:
        print(f"stepwell: {printable(message)}", file=sys.stderr)


def _members(error: StepwellError | OSError) -> dict[str, object]:
    members: dict[str, object] = {"type": type(error).__name__, "message": "", "retryable": False}
    if isinstance(error, StepwellError):
        members["retryable"] = error.retryable
        named = ("operation", "session_id", "invocation_id", "invocation_step_id", "token", "slot", "offset")
        members |= {name: value for name in named if (value := getattr(error, name, None)) is not None}
    return members


def tell_interrupted(how_to_go_on: str, *, as_json: bool = False, after: Position | None = None) -> None:
    """Say on stderr that it was interrupted, and how to go on."""
    message = f"interrupted; {how_to_go_on}"
    if as_json:
        told: dict[str, object] = {"type": "Interrupted", "message": message, "retryable": True}
        print(json.dumps({"error": told | ({} if after is None else {"after": after})}), file=sys.stderr)
    else:
        print(f"stepwell: {printable(message)}", file=sys.stderr)
