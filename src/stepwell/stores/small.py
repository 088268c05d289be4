"""What keys and entries are in a file or an object of their own: content behind its own digest.

A damaged key is refused. A damaged entry is written anew from the journal: any version replaces it.
"""

from __future__ import annotations

from hashlib import sha256

import ormsgpack

from stepwell.errors import CorruptJournal
from stepwell.stores.base import ListingEntry

_CHECK_SIZE = 16
_VERSION_SIZE = 8
_DAMAGED = b"damaged"
FREED_BYTES = 16


def checked(content: bytes) -> bytes:
    """What is stored: the content behind its own digest."""
    return sha256(content).digest()[:_CHECK_SIZE] + content


def unchecked(data: bytes) -> bytes | None:
    """The content of what is stored; None if it is damaged."""
    content = data[_CHECK_SIZE:]
    return content if data == checked(content) else None


def key_data(key: str, session: bytes) -> bytes:
    """What is stored for a key that names *session*."""
    return checked(ormsgpack.packb([key, session]))


def freed_data(nonce: bytes) -> bytes:
    """What is stored for a key that names nothing any more, where it cannot be removed: its text is not there.

    *nonce* is random, so that no two of them are the same version.
    """
    return checked(ormsgpack.packb([None, nonce]))


def key_session(key: str, data: bytes) -> bytes | None:
    """The session that a key names, by what is stored for it; None for one that was freed.

    Raises:
        CorruptJournal: that is damaged, or of another key.
    """
    content = unchecked(data)
    stored, session = ("", b"") if content is None else ormsgpack.unpackb(content)
    if stored not in (key, None):
        raise CorruptJournal("the key's entry is damaged: remove it and create the session anew, or name it by its id")
    return None if stored is None else bytes(session)


def entry_data(entry: ListingEntry) -> bytes:
    """What is stored for an entry of a list."""
    return checked(entry.version.to_bytes(_VERSION_SIZE, "big") + entry.data)


def entry_of(session: bytes, data: bytes) -> ListingEntry:
    """An entry, by what is stored for it."""
    content = unchecked(data)
    if content is None:
        return ListingEntry(session, -1, _DAMAGED)
    return ListingEntry(session, int.from_bytes(content[:_VERSION_SIZE], "big"), content[_VERSION_SIZE:])
