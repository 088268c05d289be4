"""The protocol of a store.

A store keeps journals: numbered slots of bytes, each written once and only behind the one before. Beside them it
keeps blobs, a key index, and lists of entries. It knows nothing of what the bytes say. Bytes leave it in two ways only:
`erase` overwrites parts of a record, `remove` takes a journal's oldest slots, or all of it.

Errors: a store answers `SlotTaken` or raises
- `OutcomeUnknown` (without a token) when a write may or may not be durable: the caller sends the same bytes again;
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
    """An entry of a list. An older *version* never replaces a newer one; empty *data* means its subject is gone.

    *session* is the entry's id, 16 bytes: in a tenant's list of sessions, the session's.
    """

    session: bytes
    version: int
    data: bytes


class Remain(NamedTuple):
    """What lies at a *place* of a journal's storage: a record, or why what lies there is none.

    *place* grows from one to the next: a byte offset, or a slot where slots are stored one by one. *fault* is empty for
    a record that the store finds whole; with a fault, *record* may be there all the same, or be empty.
    """

    place: int
    record: bytes
    fault: str = ""


UNFINISHED = "an unfinished write"
"""The fault of what a writer that was killed may have left behind the last record: never acknowledged."""

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

    forgets: bool
    """Whether it removes by itself, some days later and at no cost, what has expired."""

    sees_gaps: bool
    """Whether `append` looks for the slot before. If not, what is written behind a gap is read by nobody."""

    @property
    def server_time(self) -> int | None:
        """The latest time that a server told, in microseconds since 1970; None for a store without one."""
        ...

    copies: tuple[str, ...]
    """Where bytes may be found after they were erased, in words, such as "snapshots of the disk"."""

    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        """Write *record* into *slot* if that is the next one; None when it is durable.

        Raises:
            StaleStore: the slot before it is not there, for a store that `sees_gaps`.
            LimitExceeded: the record is larger than the store can keep.
        """
        ...

    async def head(self, journal: JournalId) -> bytes | None:
        """The last record; None if the journal has no slot 0."""
        ...

    async def read(self, journal: JournalId, first: int, last: int | None = None) -> Sequence[bytes]:
        """The records from *first* on, at least one if there is one, up to about `READ_BYTES`, none behind *last*.

        A slot below the first that is kept is gone: the answer is empty.
        """
        ...

    def check_blob(self, size: int) -> None:
        """Refuse a blob before any is put.

        Raises:
            LimitExceeded: it keeps none of *size* bytes; the message says what to do.
        """
        ...

    async def put_blob(self, journal: JournalId, name: str, data: bytes) -> None:
        """Keep *data* under *name* (lowercase hexadecimal), durably; the same name is only ever given the same data.

        A name that is taken, by a blob or by a blank, stays as it is, and that is a success.

        Raises:
            LimitExceeded: see `check_blob`.
        """
        ...

    async def get_blob(self, journal: JournalId, name: str) -> bytes:
        """A blob.

        Raises:
            CorruptJournal: it is not there, or blank.
        """
        ...

    async def copy_blob(self, source: JournalId, name: str, target: JournalId) -> None:
        """Copy a blob into another journal, without moving its bytes through here where the store can.

        Raises:
            CorruptJournal: it is not there, or blank.
        """
        ...

    async def erase(self, journal: JournalId, slot: int, spans: Sequence[tuple[int, int]]) -> None:
        """Overwrite parts of a record, each (offset, size), with `journal.record.ERASED`, durably; the rest stays.

        Whatever order erasures and appends come in, none undoes another; erasing again is a success.

        Raises:
            StaleStore: the slot is not there.
        """
        ...

    async def remove(self, journal: JournalId, below: int | None = None) -> None:
        """Remove the slots below *below*, or the whole journal, blobs and all, slot 0 first.

        A removal that was interrupted is gone on with by calling it again; what is not there is removed already.
        """
        ...

    async def journals(self, tenant: str, after: bytes | None, limit: int) -> Sequence[bytes]:
        """Up to *limit* sessions above *after* of which anything is stored, records or blobs, the least first."""
        ...

    async def blobs(self, journal: JournalId) -> Sequence[str]:
        """The names of a journal's blobs, also of blank ones, and of unfinished puts that can be told from nothing."""
        ...

    async def blank_blob(self, journal: JournalId, name: str) -> None:
        """Keep the name of a blob and none of its bytes, durably: a put that arrives late finds it taken.

        One that is not there, or is blank already, is blank then. `remove_blob` frees the name.
        """
        ...

    async def remove_blob(self, journal: JournalId, name: str) -> None:
        """Remove a blob by a name of `blobs`; one that is not there is removed already."""
        ...

    async def remains(self, journal: JournalId, place: int) -> Sequence[Remain]:
        """What lies at *place* and behind it, at least one `Remain` if there is any, up to about `READ_BYTES`.

        It looks at the bytes as they are, follows no pointers, and changes nothing; for records that are damaged. Go on
        from the last one's place + 1. A torn write behind the last record is a `Remain` with the fault `UNFINISHED`;
        zeros there are nothing.
        """
        ...

    async def keep(self, journal: JournalId, until: int) -> None:
        """Let nothing of the journal that is stored now expire by itself before *until*, in microseconds since 1970."""
        ...

    async def get_key(self, tenant: str, key: str) -> bytes | None:
        """The session that *key* names."""
        ...

    async def swap_key(self, tenant: str, key: str, session: bytes | None, *, expected: bytes | None) -> bytes | None:
        """Let *key* name *session*, or nothing, if it still names *expected*; what it named before."""
        ...

    async def put_entry(self, listing: str, entry: ListingEntry) -> None:
        """Write an entry of a list unless a newer version stands. *listing* is a tenant, or "~" and any text."""
        ...

    async def get_entry(self, listing: str, session: bytes) -> ListingEntry | None:
        """A list's entry by its id."""
        ...

    async def remove_entry(self, listing: str, session: bytes) -> None:
        """Remove an entry, whatever its version; one that is not there is removed already."""
        ...

    async def entries(self, listing: str, before: bytes | None, limit: int) -> Sequence[ListingEntry]:
        """Up to *limit* entries of a list with ids below *before*, the greatest (newest) first."""
        ...

    async def encrypts_with(self, key_arn: str) -> bool:
        """Whether what a session writes is encrypted with this key, named by its ARN.

        Raises:
            NotSupported: it is not, and the message says which key is used, or where one is chosen.
        """
        ...

    async def ping(self) -> None:
        """Whether the store can be reached and used; raises why not."""
        ...

    async def aclose(self) -> None:
        """Let go of connections and descriptors."""
        ...
