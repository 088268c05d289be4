"""Record <-> bytes. docs/format.md describes the layout and has test vectors.

    header (136 bytes, its own CRC-32)  |  body (msgpack)  |  digest (16)  |  payload area

The digest is SHA-256, cut to 128 bits, over the journal's identity, the header and the body, and stands in the next
record's header: one chain. The payload area holds each block's salt and stored bytes; the chain covers them through
the salted digests in the body, so that a payload can be erased and the chain still verifies.

Anything that is not what `seal` wrote raises `CorruptJournal`; a newer format raises `NotSupported`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from enum import IntEnum
from hashlib import sha256, shake_128
from typing import Any, NamedTuple, TypeAlias

import ormsgpack

from stepwell.errors import CorruptJournal, NotSupported
from stepwell.journal.events import (
    BLOB,
    BLOCK_SHORT,
    LAST_CODE,
    STEP_PUT,
    Entry,
    StepPut,
    from_wire,
    step_from_wire,
    to_wire,
)

FORMAT = 1
MAGIC = b"sw"
DIGEST_SIZE = 16
SALT_SIZE = 16
TOKEN_SIZE = 16
WRITER_SIZE = 8
ZERO_RUN = 256
"""No run of so many zero bytes is stored: a disk's 512-byte sector of zeros was never written by us."""

_FIELDS = struct.Struct(">2sBBIIIIIIqqqIIIIqqII8s16s16s")
_CRC = struct.Struct(">I")
SIZES = struct.Struct(">II")
SIZES_AT = 4
HEADER_SIZE = _FIELDS.size + _CRC.size
FIXED_SIZE = HEADER_SIZE + DIGEST_SIZE
"""What a record has beside its body and its payload area, whose lengths `SIZES` holds at `SIZES_AT`."""
_MASKED_BODY = 0x80
_ZEROS = bytes(ZERO_RUN)
ERASED = b"\xee"
"""What erased bytes are overwritten with: not zero, which a lost write would leave."""
_ERASED_SALT = ERASED * SALT_SIZE


class Status(IntEnum):
    """A session's status as stored."""

    ACTIVE = 0
    ENDED = 1
    EXPIRED = 2
    PURGED = 3
    BEGUN = 4
    """A fork whose history is still being copied: nobody else sees it."""


_STATUSES = tuple(Status)


class Facts(NamedTuple):
    """What a writer's decisions need, in fixed size, as it is after the record.

    Times are microseconds since 1970; *expires_at*, *idle_seconds* and *purge_after* are 0 for "never". *keep_until* is
    how long stored bytes are to last at least, beyond `expires_at`. *audited_slot* is that of the latest event that
    has an audit record, *trimmed_slot* of the latest trim, 0 for none.
    """

    status: Status
    base: int
    snapshot_slot: int
    attributes_slot: int
    last_activity: int
    expires_at: int
    idle_seconds: int
    epoch: int
    invocations: int
    steps: int
    purge_after: int
    keep_until: int
    audited_slot: int
    trimmed_slot: int


class Record(NamedTuple):
    """One slot's content, verified against its own digest; the chain is the reader's to verify."""

    slot: int
    time: int
    writer: bytes
    token: bytes
    prev: bytes
    digest: bytes
    fields: tuple[Any, ...]
    wires: list[list[Any]]
    data: bytes
    area: int
    """Where the payload area begins."""

    @property
    def size(self) -> int:
        """How many bytes it is."""
        return len(self.data)

    @property
    def entries(self) -> tuple[Entry | None, ...]:
        """The events, with who wrote them; None where an event of a newer version may be passed over.

        Raises:
            CorruptJournal: one has not the form of its kind.
            NotSupported: one is of a newer version, and must be understood.
        """
        try:
            return tuple(_entries(self))
        except (ValueError, TypeError, IndexError) as error:
            raise _no_valid_form(self.slot) from error

    @property
    def facts(self) -> Facts:
        """What the header says of the session."""
        _, _, flags, _, _, _, base, snapshot, attributes, _, *rest, _, _, _ = self.fields
        return Facts(_STATUSES[flags & ~_MASKED_BODY], base, snapshot, attributes, *rest)


