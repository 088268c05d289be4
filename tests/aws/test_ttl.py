"""Time to live: what has expired is gone at once, whatever DynamoDB has removed of it; and it never goes in parts."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stepwell.client import AsyncClient
from stepwell.errors import NotFound, StepwellError
from stepwell.limits import Limits
from stepwell.models import Data
from stepwell.stores.dynamodb_items import LINGER_SECONDS, SLOT_0
from stepwell.testing import FakeClock, attempt, collected, refused
from stepwell.testing.clients.operations import ADDITIONS, READS, TAGS, Written, session_with_a_step
from tests.aws.faults import Row, of, unreachable
from tests.aws.moto import TABLE, Service, client, run

KEPT, LONGER = timedelta(days=30), timedelta(days=90)
LINGER = timedelta(seconds=LINGER_SECONDS)
KEY = "INC-7"


def records(service: Service) -> list[dict[str, Any]]:
    """The items of journals, slot 0 last."""
    found = [item for item in service.items() if "/session/" in item["pk"]["S"]]
    return sorted(found, key=lambda item: item["sk"]["S"])


def expiries(service: Service) -> list[datetime | None]:
    """When each of them may be removed."""
    told = [item.get("ttl") for item in records(service)]
    return [None if ttl is None else datetime.fromtimestamp(int(ttl["N"]), UTC) for ttl in told]


def remove(item: dict[str, Any]) -> None:
    client("dynamodb").delete_item(TableName=TABLE, Key={"pk": item["pk"], "sk": item["sk"]})


def whole_seconds(time: datetime) -> datetime:
    """The next whole second."""
    return time if not time.microsecond else time.replace(microsecond=0) + timedelta(seconds=1)


# What each item says


def test_each_record_is_kept_a_day_longer_than_its_session(service: Service) -> None:
    async def case(client: AsyncClient, clock: FakeClock) -> None:
        made = await client.create_session(key=KEY, retention=KEPT)
        await session_with_a_step_in(client, made.session_id)
        assert made.expires_at is not None
        assert expiries(service) == [whole_seconds(made.expires_at) + LINGER] * 3

    run(service, case)


def test_a_retention_of_the_url_is_for_sessions_that_say_nothing_else(service: Service) -> None:
    async def case(client: AsyncClient, clock: FakeClock) -> None:
        made = await client.create_session()
        brief = await client.create_session(retention=timedelta(hours=1))
        until, briefly_until = made.created_at + KEPT, brief.created_at + timedelta(hours=1)
        assert (made.expires_at, brief.expires_at) == (until, briefly_until)
        assert set(expiries(service)) == {whole_seconds(until) + LINGER, whole_seconds(briefly_until) + LINGER}

    run(service, case, limits=Limits(retention=KEPT))


def test_what_is_written_late_is_kept_a_day_all_the_same(service: Service) -> None:
    """A purge is written after the session's time: it is needed for a while, for it says that the session is over."""

    async def case(client: AsyncClient, clock: FakeClock) -> None:
        made = await client.create_session(key=KEY, retention=KEPT)
        clock.advance(KEPT + timedelta(hours=20))
        now = clock.now()
        await client.create_session(key=KEY)  # which has to know that the former one is over
        told = [expiry for expiry in expiries(service) if expiry is not None]
        assert made.expires_at is not None
        assert min(told) == whole_seconds(made.expires_at) + LINGER
        assert max(told) >= now + LINGER

    run(service, case)


def test_a_session_without_retention_has_none(service: Service) -> None:
    async def case(client: AsyncClient, clock: FakeClock) -> None:
        await session_with_a_step(client, key=KEY)
        assert expiries(service) == [None] * 3
        assert not any("ttl" in item for item in service.items())

    run(service, case)


def test_only_records_expire_by_themselves(service: Service) -> None:
    """Keys, entries and payloads are gc's: a session that is extended still needs them."""

    async def case(client: AsyncClient, clock: FakeClock) -> None:
        made = await client.create_session(key=KEY, retention=KEPT)
        await session_with_a_step_in(client, made.session_id, [Data(data=bytes(range(256)) * 2_000)])
        others = [item for item in service.items() if "/session/" not in item["pk"]["S"]]
        assert len(others) >= 2
        assert not any("ttl" in item for item in others)

    run(service, case)


async def session_with_a_step_in(client: AsyncClient, session: str, content: Any = "said") -> Written:
    invocation = await client.create_invocation(session)
    step = await client.put_invocation_step(session, invocation.invocation_id, content)
    return Written(session, invocation.invocation_id, step.invocation_step_id)


# What has expired


async def assert_gone(client: AsyncClient, written: Written) -> None:
    for operation in (READS | ADDITIONS | TAGS).values():
        await refused(NotFound, operation(client, written))
    for call in (client.get_session(key=KEY), client.fork(written.session), client.lease(written.session)):
        await refused(NotFound, call)
    assert await collected(client.sessions) == []


