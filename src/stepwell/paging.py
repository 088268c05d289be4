"""Page tokens: opaque, and useless for another tenant, session or question.

A token names where the next page begins and carries a digest of that and of the question it belongs to. It is no
secret and grants nothing: whoever presents it must ask the same question again, with the same rights.
"""

from __future__ import annotations

import base64
from hashlib import sha256

from stepwell.errors import InvalidRequest

PAGE_DEFAULT = 10
PAGE_MAX = 1000
TOKEN_MAX_CHARACTERS = 2048
_BINDING_SIZE = 12


def check_page_size(max_results: int) -> int:
    """*max_results*.

    Raises:
        InvalidRequest: not from 1 to 1000.
    """
    if type(max_results) is not int or not 1 <= max_results <= PAGE_MAX:
        raise InvalidRequest(f"max_results: 1 to {PAGE_MAX} are allowed")
    return max_results


def page_token(place: bytes, *question: str) -> str:
    """The token of a page that begins behind *place*, in the list that *question* asks for."""
    return base64.urlsafe_b64encode(_binding(place, question) + place).decode().rstrip("=")


def read_page_token(token: str, *question: str) -> bytes:
    """The place in a token.

    Raises:
        InvalidRequest: it was not given for this question.
    """
    try:
        if len(token) > TOKEN_MAX_CHARACTERS:
            raise ValueError
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (ValueError, TypeError):
        raw = b""
    place = raw[_BINDING_SIZE:]
    if not place or raw[:_BINDING_SIZE] != _binding(place, question):
        raise InvalidRequest("next_token: it was not given for this list; start again without one")
    return place


def _binding(place: bytes, question: tuple[str, ...]) -> bytes:
    digest = sha256(place)
    for part in question:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.digest()[:_BINDING_SIZE]
