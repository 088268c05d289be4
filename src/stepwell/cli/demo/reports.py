"""What engineers report to the parent through a pipe, one JSON document a line.

Doing         what comes next, for people
Arrived       which process works in which invocation
Begun         a write is about to be sent
Acknowledged  that write has returned: it is durable
Seen          a step was read
Refused       a write was refused

A report is one `write(2)` of at most `REPORT_MAX_BYTES`, so that a kill leaves none in halves.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from stepwell.models import Data, Image, Redacted, Text

REPORT_MAX_BYTES = 512
"""POSIX's smallest `PIPE_BUF`: up to this size, writes to a pipe do not mingle."""


@dataclass(frozen=True, slots=True)
class Doing:
    """What comes next."""

    what: str
    event: Literal["doing"] = "doing"


@dataclass(frozen=True, slots=True)
class Arrived:
    """An engineer is at work."""

    pid: int
    session: str
    invocation: str
    event: Literal["arrived"] = "arrived"


@dataclass(frozen=True, slots=True)
class Begun:
    """A write is about to be sent."""

    step: str
    event: Literal["begun"] = "begun"


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A write has returned; *digest* is of the content that was given to it."""

    step: str
    digest: str
    event: Literal["acknowledged"] = "acknowledged"


@dataclass(frozen=True, slots=True)
class Seen:
    """A step was read; *digest* is of the content that was read."""

    step: str
    digest: str
    event: Literal["seen"] = "seen"


@dataclass(frozen=True, slots=True)
class Refused:
    """A write was refused with this error."""

    error: str
    message: str
    at: datetime
    event: Literal["refused"] = "refused"


Report: TypeAlias = Doing | Arrived | Begun | Acknowledged | Seen | Refused
_ADAPTER: TypeAdapter[Report] = TypeAdapter(Annotated[Report, Field(discriminator="event")])


def as_line(report: Report) -> bytes:
    """*report* as it goes through the pipe."""
    return _ADAPTER.dump_json(report) + b"\n"


def from_line(line: bytes) -> Report:
    """A report that came through the pipe."""
    return _ADAPTER.validate_json(line)


def send(report: Report) -> None:
    """Write *report* to the standard output, at once and whole."""
    line = as_line(report)
    if len(line) > REPORT_MAX_BYTES or os.write(1, line) != len(line):
        raise RuntimeError("a report did not fit the pipe")


def digest(content: Sequence[Text | Image | Data | Redacted]) -> str:
    """SHA-256 of all that *content* is made of, kinds and lengths included, in hex."""
    hashed = hashlib.sha256()
    for block in content:
        kind, payload = _kind_and_payload(block)
        hashed.update(f"{kind}\n{len(payload)}\n".encode() + payload)
    return hashed.hexdigest()


def _kind_and_payload(block: Text | Image | Data | Redacted) -> tuple[str, bytes]:
    match block:
        case Text(text=text):
            return "text", text.encode()
        case Image(format=kind, data=data, s3_uri=uri):
            return kind, data or (uri or "").encode()
        case Data(media_type=kind, data=data):
            return kind, data
        case Redacted():
            return "redacted", b""


def lost(acknowledged: Iterable[Acknowledged], read: Mapping[str, str]) -> list[str]:
    """The steps that were acknowledged but are not in *read* (id -> digest), or not with the same content."""
    return [one.step for one in acknowledged if read.get(one.step) != one.digest]
