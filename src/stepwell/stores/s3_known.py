"""What a process remembers of journals in S3: their segments' names and the last segment. Only a hint, never an answer.

Part    a segment as it was read or written
Known   a journal's
Parts   those of the journals that were used last
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

from stepwell.io.fork import after_fork
from stepwell.stores.base import JournalId
from stepwell.stores.segments import Segment

REMEMBERED_BYTES = 32 << 20
"""Of segments, by one client: the last ones of a few hundred sessions."""
_OWN_BYTES, _NAME_BYTES = 500, 32


class Part(NamedTuple):
    """A segment, the slot that it is named by, and its version."""

    name: int
    etag: str
    segment: Segment


class Known(NamedTuple):
    """A journal's segments by name, the last of them as it was, and those that were read for its head just now.

    *anchor* is the first one's version, empty where it is not known.
    """

    names: tuple[int, ...]
    tail: Part
    anchor: str
    fresh: tuple[Part, ...] = ()

    @property
    def size(self) -> int:
        """About how much memory it takes."""
        parts = {part.name: len(part.segment.frames) for part in (self.tail, *self.fresh)}
        return _OWN_BYTES + _NAME_BYTES * len(self.names) + sum(parts.values())


class Parts:
    """Bounded by bytes: what was used longest ago is forgotten first. Thread-safe."""

    def __init__(self, most_bytes: int = REMEMBERED_BYTES) -> None:
        self._most = most_bytes
        self._size = 0
        self._known: OrderedDict[JournalId, Known] = OrderedDict()
        self._unlock()
        after_fork(self._unlock)

    def _unlock(self) -> None:
        self._lock = threading.Lock()

    def get(self, journal: JournalId) -> Known | None:
        """What is known of a journal."""
        with self._lock:
            known = self._known.get(journal)
            if known is not None:
                self._known.move_to_end(journal)
            return known

    def put(self, journal: JournalId, known: Known) -> None:
        """Know this of it from now on."""
        with self._lock:
            self._drop(journal)
            self._known[journal] = known
            self._size += known.size
            while self._size > self._most:
                self._drop(next(iter(self._known)))

    def drop(self, journal: JournalId) -> None:
        """Know nothing of it."""
        with self._lock:
            self._drop(journal)

    def take_fresh(self, journal: JournalId) -> dict[int, Part]:
        """What was read for the journal's head, by name: handed out once, to who reads on from there."""
        with self._lock:
            known = self._drop(journal)
            if known is None:
                return {}
            self._known[journal] = known._replace(fresh=())
            self._size += self._known[journal].size
            return {part.name: part for part in known.fresh}

    def _drop(self, journal: JournalId) -> Known | None:
        known = self._known.pop(journal, None)
        if known is not None:
            self._size -= known.size
        return known
