"""What options say: lengths of time, times, tags."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import typer

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration(text: str) -> timedelta:
    """`30d`, `12h`, `45m`, `90s`, `2w`.

    Raises:
        BadParameter: it is something else.
    """
    found = re.fullmatch(r"([0-9]{1,9})([smhdw])", text)
    if not found:
        raise typer.BadParameter(f"{text[:40]!a} is no length of time such as 30d, 12h, 45m, 90s or 2w")
    try:
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    except OverflowError:
        raise typer.BadParameter(f"{text} is too long") from None


def moment(text: str, now: datetime) -> datetime:
    """A time in ISO 8601, UTC if it says nothing else, or so long ago: `7d`.

    Raises:
        BadParameter: it is something else.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        try:
            return now - duration(text)
        except (typer.BadParameter, OverflowError):
            raise typer.BadParameter(f"{text[:40]!a} is no time such as 2026-03-01T12:00 or 7d") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def tags(pairs: list[str]) -> dict[str, str]:
    """`name=value`, several times.

    Raises:
        BadParameter: one of them has no `=`.
    """
    for pair in pairs:
        if "=" not in pair:
            raise typer.BadParameter(f"{pair[:40]!a} is no tag such as team=checkout")
    return dict(pair.split("=", 1) for pair in pairs)
