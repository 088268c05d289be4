"""How long 64 sessions hold up an event loop, on a store that answers in 200 ms.

    python -m benchmarks.dynamodb_loop [--quick] [--json]

The server (local_dynamodb.py) is a process of its own, and answers each request 200 ms later. 64 sessions of one client
begin at once: each is opened by its key and appended to. A watchdog wakes up every 2 ms, from before the client is made
on; a stall is how much later it woke than it wanted to. What else the machine does is in it: the row `nothing` is the
same loop with nothing to do. `collector` is the longest pause of the garbage collector, the median of the runs. For
information, the same where each session has a client, and so connections, of its own.

Each way is measured in a fresh process, in which nothing is loaded yet.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from benchmarks.local_dynamodb import REGION, serving
from benchmarks.table import Row, Table, Target, median, options
from stepwell import AsyncClient

SESSIONS = 64
DELAY_SECONDS = 0.2
APPENDS, APPENDS_QUICK = 20, 5
WAKES_SECONDS = 0.002
STALL_MS = 50
ROUNDS, ROUNDS_QUICK = 3, 2


class Watchdog:
    """Notes how late the event loop lets it go on, in milliseconds."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.above = 0
        self.collector = 0.0
        self._collecting = 0.0

    def collected(self, phase: str, _: object) -> None:
        """The garbage collector begins or ends."""
        if phase == "start":
            self._collecting = time.perf_counter()
        else:
            self.collector = max(self.collector, (time.perf_counter() - self._collecting) * 1e3)

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            began = time.perf_counter()
            await asyncio.sleep(WAKES_SECONDS)
            late = (time.perf_counter() - began - WAKES_SECONDS) * 1e3
            self.longest = max(self.longest, late)
            self.above += late > STALL_MS


def client_of(url: str, adapter: str) -> AsyncClient:
    """A client that nobody has used yet."""
    if adapter == "aiobotocore":
        return AsyncClient(url)
    from stepwell.io.aws import Boto3Aws
    from stepwell.stores.dynamodb import DynamoDBStore
    from stepwell.stores.dynamodb_options import DynamoDBOptions

    chosen = DynamoDBOptions("benchmark", REGION, url.partition("endpoint_url=")[2])
    return AsyncClient.from_store(partial(DynamoDBStore, options=chosen, open_aws=Boto3Aws))


async def session(client: AsyncClient, number: int, appends: int) -> None:
    """One agent's session, and its steps."""
    opened = await client.open_session(key=f"agent {number}")
    invocation = await client.create_invocation(opened.session_id)
    for at in range(appends):
        await client.put_invocation_step(opened.session_id, invocation.invocation_id, f"step {at}: " + 1000 * "x")


async def one_client(url: str, adapter: str, appends: int) -> None:
    """All sessions share a client."""
    async with client_of(url, adapter) as client:
        await asyncio.gather(*(session(client, number, appends) for number in range(SESSIONS)))


async def client_each(url: str, adapter: str, appends: int) -> None:
    """Each session has a client of its own; all begin at once."""

    async def alone(number: int) -> None:
        async with client_of(url, adapter) as client:
            await session(client, number, appends)

    await asyncio.gather(*map(alone, range(SESSIONS)))


async def bare(url: str, adapter: str, appends: int) -> None:
    """As many `put_item` of aiobotocore's, by as many tasks, without Stepwell."""
    from aiobotocore.session import AioSession

    made: Any = AioSession().create_client("dynamodb", REGION, endpoint_url=url.partition("endpoint_url=")[2])
    async with made as client:

        async def puts(number: int) -> None:
            for at in range(appends + 6):
                key = {"pk": {"S": f"agent {number}"}, "sk": {"S": str(at)}}
                await client.put_item(TableName="benchmark", Item={**key, "data": {"B": 1000 * b"x"}})

        await asyncio.gather(*map(puts, range(SESSIONS)))


async def nothing(url: str, adapter: str, appends: int) -> None:
    """As long as the others, about."""
    await asyncio.sleep(DELAY_SECONDS * (appends + 6))


WAYS: Mapping[str, tuple[Callable[[str, str, int], Awaitable[None]], str]] = {
    "nothing": (nothing, ""),
    "bare aiobotocore": (bare, ""),
    "aiobotocore": (one_client, "aiobotocore"),
    "boto3 in threads": (one_client, "threads"),
    "aiobotocore, 64 clients": (client_each, "aiobotocore"),
    "boto3 in threads, 64 clients": (client_each, "threads"),
}


async def watched(url: str, way: str, appends: int) -> dict[str, float]:
    """The figures of one way."""
    act, adapter = WAYS[way]
    dog = Watchdog()
    gc.callbacks.append(dog.collected)
    watching = asyncio.create_task(dog.watch())
    await asyncio.sleep(10 * WAKES_SECONDS)
    began, cpu = time.perf_counter(), time.process_time()
    await act(url, adapter, appends)
    seconds, used = time.perf_counter() - began, time.process_time() - cpu
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    gc.callbacks.remove(dog.collected)
    counted = {"longest ms": dog.longest, "collector ms": dog.collector, f"> {STALL_MS} ms": dog.above}
    return counted | {"seconds": seconds, "CPU s": used}


def fresh(url: str, way: str, appends: int) -> dict[str, float]:
    """The figures of one way, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.dynamodb_loop", "--watched", url, way, str(appends)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> None:
    """Run it."""
    if sys.argv[1:2] == ["--watched"]:
        print(json.dumps(asyncio.run(watched(sys.argv[2], sys.argv[3], int(sys.argv[4])))))
        return
    asked = options(__doc__)
    os.environ |= {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark"}
    rounds, appends = (ROUNDS_QUICK, APPENDS_QUICK) if asked.quick else (ROUNDS, APPENDS)
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            with serving(DELAY_SECONDS) as endpoint:
                runs[way].append(fresh(f"dynamodb://benchmark?region={REGION}&endpoint_url={endpoint}", way, appends))
    columns = ("longest ms", "median ms", f"> {STALL_MS} ms", "collector ms", "seconds", "CPU s")
    rows: list[Row] = []
    for way, found in runs.items():
        longest = max(run["longest ms"] for run in found)
        values = {name: median([run[name] for run in found]) for name in ("collector ms", "seconds", "CPU s")}
        values |= {"longest ms": longest, "median ms": median([run["longest ms"] for run in found])}
        values |= {columns[2]: sum(run[columns[2]] for run in found)}
        limit = Target(f"no stall over {STALL_MS} ms", met=longest <= STALL_MS)
        wanted = limit if WAYS[way][0] is one_client else None
        rows.append(Row(way, values, wanted))
    title = f"{SESSIONS} sessions, {appends} appends each, a store that answers in {DELAY_SECONDS * 1e3:.0f} ms"
    Table(f"{title}, {rounds} runs", columns, rows).show(as_json=asked.as_json)


if __name__ == "__main__":
    main()
