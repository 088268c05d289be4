"""Zstandard, where it pays, and never unbounded."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from stepwell.errors import CorruptJournal

if TYPE_CHECKING:
    import zstandard

LEVEL = 1
PAYS_FROM_BYTES = 2048
"""Below this a payload is read more quickly than it is decompressed, and a turn of a conversation is below it."""
PAYS_IF_SAVED = 16
"""At least one byte in so many must be saved."""

_local = threading.local()  # zstandard's contexts are not to be shared between threads


def compressed(raw: bytes) -> bytes | None:
    """*raw* compressed, or None where that does not pay."""
    if len(raw) < PAYS_FROM_BYTES:
        return None
    data: bytes = _contexts()[0].compress(raw)
    return data if len(raw) - len(data) >= len(raw) // PAYS_IF_SAVED else None


def decompressed(data: bytes, size: int) -> bytes:
    """The *size* bytes that were compressed.

    Raises:
        CorruptJournal: *data* is no compressed form of exactly so many bytes.
    """
    import zstandard

    try:
        if zstandard.frame_content_size(data) != size:  # checked first: the decoder allocates what a frame claims
            raise CorruptJournal("a compressed payload claims a size of its own")
        raw: bytes = _contexts()[1].decompress(data)
    except zstandard.ZstdError as error:
        raise CorruptJournal("a compressed payload is damaged") from error
    return raw


def _contexts() -> tuple[zstandard.ZstdCompressor, zstandard.ZstdDecompressor]:
    try:
        contexts: tuple[zstandard.ZstdCompressor, zstandard.ZstdDecompressor] = _local.contexts
    except AttributeError:
        import zstandard

        contexts = zstandard.ZstdCompressor(level=LEVEL), zstandard.ZstdDecompressor()
        _local.contexts = contexts
    return contexts
