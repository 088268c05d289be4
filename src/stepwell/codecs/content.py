"""Content blocks <-> block references and payloads.

Each block is compressed on its own (never images), hashed with its own salt, and kept beside the journal as a blob
when it is too large to go inline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from stepwell.codecs.compression import compressed, decompressed
from stepwell.errors import CorruptJournal
from stepwell.journal.events import (
    BLOB,
    DATA,
    GIF,
    IMAGE_POINTER,
    JPEG,
    MASKED,
    OCTETS,
    PNG,
    TEXT,
    WEBP,
    ZSTD,
    BlockRef,
    Payload,
    StepPut,
)
from stepwell.journal.record import has_zero_run, is_erased, mask, salted_digest
from stepwell.models import Data, Image, ImageFormat, Redacted, Text, stored

INLINE_STEPS_BYTES = 128 * 1024
"""The payloads of one call that go inline together; the largest beyond that become blobs."""

_FORMATS: dict[str, int] = {"png": PNG, "jpeg": JPEG, "gif": GIF, "webp": WEBP}
_IMAGES: dict[int, ImageFormat] = {PNG: "png", JPEG: "jpeg", GIF: "gif", WEBP: "webp"}
_DEFAULT_MEDIA_TYPE = "application/octet-stream"
_IMAGE_KINDS = frozenset(_IMAGES)


class Encoded(NamedTuple):
    """A block ready to be written."""

    ref: BlockRef
    payload: Payload
    raw: bytes

    def as_blob(self) -> Encoded:
        """The same, its bytes to be kept beside the journal."""
        return self._replace(
            ref=self.ref._replace(codec=self.ref.codec | BLOB), payload=Payload(self.payload.salt, b"")
        )


def encode(block: Text | Image | Data, salt: bytes) -> Encoded:
    """*block*, compressed where that pays; *salt* is `SALT_SIZE` random bytes."""
    kind, label, raw = _parts(block)
    codec, stored = 0, raw
    if kind not in _IMAGE_KINDS and (smaller := compressed(raw)) is not None:
        codec, stored = ZSTD, smaller
    if has_zero_run(stored):
        codec, stored = codec | MASKED, mask(stored, salt)
    ref = BlockRef(kind, codec, len(raw), salted_digest(raw, salt), len(stored), label)
    return Encoded(ref, Payload(salt, stored), raw)


def _parts(block: Text | Image | Data) -> tuple[int, str, bytes]:
    match block:
        case Text():
            return TEXT, "", block.text.encode()
        case Image(data=bytes(data)):
            return _FORMATS[block.format], "", data
        case Image():
            return IMAGE_POINTER, block.format, (block.s3_uri or "").encode()
        case Data(media_type=media_type) if media_type == _DEFAULT_MEDIA_TYPE:
            return OCTETS, "", block.data
        case Data():
            return DATA, block.media_type, block.data


def split_blobs(blocks: Sequence[Encoded], inline_bytes: int) -> set[int]:
    """Which of *blocks* must be blobs: those above *inline_bytes*, then the largest until the rest fits a record."""
    sizes = [block.ref.stored_size for block in blocks]
    blobs = {i for i, size in enumerate(sizes) if size > inline_bytes}
    inline = sum(sizes) - sum(sizes[i] for i in blobs)
    if inline > INLINE_STEPS_BYTES:
        for i in sorted(set(range(len(sizes))) - blobs, key=lambda i: -sizes[i]):
            blobs.add(i)
            inline -= sizes[i]
            if inline <= INLINE_STEPS_BYTES:
                break
    return blobs


def blob_name(call: bytes, ref: BlockRef) -> str:
    """A blob's name: the call that wrote it and what it holds, so that no two calls share one."""
    return (call + ref.digest).hex()


def same_content(old: StepPut, new: StepPut, raws: Sequence[bytes]) -> bool:
    """Whether a stored step holds what a new one is to hold, whose raw bytes are *raws*."""
    if [(a.kind, a.label, a.raw_size) for a in old.blocks] != [(b.kind, b.label, b.raw_size) for b in new.blocks]:
        return False
    kept = zip(old.blocks, old.payloads, raws, strict=True)
    return all(ref.digest == salted_digest(raw, payload.salt) for ref, payload, raw in kept)


def stored_raw(codec: int, raw_size: int, stored: bytes, salt: bytes) -> bytes:
    """The raw bytes of stored ones.

    Raises:
        CorruptJournal: they cannot be decoded.
    """
    if codec & MASKED:
        stored = mask(stored, salt)
    return decompressed(stored, raw_size) if codec & ZSTD else stored


def blob_names(step: StepPut, call: bytes) -> list[str]:
    """The blobs that a step needs; *call* is its write token. A redacted one needs none."""
    kept = zip(step.blocks, step.payloads, strict=True)
    return [blob_name(call, ref) for ref, payload in kept if ref.codec & BLOB and not is_erased(payload.salt)]


def decode(wire: list[Any], salt: bytes, kept: bytes) -> Text | Image | Data | Redacted:
    """A block by its array, its salt and its stored bytes.

    Raises:
        CorruptJournal: a payload is not what was written.
    """
    if is_erased(salt):
        return stored(Redacted, {"type": "redacted"})
    kind, codec, raw_size, digest = wire[:4]
    raw = stored_raw(codec, raw_size, kept, salt) if codec else kept
    if salted_digest(raw, salt) != digest:
        raise CorruptJournal("a payload is damaged")
    if kind == TEXT:
        return stored(Text, {"type": "text", "text": raw.decode()})
    if kind == OCTETS:
        return stored(Data, {"type": "data", "media_type": _DEFAULT_MEDIA_TYPE, "data": raw})
    if kind in _IMAGE_KINDS:
        return stored(Image, {"type": "image", "format": _IMAGES[kind], "data": raw, "s3_uri": None})
    label = wire[5]
    if kind == IMAGE_POINTER:
        return Image(format=_IMAGES[_FORMATS[label]], s3_uri=raw.decode())
    if kind == DATA:
        return Data(media_type=label, data=raw)
    raise CorruptJournal(f"a block has the unknown kind {kind}")
