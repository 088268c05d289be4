"""What no local server does by itself: refusals, pauses, failures, limits; and what is on the wire."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from stepwell.client import AsyncClient
from stepwell.errors import (
    LimitExceeded,
    NotSupported,
    OutcomeUnknown,
    PermissionDenied,
    StepwellError,
    Throttled,
    Unavailable,
)
from stepwell.io.retry import RetryPolicy
from stepwell.models import Data, Image, Text
from stepwell.stores.chunks import BLOB_MAX_BYTES
from stepwell.stores.dynamodb_calls import UNPROCESSED_ROUNDS_MAX
from stepwell.stores.dynamodb_items import ITEM_MAX_BYTES, item_size
from stepwell.testing import FakeClock, attempt, collected, refused
from stepwell.testing.clients.operations import READS, session_with_a_step
from stepwell.testing.stores.records import journal, record
from tests.aws.faults import (
    Fault,
    Row,
    Sent,
    accepting,
    closed,
    cut_in_body,
    cut_in_headers,
    failing,
    of,
    refusing,
    timed_out,
    unreachable,
)
from tests.aws.moto import Service, client, ports, run
from tests.aws.writes import FOR_OBJECTS, INVOCATION, WRITES, Write

HOUR = timedelta(hours=1)
ATTEMPTS = RetryPolicy().attempts
NOTHING_DONE: dict[str, Fault] = {
    code: refusing(code, status)
    for code, status in {
        "ThrottlingException": 400,
        "ProvisionedThroughputExceededException": 400,
        "RequestLimitExceeded": 400,
        "SlowDown": 503,
        "TransactionConflictException": 400,
        "TransactionInProgressException": 400,
        "ReplicatedWriteConflictException": 400,
        "InternalServerError": 500,
        "ServiceUnavailable": 503,
    }.items()
} | {"unreachable": unreachable}
DONE: dict[str, Fault] = {
    "InternalServerError": failing("InternalServerError"),
    "ServiceUnavailable": failing("ServiceUnavailable", 503),
    "closed": closed,
    "timed out": timed_out,
    "cut in the headers": cut_in_headers,
    "cut in the body": cut_in_body,
}
FAULTS = [pytest.param(fault, id=f"{name}, not done") for name, fault in NOTHING_DONE.items()] + [
    pytest.param(fault, id=f"{name}, done") for name, fault in DONE.items()
]


def any_request(sent: Sent) -> bool:
    return True


# What passes


@pytest.mark.faults
@pytest.mark.parametrize("fault", FAULTS)
def test_what_passes_is_not_noticed(service: Service, fault: Fault) -> None:
    """Two requests of three fail, whatever they ask: reads, writes, appends, of items and of objects."""

    def two_of_three(sent: Sent, ask: Callable[[], Any]) -> Any:
        asked.append(sent)
        return ask() if len(asked) % 3 == 0 else fault(sent, ask)

    async def case(client: AsyncClient, clock: FakeClock) -> None:
        service.fault = two_of_three
        made = await client.create_session(key="INC-7")
        put = [
            await client.put_invocation_step(made.session_id, INVOCATION, content, create_invocation=True)
            for content in ("said", FOR_OBJECTS)
        ]
        reader = service.open_client(clock, blobs=True)
        found = await reader.get_session(key="INC-7")
        assert (found.session_id, found.session_status) == (made.session_id, "ACTIVE")
        assert await collected(reader.steps, made.session_id) == put
        assert [one.session_id for one in await collected(reader.sessions)] == [made.session_id]
        await reader.aclose()

    asked: list[Sent] = []
    run(service, case, blobs=True)
    assert len(asked) > 30


# What lasts


@pytest.mark.parametrize(
    ("fault", "kind", "attempts"),
    [
        (refusing("ThrottlingException"), Throttled, ATTEMPTS),
        (refusing("ProvisionedThroughputExceededException"), Throttled, ATTEMPTS),
        (refusing("RequestLimitExceeded"), Throttled, ATTEMPTS),
        (refusing("TransactionConflictException"), Unavailable, ATTEMPTS),
        (refusing("ReplicatedWriteConflictException"), Unavailable, ATTEMPTS),
        (refusing("InternalServerError", 500), OutcomeUnknown, ATTEMPTS),
        (unreachable, Unavailable, ATTEMPTS),
        (closed, OutcomeUnknown, ATTEMPTS),
        (cut_in_headers, OutcomeUnknown, ATTEMPTS),
        (refusing("RequestTimeTooSkewed", 403), Unavailable, 1),
        (refusing("InvalidSignatureException", message="Signature expired: now"), Unavailable, 1),
        (refusing("AccessDeniedException"), PermissionDenied, 1),
        (refusing("ExpiredTokenException"), PermissionDenied, 1),
        (refusing("ResourceNotFoundException"), Unavailable, 1),
        (refusing("ValidationException"), NotSupported, 1),
    ],
)
def test_what_lasts_ends_within_the_attempts_with_its_own_error(
    service: Service, fault: Fault, kind: type[StepwellError], attempts: int
) -> None:
    """An append, and then a read, for which nobody is left in doubt."""

    async def case(client: AsyncClient, clock: FakeClock) -> None:
        made = await client.create_session()
        before = service.items()
        service.fault = row = Row(fault, of("PutItem"))
        error = await refused(kind, client.create_invocation(made.session_id))
        assert (error.operation, error.session_id) == ("create_invocation", made.session_id)
        assert len(row.befallen) <= attempts
        assert (len(row.befallen) == 1) == (attempts == 1)
        if kind is not OutcomeUnknown:
            assert service.items() == before
        service.fault = row = Row(fault, of("Query"))
        await refused(Unavailable if kind is OutcomeUnknown else kind, client.get_session(made.session_id))
        assert len(row.befallen) <= attempts
        service.fault = None
        assert (await client.get_session(made.session_id)).session_status == "ACTIVE"

    run(service, case)


def test_a_pause_that_is_asked_for_is_kept(service: Service) -> None:
    async def case(client: AsyncClient, clock: FakeClock) -> None:
        made = await client.create_session()
        service.fault = Row(refusing("ThrottlingException", x_amz_retry_after="4000"), times=1)
        began = clock.now()
        await client.create_invocation(made.session_id)
        assert (clock.now() - began).total_seconds() >= 4

    run(service, case)


@pytest.mark.faults
@pytest.mark.parametrize("fault", [unreachable, refusing("ThrottlingException"), closed])
def test_an_outage_is_not_answered_with_a_flood(alone: Service, fault: Fault) -> None:
    """A thousand calls on a store that is dead make at most 1.2 requests each, and it comes back with the first."""

    async def case(client: AsyncClient, clock: FakeClock) -> None:
        made = await client.create_session()
        alone.fault = row = Row(fault, any_request)
        for _ in range(1_000):
            error = await attempt(client.put_invocation_step(made.session_id, INVOCATION, "x", create_invocation=True))
            assert isinstance(error, Throttled | Unavailable | OutcomeUnknown)
        assert 1_000 <= len(row.befallen) <= 1_200
        alone.fault = None
        await client.put_invocation_step(made.session_id, INVOCATION, "at last", create_invocation=True)

    run(alone, case)


# Many at once


def half(service: Service) -> Callable[[Sent, Callable[[], Any]], Any]:
    """Of the items to be deleted, half are; the others are left unprocessed."""

    def fault(sent: Sent, ask: Callable[[], Any]) -> Any:
        asked: dict[str, list[Any]] = json.loads(sent.body)["RequestItems"]
        ((table, requests),) = asked.items()
        done, left = requests[: len(requests) // 2], requests[len(requests) // 2 :]
        row, service.fault = service.fault, None  # what is deleted here is no request of the store's
        if done:
            client("dynamodb").batch_write_item(RequestItems={table: done})
        service.fault = row
        return accepting({"UnprocessedItems": {table: left}})(sent, ask)

    return fault


async def journal_of_many(client: AsyncClient, clock: FakeClock) -> None:
    """Deleted, and seen by gc a week ago."""
    made = await client.create_session()
    for _ in range(30):
        await client.create_invocation(made.session_id)
    await client.delete_session(made.session_id, end=True)
    await client.gc()
    clock.advance(7 * 24 * HOUR)


def test_items_that_are_left_unprocessed_are_deleted_later(service: Service) -> None:
    async def case(client: AsyncClient, clock: FakeClock) -> None:
        await journal_of_many(client, clock)
        service.fault = row = Row(half(service), of("BatchWriteItem"), times=4)
        assert (await client.gc()).reclaimed == 1
        assert len(row.befallen) == 4
        assert {item["pk"]["S"] for item in service.items()} == {"~audit/acme/list"}

    run(service, case)


def test_items_that_are_never_processed_end_in_an_error_and_are_found_again(service: Service) -> None:
    async def case(client: AsyncClient, clock: FakeClock) -> None:
        await journal_of_many(client, clock)
        service.fault = row = Row(
            lambda sent, ask: accepting({"UnprocessedItems": json.loads(sent.body)["RequestItems"]})(sent, ask),
            of("BatchWriteItem"),
        )
        await refused(Throttled, client.gc())
        assert 1 < len(row.befallen) <= ATTEMPTS * UNPROCESSED_ROUNDS_MAX
        service.fault = None
        assert (await client.gc()).reclaimed == 1
        assert {item["pk"]["S"] for item in service.items()} == {"~audit/acme/list"}

    run(service, case)


# On the wire


@pytest.mark.parametrize("write", WRITES, ids=repr)
def test_every_look_is_consistent_and_every_append_is_one_conditional_request(alone: Service, write: Write) -> None:
    async def case(client: AsyncClient, clock: FakeClock) -> None:
        world = await write.prepare(client, clock)
        await write.run(client, world)

    run(alone, case, **write.options)
    for looked in alone.called("get_item", "query"):
        assert looked.get("ConsistentRead") is ("IndexName" not in looked or None)
    for put in alone.called("put_item"):
        if "/session/" in put["Item"]["pk"]["S"]:
            assert put["ConditionExpression"] == "attribute_not_exists(pk)"
            assert put["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"


def test_reading_a_session_is_consistent(service: Service) -> None:
    async def case(client: AsyncClient, clock: FakeClock) -> None:
        written = await session_with_a_step(client, key="INC-7")
        service.calls.clear()
        for read in READS.values():
            reader = service.open_client(clock)
            await read(reader, written)
            await reader.get_session(key="INC-7")
            await reader.aclose()
        assert all(looked["ConsistentRead"] for looked in service.called("get_item", "query"))

    run(service, case)


@pytest.mark.parametrize("content", ["said", [Data(data=os.urandom(6_000))]], ids=["text", "bytes"])
def test_a_step_by_who_knows_the_session_is_one_request(service: Service, content: Any) -> None:
    async def case(client: AsyncClient, clock: FakeClock) -> None:
        written = await session_with_a_step(client)
        for _ in range(3):
            service.calls.clear()
            await client.put_invocation_step(written.session, written.invocation, content)
            assert [operation for operation, _ in service.calls] == ["put_item"]

    run(service, case, blobs=True)


# Limits


@pytest.mark.parametrize("tenant", ["a", "a" * 64])
def test_an_item_is_measured_before_it_is_sent(alone: Service, tenant: str) -> None:
    """To the byte; moto's own limit is lower, so it is not asked."""
    store = alone.open_store(ports("boto3", FakeClock()))
    where = journal("j", tenant)
    asyncio.run(store.append(where, 0, record(where, 0, b"first")))
    alone.fault = Row(accepting({}), of("PutItem"))
    spare = ITEM_MAX_BYTES - item_size(alone.called("put_item")[0]["Item"]) + len(b"first")
    spare += len("tenant") + len(tenant) + len("session") + 16 + len("~") - len("0000000001")

    def sizes(payload: int) -> int:
        alone.calls.clear()
        asyncio.run(store.append(where, 1, record(where, 1, bytes(payload))))
        (sent,) = alone.called("put_item")
        return item_size(sent["Item"])

    exact = next(size for size in range(spare - 10, spare + 10) if sizes(size) == ITEM_MAX_BYTES)
    alone.calls.clear()
    with pytest.raises(LimitExceeded, match=f"{ITEM_MAX_BYTES + 1} bytes"):
        asyncio.run(store.append(where, 1, record(where, 1, bytes(exact + 1))))
    assert alone.calls == []


