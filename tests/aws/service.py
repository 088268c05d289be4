"""DynamoDB as the tests of provisioning need it: moto, and what moto leaves out of a table's making."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import coroutine
from typing import Any

import boto3
from botocore.exceptions import ClientError

REGION = "eu-west-1"
KEY = f"arn:aws:kms:{REGION}:123456789012:key/8d0b4f5c-0000-4000-8000-000000000001"
OTHER_KEY = f"arn:aws:kms:{REGION}:123456789012:key/8d0b4f5c-0000-4000-8000-000000000002"


@cache
def client() -> Any:
    """One for all tests, for making one takes long; moto answers it wherever an account is mocked."""
    services: Any = boto3  # its types know a thousand services by name
    return services.client("dynamodb", region_name=REGION, aws_access_key_id="testing", aws_secret_access_key="testing")


def refusal(code: str, operation: str) -> ClientError:
    """What botocore raises for an error's code."""
    return ClientError({"Error": {"Code": code, "Message": f"a test says {code}"}}, operation)


async def at_once(seconds: float) -> None:
    """A sleep that takes no time."""
    del seconds


@coroutine
def step() -> Generator[None]:
    """Let whoever drives this coroutine let another one go on."""
    yield


@dataclass
class Service:
    """`Aws` over moto. *before* and *after* are called with each operation and may raise; *edit* changes answers.

    Like the service, it is busy for *making* looks at a new table, and refuses to switch time to live on twice.
    """

    before: Callable[[str], None] = lambda operation: None
    after: Callable[[str], None] = lambda operation: None
    edit: Callable[[str, dict[str, Any]], dict[str, Any]] = lambda operation, answer: answer
    making: int = 0
    calls: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list[tuple[str, Mapping[str, Any]]])
    interleaved: bool = False

    def __post_init__(self) -> None:
        self.client = client()

    @property
    def operations(self) -> list[str]:
        """Those that were called, in order."""
        return [operation for operation, _ in self.calls]

    async def call(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        """See `Aws`."""
        if self.interleaved:
            await step()
        self.calls.append((operation, arguments))
        self.before(operation)
        if operation == "update_time_to_live" and self._expires(arguments["TableName"]):
            raise refusal("ValidationException", operation)
        answer = getattr(self.client, operation)(**arguments)
        self.after(operation)
        if self.making and operation in ("create_table", "describe_table"):
            self.making -= 1
            table = answer.get("Table") or answer["TableDescription"]
            table["TableStatus"] = "CREATING" if self.making else "ACTIVE"
            table["GlobalSecondaryIndexes"][0]["IndexStatus"] = "CREATING"
        return self.edit(operation, answer)

    def _expires(self, table: str) -> bool:
        found = self.client.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
        return bool(found["TimeToLiveStatus"] == "ENABLED")

    async def region(self) -> str:
        """See `Aws`."""
        return REGION

    async def endpoint(self) -> str:
        return "https://service.example"

    async def aclose(self) -> None:
        """See `Aws`."""
