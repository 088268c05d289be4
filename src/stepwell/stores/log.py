"""An append-only file of records: `record, trailer, record, trailer, …`. docs/format.md describes it.

A trailer (13 bytes) holds where the record of slot `n & (n - 1)` starts (0 if that was removed), the record's length, a
CRC-32 of the record and both, and a mark. From the file's end it gives the head in one read, and any slot in O(log n)
steps.

Behind the last trailer the file may hold room: zeros, up to `ROOM_MOST_BYTES`, written with the record that needed it.
Appends into room change no size, so the file system has nothing but the bytes to make durable.

What a crash leaves is told from what a disk spoils: a write that was under way leaves an end that is missing or holds a
sector of zeros, which a stored record never does; that is cut. Anything else is `CorruptJournal` with the offset.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from stepwell.errors import CorruptJournal, LimitExceeded
from stepwell.journal.record import ERASED, FIXED_SIZE, HEADER_SIZE, MAGIC, SIZES, SIZES_AT, frame_size, slot_of
from stepwell.stores.base import READ_BYTES, SHORT_READ_BYTES, UNFINISHED, Remain
from stepwell.stores.folder import Folder

RECORD_MAX_BYTES = SHORT_READ_BYTES
JOURNAL_MAX_BYTES = (1 << 32) - 1
SECTOR = 512
ROOM_BYTES, ROOM_MOST_BYTES, ROOM_SHIFT = 8192, 65536, 6
"""Room is a 64th of the log, within these bounds."""

_EMPTY_SECTOR = bytes(SECTOR)
_TRAILER = struct.Struct(">IIIB")
_COVERED = struct.Struct(">II")
_MARK = 0xA5


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a log: where each frame starts on the way from the head down, one bit of the slot at a time."""

    size: int
    slot: int
    starts: tuple[tuple[int, int], ...]
    """(slot, offset), the head first: n, n & (n - 1), … 0, as far as they are not below *first*."""
    first: int = 0
    """The slot that the log begins with: above 0 once older ones were removed."""

    def start_of_next_skip(self) -> int:
        """Where the frame that the next slot's trailer points to starts."""
        wanted = (self.slot + 1) & self.slot
        return next((offset for slot, offset in self.starts if slot == wanted), 0)

    def grown(self, size: int) -> Tail:
        """The tail after one more frame of *size* bytes."""
        slot = self.slot + 1
        # Adding one clears the lowest bits that are set: what is left of the way down begins where those end.
        least, at = slot & (slot - 1), 0
        while at < len(self.starts) and self.starts[at][0] > least:
            at += 1
        kept = self.starts[at:]
        return Tail(self.size + size, slot, ((slot, self.size), *kept), self.first)


def empty(first: int = 0) -> Tail:
    """The end of a log that has no record yet, and is to begin with slot *first*."""
    return Tail(0, first - 1, (), first)


def trailer(skip: int, record: bytes) -> bytes:
    """What follows a record; *skip* is where the record of slot `n & (n - 1)` starts."""
    crc = zlib.crc32(_COVERED.pack(skip, len(record)), zlib.crc32(record))
    return _TRAILER.pack(skip, len(record), crc, _MARK)


def erased(frame: bytes, spans: Sequence[tuple[int, int]]) -> bytes:
    """A frame, parts of whose record are overwritten."""
    record = bytearray(frame[: -_TRAILER.size])
    for offset, size in spans:
        record[offset : offset + size] = ERASED * size
    (skip, *_) = _TRAILER.unpack(frame[-_TRAILER.size :])
    return bytes(record) + trailer(skip, bytes(record))


def erasure(frame: bytes, spans: Sequence[tuple[int, int]], start: int) -> list[tuple[int, bytes]]:
    """What turns the frame at *start* into the erased one: offsets in the log, and what is written there."""
    after = erased(frame, spans)
    pieces = [(start + offset, ERASED * size) for offset, size in spans]
    return [*pieces, (start + len(after) - _TRAILER.size, after[-_TRAILER.size :])]


def frame(record: bytes, tail: Tail) -> bytes:
    """The bytes that put *record* behind *tail*.

    Raises:
        LimitExceeded: the record or the journal would be too large.
    """
    if len(record) > RECORD_MAX_BYTES:
        raise LimitExceeded(f"a record of {len(record)} bytes, the limit RECORD_MAX_BYTES is {RECORD_MAX_BYTES}")
    if tail.size + len(record) + _TRAILER.size > JOURNAL_MAX_BYTES:
        raise LimitExceeded(f"the journal would exceed JOURNAL_MAX_BYTES, {JOURNAL_MAX_BYTES}: fork the session")
    return record + trailer(tail.start_of_next_skip(), record)


