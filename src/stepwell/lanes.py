"""The lanes of a client: bounded by bytes, dropped when nobody uses them, forgotten in a forked child."""

from __future__ import annotations

import threading
from types import TracebackType

from stepwell.io.fork import after_fork
from stepwell.io.ports import Ports
from stepwell.io.retry import Retry
from stepwell.lane import Lane
from stepwell.stores.base import JournalId, JournalStore

CACHE_BYTES = 64 * 1024 * 1024
"""What the views of all sessions may take together, about."""
LANES_MAX = 10_000


class Lanes:
    """The lanes of a client, least recently used first. Only those that nobody uses are dropped: they are hints."""

    def __init__(self, tenant: str, store: JournalStore, ports: Ports, retry: Retry, linger: float) -> None:
        self._tenant = tenant
        self._parts = store, ports, retry, linger
        self._forget()
        after_fork(self._forget)

    def _forget(self) -> None:
        self._lanes: dict[bytes, Lane] = {}
        self._weights: dict[bytes, int] = {}
        self._total = 0
        self._guard = threading.Lock()

    def use(self, session: bytes) -> LaneInUse:
        """The lane of a session, kept for as long as it is used: `with lanes.use(session) as lane`."""
        return LaneInUse(self, session)

    def take(self, session: bytes) -> Lane:
        """The lane of a session, to be given back."""
        with self._guard:
            lane = self._lanes.pop(session, None) or Lane(JournalId(self._tenant, session), *self._parts)
            self._lanes[session] = lane
            lane.users += 1
            return lane

    def give(self, session: bytes, lane: Lane) -> None:
        """Give a lane back; what is too much is dropped."""
        with self._guard:
            lane.users -= 1
            self._weigh(session, lane.weight())
            if self._total > CACHE_BYTES or len(self._lanes) > LANES_MAX:
                self._evict()

    def _weigh(self, session: bytes, weight: int) -> None:
        if session in self._lanes:
            self._total += weight - self._weights.get(session, 0)
            self._weights[session] = weight

    def _evict(self) -> None:
        for session, lane in list(self._lanes.items()):
            if self._total <= CACHE_BYTES and len(self._lanes) <= LANES_MAX:
                return
            if not lane.users:
                del self._lanes[session]
                self._total -= self._weights.pop(session, 0)


class LaneInUse:
    """A lane, for the length of a `with`."""

    __slots__ = ("_lane", "_lanes", "_session")

    def __init__(self, lanes: Lanes, session: bytes) -> None:
        self._lanes = lanes
        self._session = session

    def __enter__(self) -> Lane:
        self._lane = self._lanes.take(self._session)
        return self._lane

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lanes.give(self._session, self._lane)
