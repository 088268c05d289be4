"""A store that a client can be cut off from, killed at, or frozen in; and tasks that wait in no time at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from stepwell.errors import OutcomeUnknown, PermissionDenied
from stepwell.ids import uuid_text
from stepwell.io.aio import AsyncioTasks
from stepwell.io.blocking import BlockingTasks
from stepwell.stores.base import JournalId, JournalStore, SlotTaken
from stepwell.stores.forwarded import Forwarded
from stepwell.testing.bench import FakeClock

INLINE_BYTES = 700
"""So that blobs are common."""

Fault: TypeAlias = Literal[
    "request again", "reply again", "request lost", "reply lost", "killed before", "killed behind", "frozen"
]
FAULTS: tuple[Fault, ...] = (
    "request again",
    "reply again",
    "request lost",
    "reply lost",
    "killed before",
    "killed behind",
    "frozen",
)

LOST: tuple[Fault, ...] = ("request lost", "reply lost")
"""Those after which the client is cut off for the rest of its call."""


class Killed(BaseException):
    """The client's process ended here."""


class FaultyStore(Forwarded):
    """Does to the next append what *fault* says. *written* says whether the last append came to be.

    *appended* is told of each that did, and when its writer decided on it.
    """

    def __init__(self, store: JournalStore, clock: FakeClock, appended: Callable[[JournalId, datetime], None]) -> None:
        super().__init__(store)
        self.inline_bytes = INLINE_BYTES
        self.fault: Fault | None = None
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        self.begin(clock.now())
        self._clock = clock
        self._appended = appended
        self._deaf = False

    def begin(self, now: datetime) -> None:
        """A new call begins."""
        self.written: bool | None = None
        self.struck: Fault | None = None
        self.struck_session, self.struck_slot = "", 0
        self.decided = now
        self._deaf = False

    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        """See `JournalStore`."""
        if self._deaf:
            raise PermissionDenied("cut off")
        self.decided = self._clock.now()
        if self.fault is None:
            return await self._written(journal, slot, record)
        fault, self.fault = self.fault, None
        self.struck, self.struck_session, self.struck_slot = fault, uuid_text(journal.session), slot
        if fault == "frozen":
            assert self.meanwhile is not None
            await self.meanwhile()
            return await self._written(journal, slot, record)
        self.written = False
        if fault in ("reply again", "reply lost", "killed behind"):
            await self._written(journal, slot, record)
        if fault in ("killed before", "killed behind"):
            raise Killed
        self._deaf = fault in LOST
        raise OutcomeUnknown("lost")

    async def _written(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        taken = await self.below.append(journal, slot, record)
        self.written = taken is None
        if self.written:
            self._appended(journal, self.decided)
        return taken


class QuickThreads(BlockingTasks):
    """Waiting lets the clock run instead."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        self._clock.advance(timedelta(seconds=seconds))


class QuickLoop(AsyncioTasks):
    """Waiting lets the clock run instead."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        self._clock.advance(timedelta(seconds=seconds))
