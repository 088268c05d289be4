"""The system's clocks."""

from __future__ import annotations

import time

# macOS counts sleep in CLOCK_MONOTONIC; elsewhere without CLOCK_BOOTTIME the wall clock has to tell.
_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The machine's own time."""

    def wall(self) -> int:
        """Microseconds since 1970, UTC."""
        return time.time_ns() // 1000

    def boot(self) -> int:
        """Microseconds since boot, sleep included where the system can tell."""
        return time.clock_gettime_ns(_BOOT) // 1000
