"""Errors in the command's own words: what the library advises in Python is an option or a command here."""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final[tuple[tuple[str, str], ...]] = (
    (r"; open_session\(key=…\) [\w ]+", ""),
    (r": undelete\(session_id\)", ": `stepwell undelete` does"),
    (r": call resolve\(error\.token\)( to learn which)?", ""),
    (r"use InvocationStep\.position or Session\.head", "`stepwell show --ids` shows those of steps"),
    (r"delete it with end=True", "delete it with --end"),
    (r"^kms_key_arn: ", "--kms-key-arn: "),
    (r"a key is given as key=", "a key is given with --key"),
    (r"purge_after: a timedelta of 1 second to (\d+) days, or None", r"--purge-after: 1s to \1d, or else --now"),
    (r"the limit WHY_MAX_CHARACTERS is (\d+)", r"at most \1 are allowed"),
)
"""Patterns of the library's messages, and what is said instead."""


def in_words(message: str) -> str:
    """An error's message as the command line says it."""
    for pattern, words in _WORDS:
        message = re.sub(pattern, words, message)
    return message
