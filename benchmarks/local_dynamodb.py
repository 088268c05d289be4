"""DynamoDB for benchmarks: one table in memory behind the service's JSON protocol, every call measured.

    python -m benchmarks.local_dynamodb [--delay SECONDS]     a server on 127.0.0.1, which prints its port

MeteredTable    the table; `calls` says what each call took: bytes, and units by the published rules
local_client    a boto3 client that the table answers in this process
serving         the same table as a server in a process of its own, after a delay
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from zlib import crc32

import boto3
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError

from stepwell.stores.dynamodb_items import Item, binary, change_units, item_size, query_units, text
from stepwell.testing.simulated.aws import Answer
from stepwell.testing.simulated.dynamodb import SimulatedTable
from stepwell.testing.simulated.schedule import World
from stepwell.testing.simulated.stores import Written

REGION = "us-east-1"
PAGE_BYTES = 1 << 20
WRITE_DOLLARS, READ_DOLLARS = 0.625e-6, 0.125e-6
"""Of a request unit on demand in us-east-1."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What calls took. Bytes are those of the bodies, as they are on the wire."""

    requests: int = 0
    sent: int = 0
    received: int = 0
    written: int = 0
    """Write request units."""
    read: float = 0.0
    """Read request units."""
    operations: tuple[str, ...] = ()

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.requests + other.requests,
            self.sent + other.sent,
            self.received + other.received,
            self.written + other.written,
            self.read + other.read,
            self.operations + other.operations,
        )

    @property
    def dollars(self) -> float:
        """On demand, storage apart."""
        return self.written * WRITE_DOLLARS + self.read * READ_DOLLARS


class MeteredTable(SimulatedTable):
    """See the module: a simulated table to which nothing happens, with pages as DynamoDB makes them."""

    def __init__(self) -> None:
        world = World(1)
        super().__init__(world, Written(world))
        self.short_pages, self.tells_winners, self.ttl_pace = False, True, 0.0
        self.calls: list[Cost] = []
        self._queried: Sequence[Item] = ()

    def serve(self, operation: str, arguments: Mapping[str, Any]) -> Answer | ClientError:
        """The answer to a call, whose units are noted."""
        keys = _keys(operation, arguments)
        before = [self.item(key) for key in keys]
        answer = self.apply(operation, arguments, calm=True)
        after = before if isinstance(answer, ClientError) else [self.item(key) for key in keys]
        written, read = 0, 0.0
        if operation == "get_item":
            read = query_units([item for item in before if item], consistent=True)
        elif operation == "query":
            read = query_units(self._queried, consistent="IndexName" not in arguments)
        else:
            written = sum(map(change_units, before, after))
        self.calls.append(Cost(1, 0, 0, written, read, (operation,)))
        return answer

    def item(self, key: Item) -> Item | None:
        """What lies at a key."""
        return self.items[key["pk"]["S"]].get(key["sk"]["S"])

    def _page_size(self, limit: int, found: list[Item]) -> int:
        """A page ends with the item that makes it 1 MB, all of which is paid for."""
        size = 0
        for count, item in enumerate(found, 1):
            size += item_size(item)
            if count == limit or size >= PAGE_BYTES:
                self._queried = found[:count]
                return count
        self._queried = found
        return len(found) + 1

    def stored(self, partition: str) -> int:
        """Bytes of a partition's items."""
        return sum(map(item_size, self.items[partition].values()))

    def answer(self, target: str, body: bytes) -> tuple[int, bytes]:
        """An HTTP request's answer: status and body. *target* is the header that names the operation."""
        arguments = _decoded(json.loads(body))
        if start := arguments.get("ExclusiveStartKey"):
            arguments["ExclusiveStartKey"] = {"at": _order(start)}
        answer = self.serve(_snake(target.rpartition(".")[2]), arguments)
        status, told = 200, answer
        if isinstance(answer, ClientError):
            status, told = 400, _error(answer)
        elif last := answer.get("LastEvaluatedKey"):
            told = {**answer, "LastEvaluatedKey": _start(last["at"])}
        reply = json.dumps(_encoded(told), separators=(",", ":")).encode()
        self.calls[-1] = replace(self.calls[-1], sent=len(body), received=len(reply))
        return status, reply


