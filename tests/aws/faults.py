"""The way between a client and a service: what may befall a request, or its reply.

Each fault is given what was sent, and `ask`, which lets it arrive and returns what the service answers. What the fault
returns is what the client gets; what it raises is what botocore's HTTP library would.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias
from zlib import crc32

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError
from moto.core.botocore_stubber import MockRawResponse
from urllib3.exceptions import NewConnectionError

WRITES = frozenset(
    {
        *("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem"),
        *("PutObject", "CopyObject", "DeleteObject", "DeleteObjects"),
    }
)


class Sent(NamedTuple):
    """A request: of which *service* and *operation*, as in "dynamodb", "PutItem"; *headers* and *body* as sent."""

    service: str
    operation: str
    url: str
    headers: Any
    body: Any

    @property
    def writes(self) -> bool:
        return self.operation in WRITES


Fault: TypeAlias = Callable[[Sent, Callable[[], Any]], Any]


def closed(sent: Sent, ask: Callable[[], Any]) -> Any:
    """It arrives, and the connection is closed instead of a reply."""
    ask()
    raise ConnectionClosedError(endpoint_url=sent.url)


def timed_out(sent: Sent, ask: Callable[[], Any]) -> Any:
    """It arrives, and the reply comes too late."""
    ask()
    raise ReadTimeoutError(endpoint_url=sent.url)


def unreachable(sent: Sent, ask: Callable[[], Any]) -> Any:
    """It never arrives."""
    nowhere: Any = None
    raise EndpointConnectionError(endpoint_url=sent.url, error=NewConnectionError(nowhere, "refused"))


def cut_in_headers(sent: Sent, ask: Callable[[], Any]) -> Any:
    """It arrives; of the reply, the status line does: to botocore that is a reply without headers and body."""
    return _response(sent, ask().status_code, {}, b"")


def cut_in_body(sent: Sent, ask: Callable[[], Any]) -> Any:
    """It arrives; of the reply, half the body does, and nobody says that there was more."""
    told = ask()
    return _response(sent, told.status_code, told.headers, told.content[: len(told.content) // 2])


LOSSES: tuple[Fault, ...] = (closed, timed_out, cut_in_headers, cut_in_body)


def refusing(code: str, status: int = 400, message: str = "", **headers: str) -> Fault:
    """It is refused with an error's code, and nothing is done."""

    def fault(sent: Sent, ask: Callable[[], Any]) -> Any:
        return error(sent, code, status, message, **headers)

    return fault


def failing(code: str, status: int = 500, message: str = "") -> Fault:
    """It is done, and an error's code is the answer."""

    def fault(sent: Sent, ask: Callable[[], Any]) -> Any:
        ask()
        return error(sent, code, status, message)

    return fault


def accepting(answer: Mapping[str, Any]) -> Fault:
    """It never arrives, and this is DynamoDB's answer."""

    def fault(sent: Sent, ask: Callable[[], Any]) -> Any:
        body = json.dumps(answer).encode()
        return _response(sent, 200, {"x-amzn-requestid": "A", "x-amz-crc32": str(crc32(body))}, body)

    return fault


def error(sent: Sent, code: str, status: int, message: str = "", **headers: str) -> Any:
    """An error as the service tells it."""
    if sent.service == "s3":
        body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        return _response(sent, status, {"x-amz-request-id": "A", "x-amz-id-2": "B", **headers}, body)
    body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message}).encode()
    told = {"x-amzn-requestid": "A", "x-amz-crc32": str(crc32(body)), **headers}
    return _response(sent, status, {name.replace("_", "-"): value for name, value in told.items()}, body)


def bare(sent: Sent, status: int) -> Any:
    """A status without headers and body, as a proxy may answer."""
    return _response(sent, status, {}, b"")


def _response(sent: Sent, status: int, headers: Any, body: bytes) -> Any:
    raw: Any = MockRawResponse(body)
    return AWSResponse(sent.url, status, headers, raw)


@dataclass
class Row:
    """Faults befall some requests in a row: *times* of those that *hit* accepts, after the first *after* of them."""

    fault: Fault
    hit: Callable[[Sent], bool] = lambda sent: sent.writes
    after: int = 0
    times: int | None = None
    """None: all of them."""
    seen: int = 0
    befallen: list[Sent] = field(default_factory=list[Sent])

    @property
    def told(self) -> str:
        """What happened, for the message of a test that fails."""
        return f"{self.fault.__name__} behind {self.after}: {', '.join(sent.operation for sent in self.befallen)}"

    def __call__(self, sent: Sent, ask: Callable[[], Any]) -> Any:
        if not self.hit(sent):
            return ask()
        self.seen += 1
        if self.seen <= self.after or (self.times is not None and self.seen > self.after + self.times):
            return ask()
        self.befallen.append(sent)
        return self.fault(sent, ask)


def of(*operations: str) -> Callable[[Sent], bool]:
    """Accepts requests of these operations."""
    names: Container[str] = frozenset(operations)
    return lambda sent: sent.operation in names
