"""What a child must forget after `fork()`: caches, locks held by threads that it does not have, a writer's identity.

`threading.Lock`s held by the parent's threads stay locked in the child, and `flock`s are shared with it. Each object
that has any registers a method, held weakly.
"""

from __future__ import annotations

import itertools
import os
import weakref
from collections.abc import Callable
from types import MethodType

_forgetful: dict[int, weakref.WeakMethod[Callable[[], None]]] = {}
_numbers = itertools.count()


def after_fork(forget: Callable[[], None]) -> None:
    """Call the bound method *forget* in every forked child, for as long as its object lives."""
    assert isinstance(forget, MethodType)
    number = next(_numbers)
    _forgetful[number] = weakref.WeakMethod(forget)
    weakref.finalize(forget.__self__, _forgetful.pop, number, None).atexit = False


def _in_child() -> None:
    for reference in list(_forgetful.values()):
        if forget := reference():
            forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
