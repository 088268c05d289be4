"""Trials: an operation that writes, with what befalls its requests, and what a new process finds afterwards.

Trial          one, on a tenant of its own
undisturbed    what the operation does where nothing befalls it
done_once      the operation succeeds as if nothing had happened, whichever replies are lost
answered       where too many are lost, whoever asks what became of it is told the truth
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Mapping
from typing import Any

from stepwell.client import AsyncClient
from stepwell.errors import OutcomeUnknown, StepwellError, Unavailable
from stepwell.testing import FakeClock, attempt, collected
from tests.aws.faults import LOSSES, Fault, Row, closed, cut_in_headers, timed_out
from tests.aws.moto import Service
from tests.aws.writes import PLACES, Names, World, Write, portrait


class Trial:
    """An operation on a tenant of its own, so that trials share a table and know nothing of one another."""

    _tenants = itertools.count()

    def __init__(self, service: Service, write: Write, options: Mapping[str, Any]) -> None:
        self._service = service
        self._write = write
        self._options = options
        self._clock = FakeClock()
        self._tenant = f"tenant-{next(self._tenants)}"
        self._world: World = {}

    def open(self) -> AsyncClient:
        """Another process."""
        return self._service.open_client(self._clock, tenant=self._tenant, **self._options)

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
    service: Service, write: Write, options: Mapping[str, Any], besides: Container[str] = frozenset()
) -> tuple[Any, tuple[Any, Any], int]:
    """What an operation returns, what is there afterwards, and how many of its requests write."""
    trial, count = Trial(service, write, options), Row(closed, times=0)
    result = await trial.run(count)
    return Names().of(result), await trial.portrait(besides), count.seen


async def done_once(
    service: Service, write: Write, options: Mapping[str, Any], stride: int, in_a_row: Iterable[int]
) -> None:
    """From every request that writes on (*stride* says which), so many replies are lost, each in another way."""
    expected, seen, writes = await undisturbed(service, write, options)
    assert writes
    ways, trials = itertools.cycle(_ways(options)), 0
    for after, times in itertools.product(range(0, writes, stride), in_a_row):
        trial, row = Trial(service, write, options), Row(next(ways), after=after, times=times)
        result = await trial.run(row)
        assert not isinstance(result, StepwellError), (row.told, result)
        assert Names().of(result) == expected, row.told
        assert await trial.portrait() == seen, row.told
        assert len(row.befallen) == row.times or (row.fault is cut_in_headers and "s3" in options), row.told
        trials += 1
    print(f"{write}: {writes} requests that write, {trials} trials resolved, 0 false conflicts")


def _ways(options: Mapping[str, Any]) -> tuple[Fault, ...]:
    """How replies are lost; those of a bucket to a write have no body that could be cut."""
    return (closed, timed_out, cut_in_headers) if options.get("s3") else LOSSES


async def answered(service: Service, write: Write, options: Mapping[str, Any]) -> None:
    """Nothing of what was applied is lost, and nothing is there twice, whatever the caller was told.

    An unknown outcome is resolved by its token, and what is called absent or unavailable is called again.
    """
    told: list[str] = []
    _, (expected, _), writes = await undisturbed(service, write, options, PLACES)
    for after in range(writes):
        ways = _ways(options)
        trial, row = Trial(service, write, options), Row(ways[after % len(ways)], after=after)
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
