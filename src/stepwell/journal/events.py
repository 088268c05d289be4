"""The closed set of events, and their wire form: msgpack arrays `[code, writer, token, …]`.

A code below `SKIPPABLE` must be understood: a reader that does not know it refuses the journal. From `SKIPPABLE` on a
reader passes over what it does not know. *writer* and *token* are nil where they equal the record's own.
Ids are 16 raw bytes, times microseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from stepwell.errors import NotSupported

SKIPPABLE = 64
"""From this code on an event may be passed over by a reader that does not know it."""

TEXT, PNG, JPEG, GIF, WEBP, IMAGE_POINTER, OCTETS, DATA = range(8)
"""Kinds of blocks. IMAGE_POINTER's label is the format, DATA's the media type; OCTETS is DATA of the default type."""

ZSTD, MASKED, BLOB = 1, 2, 4
"""Bits of a block's codec: compressed; hidden under a mask (it held long runs of zeros); kept beside the journal."""


_PER_TEXT = 10


class Place(NamedTuple):
    """Where an event lies."""

    slot: int
    at: int


class BlockRef(NamedTuple):
    """One content block: what it is, and the salted digest of its raw bytes. Its stored bytes are the payload's."""

    kind: int
    codec: int
    raw_size: int
    digest: bytes
    stored_size: int
    label: str = ""


class Payload(NamedTuple):
    """The erasable half of a block: its salt and, unless it is a blob, its stored bytes."""

    salt: bytes
    stored: bytes


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a session is called and carries; written whole each time, so that one record tells it all."""

    session: bytes
    created_at: int
    updated_at: int
    key: str | None
    encryption_key_arn: str | None
    metadata: Mapping[str, str]
    tags: Mapping[str, str]
    origin: tuple[bytes, int, int] | None = None
    """Session, slot and index that a fork was copied from."""


@dataclass(frozen=True, slots=True)
class Created:
    """Slot 0's first event."""

    attributes: Attributes
    idle_seconds: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class AttributesSet:
    """Metadata or tags were replaced. Only new metadata count as activity."""

    attributes: Attributes
    activity: bool


@dataclass(frozen=True, slots=True)
class InvocationCreated:
    """*created_at* is set only in a fork, whose records are younger than what they tell."""

    invocation: bytes
    description: str | None
    created_at: int | None = None


class StepPut(NamedTuple):
    """*time* is nil when it is the record's."""

    invocation: bytes
    step: bytes
    time: int | None
    blocks: tuple[BlockRef, ...]
    payloads: tuple[Payload, ...] = ()

    def __repr__(self) -> str:
        return f"StepPut(invocation={self.invocation.hex()}, step={self.step.hex()}, blocks={len(self.blocks)})"


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing is added after this."""

    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Expired:
    """Somebody was refused because the session had been idle for too long."""


@dataclass(frozen=True, slots=True)
class Copied:
    """The history of a fork is whole: from here on it is a session as any other."""


class Why(NamedTuple):
    """What an operation that takes something away was given: a reason, and who approved it.

    *earlier* is the slot of the event before that has one, 0 for none.
    """

    reason: str = ""
    approver: str = ""
    earlier: int = 0


@dataclass(frozen=True, slots=True)
class Purged:
    """The session is gone. *why* is None for one that never came to be."""

    why: Why | None = None


@dataclass(frozen=True, slots=True)
class Deleted:
    """The session is hidden, and gone after *purge_after*."""

    attributes: Attributes
    purge_after: int
    why: Why


@dataclass(frozen=True, slots=True)
class Undeleted:
    """The session is hidden no more."""

    attributes: Attributes
    why: Why


@dataclass(frozen=True, slots=True)
class Redacted:
    """The payloads of the step at *place* are to be erased, or are already."""

    place: Place
    invocation: bytes
    step: bytes
    why: Why


@dataclass(frozen=True, slots=True)
class Trimmed:
    """The history begins at slot *base*; an index snapshot follows in the same record.

    *kept* are the invocations that are left: id, slot and time of their creation. The snapshot holds them, so they are
    not stored here.
    """

    attributes: Attributes
    base: int
    why: Why
    kept: tuple[tuple[bytes, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Extending:
    """Nothing written from here on may expire by itself before *until*; the session's own expiry is as it was."""

    until: int


