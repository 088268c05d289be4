"""What may reach a terminal, and values in words. It needs no extra: it tells that one is missing."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime

_ESCAPE = re.compile(r"\\[\\xuUnrt]")


def printable(text: str) -> str:
    """*text* on one line, every character that a terminal might act on replaced by its escape, such as `\\x1b`.

    Line ends, control characters, bidirectional overrides and lone surrogates are such. Where there is one, or what
    looks like an escape, each backslash is doubled: so different texts never look the same. Markup is left as it is:
    give rich a `rich.text.Text`, which it does not interpret.
    """
    if text.isprintable() and not _ESCAPE.search(text):
        return text
    return "".join(char if char.isprintable() and char != "\\" else _escaped(char) for char in text)


def harmless(sentence: str) -> str:
    """A sentence on one line, as harmless as `printable` makes it: backslashes stay, for what it quotes is escaped."""
    return "".join(char if char.isprintable() else _escaped(char) for char in sentence)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def counted(count: int, what: str) -> str:
    """`counted(1, "step") == "1 step"`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def excerpt(text: str, most: int = 72) -> str:
    """The beginning of *text*, printable."""
    shown = printable(text[: most + 1])
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def clock_time(time: datetime, before: datetime | None) -> str:
    """A time of day in UTC, to the millisecond; its day too, unless it is that of *before*, which was shown last."""
    time = time.astimezone(UTC)
    same_day = before is not None and before.astimezone(UTC).date() == time.date()
    return f"{time:%H:%M:%S.%f}"[:-3] if same_day else f"{time:%Y-%m-%d %H:%M:%S.%f}"[:-3]


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
    return harmless(shlex.join(["stepwell", *words, *where]))
