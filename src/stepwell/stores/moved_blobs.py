"""Blobs that are kept elsewhere since a bucket was named: new ones go there, older ones are found where they were."""

from __future__ import annotations

from collections.abc import Sequence

from stepwell.errors import CorruptJournal, PermissionDenied
from stepwell.stores.base import JournalId
from stepwell.stores.blobs import Blobs


class MovedBlobs:
    """See the module, and `Blobs`."""

    def __init__(self, blobs: Blobs, *, older: Blobs) -> None:
        self._blobs = blobs
        self._older = older

    def check(self, size: int) -> None:
        """As the new place does."""
        self._blobs.check(size)

    async def put(self, journal: JournalId, name: str, data: bytes) -> None:
        """In the new place."""
        await self._blobs.put(journal, name, data)

    async def get(self, journal: JournalId, name: str) -> bytes:
        """From the new place, else from the older one."""
        try:
            return await self._blobs.get(journal, name)
        except (CorruptJournal, PermissionDenied) as missing:
            return await self._from_older(journal, name, missing)

    async def copy(self, source: JournalId, name: str, target: JournalId) -> None:
        """From wherever it is to the new place."""
        try:
            await self._blobs.copy(source, name, target)
        except (CorruptJournal, PermissionDenied) as missing:
            await self._blobs.put(target, name, await self._from_older(source, name, missing))

    async def _from_older(self, journal: JournalId, name: str, missing: Exception) -> bytes:
        """One that was not found: who may not list the whole bucket is told 403 of what is not there."""
        try:
            return await self._older.get(journal, name)
        except CorruptJournal as nowhere:
            raise (nowhere if isinstance(missing, CorruptJournal) else missing) from nowhere

    async def names(self, journal: JournalId) -> Sequence[str]:
        """Those of both."""
        return [*await self._older.names(journal), *await self._blobs.names(journal)]

    async def blank(self, journal: JournalId, name: str) -> None:
        """Wherever it may be."""
        await self._blobs.blank(journal, name)
        await self._older.blank(journal, name)

    async def remove(self, journal: JournalId, name: str) -> None:
        """Wherever it is."""
        await self._blobs.remove(journal, name)
        await self._older.remove(journal, name)

    async def remove_all(self, journal: JournalId) -> None:
        """From both."""
        await self._blobs.remove_all(journal)
        await self._older.remove_all(journal)

    async def sessions(self, tenant: str, after: bytes | None, limit: int) -> Sequence[bytes]:
        """From the new place; the older one's are in the table's own index."""
        return await self._blobs.sessions(tenant, after, limit)

    async def ping(self) -> None:
        """Whether the new place can be reached."""
        await self._blobs.ping()

    async def aclose(self) -> None:
        """Let go of the new place's connections."""
        await self._blobs.aclose()