@pytest.mark.parametrize("warm", [True, False], ids=["who knows it", "who does not"])
def test_what_has_expired_is_gone_at_once_while_its_items_are_still_there(service: Service, warm: bool) -> None:
    async def case(client: AsyncClient, clock: FakeClock) -> None:
        written = await session_with_a_step(client, key=KEY, retention=KEPT)
        reader = client if warm else service.open_client(clock)
        clock.advance(KEPT - timedelta(seconds=5))
        assert (await reader.get_session(key=KEY)).session_id == written.session
        clock.advance(timedelta(seconds=5))
        there = records(service)
        await assert_gone(reader, written)
        keys = [(item["pk"], item["sk"]) for item in records(service)]
        assert [(item["pk"], item["sk"]) for item in there if (item["pk"], item["sk"]) not in keys] == []
        again = await reader.create_session(key=KEY)
        assert (await client.get_session(key=KEY)).session_id == again.session_id
        assert [one.session_id for one in await collected(client.sessions)] == [again.session_id]
        if reader is not client:
            await reader.aclose()

    run(service, case)


def test_no_part_of_a_session_is_seen_in_whatever_order_its_items_go(service: Service) -> None:
    """Every subset of them."""

    async def case(client: AsyncClient, clock: FakeClock) -> None:
        written = await session_with_a_step(client, key=KEY, retention=KEPT)
        clock.advance(KEPT + LINGER + timedelta(seconds=1))
        every = records(service)
        for left in itertools.chain.from_iterable(itertools.combinations(every, n) for n in range(len(every) + 1)):
            put_back(left, instead_of=every)
            reader = service.open_client(clock)
            for read in READS.values():
                await refused(NotFound, read(reader, written))
            error = await attempt(reader.put_invocation_step(written.session, written.invocation, "more"))
            assert isinstance(error, NotFound)
            assert await collected(reader.sessions) == []
            await reader.aclose()

    run(service, case)


def put_back(left: Any, *, instead_of: Any) -> None:
    """Let these items, and no others of those, be there."""
    for item in [one for one in instead_of if one not in left]:
        remove(item)
    for item in left:
        client("dynamodb").put_item(TableName=TABLE, Item=item)


def test_what_is_left_of_an_expired_session_is_reclaimed(service: Service) -> None:
    """Whichever of its records DynamoDB has removed; those that lie about without their beginning are left to it."""

    async def case(client: AsyncClient, clock: FakeClock) -> None:
        made = await client.create_session(key=KEY, retention=KEPT)
        await session_with_a_step_in(client, made.session_id, [Data(data=bytes(range(256)) * 2_000)])
        clock.advance(KEPT + LINGER + LINGER)
        every = service.items()
        of_journal = records(service)
        for left in itertools.chain.from_iterable(itertools.combinations(of_journal, n) for n in range(4)):
            for item in service.items():
                remove(item)
            put_back([*[item for item in every if item not in of_journal], *left], instead_of=())
            collector = service.open_client(clock)
            for _ in range(3):
                await collector.gc()
                clock.advance(timedelta(hours=25))
            lying = [item for item in service.items() if item["pk"]["S"] != "~audit/acme/list"]
            assert all("ttl" in item and item["sk"]["S"] != SLOT_0 for item in lying)
            await collector.aclose()

    run(service, case)


# Extending


def test_extending_stamps_what_is_older_and_what_others_append_meanwhile(service: Service) -> None:
    async def case(client: AsyncClient, clock: FakeClock) -> None:
        written = await session_with_a_step(client, key=KEY, retention=KEPT)
        other = service.open_client(clock)
        await other.get_session(written.session)
        until = clock.now() + LONGER

        async def append() -> None:
            for at in range(5):
                await other.put_invocation_step(written.session, written.invocation, f"meanwhile {at}")

        await asyncio.gather(client.extend_retention(written.session, until=until), append())
        await client.put_invocation_step(written.session, written.invocation, "after")
        assert all(expiry == whole_seconds(until) + LINGER for expiry in expiries(service))
        clock.advance(KEPT + LINGER)
        for item in records(service):
            assert int(item["ttl"]["N"]) > clock.now().timestamp()
        steps = [step.text async for step in other.steps(written.session)]
        assert sorted(steps) == sorted(["said", *(f"meanwhile {at}" for at in range(5)), "after"])
        await other.aclose()

    run(service, case)


def test_an_extension_that_stops_on_its_way_extends_nothing_and_can_be_repeated(service: Service) -> None:
    """Items that last longer than their session do no harm; those that do not, under a session that does, would."""

    async def case(client: AsyncClient, clock: FakeClock) -> None:
        written = await session_with_a_step(client, key=KEY, retention=KEPT)
        before = await client.get_session(written.session)
        until = clock.now() + LONGER
        service.fault = Row(unreachable, of("UpdateItem"), after=1)
        assert isinstance(await attempt(client.extend_retention(written.session, until=until)), StepwellError)
        service.fault = None
        reader = service.open_client(clock)
        assert (await reader.get_session(written.session)).expires_at == before.expires_at
        extended = await reader.extend_retention(written.session, until=until)
        assert extended.expires_at == until
        assert all(expiry == whole_seconds(until) + LINGER for expiry in expiries(service))
        await reader.aclose()

    run(service, case)
