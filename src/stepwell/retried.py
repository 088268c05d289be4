"""A store whose calls are tried again.

Every call but an append may be repeated as it is: it reads, or writes the same again, or is conditional. So an unknown
outcome is just another attempt, and what stays unknown after the last one is `Unavailable`: calling again is safe.
An append is the lane's own to repeat, for it alone knows what became of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import ParamSpec, TypeVar

from stepwell.errors import OutcomeUnknown, StepwellError, Unavailable
from stepwell.io.retry import Retry
from stepwell.stores.base import JournalId, JournalStore, SlotTaken
from stepwell.stores.forwarded import Forwarded

P = ParamSpec("P")
T = TypeVar("T")


def in_doubt(error: StepwellError) -> bool:
    """Whether a write may or may not have been made."""
    return isinstance(error, OutcomeUnknown)


class Retried(Forwarded):
    """See the module."""

    def __init__(self, store: JournalStore, retry: Retry) -> None:
        super().__init__(store)
        self._retry = retry

    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        """See `JournalStore`; tried once."""
        return await self.below.append(journal, slot, record)

    async def ping(self) -> None:
        """See `JournalStore`; tried once."""
        await self.below.ping()

    async def call(self, method: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of the store below, and again where that helps.

        Where the reply to a `swap_key` was lost, the next attempt answers what the first one wrote.
        """
        try:
            return await self._retry(partial(method, *args, **kwargs), also=in_doubt)
        except OutcomeUnknown as error:
            raise Unavailable("the store did not say whether it was done: try again") from error
