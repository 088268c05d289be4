"""What may reach a terminal, and values in words. It needs no extra: it tells that one is missing."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime


def printable(text: str) -> str:
    """*text* on one line, every character that a terminal might act on replaced by its escape, such as `\\x1b`.

    Line ends, control characters, bidirectional overrides and lone surrogates are such. Markup is left as it is:
    give rich a `rich.text.Text`, which it does not interpret.
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def excerpt(text: str, most: int = 72) -> str:
    """The beginning of *text*, printable."""
    shown = printable(text[: most + 1])
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def shown_time(time: datetime | None) -> str:
    """A time in UTC, to the second; nothing for none."""
    return "" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def size(count: float) -> str:
    """Bytes in words: `size(1_500_000_000) == "1.5 GB"`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 999.5:  # noqa: PLR2004  (what rounds to 1000 takes the next unit)
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB" if abs(count) < 999.5 else f"{count:.0f} TB"  # noqa: PLR2004


def command_line(*words: str, url: str | None, tenant: str | None) -> str:
    """A command to type, for the same store and tenant."""
    where = [*(["--url", url] if url else []), *(["--tenant", tenant] if tenant else [])]
    return printable(shlex.join(["stepwell", *words, *where]))
