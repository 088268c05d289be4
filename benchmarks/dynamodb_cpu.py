"""Client CPU of an append to DynamoDB, beside a bare `put_item` of the same item.

    python -m benchmarks.dynamodb_cpu [--quick] [--json]

The server (local_dynamodb.py) is a process of its own; CPU is user and system time of this one, all its threads. A step
is 1 KB that no compression shrinks. The bare calls put the very item that such an append makes, on the same condition:

    boto3                 as it comes
    boto3, unchecked      with `parameter_validation=False`, as Stepwell calls it
    threads               the former by `asyncio.to_thread`, beside Stepwell over boto3 in threads
    aiobotocore           as it comes, beside Stepwell over aiobotocore

Methods take turns in blocks; a ratio is the median of the ratios of blocks that are next to each other in time.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, TypeAlias

import boto3
from aiobotocore.session import AioSession
from botocore.config import Config

import stepwell
from benchmarks.local_dynamodb import REGION, serving
from benchmarks.table import Row, Table, Target, median, ninth_decile, options
from stepwell.io.aws import Boto3Aws
from stepwell.stores.dynamodb import DynamoDBStore
from stepwell.stores.dynamodb_options import DynamoDBOptions

PAYLOAD_BYTES = 1024
BLOCK = 10
TABLE = "benchmark"
TIMES_BARE = 1.15

Append: TypeAlias = Callable[[], Awaitable[object]]
Method: TypeAlias = tuple[str, str]
"""A name, and that of the bare call beside it."""


@dataclass(frozen=True, slots=True)
class Bare:
    """Puts one item again and again, under a new key each time."""

    item: Mapping[str, Any]
    numbers: Iterator[int]

    def arguments(self) -> dict[str, Any]:
        """Of the next call."""
        key = {"pk": {"S": self.item["pk"]["S"] + "b"}, "sk": {"S": f"{next(self.numbers):010d}"}}
        condition = {
            "ConditionExpression": "attribute_not_exists(pk)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        return {"TableName": TABLE, "Item": {**self.item, **key}, **condition}


def boto3_client(endpoint: str, **config: Any) -> Any:
    """A client as anybody makes it."""
    made: Any = boto3.Session().client("dynamodb", REGION, endpoint_url=endpoint, config=Config(**config))
    return made


def item_of(client: Any, session_id: str) -> dict[str, Any]:
    """The item that the last append to a session made."""
    answer = client.query(
        TableName=TABLE,
        ConsistentRead=True,
        KeyConditionExpression="pk = :pk AND sk BETWEEN :first AND :last",
        ExpressionAttributeValues={
            ":pk": {"S": f"default/session/{session_id}"},
            ":first": {"S": "0"},
            ":last": {"S": "9"},
        },
    )
    item: dict[str, Any] = answer["Items"][-1]
    return item


def payload() -> stepwell.Data:
    """What a step holds."""
    return stepwell.Data(data=os.urandom(PAYLOAD_BYTES))


async def append_to(client: stepwell.AsyncClient) -> tuple[str, Append]:
    """A new session, and what appends to it."""
    session = await client.create_session()
    invocation = await client.create_invocation(session.session_id)
    ids = (session.session_id, invocation.invocation_id)

    async def append() -> object:
        return await client.put_invocation_step(*ids, payload())

    await append()
    return session.session_id, append


async def blocking(call: Callable[[], object]) -> object:
    """Call what blocks, here."""
    return call()


async def measure(endpoint: str, rounds: int) -> dict[Method, list[tuple[float, float]]]:
    """Microseconds of CPU for an append, and for a bare call next to it, round by round."""
    options_ = DynamoDBOptions(table=TABLE, region=REGION, endpoint_url=endpoint)
    over_threads = partial(DynamoDBStore, options=options_, open_aws=Boto3Aws)
    sync = stepwell.Client.from_store(partial(DynamoDBStore, options=options_))
    session = sync.create_session()
    invocation = sync.create_invocation(session.session_id)
    put = partial(sync.put_invocation_step, session.session_id, invocation.invocation_id)
    put(payload())

    as_it_comes, unchecked = boto3_client(endpoint), boto3_client(endpoint, parameter_validation=False)
    bare = Bare(item_of(as_it_comes, session.session_id), count(1))
    aio: Any = AioSession()
    async with (
        stepwell.AsyncClient.from_store(over_threads) as threads,
        stepwell.AsyncClient.from_store(partial(DynamoDBStore, options=options_)) as awaited,
        aio.create_client("dynamodb", region_name=REGION, endpoint_url=endpoint) as aiobotocore,
    ):
        _, in_threads = await append_to(threads)
        _, over_aiobotocore = await append_to(awaited)
        pairs: dict[Method, tuple[Append, Append]] = {
            ("stepwell", "boto3"): (
                lambda: blocking(lambda: put(payload())),
                lambda: blocking(lambda: as_it_comes.put_item(**bare.arguments())),
            ),
            ("stepwell", "boto3, unchecked"): (
                lambda: blocking(lambda: put(payload())),
                lambda: blocking(lambda: unchecked.put_item(**bare.arguments())),
            ),
            ("stepwell, threads", "threads"): (
                in_threads,
                lambda: asyncio.to_thread(unchecked.put_item, **bare.arguments()),
            ),
            ("stepwell, aiobotocore", "aiobotocore"): (
                over_aiobotocore,
                lambda: aiobotocore.put_item(**bare.arguments()),
            ),
        }
        found: dict[Method, list[tuple[float, float]]] = {names: [] for names in pairs}
        for i in range(rounds + 1):
            for names, (ours, theirs) in pairs.items():
                taken = [await cpu(each) for each in ((ours, theirs) if i % 2 else (theirs, ours))]
                if i:  # the first round warms up
                    found[names].append((taken[0], taken[1]) if i % 2 else (taken[1], taken[0]))
    sync.close()
    return found


async def cpu(act: Append) -> float:
    """Microseconds that a call takes, the mean of a block."""
    began = time.process_time_ns()
    for _ in range(BLOCK):
        await act()
    return (time.process_time_ns() - began) / 1e3 / BLOCK


def rows(found: Mapping[Method, list[tuple[float, float]]]) -> list[Row]:
    """Each pair side by side."""
    shown: list[Row] = []
    for (name, beside), taken in found.items():
        ratio = median([ours / theirs for ours, theirs in taken])
        wanted = Target(f"<= {TIMES_BARE} x boto3", met=ratio <= TIMES_BARE) if beside == "boto3" else None
        shown.append(Row(f"bare: {beside}", _microseconds([theirs for _, theirs in taken])))
        shown.append(Row(name, _microseconds([ours for ours, _ in taken]) | {"x bare": ratio}, wanted))
    return shown


def _microseconds(samples: Sequence[float]) -> dict[str, float]:
    return {"CPU us": median(samples), "least": min(samples), "p90": ninth_decile(samples)}


def main() -> None:
    """Run it."""
    asked = options(__doc__)
    os.environ |= {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark"}
    with serving() as endpoint:
        found = asyncio.run(measure(endpoint, rounds=10 if asked.quick else 60))
    calls = BLOCK * len(next(iter(found.values())))
    columns = ("CPU us", "least", "p90", "x bare")
    Table(f"Client CPU of a {PAYLOAD_BYTES} B append, {calls} calls by each method", columns, rows(found)).show(
        as_json=asked.as_json
    )


if __name__ == "__main__":
    main()
