"""Calls of a simulated AWS service: each is one request through a process's `Line`, and fails as botocore tells it.

Nobody can tell from an answer that was not given whether the request was carried out: a timeout, a connection that was
closed, a reply that does not match its checksum, an internal error. A refusal because of the load, or of somebody
else's transaction, wrote nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from botocore.exceptions import (
    ChecksumError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    ReadTimeoutError,
)

from stepwell.errors import OutcomeUnknown, Throttled, Unavailable
from stepwell.testing.simulated.faults import Line
from stepwell.testing.simulated.schedule import SECOND

REGION = "eu-central-1"
_ENDPOINT = "https://service.example"
_SOME, _FEW = 0.3, 0.1

Answer: TypeAlias = dict[str, Any]
Arguments: TypeAlias = Mapping[str, Any]
Apply: TypeAlias = Callable[[str, Arguments, bool], Answer | ClientError]
"""What a service does at one moment, given the operation, its arguments, and whether nothing goes wrong any more."""


class Codes(NamedTuple):
    """How a service tells what goes wrong: that it is busy, to a call that reads or writes, or broke."""

    busy: tuple[str, ...]
    busy_for_writes: tuple[str, ...]
    broken: str


class Calls:
    """One process's calls; see `stepwell.io.aws.Aws`. What is kept by an *endpoint* that is not AWS's is looked at."""

    def __init__(
        self, line: Line, apply: Apply, reads: frozenset[str], codes: Codes, *, endpoint: str = _ENDPOINT
    ) -> None:
        self._line = line
        self._apply = apply
        self._reads = reads
        self._codes = codes
        self._endpoint = endpoint

    async def call(self, operation: str, /, **arguments: Any) -> Answer:
        """Carry out one operation, perhaps."""
        if self._line.calm:  # which is what most calls are, at the end
            answer, told = self._apply(operation, arguments, True), self._line.world.now
        else:
            answer, told = await self._sent(operation, arguments)
        metadata = {"HTTPHeaders": {"date": _date(told // SECOND)}, "RequestId": "simulated"}
        if isinstance(answer, ClientError):
            answer.response["ResponseMetadata"] = metadata  # type: ignore[typeddict-item]
            raise answer
        answer["ResponseMetadata"] = metadata
        return answer

    async def _sent(self, operation: str, arguments: Arguments) -> tuple[Answer | ClientError, int]:
        """The answer, and the time at which it was given."""
        line, world = self._line, self._line.world
        writes = operation not in self._reads
        told = world.now

        def apply() -> Answer | ClientError:
            nonlocal told
            told = world.now
            return self._apply(operation, arguments, line.calm)

        what = operation if world.trace is None else _in_words(operation, arguments)
        try:
            answer = await line.request(what, apply, writes=writes)
        except (Throttled, OutcomeUnknown, Unavailable) as failed:
            raise self._told(failed, writes=writes) from None
        return answer, told

    def _told(self, failed: Exception, *, writes: bool) -> Exception:
        """What botocore makes of it."""
        random, codes = self._line.world.random, self._codes
        if isinstance(failed, Throttled):
            return error(random.choice(codes.busy_for_writes if writes else codes.busy))
        chance = random.random()
        if chance < _FEW:
            return error(codes.broken, 500)
        if chance < 2 * _FEW:
            return ChecksumError(checksum_type="x-amz-crc32", expected_checksum="1", actual_checksum="2")
        if chance < _SOME:
            return ConnectionClosedError(endpoint_url=_ENDPOINT)
        if not isinstance(failed, OutcomeUnknown) and chance > 1 - _SOME:
            return ConnectTimeoutError(endpoint_url=_ENDPOINT)
        return ReadTimeoutError(endpoint_url=_ENDPOINT)

    async def region(self) -> str:
        """The only one."""
        return REGION

    async def endpoint(self) -> str:
        """The one that was named."""
        return self._endpoint

    async def aclose(self) -> None:
        """Nothing to let go of."""


def error(code: str, status: int = 400) -> ClientError:
    """A service's error, as botocore tells it."""
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": dict[str, str](), "RequestId": "simulated"}
    response: Any = {"Error": {"Code": code, "Message": "simulated"}, "ResponseMetadata": metadata}
    return ClientError(response, "Simulated")


@lru_cache(maxsize=4096)
def _date(seconds: int) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)


def _in_words(operation: str, arguments: Arguments) -> str:
    item = arguments.get("Item") or arguments.get("Key")
    if isinstance(item, dict):
        return f"{operation} {item['pk']['S'][-12:]} {item['sk']['S'][-16:]} {arguments.get('UpdateExpression', '')}"
    values = arguments.get("RequestItems") or arguments.get("ExpressionAttributeValues", {}).values()
    return f"{operation} {item or arguments.get('Prefix') or list(values)}"