def _order(start: Item) -> tuple[Any, ...]:
    """How the item sorts behind which a query goes on."""
    place = (start["pk"]["S"], start["sk"]["S"])
    return (start["session"]["B"], *place) if "session" in start else place


def _start(order: Sequence[Any]) -> Item:
    *session, partition, sort = order
    key = {"pk": text(partition), "sk": text(sort)}
    return key | {"session": binary(session[0])} if session else key


def _keys(operation: str, arguments: Mapping[str, Any]) -> list[Item]:
    """The items that a call names."""
    if operation == "batch_write_item":
        ((_, requests),) = arguments["RequestItems"].items()
        return [request["DeleteRequest"]["Key"] for request in requests]
    named = arguments.get("Item") or arguments.get("Key")
    return [named] if named else []


def _snake(operation: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation)[1:]


def _decoded(value: Any) -> Any:
    """JSON as botocore sends it: bytes are base64."""
    if isinstance(value, dict):
        if len(value) == 1 and isinstance(value.get("B"), str):
            return {"B": base64.b64decode(value["B"])}
        return {name: _decoded(held) for name, held in value.items()}
    return [_decoded(held) for held in value] if isinstance(value, list) else value


def _encoded(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {name: _encoded(held) for name, held in value.items()}
    return [_encoded(held) for held in value] if isinstance(value, list | tuple) else value


def _error(error: ClientError) -> dict[str, Any]:
    told: dict[str, Any] = {**error.response}
    item = {"Item": told["Item"]} if "Item" in told else {}
    return {"__type": f"com.amazonaws.dynamodb.v20120810#{told['Error']['Code']}", "message": "refused", **item}


def _headers(body: bytes) -> dict[str, str]:
    return {
        "Server": "local",
        "Date": format_datetime(datetime.now(UTC), usegmt=True),
        "Content-Type": "application/x-amz-json-1.0",
        "Content-Length": str(len(body)),
        "Connection": "keep-alive",
        "x-amzn-RequestId": "0" * 52,
        "x-amz-crc32": str(crc32(body)),
    }


# In this process


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Generator[bytes]:
        """The body, as urllib3 hands it out."""
        yield self._body


def local_client(table: MeteredTable) -> Any:
    """A boto3 client, signing and parsing included, whose requests *table* answers."""
    client: Any = boto3.Session("benchmark", "benchmark").client("dynamodb", region_name=REGION)

    def answer(request: Any, **_: Any) -> AWSResponse:
        target = request.headers["X-Amz-Target"]
        status, body = table.answer(target.decode() if isinstance(target, bytes) else target, request.body)
        headers: Any = _headers(body)
        return AWSResponse(request.url, status, headers, _Raw(body))

    client.meta.events.register_first("before-send.dynamodb", answer)
    return client


# As a server


async def _serve(delay: float) -> None:
    table = MeteredTable()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
                body = await reader.readexactly(int(fields["content-length"]))
                target = next(line for line in head.split("\r\n") if line.lower().startswith("x-amz-target"))
                status, reply = table.answer(target, body)
                table.calls.clear()
                await asyncio.sleep(delay)
                lines = [f"HTTP/1.1 {status} -", *(f"{name}: {value}" for name, value in _headers(reply).items())]
                writer.write("\r\n".join([*lines, "\r\n"]).encode() + reply)
                await writer.drain()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


@contextlib.contextmanager
def serving(delay: float = 0.0) -> Generator[str]:
    """A server with an empty table, in a process of its own; its URL."""
    command = [sys.executable, "-m", "benchmarks.local_dynamodb", "--delay", str(delay)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(parser.parse_args().delay))


if __name__ == "__main__":
    main()
