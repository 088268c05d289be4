"""Segment <-> bytes: an object of consecutive records. docs/format.md describes it.

    header (its own CRC-32)  |  record  |  record  |  …

The records are compressed together where that pays: headers and ids of one session have much in common, and a turn of a
conversation is too short to be compressed by itself.

A segment is closed once its records, with those that were removed from it, are as long as the limit in its own header.
That is a function of the stored bytes, which erasing and removing do not change: whoever reads them, with whatever
options, comes to the same answer, so that the next record has one place to go.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stepwell.codecs.compression import compressed, decompressed
from stepwell.errors import CorruptJournal, NotSupported
from stepwell.journal.record import ERASED, HEADER_SIZE, MAGIC, frame_size, slot_of
from stepwell.stores.base import Remain

FORMAT = 1
SEGMENT_MAGIC = b"swsg"
RAW, ZSTANDARD = 0, 1
RECORDS_MAX_BYTES = 16 << 20
"""Of one segment: what claims to be more is none of ours."""
_FIELDS = struct.Struct(">4sBBHIIIIII")
_CRC = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Segment:
    """Records from slot *first* to the one before *end*.

    *removed* is how many bytes of records it held before. *key_arn* is the session's own KMS key, empty for none.
    """

    limit: int
    first: int
    end: int
    removed: int
    key_arn: str
    frames: bytes

    @property
    def is_closed(self) -> bool:
        """Whether the next record goes into a segment of its own."""
        return self.removed + len(self.frames) >= self.limit

    def grown(self, record: bytes) -> Segment:
        """With one more record."""
        return replace(self, end=self.end + 1, frames=self.frames + record)

    def without(self, below: int) -> Segment:
        """Without the records below slot *below*."""
        first = min(max(below, self.first), self.end)
        size = sum(map(len, self.records()[: first - self.first]))
        return replace(self, first=first, removed=self.removed + size, frames=self.frames[size:])

    def erased(self, slot: int, spans: Sequence[tuple[int, int]]) -> Segment:
        """With parts of a record overwritten, each (offset, size)."""
        begin = sum(map(len, self.records()[: slot - self.first]))
        frames = bytearray(self.frames)
        for offset, size in spans:
            frames[begin + offset : begin + offset + size] = ERASED * size
        return replace(self, frames=bytes(frames))

    def records(self) -> list[bytes]:
        """Each record's bytes.

        Raises:
            CorruptJournal: it does not hold what its header says.
        """
        records: list[bytes] = []
        at, frames = 0, self.frames
        while at < len(frames):
            size = frame_size(frames, at)
            if size is None or at + size > len(frames):
                raise CorruptJournal(f"a segment is damaged behind slot {self.first + len(records) - 1}")
            records.append(frames[at : at + size])
            at += size
        if len(records) != self.end - self.first:
            raise CorruptJournal(f"a segment holds {len(records)} records instead of {self.end - self.first}")
        return records

    def record(self, slot: int) -> bytes | None:
        """One record; None if it is not here."""
        return self.records()[slot - self.first] if self.first <= slot < self.end else None

    def data(self) -> bytes:
        """What is stored."""
        key, packed = self.key_arn.encode(), compressed(self.frames)
        codec, stored = (RAW, self.frames) if packed is None else (ZSTANDARD, packed)
        sizes = len(self.frames), len(stored)
        header = _FIELDS.pack(
            SEGMENT_MAGIC, FORMAT, codec, len(key), self.limit, self.first, self.end, self.removed, *sizes
        )
        header += key
        return b"".join([header, _CRC.pack(zlib.crc32(header)), stored])


def begun(slot: int, record: bytes, *, limit: int, key_arn: str) -> Segment:
    """A segment that begins with this record."""
    return Segment(limit, slot, slot + 1, 0, key_arn, record)


def parse(data: bytes) -> Segment:
    """A segment from its bytes. Its records are looked at when they are asked for.

    Raises:
        CorruptJournal: it is none, or was cut.
        NotSupported: written by a newer version.
    """
    begin = _begin(data)
    if begin is None:
        raise CorruptJournal("an object is no segment, or its header is damaged")
    _, version, codec, _, limit, first, end, removed, size, stored = _FIELDS.unpack_from(data)
    if version != FORMAT or codec not in (RAW, ZSTANDARD):
        raise NotSupported(
            f"a segment has format {version}.{codec}, this version of stepwell reads {FORMAT}.{ZSTANDARD}: upgrade "
            "stepwell to read it"
        )
    if stored != len(data) - begin:
        raise CorruptJournal(f"a segment of {stored} bytes was cut, or grew, to {len(data) - begin}")
    frames = _unpacked(codec, data[begin:], size)
    return Segment(limit, first, end, removed, data[_FIELDS.size : begin - _CRC.size].decode(), frames)


def _unpacked(codec: int, stored: bytes, size: int) -> bytes:
    """The records, *size* bytes of them."""
    if size > RECORDS_MAX_BYTES or (codec == RAW and size != len(stored)):
        raise CorruptJournal(f"a segment claims to hold {size} bytes of records")
    return stored if codec == RAW else decompressed(stored, size)


def _begin(data: bytes) -> int | None:
    """Where the records begin; None without a valid header."""
    if len(data) < _FIELDS.size + _CRC.size or not data.startswith(SEGMENT_MAGIC):
        return None
    end = _FIELDS.size + int(_FIELDS.unpack_from(data)[3])
    if len(data) < end + _CRC.size or _CRC.unpack_from(data, end)[0] != zlib.crc32(data[:end]):
        return None
    return end + _CRC.size


def remains(data: bytes) -> list[Remain]:
    """What lies in an object that may be damaged. A place is an offset in its records, or in what is left of them."""
    begin = _begin(data)
    found = [] if begin is not None else [Remain(0, b"", "a segment's header is damaged")]
    frames, expected = data, None
    if begin is None:
        begin = _next_record(data, 1)
    else:
        _, _, codec, _, _, expected, _, _, size, _ = _FIELDS.unpack_from(data)
        try:
            frames = data[:begin] + _unpacked(codec, data[begin:], size)
        except CorruptJournal as error:
            found, begin = [Remain(0, b"", str(error))], _next_record(data, begin)
    return found + _remains(frames, begin, expected)


def _remains(data: bytes, at: int, expected: int | None) -> list[Remain]:
    """Record by record; *expected* is the slot of the first, if that is known."""
    found: list[Remain] = []
    while at < len(data):
        size = frame_size(data, at)
        if size is None or at + size > len(data):
            behind = _next_record(data, at + 1)
            found.append(Remain(at, b"", f"no record in {behind - at} bytes"))
            at, expected = behind, None
            continue
        record = data[at : at + size]
        fault = "" if expected in (None, slot_of(record)) else f"slot {slot_of(record)} where {expected} belongs"
        found.append(Remain(at, record, fault))
        at, expected = at + size, slot_of(record) + 1
    return found


def _next_record(data: bytes, at: int) -> int:
    """Where the next valid header of a record is, or the end."""
    while 0 <= (at := data.find(MAGIC, at)) <= len(data) - HEADER_SIZE:
        if frame_size(data, at) is not None:
            return at
        at += 1
    return len(data)
