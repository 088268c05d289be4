"""New ids: UUIDv7s, unique and growing within a process."""

from __future__ import annotations

import threading
from collections.abc import Callable

from stepwell.ids import uuid7
from stepwell.io.fork import after_fork


class Ids:
    """UUIDv7s that grow, also within one millisecond (RFC 9562, 6.2, method 2)."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._last = bytes(16)
        self._unlock()
        after_fork(self._unlock)

    def _unlock(self) -> None:
        self._lock = threading.Lock()

    def new(self, microseconds: int) -> bytes:
        """An id of a time since 1970."""
        made = uuid7(microseconds // 1000, self._random(10))
        with self._lock:
            if made <= self._last and made[:6] == self._last[:6]:
                made = (int.from_bytes(self._last, "big") + 1 + made[15]).to_bytes(16, "big")
            self._last = made
        return made
