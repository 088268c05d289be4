"""What a crash leaves behind is reclaimed: whatever was under way, wherever it stopped."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from stepwell.client import AsyncClient
from stepwell.models import GcReport
from stepwell.testing import FakeClock, attempt
from tests.aws.faults import Sent, unreachable
from tests.aws.moto import Service
from tests.aws.writes import PLACES, WRITES, Write, portrait

pytestmark = pytest.mark.faults

A_DAY_AND_MORE = timedelta(hours=25)
RUNS_MAX = 6
"""Of gc, a day between each: what it takes back is pending for another day, and the last one has nothing to do."""


class Crash:
    """An operation on a tenant of its own, by a process that dies behind so many of its requests that write."""

    def __init__(self, service: Service, write: Write, tenant: str) -> None:
        self._service = service
        self._write = write
        self._tenant = tenant
        self._clock = FakeClock()

    def _open(self) -> AsyncClient:
        return self._service.open_client(self._clock, tenant=self._tenant, **self._write.options)

    async def happen(self, behind: int | None) -> int:
        """How many requests wrote. None: it does not happen."""
        client = self._open()
        world = await self._write.prepare(client, self._clock)
        dead = Death(behind)
        self._service.fault = dead
        await attempt(self._write.run(client, world))
        self._service.fault = None
        await client.aclose()
        return dead.written

    async def not_even_begin(self) -> None:
        client = self._open()
        await self._write.prepare(client, self._clock)
        await client.aclose()

    async def reclaimed(self) -> Any:
        """What is there once gc has run often enough; its last run found nothing to do."""
        client = self._open()
        reports: list[GcReport] = []
        while not reports or _does(reports[-1]):
            reports.append(await client.gc())
            self._clock.advance(A_DAY_AND_MORE)
            assert len(reports) <= RUNS_MAX, reports
        await portrait(client, self._service, self._tenant)  # which mends what lists show
        read, (items, objects) = await portrait(client, self._service, self._tenant, PLACES)
        await client.aclose()
        beside = {lying: count for lying, count in items.items() if "/session/" not in lying[0]}
        return read, beside, objects


def _does(report: GcReport) -> int:
    """How much a run did, or left to the next one."""
    return sum(count for name, count in report if name not in {"dry_run", "sessions"})


class Death:
    """From a request that writes on, nothing arrives any more, not even what only reads."""

    def __init__(self, behind: int | None) -> None:
        self._behind = behind
        self.written = 0

    def __call__(self, sent: Sent, ask: Any) -> Any:
        if self._behind is not None and self.written >= self._behind and (sent.writes or self.written > self._behind):
            self.written += 1
            return unreachable(sent, ask)
        self.written += sent.writes
        return ask()


@pytest.mark.parametrize("write", WRITES, ids=repr)
def test_what_is_left_of_an_operation_is_all_of_it_or_nothing(alone: Service, write: Write) -> None:
    """In what can be read; and beside the records no key, no entry of a list and no payload lies there for nothing."""

    async def run() -> None:
        never, whole = Crash(alone, write, "never"), Crash(alone, write, "whole")
        await never.not_even_begin()
        writes = await whole.happen(None)
        possible = [await never.reclaimed(), await whole.reclaimed()]
        for behind in range(writes):
            crash = Crash(alone, write, f"behind-{behind}")
            await crash.happen(behind)
            found = await crash.reclaimed()
            assert found in possible, behind

    asyncio.run(run())