def test_whatever_a_step_says_fits_an_item_or_is_refused_before_it_is_sent(service: Service) -> None:
    """Characters of up to four bytes, which hardly compress, from 100 KB to beyond what one call may write."""

    async def case(client: AsyncClient, clock: FakeClock) -> None:
        made = await client.create_session()
        for characters in (25_000, 40_000, 65_000, 90_000, 130_000):
            noise = os.urandom(3 * characters)
            text = "".join(
                chr(0x10000 + int.from_bytes(noise[at : at + 3]) % 0xF0000) for at in range(0, len(noise), 3)
            )
            put = await client.put_invocation_step(made.session_id, INVOCATION, text, create_invocation=True)
            reader = service.open_client(clock)
            assert (await collected(reader.steps, made.session_id))[-1] == put
            assert put.content == (Text(text=text),)
            await reader.aclose()
        sent = [item_size(put["Item"]) for put in service.called("put_item")]
        assert max(sent) <= ITEM_MAX_BYTES

    run(service, case)


def test_a_payload_that_is_too_large_for_items_is_refused_by_name_and_nothing_is_written(service: Service) -> None:
    async def case(client: AsyncClient, clock: FakeClock) -> None:
        written = await session_with_a_step(client)
        before = service.items()
        large = [Data(data=os.urandom(1_000_000)), Data(data=os.urandom(BLOB_MAX_BYTES + 1))]
        error = await refused(LimitExceeded, client.put_invocation_step(written.session, written.invocation, large))
        assert "BLOB_MAX_BYTES" in str(error)
        assert "?blobs=" in str(error)
        assert service.items() == before

    run(service, case)


def test_a_step_of_fifty_megabytes_and_twenty_images_comes_back_from_objects(service: Service) -> None:
    async def case(client: AsyncClient, clock: FakeClock) -> None:
        written = await session_with_a_step(client)
        content = [Image(format="png", data=os.urandom(2_500_000)) for _ in range(20)]
        put = await client.put_invocation_step(written.session, written.invocation, content)
        reader = service.open_client(clock, blobs=True)
        assert (await collected(reader.steps, written.session))[-1] == put
        assert put.content == tuple(content)
        assert len(service.called("put_object")) == len(content)
        await reader.aclose()

    run(service, case, blobs=True)
