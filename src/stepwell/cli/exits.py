"""How a command ends: its exit code, and one line on stderr.

    0    done
    1    failed
    2    not understood: an option, an argument, a URL; or beyond a limit
    3    not found
    4    damage was found
    5    the outcome is unknown; the message says what settles it
    130  interrupted

With `--json`, the line is an object: {"error": {"type", "message", "retryable", ...}}.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Final

from stepwell.cli.terminal import harmless
from stepwell.cli.wording import in_words
from stepwell.errors import (
    CorruptJournal,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    NotSupported,
    OutcomeUnknown,
    StepwellError,
)
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
    (LimitExceeded, USAGE),
    (NotFound, NOT_FOUND),
    (CorruptJournal, DAMAGED),
    (OutcomeUnknown, UNKNOWN),
)


def code_of(error: StepwellError | OSError) -> int:
    """The exit code that an error stands for."""
    if isinstance(error, NotSupported) and str(error).startswith("url: "):
        return USAGE  # a scheme that no store of this version has
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)


def tell(error: StepwellError | OSError, *, as_json: bool = False, hint: str = "") -> None:
    """Say on stderr what went wrong, in one line, and *hint*: what to do, or where."""
    message = in_words(str(error))
    _say({**_members(error), "message": f"{message}; {hint}" if hint else message}, as_json=as_json)


def tell_usage(message: str, *, as_json: bool = False) -> None:
    """Say on stderr what was not understood."""
    _say({"type": "UsageError", "message": message, "retryable": False}, as_json=as_json)


def tell_interrupted(how_to_go_on: str = "", *, as_json: bool = False, after: Position | None = None) -> None:
    """Say on stderr that it was interrupted, and how to go on."""
    message = f"interrupted; {how_to_go_on}" if how_to_go_on else "interrupted"
    told: dict[str, object] = {"type": "Interrupted", "message": message, "retryable": True}
    _say(told | ({} if after is None else {"after": after}), as_json=as_json)


def remark(sentence: str, *, as_json: bool = False) -> None:
    """Say on stderr what is worth knowing and no error, to people alone."""
    if not as_json:
        print(f"stepwell: {harmless(sentence)}", file=sys.stderr)


def _say(error: Mapping[str, object], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"error": error}), file=sys.stderr, flush=True)
    else:
        print(f"stepwell: {harmless(str(error['message']))}", file=sys.stderr, flush=True)


def _members(error: StepwellError | OSError) -> dict[str, object]:
    members: dict[str, object] = {"type": type(error).__name__, "message": "", "retryable": False}
    if isinstance(error, StepwellError):
        members["retryable"] = error.retryable
        named = ("operation", "session_id", "invocation_id", "invocation_step_id", "token", "slot", "offset")
        members |= {name: value for name in named if (value := getattr(error, name, None)) is not None}
    return members
