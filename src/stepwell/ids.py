"""Identifiers: UUIDs, session ARNs, keys and tenants; what is accepted and what is refused.

Ids are lowercase UUID text of any version (Bedrock API reference, `sessionId` pattern); ours are UUIDv7, whose
order is that of their creation. A refusal never echoes more of the input than `_SHOWN` characters.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from stepwell.errors import InvalidRequest

KEY_MAX_CHARACTERS = 512
TENANT_MAX_CHARACTERS = 128
ARN_MAX_CHARACTERS = 256
IDS_REMEMBERED_MAX = 4096
ARN_PREFIX = "arn:aws:bedrock:us-east-1:000000000000:session/"

_UUID = r"[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}"
_UUID_RE = re.compile(_UUID)
_ARN_RE = re.compile(rf"arn:aws(?:-[^:]{{1,32}})?:bedrock:[a-z0-9-]{{1,32}}:[0-9]{{12}}:session/({_UUID})")
_TENANT_RE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/+=-]*")
_SHOWN = 40
_UUID_CHARACTERS = 36
# What reorders or breaks a line of text: bidirectional controls, line and paragraph separators.
_FORBIDDEN = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029")


def shown(value: object) -> str:
    """A short, printable form of bad input for a message."""
    text = ascii(value[: _SHOWN + 1]) if isinstance(value, str) else type(value).__name__
    return text if len(text) <= _SHOWN + 2 else text[:_SHOWN] + "…'"


def uuid_bytes(field: str, value: str) -> bytes:
    """The 16 bytes of a lowercase UUID.

    Raises:
        InvalidRequest: *value* is not one.
    """
    raw = _uuid_bytes(value) if isinstance(value, str) and len(value) == _UUID_CHARACTERS else None
    if raw is None:
        example = "0198c0de-0000-7000-8000-000000000000"
        raise InvalidRequest(f"{field}: {shown(value)} is not a lowercase UUID such as {example}")
    return raw


@lru_cache(maxsize=IDS_REMEMBERED_MAX)
def _uuid_bytes(value: str) -> bytes | None:
    return bytes.fromhex(value.replace("-", "")) if _UUID_RE.fullmatch(value) else None


def uuid_text(raw: bytes) -> str:
    """The canonical text of 16 bytes."""
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def uuid7(milliseconds: int, entropy: bytes) -> bytes:
    """A UUIDv7 (RFC 9562, 5.7) of a time since 1970 and 10 random bytes."""
    value = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(entropy, "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return value.to_bytes(16, "big")


def uuid7_time(raw: bytes) -> int:
    """When a UUIDv7 was made, in microseconds since 1970, to the millisecond."""
    return int.from_bytes(raw[:6], "big") * 1000


def session_id(value: str) -> str:
    """The session id in *value*, which is one or a session ARN of any account and Region.

    Raises:
        InvalidRequest: it is neither.
    """
    if isinstance(value, str) and value.startswith("arn:") and len(value) <= ARN_MAX_CHARACTERS:
        arn = _ARN_RE.fullmatch(value)
        if arn:
            return arn[1]
    try:
        uuid_bytes("session_id", value)
    except InvalidRequest as error:
        raise InvalidRequest(f"{error}; a key is given as key=") from None
    return value


def session_arn(session_id: str) -> str:
    """The ARN of a session that lives outside Bedrock."""
    return ARN_PREFIX + session_id


def check_text(field: str, value: object) -> str:
    """*value* as text that can be stored.

    Raises:
        InvalidRequest: not a string, or it holds lone surrogates.
    """
    if not isinstance(value, str):
        raise InvalidRequest(f"{field}: expected a string, got {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(f"{field}: lone surrogates cannot be stored as UTF-8") from None
    return value


def check_name(field: str, value: str, most: int) -> str:
    """*value* as a name: 1 to *most* characters, no control or bidirectional characters, no `.` or `..` segment.

    Raises:
        InvalidRequest: it is none.
    """
    check_text(field, value)
    if not 1 <= len(value) <= most:
        raise InvalidRequest(f"{field}: {len(value)} characters; 1 to {most} are allowed")
    if any(unicodedata.category(c) == "Cc" or c in _FORBIDDEN for c in value):
        raise InvalidRequest(f"{field}: {shown(value)} holds control or bidirectional characters")
    if any(segment in (".", "..") for segment in value.split("/")):
        raise InvalidRequest(f"{field}: {shown(value)} holds a '.' or '..' segment")
    return value


def check_key(value: str) -> str:
    """A session's key.

    Raises:
        InvalidRequest: not a name of 1 to 512 characters.
    """
    return check_name("key", value, KEY_MAX_CHARACTERS)


def check_tenant(value: str) -> str:
    """A tenant.

    Raises:
        InvalidRequest: not 1 to 128 characters of `A-Z a-z 0-9 . _ : @ / + = -`, the first a letter or digit.
    """
    check_name("tenant", value, TENANT_MAX_CHARACTERS)
    if not _TENANT_RE.fullmatch(value):
        raise InvalidRequest(f"tenant: {shown(value)}; use A-Z a-z 0-9 . _ : @ / + = -, the first a letter or digit")
    return value