class Log:
    """One open log file. *known* is its end as it was last seen; it still is where the sizes agree."""

    def __init__(self, folder: Folder, fd: int, name: str) -> None:
        self.name = name
        self.known: Tail | None = None
        self._folder = folder
        self._fd = fd
        found = folder.files.stat(fd)
        self.identity = (found.st_dev, found.st_ino)
        self.size = found.st_size

    def close(self) -> None:
        """Close the file."""
        self._folder.files.close(self._fd)

    def tail(self, end: int) -> Tail:
        """The end of the log's first *end* bytes; anything but room behind `Tail.size` is to be cut.

        Raises:
            CorruptJournal: the end is neither whole nor unfinished.
        """
        used = self._used(end)
        if used == 0:
            return empty()
        last = self._frame_ending_at(used)
        if last is None:
            return self._scan(end)
        start, record = last
        slot, first = slot_of(record), self._first()
        if (slot, start) != (first, 0) and (slot <= first or self._slot_before(start) not in (None, slot - 1)):
            raise _corrupt(start)  # an older record that was put here would hide all that came after it
        return Tail(used, slot, self._starts(slot, start, first), first)

    def _slot_before(self, end: int) -> int | None:
        """The slot of the frame that ends there, by its trailer and its header; None where these are damaged."""
        if end < HEADER_SIZE + _TRAILER.size:
            return None
        _, size, _, mark = _TRAILER.unpack(self._read(_TRAILER.size, end - _TRAILER.size))
        start = end - _TRAILER.size - size
        head = self._read(HEADER_SIZE, start) if mark == _MARK and start >= 0 else b""
        return slot_of(head) if frame_size(head, 0) == size else None

    def _first(self) -> int:
        head = self._read(HEADER_SIZE, 0)
        return 0 if frame_size(head, 0) is None else slot_of(head)  # damage is told to whoever reads that record

    def record_at(self, slot: int, tail: Tail) -> bytes:
        """One record."""
        return self.records(slot, slot, tail)[0]

    def last_frame(self, tail: Tail) -> tuple[int, bytes]:
        """Where the last frame starts, and its bytes."""
        start = tail.starts[0][1]
        return start, self._read(tail.size - start, start)

    def records(self, first: int, last: int | None, tail: Tail) -> Sequence[bytes]:
        """Records from *first* on, see `JournalStore.read`."""
        last = tail.slot if last is None else min(last, tail.slot)
        if first > last or first < tail.first:
            return ()
        start = self._locate(first, tail)
        if first == last:
            return [self._one(start)]
        wanted = last - first + 1
        found = self._split(self._read(min(READ_BYTES, tail.size - start), start), start, wanted, tail)
        return found or [self._one(start)]

    def overwrite(self, pieces: Iterable[tuple[int, bytes]]) -> None:
        """Write over bytes that are there, each piece at its offset, durably."""
        for offset, data in pieces:
            self._folder.write_all(self._fd, data, offset)
        self._folder.files.sync_data(self._fd)

    def span(self, slot: int, tail: Tail) -> tuple[int, int]:
        """Where the frame of *slot* starts, and how long it is."""
        start = self._locate(slot, tail)
        record = self._one(start)
        if slot_of(record) != slot:
            raise _corrupt(start)
        return start, len(record) + _TRAILER.size

    def frame_at(self, start: int, size: int) -> bytes:
        """A whole frame."""
        return self._read(size, start)

    def remains(self, place: int, end: int) -> list[Remain]:
        """See `JournalStore.remains`: what lies at *place* and behind it, below *end*. A place is an offset."""
        used, head = self._used(end), self._read(HEADER_SIZE, 0)
        start = self._behind(place - 1, used) if place else 0
        found: list[Remain] = []
        size = 0
        while start < used and size < READ_BYTES:
            whole = self._frame_from(start, used)
            behind = start + whole if whole else self._next_header(start, used)
            remain = self._remain(start, whole, head) if whole else Remain(start, b"", _no_record(start, behind))
            if remain.fault and behind == used and self._unfinished(start, end):
                remain = Remain(start, b"", UNFINISHED)
            found.append(remain)
            size += len(remain.record)
            start = behind
        return found

    def _remain(self, start: int, size: int, head: bytes) -> Remain:
        """The frame of so many bytes; *head* is the log's first header."""
        frame = self._read(size, start)
        record = frame[: -_TRAILER.size]
        return Remain(start, record, self._fault(record, frame[-_TRAILER.size :], start, head))

    def _frame_from(self, start: int, end: int) -> int:
        """The size of the frame whose valid header is there; 0 if there is none that ends before *end*."""
        size = frame_size(self._read(HEADER_SIZE, start), 0)
        return 0 if size is None or start + size + _TRAILER.size > end else size + _TRAILER.size

    def _behind(self, start: int, end: int) -> int:
        """Where what lies at *start* ends: its frame, or else the stretch up to the next record."""
        whole = self._frame_from(start, end)
        return start + whole if whole else self._next_header(start, end)

    def _next_header(self, start: int, end: int) -> int:
        """Where the next valid header behind *start* is, or *end*."""
        at = start + 1
        while at < end:
            region = self._read(min(READ_BYTES, end - at), at)
            found = region.find(MAGIC)
            while found >= 0:
                if frame_size(self._read(HEADER_SIZE, at + found), 0) is not None:
                    return at + found
                found = region.find(MAGIC, found + 1)
            at += max(1, len(region) - len(MAGIC) + 1)
        return end

    def _fault(self, record: bytes, trailer: bytes, start: int, head: bytes) -> str:
        """What is wrong with a record's *trailer*; empty if nothing is. *head* is the log's first header."""
        skip, size, crc, mark = _TRAILER.unpack(trailer)
        if mark != _MARK or size != len(record):
            return f"the trailer of the record at byte {start} is damaged"
        if crc != zlib.crc32(_COVERED.pack(skip, size), zlib.crc32(record)):
            return f"the record at byte {start}, or its trailer, is damaged: the checksum differs"
        slot = slot_of(record)
        wanted = slot & (slot - 1) if slot else 0
        if frame_size(head, 0) is None or slot == slot_of(head):
            return ""
        target = self._read(HEADER_SIZE, skip) if wanted >= slot_of(head) else head[: HEADER_SIZE * (skip == 0)]
        if frame_size(target, 0) is None or (wanted >= slot_of(head) and slot_of(target) != wanted):
            return f"the trailer of the record at byte {start} points to no slot {wanted}"
        return ""

    def write(self, data: bytes, offset: int) -> None:
        """Write a frame and make it durable."""
        end = offset + len(data)
        if end > self.size:
            room = max(ROOM_BYTES, min(ROOM_MOST_BYTES, end >> ROOM_SHIFT))
            data += bytes(room)
            self.size = end + room
        self._folder.write_all(self._fd, data, offset)
        self._folder.files.sync_data(self._fd)

    def ends_at(self, tail: Tail) -> bool:
        """Whether *tail* still is the end: a frame behind it would not begin with zeros."""
        return not self._folder.files.read_at(self._fd, len(MAGIC), tail.size).strip(b"\0")

    def cut(self, size: int) -> None:
        """Cut the log, durably."""
        self._folder.files.truncate(self._fd, size)
        self._folder.files.sync(self._fd)
        self.size = size

    def used(self) -> int:
        """Where the zeros at the end of the file begin."""
        return self._used(self.size)

    def _used(self, end: int) -> int:
        while end:
            start = max(0, end - ROOM_MOST_BYTES)
            used = _without_zeros(self._read(end - start, start))
            if used:
                return start + used
            end = start
        return 0

    def _one(self, start: int) -> bytes:
        size = frame_size(self._read(HEADER_SIZE, start), 0)
        if size is None:
            raise _corrupt(start)
        return self._read(size, start)

    def _split(self, buffer: bytes, start: int, wanted: int, tail: Tail) -> list[bytes]:
        records: list[bytes] = []
        offset, end = 0, len(buffer)
        while len(records) < wanted and offset + HEADER_SIZE <= end:
            body, area = SIZES.unpack_from(buffer, offset + SIZES_AT)
            size = FIXED_SIZE + body + area
            behind = offset + size
            if behind + _TRAILER.size > end:
                if start + behind + _TRAILER.size > tail.size:
                    raise _corrupt(start + offset)
                break
            _, repeated, _, mark = _TRAILER.unpack_from(buffer, behind)
            if repeated != size or mark != _MARK:
                raise _corrupt(start + offset)
            records.append(buffer[offset:behind])
            offset = behind + _TRAILER.size
        return records

    def _locate(self, slot: int, tail: Tail) -> int:
        """Where the frame of *slot* starts."""
        if slot == tail.first:
            return 0
        at, start = min((known for known in tail.starts if known[0] >= slot), key=lambda known: known[0])
        while at > slot:
            down = at & (at - 1)
            if down >= slot:
                at, start = down, self._skip_of(at, start)
            else:
                before = self._frame_ending_at(start)
                if before is None:
                    raise _corrupt(start)
                at, start = at - 1, before[0]
        return start

    def _skip_of(self, slot: int, start: int) -> int:
        """Where the trailer of *slot*, whose frame is said to start there, points to."""
        head = self._read(HEADER_SIZE, start)
        size = frame_size(head, 0)
        trailer = b"" if size is None else self._read(_TRAILER.size, start + size)
        if len(trailer) < _TRAILER.size or slot_of(head) != slot:
            raise _corrupt(start)
        skip, repeated, _, mark = _TRAILER.unpack(trailer)
        if repeated != size or mark != _MARK or skip > start:
            raise _corrupt(start)
        return int(skip)

    def _starts(self, slot: int, start: int, first: int) -> tuple[tuple[int, int], ...]:
        starts = [(slot, start)]
        while slot > first and slot & (slot - 1) >= first:
            slot, start = slot & (slot - 1), self._skip_of(slot, start)
            starts.append((slot, start))
        return tuple(starts)

    def _frame_ending_at(self, end: int) -> tuple[int, bytes] | None:
        """Start and record of the whole, valid frame that ends at *end*."""
        if end < HEADER_SIZE + _TRAILER.size:
            return None
        skip, size, crc, mark = _TRAILER.unpack(self._read(_TRAILER.size, end - _TRAILER.size))
        start = end - _TRAILER.size - size
        if mark != _MARK or start < 0 or size > RECORD_MAX_BYTES:
            return None
        record = self._read(size, start)
        whole = frame_size(record, 0) == size and crc == zlib.crc32(_COVERED.pack(skip, size), zlib.crc32(record))
        return (start, record) if whole else None

    def _scan(self, limit: int) -> Tail:
        """The tail of a log whose end is not whole: read from the start."""
        tail = empty(self._first())
        while tail.size < limit:
            head = self._read(HEADER_SIZE, tail.size)
            size = frame_size(head, 0)
            end = tail.size + (size or 0) + _TRAILER.size
            if size is None or end > limit or self._frame_ending_at(end) is None:
                if self._unfinished(tail.size, limit):
                    return tail
                raise _corrupt(tail.size)
            tail = tail.grown(size + _TRAILER.size)
        return tail

    def _unfinished(self, start: int, limit: int) -> bool:
        """Whether what begins at *start* is the remains of one write that was never acknowledged."""
        size = min(limit - start, RECORD_MAX_BYTES + _TRAILER.size + ROOM_MOST_BYTES)
        region = self._read(size, start)
        used = _without_zeros(region)
        if self._frame_within(region, start) or self._used(limit) > start + size:
            return False
        expected = frame_size(region, 0)
        if expected is None:
            return used < HEADER_SIZE or _has_empty_sector(region[:used], start)
        whole = expected + _TRAILER.size  # its last byte is never zero
        return used < whole or _has_empty_sector(region[:whole], start)

    def _frame_within(self, region: bytes, start: int) -> bool:
        """Whether a whole frame follows: only a finished write is followed by another."""
        at = region.find(MAGIC, 1)
        while at >= 0:
            size = frame_size(region, at)
            if size is not None and self._frame_ending_at(start + at + size + _TRAILER.size):
                return True
            at = region.find(MAGIC, at + 1)
        return False

    def _read(self, size: int, offset: int) -> bytes:
        return self._folder.read_all(self._fd, size, offset)


def _without_zeros(region: bytes) -> int:
    """The size of *region* without the zeros at its end; compared by sectors, for `rstrip` goes byte by byte."""
    size = len(region)
    while region.endswith(_EMPTY_SECTOR, 0, size):
        size -= SECTOR
    return len(region[:size].rstrip(b"\0"))


def _has_empty_sector(region: bytes, start: int) -> bool:
    first = SECTOR - start % SECTOR
    bounds = [0, *range(first, len(region), SECTOR), len(region)]
    return any(not region[a:b].strip(b"\0") for a, b in pairwise(bounds) if a < b)


def _no_record(start: int, end: int) -> str:
    return f"there is no record at bytes {start} to {end - 1}"


def _corrupt(offset: int) -> CorruptJournal:
    return CorruptJournal(f"the journal is damaged at byte {offset}", offset=offset)
