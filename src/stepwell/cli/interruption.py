"""Ctrl-C that is not lost.

What is raised inside a callback of the interpreter, a finalizer or the release of a module's lock, is dropped, and the
program goes on. So an interruption is raised again until it was caught by somebody who says so.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

AGAIN_SECONDS = 0.5
_raised = False


def begin() -> None:
    """From now on; unless SIGINT is ignored, as in the background of a shell."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler and hasattr(signal, "setitimer"):
        signal.signal(signal.SIGINT, _interrupt)
        signal.signal(signal.SIGALRM, _interrupt)
        sys.unraisablehook = _tell_others


def happened() -> bool:
    """Whether there was one: what is raised since may be what a library made of it."""
    return _raised


def caught() -> None:
    """It was."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)


def _tell_others(dropped: sys.UnraisableHookArgs) -> None:
    """Tell what is dropped, but for interruptions: those come again."""
    if not issubclass(dropped.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(dropped)


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _raised  # noqa: PLW0603  (a process has one)
    _raised = True
    signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
    raise KeyboardInterrupt
