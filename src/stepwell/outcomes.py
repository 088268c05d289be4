"""The token of a write whose outcome is unknown: which slot it was sent to, in which session, by which call."""

from __future__ import annotations

import base64
from hashlib import sha256
from typing import NamedTuple

import ormsgpack

from stepwell.errors import InvalidRequest

TOKEN_MAX_CHARACTERS = 1024
ID_SIZE = 16
CHECK_SIZE = 8
"""Of the digest that finds a token that was damaged on its way."""


class InDoubt(NamedTuple):
    """What a token says."""

    tenant: str
    session: bytes
    slot: int
    call: bytes


def outcome_token(doubt: InDoubt) -> str:
    """The opaque text that a caller keeps."""
    packed = ormsgpack.packb(list(doubt))
    return base64.urlsafe_b64encode(_check(packed) + packed).decode().rstrip("=")


def _check(packed: bytes) -> bytes:
    return sha256(packed).digest()[:CHECK_SIZE]


def read_outcome_token(token: str) -> InDoubt:
    """What `outcome_token` wrote.

    Raises:
        InvalidRequest: *token* is something else.
    """
    try:
        if len(token) > TOKEN_MAX_CHARACTERS:
            raise ValueError
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        packed = raw[CHECK_SIZE:]
        if raw[:CHECK_SIZE] != _check(packed):
            raise ValueError
        match ormsgpack.unpackb(packed):
            case [str(tenant), bytes(session), int(slot), bytes(call)] if len(session) == ID_SIZE and slot >= 0:
                return InDoubt(tenant, session, slot, call)
            case _:
                raise ValueError
    except (ValueError, TypeError):
        raise InvalidRequest("token: this is no OutcomeUnknown.token") from None
