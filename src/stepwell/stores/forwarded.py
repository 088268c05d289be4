"""A store on top of another one: every call goes through one place, to be counted, repeated or made to fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import ParamSpec, TypeVar

from stepwell.stores.base import JournalId, JournalStore, ListingEntry, Remain, SlotTaken

P = ParamSpec("P")
T = TypeVar("T")


class Forwarded:
    """Passes everything on; the methods are those of `JournalStore`. Override `call`."""

    def __init__(self, store: JournalStore) -> None:
        self.below = store
        self.name = store.name
        self.inline_bytes = store.inline_bytes
        self.forgets = store.forgets
        self.sees_gaps = store.sees_gaps
        self.copies = store.copies

    @property
    def server_time(self) -> int | None:
        """See `JournalStore`."""
        return self.below.server_time

    async def call(self, method: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of the store below."""
        return await method(*args, **kwargs)

    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        """See `JournalStore`."""
        return await self.call(self.below.append, journal, slot, record)

    async def head(self, journal: JournalId) -> bytes | None:
        """See `JournalStore`."""
        return await self.call(self.below.head, journal)

    async def read(self, journal: JournalId, first: int, last: int | None = None) -> Sequence[bytes]:
        """See `JournalStore`."""
        return await self.call(self.below.read, journal, first, last)

    def check_blob(self, size: int) -> None:
        """See `JournalStore`."""
        self.below.check_blob(size)

    async def put_blob(self, journal: JournalId, name: str, data: bytes) -> None:
        """See `JournalStore`."""
        await self.call(self.below.put_blob, journal, name, data)

    async def get_blob(self, journal: JournalId, name: str) -> bytes:
        """See `JournalStore`."""
        return await self.call(self.below.get_blob, journal, name)

    async def copy_blob(self, source: JournalId, name: str, target: JournalId) -> None:
        """See `JournalStore`."""
        await self.call(self.below.copy_blob, source, name, target)

    async def erase(self, journal: JournalId, slot: int, spans: Sequence[tuple[int, int]]) -> None:
        """See `JournalStore`."""
        await self.call(self.below.erase, journal, slot, spans)

    async def remove(self, journal: JournalId, below: int | None = None) -> None:
        """See `JournalStore`."""
        await self.call(self.below.remove, journal, below)

    async def journals(self, tenant: str, after: bytes | None, limit: int) -> Sequence[bytes]:
        """See `JournalStore`."""
        return await self.call(self.below.journals, tenant, after, limit)

    async def blobs(self, journal: JournalId) -> Sequence[str]:
        """See `JournalStore`."""
        return await self.call(self.below.blobs, journal)

    async def blank_blob(self, journal: JournalId, name: str) -> None:
        """See `JournalStore`."""
        await self.call(self.below.blank_blob, journal, name)

    async def remove_blob(self, journal: JournalId, name: str) -> None:
        """See `JournalStore`."""
        await self.call(self.below.remove_blob, journal, name)

    async def remains(self, journal: JournalId, place: int) -> Sequence[Remain]:
        """See `JournalStore`."""
        return await self.call(self.below.remains, journal, place)

    async def keep(self, journal: JournalId, until: int) -> None:
        """See `JournalStore`."""
        await self.call(self.below.keep, journal, until)

    async def get_key(self, tenant: str, key: str) -> bytes | None:
        """See `JournalStore`."""
        return await self.call(self.below.get_key, tenant, key)

    async def swap_key(self, tenant: str, key: str, session: bytes | None, *, expected: bytes | None) -> bytes | None:
        """See `JournalStore`."""
        return await self.call(self.below.swap_key, tenant, key, session, expected=expected)

    async def put_entry(self, listing: str, entry: ListingEntry) -> None:
        """See `JournalStore`."""
        await self.call(self.below.put_entry, listing, entry)

    async def get_entry(self, listing: str, session: bytes) -> ListingEntry | None:
        """See `JournalStore`."""
        return await self.call(self.below.get_entry, listing, session)

    async def remove_entry(self, listing: str, session: bytes) -> None:
        """See `JournalStore`."""
        await self.call(self.below.remove_entry, listing, session)

    async def entries(self, listing: str, before: bytes | None, limit: int) -> Sequence[ListingEntry]:
        """See `JournalStore`."""
        return await self.call(self.below.entries, listing, before, limit)

    async def encrypts_with(self, key_arn: str) -> bool:
        """See `JournalStore`."""
        return await self.call(self.below.encrypts_with, key_arn)

    async def ping(self) -> None:
        """See `JournalStore`."""
        await self.call(self.below.ping)

    async def aclose(self) -> None:
        """See `JournalStore`."""
        await self.below.aclose()
