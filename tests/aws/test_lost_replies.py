"""A write is applied, and its reply is lost: what was called succeeds as if nothing had happened, exactly once.

Every operation that writes, every request of it that writes, one to three lost replies in a row, over each adapter.
`pytest -rP` prints how many there were.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Container, Iterator
from typing import Any

import pytest

from stepwell.client import AsyncClient
from stepwell.errors import OutcomeUnknown, StepwellError, Unavailable
from stepwell.testing import FakeClock, attempt, collected
from tests.aws.faults import LOSSES, Row, closed
from tests.aws.moto import Adapter, Service
from tests.aws.writes import PLACES, WRITES, Names, World, Write, portrait

pytestmark = pytest.mark.faults

IN_A_ROW: dict[Adapter, tuple[int, ...]] = {"boto3": (1, 2, 3), "threads": (3,), "aiobotocore": (3,)}
STRIDE: dict[Adapter, int] = {"boto3": 1, "threads": 3, "aiobotocore": 3}
"""What is done about a loss is the same for each adapter: one loses them all, the others some of each operation's."""


class Trial:
    """An operation on a tenant of its own, so that trials share a table and know nothing of one another."""

    _tenants = itertools.count()

    def __init__(self, service: Service, write: Write) -> None:
        self._service = service
        self._write = write
        self._clock = FakeClock()
        self._tenant = f"tenant-{next(self._tenants)}"
        self._world: World = {}

    def open(self) -> AsyncClient:
        """Another process."""
        return self._service.open_client(self._clock, tenant=self._tenant, **self._write.options)

    async def run(self, faults: Row) -> Any:
        """What the operation returned or raised, with *faults*, by a client that knows the session."""
        client = self.open()
        self._world = await self._write.prepare(client, self._clock)
        self._service.fault = faults
        try:
            return await attempt(self._write.run(client, self._world))
        finally:
            self._service.fault = None
            await client.aclose()

    async def run_again(self) -> Any:
        """By another process, and without faults."""
        client = self.open()
        try:
            return await self._write.run(client, self._world)
        finally:
            await client.aclose()

    async def resolve(self, token: str) -> str:
        """By another process."""
        client = self.open()
        try:
            return (await client.resolve(token)).outcome
        finally:
            await client.aclose()

    async def mend(self) -> None:
        """Read what is listed: lists may lag."""
        client = self.open()
        try:
            for summary in await collected(client.sessions):
                await attempt(client.get_session(summary.session_id))
        finally:
            await client.aclose()

    async def portrait(self, besides: Container[str] = frozenset()) -> tuple[Any, Any]:
        """As another process sees it."""
        client = self.open()
        try:
            return await portrait(client, self._service, self._tenant, besides)
        finally:
            await client.aclose()


async def undisturbed(
    service: Service, write: Write, besides: Container[str] = frozenset()
) -> tuple[Any, tuple[Any, Any], int]:
    """What an operation returns, what is there afterwards, and how many of its requests write."""
    trial, count = Trial(service, write), Row(closed, times=0)
    result = await trial.run(count)
    return Names().of(result), await trial.portrait(besides), count.seen


def losses(writes: int, adapter: Adapter) -> Iterator[Row]:
    """From a request that writes on, so many replies are lost in a row, each of them in another way."""
    ways = itertools.cycle(LOSSES)
    for after, times in itertools.product(range(0, writes, STRIDE[adapter]), IN_A_ROW[adapter]):
        yield Row(next(ways), after=after, times=times)


@pytest.mark.parametrize("write", WRITES, ids=repr)
def test_an_operation_whose_replies_are_lost_is_done_once(service: Service, write: Write) -> None:
    async def run() -> None:
        expected, seen, writes = await undisturbed(service, write)
        assert writes
        rows = list(losses(writes, service.adapter))
        for row in rows:
            trial = Trial(service, write)
            result = await trial.run(row)
            assert not isinstance(result, StepwellError), (row.told, result)
            assert Names().of(result) == expected, row.told
            assert await trial.portrait() == seen, row.told
            assert len(row.befallen) == row.times, row.told
        print(f"{write}: {writes} requests that write, {len(rows)} trials resolved, 0 false conflicts")

    asyncio.run(run())


@pytest.mark.parametrize("write", WRITES, ids=repr)
def test_more_losses_than_any_retry_bears_leave_a_question_that_is_answered_truly(alone: Service, write: Write) -> None:
    """Nothing of what was applied is lost, and nothing is there twice, whatever the caller was told.

    An unknown outcome is resolved by its token, and what is called absent or unavailable is called again.
    """

    async def run() -> None:
        told: list[str] = []
        _, (expected, _), writes = await undisturbed(alone, write, PLACES)
        for after in range(writes):
            trial, row = Trial(alone, write), Row(LOSSES[after % len(LOSSES)], after=after)
            result = await trial.run(row)
            if isinstance(result, OutcomeUnknown):
                told.append(await trial.resolve(result.token))
                assert told[-1] in {"committed", "absent"}, row.told
                again = told[-1] == "absent"
            else:
                assert isinstance(result, Unavailable) or not isinstance(result, StepwellError), (row.told, result)
                again = isinstance(result, Unavailable)
                told.append(type(result).__name__ if again else "done")
            if again:
                await trial.run_again()
            await trial.mend()
            seen, _ = await trial.portrait(PLACES)
            assert seen == expected, (row.told, told)
        print(f"{write}: {', '.join(told)}")

    asyncio.run(run())