@dataclass(frozen=True, slots=True)
class Extended:
    """The session expires at *until*, and not before."""

    attributes: Attributes
    until: int
    why: Why


@dataclass(frozen=True, slots=True)
class Leased:
    """From here on only holders of *epoch*, or of none, may write."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Barrier:
    """Takes a slot, so that a lost write can no longer land there."""


@dataclass(frozen=True, slots=True)
class RunRef:
    """An index run in an earlier snapshot: its slot, its sizes, and the greatest ids it holds."""

    slot: int
    steps: int
    invocations: int
    last_step: bytes
    last_invocation: bytes


@dataclass(frozen=True, slots=True)
class Indexed:
    """An index snapshot: this record's run, the runs before it, and what a writer needs to go on from here."""

    run: bytes
    invocations: bytes
    runs: tuple[RunRef, ...]
    active: tuple[bytes, ...]
    """Invocations that were written to since the snapshot before."""
    tail_writer: bytes
    tail: Place
    other_last: Place


Telling: TypeAlias = Created | AttributesSet | Ended | Deleted | Undeleted | Trimmed | Extended
"""Events that carry the attributes whole: whatever changes what lists show is one of them."""
TELLING = Created, AttributesSet, Ended, Deleted, Undeleted, Trimmed, Extended

_WithoutAttributes: TypeAlias = InvocationCreated | StepPut | Expired | Purged | Leased | Redacted | Extending | Copied
Event: TypeAlias = Telling | _WithoutAttributes | Barrier | Indexed


def why_of(event: Event) -> Why | None:
    """What an event that has an audit record was given; None for one that has none."""
    match event:
        case Deleted(why=why) | Undeleted(why=why) | Purged(why=why) | Redacted(why=why):
            return why
        case Trimmed(why=why) | Extended(why=why):
            return why
        case _:
            return None


def attribute_bytes(events: Iterable[Event]) -> int:
    """About how many bytes the attributes in *events* take."""
    total = 0
    for event in events:
        if isinstance(event, TELLING):
            for texts in (event.attributes.metadata, event.attributes.tags):
                total += sum(len(key.encode()) + len(value.encode()) + _PER_TEXT for key, value in texts.items())
    return total


class Entry(NamedTuple):
    """An event with who wrote it and by which call."""

    event: Event
    writer: bytes
    token: bytes


_CODES: dict[type[Event], int] = {  # those of `from_wire`
    Created: 1,
    AttributesSet: 2,
    InvocationCreated: 3,
    StepPut: 4,
    Ended: 5,
    Expired: 6,
    Purged: 7,
    Leased: 8,
    Barrier: 9,
    Indexed: 10,
    Deleted: 11,
    Undeleted: 12,
    Redacted: 13,
    Trimmed: 14,
    Extending: 15,
    Extended: 16,
    Copied: 17,
}
STEP_PUT = _CODES[StepPut]
LAST_CODE = max(_CODES.values())
BLOCK_SHORT = 4
"""Members of a block's array that is stored as it is and has no label."""


def to_wire(entry: Entry, writer: bytes, token: bytes) -> list[Any]:
    """The msgpack array of *entry* in a record of *writer* and *token*."""
    event = entry.event
    head = [
        _CODES[type(event)],
        None if entry.writer == writer else entry.writer,
        None if entry.token == token else entry.token,
    ]
    match event:
        case StepPut(invocation, step, time, refs, _):
            return [*head, invocation + step, time, [_block_to_wire(ref) for ref in refs]]
        case InvocationCreated(invocation, description, created_at):
            return [*head, invocation, description, created_at]
        case Created(attributes, idle_seconds, expires_at):
            return [*head, _attributes_to_wire(attributes), idle_seconds, expires_at]
        case AttributesSet(attributes, activity):
            return [*head, _attributes_to_wire(attributes), activity]
        case Ended(attributes):
            return [*head, _attributes_to_wire(attributes)]
        case Leased(epoch):
            return [*head, epoch]
        case Indexed(run, invocations, runs, active, tail_writer, tail, other_last):
            refs_wire = [[r.slot, r.steps, r.invocations, r.last_step, r.last_invocation] for r in runs]
            return [*head, run, invocations, refs_wire, b"".join(active), tail_writer, [*tail, *other_last]]
        case Purged(why):
            return head if why is None else [*head, *why]
        case Deleted(attributes, purge_after, why):
            return [*head, _attributes_to_wire(attributes), purge_after, *why]
        case Undeleted(attributes, why):
            return [*head, _attributes_to_wire(attributes), *why]
        case Redacted(place, invocation, step, why):
            return [*head, *place, invocation + step, *why]
        case Trimmed(attributes, base, why):
            return [*head, _attributes_to_wire(attributes), base, *why]
        case Extending(until):
            return [*head, until]
        case Extended(attributes, until, why):
            return [*head, _attributes_to_wire(attributes), until, *why]
        case _:  # Expired, Barrier, Copied
            return head