class Sealed(NamedTuple):
    """A record's bytes and its digest."""

    data: bytes
    digest: bytes


def identity(tenant: str, session: bytes) -> bytes:
    """32 bytes that bind each record to its journal: it verifies nowhere else."""
    return sha256(session + tenant.encode()).digest()


def salted_digest(raw: bytes, salt: bytes) -> bytes:
    """The digest of a payload's raw bytes."""
    return sha256(salt + raw).digest()[:DIGEST_SIZE]


def mask(data: bytes, seed: bytes) -> bytes:
    """*data* exclusive-or a key stream; applied twice it is undone. It hides runs of zeros, nothing else."""
    stream = int.from_bytes(shake_128(seed).digest(len(data)), "big")
    return (int.from_bytes(data, "big") ^ stream).to_bytes(len(data), "big")


def has_zero_run(data: bytes) -> bool:
    """Whether *data* holds a run of zeros that must not be stored."""
    return _ZEROS in data


def seal(
    *,
    journal: bytes,
    slot: int,
    time: int,
    writer: bytes,
    token: bytes,
    prev: bytes,
    facts: Facts,
    entries: Sequence[Entry],
) -> Sealed:
    """The bytes of a record. *journal* is its identity, *token* the first entry's."""
    body = ormsgpack.packb([to_wire(entry, writer, token) for entry in entries])
    flags = int(facts.status)
    if has_zero_run(body):
        body, flags = mask(body, token), flags | _MASKED_BODY
    area = b"".join(_areas(entries))
    fields = _FIELDS.pack(
        MAGIC, FORMAT, flags, len(body), len(area), slot, *facts[1:4], time, *facts[4:], writer, token, prev
    )
    covered = fields + _CRC.pack(zlib.crc32(fields)) + body
    digest = _chain(covered, journal)
    return Sealed(covered + digest + area, digest)


def _areas(entries: Sequence[Entry]) -> list[bytes]:
    return [
        part
        for entry in entries
        if isinstance(entry.event, StepPut)
        for payload in entry.event.payloads
        for part in payload
    ]


def _chain(covered: bytes, journal: bytes) -> bytes:
    return sha256(journal + covered).digest()[:DIGEST_SIZE]


def frame_size(buffer: bytes, offset: int) -> int | None:
    """The length of the record that starts at *offset*, by its header; None where no whole, valid header is."""
    end = offset + _FIELDS.size
    if len(buffer) < offset + HEADER_SIZE or buffer[offset : offset + 2] != MAGIC:
        return None
    if _CRC.unpack_from(buffer, end)[0] != zlib.crc32(buffer[offset:end]):
        return None
    body, area = SIZES.unpack_from(buffer, offset + SIZES_AT)
    return FIXED_SIZE + int(body) + int(area)


def slot_of(data: bytes) -> int:
    """The slot in a record's header."""
    return int.from_bytes(data[12:16], "big")


def lasts_until(data: bytes) -> int:
    """How long a record's bytes are needed, by its header, in microseconds since 1970; 0 for ever.

    As long as its session, as long as a longer retention that was begun asks for, and as long as it is new.
    """
    fields = _FIELDS.unpack_from(data)
    time, expires_at, keep_until = fields[9], fields[11], fields[17]
    return max(time, expires_at, keep_until) if expires_at else 0


