"""What may reach a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """*text* on one line, every character that a terminal might act on replaced by its escape, such as `\\x1b`.

    Line ends, control characters, bidirectional overrides and lone surrogates are such. Markup is left as it is:
    give rich a `rich.text.Text`, which it does not interpret.
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
