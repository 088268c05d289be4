"""What lies in the table: keys, items, their sizes by DynamoDB's published rules. Pure code.

    partition                sort              what
    T/session/ID             ~                 slot 0, without which the journal is not there
    T/session/ID             slot, ten digits  any other record
    T/blobs/ID               NAME/0000         a chunk of a blob
    T/key/SHA-256            key               what a key names
    LIST/list                ID                an entry of a list

T is a tenant, ID a session's UUID. Partitions are told apart by their ends, which have a fixed form each, so whatever a
tenant is called, no two share one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, TypeAlias

from stepwell.ids import uuid_text
from stepwell.stores.base import JournalId

Item: TypeAlias = dict[str, Any]
"""As DynamoDB's low-level API has it: attribute name -> {type: value}."""

INDEX = "sessions"
"""The index of what is stored of sessions: only items that have both `tenant` and `session` are in it."""
TTL_ATTRIBUTE = "ttl"
ITEM_MAX_BYTES = 400 * 1024
"""DynamoDB developer guide, Constraints: attribute names included."""
LINGER_SECONDS = 24 * 3600
"""How long an item outlives its session, at least: nobody who saw that one alive is still reading."""
SLOT_DIGITS = 10
SLOT_0 = "~"
"""Slot 0 sorts behind every other: the last two items of a journal say that it is there, and what its head is."""
LEAST, MOST = "0", "9" * SLOT_DIGITS
"""Where the other slots lie."""
_WRITE_UNIT, _READ_UNIT = 1024, 4096


def session_partition(journal: JournalId) -> str:
    """Where a journal's records lie."""
    return f"{journal.tenant}/session/{uuid_text(journal.session)}"


def blobs_partition(journal: JournalId) -> str:
    """Where the chunks of its blobs lie: apart, so that a large payload slows down no append."""
    return f"{journal.tenant}/blobs/{uuid_text(journal.session)}"


def key_partition(tenant: str, key: str) -> str:
    """Where a key lies. It is hashed: keys are often names of people, and longer than a partition's name may be."""
    return f"{tenant}/key/{sha256(key.encode()).hexdigest()}"


def list_partition(listing: str) -> str:
    """Where the entries of a list lie."""
    return f"{listing}/list"


def slot_text(slot: int) -> str:
    """A slot as it sorts."""
    return f"{slot:0{SLOT_DIGITS}d}" if slot else SLOT_0


def text(value: str) -> dict[str, str]:
    """A string attribute."""
    return {"S": value}


def binary(value: bytes) -> dict[str, bytes]:
    """A binary attribute."""
    return {"B": value}


def number(value: int) -> dict[str, str]:
    """A number attribute."""
    return {"N": str(value)}


def record_item(journal: JournalId, slot: int, record: bytes, lasts: int) -> Item:
    """A record; *lasts* is how long it is needed, in microseconds since 1970, 0 for ever. Slot 0 is in the index."""
    item: Item = {"pk": text(session_partition(journal)), "sk": text(slot_text(slot)), "data": binary(record)}
    if lasts:
        item[TTL_ATTRIBUTE] = number(expiry_seconds(lasts))
    return item if slot else item | index_attributes(journal)


def index_attributes(journal: JournalId) -> Item:
    """What brings an item into the index."""
    return {"tenant": text(journal.tenant), "session": binary(journal.session)}


def index_entry(item: Item) -> Item | None:
    """What the index holds of an item, whose projection is keys alone; None for one that is not in it."""
    names = ("pk", "sk", "tenant", "session")
    return {name: item[name] for name in names} if "session" in item else None


def expiry_seconds(lasts: int) -> int:
    """When DynamoDB may remove what is needed until *lasts* (microseconds): epoch seconds, as it wants them."""
    return -(-lasts // 1_000_000) + LINGER_SECONDS


def is_past(item: Item, now: int) -> bool:
    """Whether DynamoDB may have removed an item by *now* (microseconds): then it is not there, removed or not."""
    expiry = item.get(TTL_ATTRIBUTE)
    return expiry is not None and int(expiry["N"]) * 1_000_000 <= now


def item_size(item: Mapping[str, Any]) -> int:
    """An item's size in bytes, names included (DynamoDB developer guide, "Item sizes and formats")."""
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: Mapping[str, Any]) -> int:
    ((kind, held),) = value.items()
    if kind == "N":
        digits = len(held.lstrip("-").strip("0"))
        return (digits + 1) // 2 + 1 + int(held.startswith("-"))
    if kind in {"S", "B"}:
        return len(held.encode() if kind == "S" else held)
    return 1  # a boolean


def write_units(size: int) -> int:
    """What a write of an item costs, in write request units."""
    return max(1, -(-size // _WRITE_UNIT))


def read_units(size: int) -> int:
    """What a strongly consistent read of so many bytes costs, in read request units."""
    return max(1, -(-size // _READ_UNIT))


def change_units(before: Item | None, after: Item | None) -> int:
    """What it costs to put *after* in the place of *before*, or to try to: the larger counts, and the index's entry.

    None is no item. (DynamoDB developer guide, "DynamoDB read and write operations" and "Using Global Secondary
    Indexes: Provisioned throughput considerations".)
    """
    units = write_units(max(0 if item is None else item_size(item) for item in (before, after)))
    entries = [None if item is None else index_entry(item) for item in (before, after)]
    if entries[0] == entries[1]:
        return units
    return units + sum(write_units(item_size(entry)) for entry in entries if entry is not None)


def query_units(items: Sequence[Item], *, consistent: bool) -> float:
    """What a query costs that goes through *items*, filtered ones included: their sum is rounded up, not each."""
    return read_units(sum(map(item_size, items))) * (1 if consistent else 0.5)