def from_wire(wire: list[Any]) -> Event | None:
    """The event in a decoded array other than a step's, or None for one that may be passed over.

    Raises:
        NotSupported: a newer version wrote an event that must be understood.
        ValueError, TypeError, IndexError: the array has not the form of its code.
    """
    match wire[0]:
        case 3:
            return InvocationCreated(wire[3], wire[4], wire[5])
        case 1:
            return Created(_attributes_from_wire(wire[3]), wire[4], wire[5])
        case 2:
            return AttributesSet(_attributes_from_wire(wire[3]), wire[4])
        case 5:
            return Ended(_attributes_from_wire(wire[3]))
        case 6:
            return Expired()
        case 7:
            return Purged(Why(*wire[3:]) if wire[3:] else None)
        case 8:
            return Leased(wire[3])
        case 9:
            return Barrier()
        case 10:
            active = tuple(wire[6][i : i + 16] for i in range(0, len(wire[6]), 16))
            return Indexed(
                wire[3],
                wire[4],
                tuple(RunRef(*ref) for ref in wire[5]),
                active,
                wire[7],
                Place(*wire[8][:2]),
                Place(*wire[8][2:]),
            )
        case 11:
            return Deleted(_attributes_from_wire(wire[3]), wire[4], Why(*wire[5:8]))
        case 12:
            return Undeleted(_attributes_from_wire(wire[3]), Why(*wire[4:7]))
        case 13:
            return Redacted(Place(wire[3], wire[4]), wire[5][:16], wire[5][16:], Why(*wire[6:9]))
        case 14:
            return Trimmed(_attributes_from_wire(wire[3]), wire[4], Why(*wire[5:8]))
        case 15:
            return Extending(wire[3])
        case 16:
            return Extended(_attributes_from_wire(wire[3]), wire[4], Why(*wire[5:8]))
        case 17:
            return Copied()
        case int(code) if code >= SKIPPABLE:
            return None
        case code:
            raise NotSupported(f"the journal holds an event of kind {code!r}: it needs a newer version of stepwell")


def step_from_wire(wire: list[Any], blocks: Iterable[tuple[list[Any], bytes, bytes]]) -> StepPut:
    """A step's event; each block is its array, its salt and its stored bytes."""
    refs = [block_from_wire(block) for block, _, _ in blocks]
    payloads = [Payload(salt, stored) for _, salt, stored in blocks]
    return StepPut(wire[3][:16], wire[3][16:], wire[4], tuple(refs), tuple(payloads))


def _block_to_wire(ref: BlockRef) -> list[Any]:
    short: list[Any] = [ref.kind, ref.codec, ref.raw_size, ref.digest]
    if ref.label:
        return [*short, ref.stored_size, ref.label]
    return short if ref.stored_size == ref.raw_size else [*short, ref.stored_size]


def block_from_wire(wire: list[Any]) -> BlockRef:
    """A block's array; what it leaves out at its end has its default."""
    if len(wire) == BLOCK_SHORT:
        kind, codec, raw_size, digest = wire
        return BlockRef(kind, codec, raw_size, digest, raw_size)
    return BlockRef(*wire)


def _attributes_to_wire(a: Attributes) -> list[Any]:
    origin = None if a.origin is None else list(a.origin)
    return [
        a.session,
        a.created_at,
        a.updated_at,
        a.key,
        a.encryption_key_arn,
        dict(a.metadata),
        dict(a.tags),
        origin,
    ]


def _attributes_from_wire(wire: list[Any]) -> Attributes:
    session, created_at, updated_at, key, key_arn, metadata, tags, origin = wire
    return Attributes(
        session,
        created_at,
        updated_at,
        key,
        key_arn,
        metadata,
        tags,
        None if origin is None else tuple(origin),
    )
