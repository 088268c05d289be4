"""The time that a service's replies tell."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any


class ServerTime:
    """*latest* is the latest `Date` of a reply, in microseconds since 1970; None until there is one."""

    def __init__(self) -> None:
        self.latest: int | None = None
        self._date = ""

    def hear(self, answer: Any) -> None:
        """Note the time of a reply of the service's own; most come in the same second as the one before.

        A reply without a request's id is a proxy's, whatever time it tells: sessions would be over by it.
        """
        metadata = answer.get("ResponseMetadata", {})
        date = metadata.get("HTTPHeaders", {}).get("date", "")
        if date and date != self._date and metadata.get("RequestId"):
            self._date = date
            try:
                told = _microseconds(date)
            except ValueError:
                return  # a proxy's, or an emulator's
            self.latest = max(told, self.latest or 0)


@lru_cache(maxsize=256)
def _microseconds(date: str) -> int:
    """Since 1970; many stores hear of the same second.

    Raises:
        ValueError: it is no date.
    """
    return int(parsedate_to_datetime(date).timestamp()) * 1_000_000
