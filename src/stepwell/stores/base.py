"""The protocol of a store.

A store keeps journals: numbered slots of bytes, each written once and only behind the one before. Beside them it
keeps blobs, a key index, and one listing entry per session. It knows nothing of what the bytes say.

Errors: a store answers `SlotTaken` or raises
- `OutcomeUnknown` (without a token) when an append may or may not be durable: the caller sends the same bytes again;
- `Throttled`, `Unavailable` when it certainly wrote nothing: the caller may try again;
- `PermissionDenied`, `LimitExceeded`, `NotSupported`, `CorruptJournal`, `StaleStore`: the caller gives up.
It never retries by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class JournalId(NamedTuple):
    """Whose journal: a tenant, and the session's 16 bytes."""

    tenant: str
    session: bytes


@dataclass(frozen=True, slots=True)
class SlotTaken:
    """The slot is written already. *winner* is the record in it where the store learnt it at no extra cost."""

    winner: bytes | None = None


class ListingEntry(NamedTuple):
    """What lists show of a session. An older *version* never replaces a newer one; empty *data* means it is gone."""

    session: bytes
    version: int
    data: bytes


READ_BYTES = 1 << 20
"""About how much one `read` returns at most."""
SHORT_READ_BYTES = READ_BYTES // 2
"""A `read` that returns less than this has returned all there is."""


class JournalStore(Protocol):
    """See the module."""

    name: str
    """For messages: what kind of store, and where."""

    inline_bytes: int
    """Payloads above this are better kept as blobs."""

    server_time: int | None
    """The latest time that a server told, in microseconds since 1970; None for a store without one."""

    encryption_keys: bool
    """Whether a session may name the key that encrypts it."""

    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        """Write *record* into *slot* if that is the next one; None when it is durable.

        Raises:
            StaleStore: the slot before it is not there.
        """
        ...

    async def head(self, journal: JournalId) -> bytes | None:
        """The last record; None if the journal has no slot 0."""
        ...

    async def read(self, journal: JournalId, first: int, last: int | None = None) -> Sequence[bytes]:
        """The records from *first* on, at least one if there is one, up to about `READ_BYTES`, none behind *last*."""
        ...

    async def put_blob(self, journal: JournalId, name: str, data: bytes) -> None:
        """Keep *data* under *name* (lowercase hexadecimal), durably; the same name is only ever given the same data."""
        ...

    async def get_blob(self, journal: JournalId, name: str) -> bytes:
        """A blob.

        Raises:
            CorruptJournal: it is not there.
        """
        ...

    async def copy_blob(self, source: JournalId, name: str, target: JournalId) -> None:
        """Copy a blob into another journal, without moving its bytes through here where the store can."""
        ...

    async def get_key(self, tenant: str, key: str) -> bytes | None:
        """The session that *key* names."""
        ...

    async def swap_key(self, tenant: str, key: str, session: bytes, *, expected: bytes | None) -> bytes | None:
        """Let *key* name *session* if it still names *expected*; what it named before."""
        ...

    async def put_entry(self, tenant: str, entry: ListingEntry) -> None:
        """Write a listing entry unless a newer version stands."""
        ...

    async def get_entry(self, tenant: str, session: bytes) -> ListingEntry | None:
        """A session's listing entry."""
        ...

    async def entries(self, tenant: str, before: bytes | None, limit: int) -> Sequence[ListingEntry]:
        """Up to *limit* entries below session *before*, the greatest (newest) first."""
        ...

    async def ping(self) -> None:
        """Whether the store can be reached and used; raises why not."""
        ...

    async def aclose(self) -> None:
        """Let go of connections and descriptors."""
        ...
