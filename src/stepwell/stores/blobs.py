"""Where a table's blobs lie: what `JournalStore` asks of them, and which sessions have any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from stepwell.stores.base import JournalId


class Blobs(Protocol):
    """Errors are those of `JournalStore`; nothing is retried here."""

    def check(self, size: int) -> None:
        """See `JournalStore.check_blob`."""
        ...

    async def put(self, journal: JournalId, name: str, data: bytes) -> None:
        """See `JournalStore.put_blob`."""
        ...

    async def get(self, journal: JournalId, name: str) -> bytes:
        """See `JournalStore.get_blob`."""
        ...

    async def copy(self, source: JournalId, name: str, target: JournalId) -> None:
        """See `JournalStore.copy_blob`."""
        ...

    async def names(self, journal: JournalId) -> Sequence[str]:
        """See `JournalStore.blobs`."""
        ...

    async def blank(self, journal: JournalId, name: str) -> None:
        """See `JournalStore.blank_blob`."""
        ...

    async def remove(self, journal: JournalId, name: str) -> None:
        """See `JournalStore.remove_blob`."""
        ...

    async def remove_all(self, journal: JournalId) -> None:
        """Remove every blob of a journal; what is not there is removed already."""
        ...

    async def sessions(self, tenant: str, after: bytes | None, limit: int) -> Sequence[bytes]:
        """Up to *limit* sessions above *after* with blobs that no other list tells of, the least first."""
        ...

    async def ping(self) -> None:
        """Whether they can be reached."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...
