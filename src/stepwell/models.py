"""What the client takes and returns: frozen pydantic models with Bedrock's names.

Session, Invocation, InvocationStep and their summaries; content blocks Text, Image, Data; Page.
A malformed value raises `InvalidRequest` naming the field. No `repr` shows a payload. Times are aware, UTC, to the
microsecond.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, NewType, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from stepwell.errors import InvalidRequest

Position = NewType("Position", str)
"""A place in a session's history, opaque: from `InvocationStep.position` or `Session.head`, to `after=`, `if_head=`."""

SessionStatus: TypeAlias = Literal["ACTIVE", "EXPIRED", "ENDED"]
ImageFormat: TypeAlias = Literal["png", "jpeg", "gif", "webp"]

NonEmpty = Annotated[str, StringConstraints(min_length=1)]
_FAULTS_SHOWN, _NAME_SHOWN = 2, 40
_HELD = frozenset({"text", "data", "s3_uri"})
S3Uri = Annotated[
    str, StringConstraints(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^\n]{1,1024}$", max_length=1024)
]


class Model(BaseModel):
    """Frozen; unknown members are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


class Given(Model):
    """What callers make: no value is converted, and a failed validation is an `InvalidRequest`."""

    model_config = ConfigDict(strict=True)

    if not TYPE_CHECKING:  # keeps the generated signature for type checkers

        def __init__(self, *unnamed: object, **members: Any) -> None:
            if unnamed:
                names = ", ".join(f"{name}=" for name in type(self).model_fields)
                raise InvalidRequest(f"{type(self).__name__}: its members are given by name: {names}")
            try:
                super().__init__(**members)
            except ValidationError as error:
                raise InvalidRequest(_explain(type(self).__name__, error)) from None


def _explain(name: str, error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_context=False, include_input=False)[:_FAULTS_SHOWN]
    return "; ".join(
        ".".join([name, *(str(part)[:_NAME_SHOWN] for part in f["loc"])]) + ": " + f["msg"] for f in faults
    )


class ContentBlock(Given):
    """What a step is made of: Text, Image or Data. Its `repr` tells how much it holds, and nothing of what."""

    def __repr__(self) -> str:
        held = ", ".join(f"{name}=<{len(value)}>" for name, value in self if name in _HELD and value is not None)
        shown = ", ".join(f"{name}={value!r}" for name, value in self if name not in {*_HELD, "type"})
        return f"{type(self).__name__}({', '.join(part for part in (shown, held) if part)})"

    __str__ = __repr__


class Text(ContentBlock):
    """A text block of at least one character."""

    type: Literal["text"] = "text"
    text: NonEmpty = Field(repr=False)


class Image(ContentBlock):
    """An image block: exactly one of *data* (the file's bytes) and *s3_uri* (a pointer, never fetched)."""

    type: Literal["image"] = "image"
    format: ImageFormat
    data: Annotated[bytes, Field(min_length=1)] | None = Field(default=None, repr=False)
    s3_uri: S3Uri | None = Field(default=None, repr=False)

    def model_post_init(self, context: Any, /) -> None:
        if (self.data is None) == (self.s3_uri is None):
            raise InvalidRequest("Image: give exactly one of data and s3_uri")

    @classmethod
    def from_file(cls, path: str | Path) -> Image:
        """The image in a file, its format taken from its first bytes.

        Raises:
            InvalidRequest: it is no png, jpeg, gif or webp.
            OSError: it cannot be read.
        """
        data = Path(path).read_bytes()
        for image_format, start, mark in _MAGIC:
            if data[start : start + len(mark)] == mark:
                return cls(format=image_format, data=data)
        raise InvalidRequest(f"Image: {Path(path).name} is no png, jpeg, gif or webp; store other files as Data")


_MAGIC: tuple[tuple[ImageFormat, int, bytes], ...] = (
    ("png", 0, b"\x89PNG\r\n\x1a\n"),
    ("jpeg", 0, b"\xff\xd8\xff"),
    ("gif", 0, b"GIF8"),
    ("webp", 8, b"WEBP"),
)


class Data(ContentBlock):
    """Bytes of any other kind. Bedrock's own service has no such block."""

    type: Literal["data"] = "data"
    media_type: Annotated[str, StringConstraints(pattern=r"^[!-~]+/[ -~]+$", max_length=255)] = (
        "application/octet-stream"
    )
    data: bytes = Field(repr=False)


class Redacted(ContentBlock):
    """What a block is after `redact`: its content was erased. It is read, never written."""

    type: Literal["redacted"] = "redacted"


Block: TypeAlias = Annotated[Text | Image | Data | Redacted, Field(discriminator="type")]
Content: TypeAlias = str | ContentBlock | Sequence[str | ContentBlock]
"""What a step is made of: one string or block, or a sequence of them. A lone string is one text block."""


class Session(Model):
    """A session. *tags* is None when they were not loaded; *head* is the position of its newest event.

    *expires_at* is when it is deleted for good, None for never.
    """

    session_id: str
    session_arn: str
    session_status: SessionStatus
    created_at: datetime
    last_updated_at: datetime
    last_activity_at: datetime
    metadata: Mapping[str, str] = Field(repr=False)
    tags: Mapping[str, str] | None = Field(default=None, repr=False)
    key: str | None = None
    encryption_key_arn: str | None = None
    expires_at: datetime | None = None
    head: Position


class SessionSummary(Model):
    """A session as lists show it. An idle session shows as ACTIVE until somebody is refused by its expiry.

    *purge_after* is set for one that is deleted and can be undeleted until then.
    """

    session_id: str
    session_arn: str
    session_status: SessionStatus
    created_at: datetime
    last_updated_at: datetime
    tags: Mapping[str, str] | None = Field(default=None, repr=False)
    key: str | None = None
    purge_after: datetime | None = None


class Invocation(Model):
    """One turn or task of an agent: a group of steps."""

    session_id: str
    invocation_id: str
    created_at: datetime
    description: str | None = Field(default=None, repr=False)
    position: Position


class InvocationSummary(Model):
    """An invocation as lists show it."""

    session_id: str
    invocation_id: str
    created_at: datetime


class InvocationStep(Model):
    """What an agent said or did at one moment. Its order is its *position*, not its time; *slot* is the record's."""

    session_id: str
    invocation_id: str
    invocation_step_id: str
    invocation_step_time: datetime
    content: tuple[Block, ...]
    slot: int
    position: Position

    @property
    def text(self) -> str:
        """Its text blocks, joined by newlines; empty when there are none."""
        return "\n".join(block.text for block in self.content if isinstance(block, Text))


class InvocationStepSummary(Model):
    """A step as lists show it: no content."""

    session_id: str
    invocation_id: str
    invocation_step_id: str
    invocation_step_time: datetime


class Lease(Model):
    """The right to write: whoever holds an older *epoch* of this session is `Fenced`."""

    session_id: str
    epoch: int


class Resolution(Model):
    """What became of a write: *position* is where it lies if it was committed."""

    outcome: Literal["committed", "absent", "unknown"]
    position: Position | None = None


class Redaction(Model):
    """A step's content was erased; *remains* says in words where copies of it may still be found."""

    session_id: str
    invocation_id: str
    invocation_step_id: str
    blocks: int
    remains: tuple[str, ...]


AuditedOperation: TypeAlias = Literal["delete", "undelete", "purge", "redact", "trim", "extend_retention"]


class AuditRecord(Model):
    """Who took something away, or brought it back, when and why. It outlives its session.

    *until* is the time that the operation named: when to purge, or how long to keep. *position* is where the journal
    says so; for "trim" the history begins at *before*. Ids of a step are set for "redact".
    """

    session_id: str
    operation: AuditedOperation
    time: datetime
    reason: str
    approver: str
    position: Position
    until: datetime | None = None
    before: Position | None = None
    invocation_id: str | None = None
    invocation_step_id: str | None = None


class GcReport(Model):
    """What `gc` did, or with *dry_run* would do. Each member is a number.

    *purged* sessions were due and are gone now; *finished* operations had been interrupted; *reclaimed* sessions,
    *trimmed* histories and *blobs* gave their space back; *pending* ones wait until a day has passed since a run first
    saw them; *skipped* sessions are damaged where `gc` had to read them, or of a newer version: `verify` says where.
    """

    dry_run: bool
    sessions: int = 0
    purged: int = 0
    finished: int = 0
    reclaimed: int = 0
    trimmed: int = 0
    blobs: int = 0
    pending: int = 0
    skipped: int = 0


class Fault(Model):
    """Stored bytes are not what was written: *reason* in words, *slot* and *place* where they are known.

    *place* is a byte offset in the journal's file, a slot in stores that keep slots one by one, and in S3 a segment's
    name times 2^24, and the offset in it.
    """

    reason: str
    slot: int | None = None
    place: int | None = None


class Verification(Model):
    """What `verify` found: the numbers of *records*, *steps* and *blobs* that are whole, and every fault.

    *unfinished* says that behind the last record lies a write that was not finished, or an end that was cut off from
    outside, which looks the same; the next append removes it.
    """

    session_id: str
    records: int
    steps: int
    blobs: int
    faults: tuple[Fault, ...]
    unfinished: bool = False

    @property
    def intact(self) -> bool:
        """Whether everything is as it was written."""
        return not self.faults


class Salvaged(Model):
    """What `salvage` wrote: a new *session*, with the *steps* of the old one that were whole; *faults* are the rest."""

    session: Session
    steps: int
    faults: tuple[Fault, ...]


T = TypeVar("T")
M = TypeVar("M", bound=Model)


def stored(model: type[M], members: dict[str, Any]) -> M:
    """A model of what was read, which was validated before it was written; *members* are all of them.

    What `model_construct` does, without its search for defaults and aliases: reading makes many of these.
    """
    made = model.__new__(model)
    _set(made, "__dict__", members)
    _set(made, "__pydantic_fields_set__", set(members))
    _set(made, "__pydantic_extra__", None)
    _set(made, "__pydantic_private__", None)
    return made


_set = object.__setattr__


class Page(Model, Generic[T]):
    """One page of a list; *next_token* is opaque and None on the last page."""

    items: tuple[T, ...]
    next_token: str | None = None


def blocks(content: Content) -> tuple[Text | Image | Data, ...]:
    """*content* as blocks.

    Raises:
        InvalidRequest: it is empty or holds something else.
    """
    if isinstance(content, Text | Image | Data):
        return (content,)
    if isinstance(content, str):
        return (Text(text=content),)
    parts: object = content
    if isinstance(parts, bytes | bytearray) or not isinstance(parts, Sequence):
        raise InvalidRequest(
            f"content: expected str, Text, Image, Data or a sequence of them, got {type(content).__name__}"
        )
    if not parts:
        raise InvalidRequest("content: at least one block is needed")
    return tuple(_block(part) for part in parts)


def _block(part: object) -> Text | Image | Data:
    if isinstance(part, str):
        return Text(text=part)
    if isinstance(part, Text | Image | Data):
        return part
    hint = "; wrap bytes in Data(data=…)" if isinstance(part, bytes | bytearray) else ""
    raise InvalidRequest(f"content: expected str, Text, Image or Data, got {type(part).__name__}{hint}")


class NewStep(Given):
    """A step of a batch that has an id or a time of its own (default: a new id, and when it is written)."""

    content: Content = Field(repr=False)
    invocation_step_id: str | None = None
    invocation_step_time: datetime | None = None
