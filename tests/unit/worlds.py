"""Worlds for tests: a clock that only moves when told, tasks that sleep by moving it, a store that loses things."""

from __future__ import annotations

import asyncio
import itertools
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import ormsgpack

from stepwell import Client, Limits
from stepwell.client import AsyncClient
from stepwell.errors import OutcomeUnknown, Throttled
from stepwell.io.aio import AsyncioTasks
from stepwell.io.blocking import BlockingTasks
from stepwell.io.ports import Ports
from stepwell.journal.events import Barrier, Entry
from stepwell.journal.record import HEADER_SIZE, Record, identity, open_record, seal
from stepwell.stores.base import JournalId, SlotTaken
from stepwell.stores.memory import MemoryStore

START = 1_800_000_000_000_000


class FakeClock:
    """Both clocks, in microseconds; `pass_seconds` moves them together. *stopped* stand still at their start."""

    def __init__(self, *stopped: str) -> None:
        self.now = START
        self._stopped = stopped

    def wall(self) -> int:
        return START if "wall" in self._stopped else self.now

    def boot(self) -> int:
        return START if "boot" in self._stopped else self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += int(seconds * 1e6)


class QuickTasks(BlockingTasks):
    """Sleeping moves the clock and takes no time."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._clock.pass_seconds(seconds)


class QuickAsyncTasks(AsyncioTasks):
    """Sleeping lets others run, and takes no time."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@dataclass
class Fate:
    """What happens to one append: before it is applied, whether it is, and what the caller hears."""

    applied: bool = True
    error: type[OutcomeUnknown | Throttled] | None = None
    meanwhile: Callable[[], object] | None = None


LOST_REQUEST = Fate(applied=False, error=OutcomeUnknown)
LOST_REPLY = Fate(applied=True, error=OutcomeUnknown)
THROTTLED = Fate(applied=False, error=Throttled)


@dataclass
class Sent:
    """One append as the store saw it."""

    slot: int
    record: bytes


class UnluckyStore(MemoryStore):
    """Memory, whose next appends meet the fates given to it; `always` holds once those are used up."""

    def __init__(self) -> None:
        super().__init__()
        self.fates: list[Fate] = []
        self.always = Fate()
        self.sent: list[Sent] = []
        self.reads: list[tuple[int, int | None]] = []

    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        fate = self.fates.pop(0) if self.fates else self.always
        self.sent.append(Sent(slot, record))
        outcome = await super().append(journal, slot, record) if fate.applied else None
        if fate.meanwhile:
            fate.meanwhile()
        if fate.error:
            raise fate.error("as it was planned")
        return outcome

    async def read(self, journal: JournalId, first: int, last: int | None = None) -> Sequence[bytes]:
        self.reads.append((first, last))
        return await super().read(journal, first, last)

    def wipe(self) -> None:
        """Everything is reclaimed."""
        self._journals.clear()

    def all_journals(self) -> list[JournalId]:
        """The journals, in the order of their creation."""
        return list(self._journals)

    def raw_blobs(self, journal: JournalId) -> list[bytes]:
        """The blobs of a journal; blank ones are empty."""
        return [data for (whose, _), data in self._blobs.items() if whose == journal]

    def raw_records(self, number: int = 0) -> list[bytes]:
        """The records of a journal as they are stored."""
        return self._journals[self.all_journals()[number]]

    def add_newer_event(self) -> None:
        """Append to the first journal an event that only a newer version understands."""
        last = self.records()[-1]
        code, newer = ormsgpack.packb([[9, None, None]]), ormsgpack.packb([[40, None, None]])
        journal = self.all_journals()[0]
        whose = identity(journal.tenant, journal.session)
        plain = seal(
            journal=whose,
            slot=last.slot + 1,
            time=last.time,
            writer=bytes(8),
            token=bytes(range(16)),
            prev=last.digest,
            facts=last.facts,
            entries=[Entry(Barrier(), bytes(8), bytes(range(16)))],
        ).data
        fields = bytearray(plain[: HEADER_SIZE - 4])
        struct.pack_into(">I", fields, 4, len(newer))
        assert plain[HEADER_SIZE : HEADER_SIZE + len(code)] == code
        covered = bytes(fields) + struct.pack(">I", zlib.crc32(fields)) + newer
        self._journals[journal].append(covered + sha256(whose + covered).digest()[:16])

    def records(self, number: int = 0) -> list[Record]:
        """The records of a journal, decoded."""
        journal = self.all_journals()[number]
        whose = identity(journal.tenant, journal.session)
        return [open_record(data, whose) for data in self._journals[journal]]


@dataclass
class World:
    """A store, a clock, and clients of both."""

    store: UnluckyStore = field(default_factory=UnluckyStore)
    clock: FakeClock = field(default_factory=FakeClock)

    def client(self, limits: Limits | None = None) -> Client:
        """A client with nothing remembered."""
        tasks = QuickTasks(self.clock)
        driven = AsyncClient.from_store(self._open, limits=limits, clock=self.clock, tasks=tasks)
        return Client.over(driven)

    def _open(self, ports: Ports) -> UnluckyStore:
        return self.store


_numbers = itertools.count(1)


def fresh_uuid() -> str:
    """An id that no other test uses."""
    return f"00000000-0000-4000-8000-{next(_numbers):012x}"