def open_record(data: bytes, journal: bytes) -> Record:
    """Decode a record and verify its digest, which covers header and body; payloads are verified where they are used.

    Raises:
        CorruptJournal: not what was written, or of another journal.
        NotSupported: written by a newer version.
    """
    if len(data) < HEADER_SIZE or data[:2] != MAGIC:
        raise CorruptJournal("not a record: its header is missing")
    fields = _FIELDS.unpack_from(data)
    _, version, flags, body_size, area_size, slot, _, _, _, time, *_, writer, token, prev = fields
    if version != FORMAT:
        _refuse_format(data, version)
    body_end = HEADER_SIZE + body_size
    area = body_end + DIGEST_SIZE
    digest = data[body_end:area]
    if len(data) != area + area_size or digest != _chain(data[:body_end], journal):
        raise CorruptJournal(f"the record in slot {slot} is damaged, or belongs to another session", slot=slot)
    body = data[HEADER_SIZE:body_end]
    if flags & _MASKED_BODY:
        body = mask(body, token)
    try:
        wires = ormsgpack.unpackb(body)
        _STATUSES[flags & ~_MASKED_BODY]
    except (ValueError, IndexError) as error:
        raise _no_valid_form(slot) from error
    return Record(slot, time, writer, token, prev, digest, fields, wires, data, area)


def _refuse_format(data: bytes, version: int) -> None:
    if _CRC.unpack_from(data, _FIELDS.size)[0] != zlib.crc32(data[: _FIELDS.size]):
        raise CorruptJournal("a record's header is damaged")
    raise NotSupported(
        f"the journal has format {version}, this version of stepwell reads {FORMAT}: upgrade stepwell to read it"
    )


def stored_steps(record: Record) -> list[StoredStep]:
    """The steps of a record as they are stored.

    Raises:
        CorruptJournal: one has not the form of its kind.
        NotSupported: the record holds an event of a newer version that must be understood.
    """
    try:
        return _stored_steps(record)
    except (ValueError, TypeError, IndexError) as error:
        raise _no_valid_form(record.slot) from error


def _stored_steps(record: Record) -> list[StoredStep]:
    steps: list[StoredStep] = []
    offset, data = record.area, record.data
    for at, wire in enumerate(record.wires):
        if wire[0] != STEP_PUT:
            if wire[0] > LAST_CODE:
                from_wire(wire)  # refuses what must be understood
            continue
        blocks: list[StoredBlock] = []
        blobs = 0
        for block in wire[5]:
            end = salted = offset + SALT_SIZE
            if block[1] & BLOB:
                blobs += 1
            else:
                end += block[2] if len(block) == BLOCK_SHORT else block[4]
            blocks.append((block, data[offset:salted], data[salted:end]))
            offset = end
        steps.append((at, wire, blocks, blobs))
    return steps


def is_erased(salt: bytes) -> bool:
    """Whether a block was redacted, by its salt."""
    return salt == _ERASED_SALT


def areas_of(record: Record, at: int) -> list[tuple[int, int]]:
    """Where the payloads of a record's *at*-th entry lie: (offset, size) of each block's salt and stored bytes."""
    areas: list[tuple[int, int]] = []
    offset = record.area
    for index, _, blocks, _ in stored_steps(record):
        for _, salt, kept in blocks:
            size = len(salt) + len(kept)
            if index == at:
                areas.append((offset, size))
            offset += size
    return areas


def _no_valid_form(slot: int) -> CorruptJournal:
    return CorruptJournal(f"the record in slot {slot} has no valid form", slot=slot)


StoredBlock: TypeAlias = tuple[list[Any], bytes, bytes]
"""A block's array, its salt, its stored bytes."""
StoredStep: TypeAlias = tuple[int, list[Any], list[StoredBlock], int]
"""A step in a record: which entry it is, its array, its blocks, how many of those are blobs."""


def _entries(record: Record) -> Iterator[Entry | None]:
    steps = {at: blocks for at, _, blocks, _ in _stored_steps(record)}
    for at, wire in enumerate(record.wires):
        blocks = steps.get(at)
        event = from_wire(wire) if blocks is None else step_from_wire(wire, blocks)
        yield None if event is None else Entry(event, wire[1] or record.writer, wire[2] or record.token)
