"""Quotas and times of sessions as one value.

`Limits.none()`, the default, keeps only what the model itself forbids: empty text, malformed ids.
`Limits.bedrock()` is what Amazon Bedrock allows (Bedrock user guide, "Store and retrieve conversation history",
considerations; botocore service model `bedrock-agent-runtime` 2023-07-26).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta

from stepwell.errors import InvalidRequest, LimitExceeded
from stepwell.ids import check_text
from stepwell.models import Data, Image, Text

TIME_LEAST, TIME_MOST = timedelta(seconds=1), timedelta(days=36_525)
_SWITCH = "tag_characters_restricted"
_TIMES = frozenset({"idle_timeout", "retention"})
_TAG_RE = re.compile(r"[a-zA-Z0-9\s._:/=+@-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """None means no limit. Sizes are bytes before compression; characters are Unicode code points.

    *idle_timeout* and *retention* are recorded in a session when it is created and hold for every client from then on.
    """

    metadata_entries: int | None = None
    metadata_key_characters: int | None = None
    metadata_value_characters: int | None = None
    tag_entries: int | None = None
    tag_key_characters: int | None = None
    tag_value_characters: int | None = None
    tag_characters_restricted: bool = False
    description_characters: int | None = None
    images_per_step: int | None = None
    image_bytes: int | None = None
    data_blocks_per_step: int | None = None
    step_bytes: int | None = None
    steps_per_session: int | None = None
    idle_timeout: timedelta | None = None
    retention: timedelta | None = None

    def __post_init__(self) -> None:
        for member in fields(self):
            value: object = getattr(self, member.name)
            if value is None or (member.name == _SWITCH and isinstance(value, bool)):
                continue
            if member.name in _TIMES:
                check_time(member.name, value)
            elif type(value) is not int or value < 0:
                raise InvalidRequest(f"{member.name}: a whole number, 0 or more, or None")

    @classmethod
    def none(cls) -> Limits:
        """No quotas, no expiry."""
        return cls()

    @classmethod
    def bedrock(cls) -> Limits:
        """What Amazon Bedrock allows; 1 MB is 1,000,000 bytes, the stricter reading of the guide."""
        return cls(
            metadata_entries=50,
            metadata_key_characters=100,
            metadata_value_characters=5000,
            tag_entries=200,
            tag_key_characters=128,
            tag_value_characters=256,
            tag_characters_restricted=True,
            description_characters=200,
            images_per_step=20,
            image_bytes=3_750_000,
            data_blocks_per_step=0,
            step_bytes=50_000_000,
            steps_per_session=1000,
            idle_timeout=timedelta(hours=1),
            retention=timedelta(days=30),
        )

    def check_metadata(self, metadata: Mapping[str, str]) -> dict[str, str]:
        """*metadata* as a plain dict.

        Raises:
            InvalidRequest: an empty key, or something that is no text.
            LimitExceeded: too many entries, or one too long.
        """
        return _check_map(
            "metadata",
            metadata,
            (self.metadata_entries, "metadata_entries"),
            (self.metadata_key_characters, "metadata_key_characters"),
            (self.metadata_value_characters, "metadata_value_characters"),
        )

    def check_tags(self, tags: Mapping[str, str]) -> dict[str, str]:
        """*tags* as a plain dict.

        Raises:
            InvalidRequest: an empty key, a character that tags cannot hold, or something that is no text.
            LimitExceeded: too many entries, or one too long.
        """
        checked = _check_map(
            "tags",
            tags,
            (self.tag_entries, "tag_entries"),
            (self.tag_key_characters, "tag_key_characters"),
            (self.tag_value_characters, "tag_value_characters"),
        )
        if self.tag_characters_restricted:
            for part in (*checked, *checked.values()):
                if not _TAG_RE.fullmatch(part):
                    raise InvalidRequest("tags: only letters, digits, spaces and . _ : / = + @ - are allowed")
        return checked

    def check_description(self, description: str) -> str:
        """*description*, at least one character.

        Raises:
            InvalidRequest: empty, or no text.
            LimitExceeded: too long.
        """
        if not check_text("description", description):
            raise InvalidRequest("description: at least one character is needed")
        _check(
            "description",
            len(description),
            "characters",
            self.description_characters,
            "description_characters",
        )
        return description

    def check_content(self, content: Sequence[Text | Image | Data]) -> None:
        """Refuse a step that is too big.

        Raises:
            LimitExceeded: too many images, an image or the whole too large.
        """
        most = (self.images_per_step, self.image_bytes, self.data_blocks_per_step, self.step_bytes)
        if most == (None, None, None, None):
            return
        images = [block for block in content if isinstance(block, Image)]
        _check("content", len(images), "images", self.images_per_step, "images_per_step")
        datas = sum(isinstance(block, Data) for block in content)
        _check("content", datas, "data blocks", self.data_blocks_per_step, "data_blocks_per_step")
        for image in images:
            _check("content.image", len(image.data or b""), "bytes", self.image_bytes, "image_bytes")
        if self.step_bytes is not None:
            _check("content", sum(map(_size, content)), "bytes", self.step_bytes, "step_bytes")


def check_limits(limits: Limits | None) -> Limits:
    """*limits*, or none.

    Raises:
        InvalidRequest: something else.
    """
    if limits is not None and not isinstance(limits, Limits):
        raise InvalidRequest("limits: expected Limits, such as Limits.bedrock()")
    return limits or Limits.none()


def check_time(field: str, value: object) -> timedelta:
    """*value* as a length of time that sessions can be given.

    Raises:
        InvalidRequest: it is none, or out of bounds.
    """
    if not isinstance(value, timedelta) or not TIME_LEAST <= value <= TIME_MOST:
        raise InvalidRequest(f"{field}: a timedelta of 1 second to {TIME_MOST.days} days, or None")
    return value


def _size(block: Text | Image | Data) -> int:
    return len(block.text.encode()) if isinstance(block, Text) else len(block.data or b"")


def _check_map(
    field: str,
    entries: Mapping[str, str],
    most: tuple[int | None, str],
    key_most: tuple[int | None, str],
    value_most: tuple[int | None, str],
) -> dict[str, str]:
    if not isinstance(entries, Mapping):
        raise InvalidRequest(f"{field}: expected a mapping of strings, got {type(entries).__name__}")
    _check(field, len(entries), "entries", *most)
    for key, value in entries.items():
        if not check_text(f"{field} key", key):
            raise InvalidRequest(f"{field}: a key needs at least one character")
        check_text(f"{field} value", value)
        _check(f"{field} key", len(key), "characters", *key_most)
        _check(f"{field} value", len(value), "characters", *value_most)
    return dict(entries)


def _check(field: str, amount: int, unit: str, most: int | None, name: str) -> None:
    if most is not None and amount > most:
        raise LimitExceeded(f"{field}: {amount} {unit}, the limit {name} is {most}")
