"""A store that tells which of the calls that copy or take bytes away is under way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from stepwell.stores.base import JournalId, JournalStore
from stepwell.stores.forwarded import Forwarded

DELICATE = ("erase", "remove", "remove_below", "blank_blob", "copy_blob")
"""What is rare, and overwrites or removes; `remove_below` is `remove` of the oldest slots alone."""


class Watched(Forwarded):
    """*within* is one of `DELICATE`, or empty; *calls* are those that came."""

    def __init__(self, store: JournalStore) -> None:
        super().__init__(store)
        self.within = ""
        self.calls: Counter[str] = Counter()

    @contextmanager
    def _in(self, name: str) -> Generator[None]:
        self.calls[name] += 1
        self.within = name
        try:
            yield
        finally:
            self.within = ""

    async def erase(self, journal: JournalId, slot: int, spans: Sequence[tuple[int, int]]) -> None:
        """See `JournalStore`."""
        with self._in("erase"):
            await super().erase(journal, slot, spans)

    async def remove(self, journal: JournalId, below: int | None = None) -> None:
        """See `JournalStore`."""
        with self._in("remove" if below is None else "remove_below"):
            await super().remove(journal, below)

    async def blank_blob(self, journal: JournalId, name: str) -> None:
        """See `JournalStore`."""
        with self._in("blank_blob"):
            await super().blank_blob(journal, name)

    async def copy_blob(self, source: JournalId, name: str, target: JournalId) -> None:
        """See `JournalStore`."""
        with self._in("copy_blob"):
            await super().copy_blob(source, name, target)
