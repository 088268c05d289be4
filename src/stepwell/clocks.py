"""The time, where a machine's clock may be wrong and a store's server tells its own.

StoreClock   the time that reads and decisions go by
Instant      a moment by every clock there is, apart: to tell how long something took
"""

from __future__ import annotations

from typing import NamedTuple

from stepwell.io.ports import Clock, Ports
from stepwell.stores.base import JournalStore


class StoreClock:
    """A machine's clock, never behind what the store's server told last.

    So a session that is over by the server's time is over for everybody who heard of it.
    """

    def __init__(self, machine: Clock, store: JournalStore) -> None:
        self.machine = machine
        self._store = store

    def wall(self) -> int:
        """Microseconds since 1970, UTC."""
        return max(self.machine.wall(), self._store.server_time or 0)

    def boot(self) -> int:
        """The machine's own."""
        return self.machine.boot()


class Instant(NamedTuple):
    """A moment by every clock there is, in microseconds; *server* is the store's, if it tells."""

    wall: int
    boot: int
    server: int | None

    def seconds_since(self, earlier: Instant) -> float:
        """The longest that any clock says has passed."""
        server = 0 if self.server is None or earlier.server is None else self.server - earlier.server
        return max(self.wall - earlier.wall, self.boot - earlier.boot, server) / 1e6


def instant(ports: Ports, store: JournalStore) -> Instant:
    """This moment."""
    machine = ports.clock.machine if isinstance(ports.clock, StoreClock) else ports.clock
    return Instant(machine.wall(), machine.boot(), store.server_time)
