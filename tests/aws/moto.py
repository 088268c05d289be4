"""DynamoDB and S3 in this process (moto), under each of the three adapters, with the time that a test chooses.

Service   what one test talks to: it notes calls, and lets faults happen (faults.py)
services  one, empty
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from inspect import iscoroutinefunction
from typing import Any, Literal, TypeAlias, cast

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.core.models import DEFAULT_ACCOUNT_ID, botocore_stubber
from moto.dynamodb.models import dynamodb_backends

from stepwell.client import AsyncClient
from stepwell.io.aio import AsyncioTasks
from stepwell.io.aio_aws import AioAws
from stepwell.io.aws import Aws, AwsTarget, Boto3Aws, Given
from stepwell.io.blocking import BlockingTasks
from stepwell.io.files import Files
from stepwell.io.ports import Clock, Ports, Tasks
from stepwell.limits import Limits
from stepwell.stores import dynamodb_iam, s3_iam
from stepwell.stores.chunks import CHUNK_BYTES
from stepwell.stores.dynamodb import DynamoDBStore
from stepwell.stores.dynamodb_options import DynamoDBOptions
from stepwell.stores.dynamodb_table import DEFINITION
from stepwell.stores.s3 import S3Store
from stepwell.stores.s3_options import S3Options, S3Place
from stepwell.sync import Client
from stepwell.testing import Colour, FakeClock, Lifted
from tests.aws import quick_moto
from tests.aws.faults import Fault, Sent

Adapter: TypeAlias = Literal["boto3", "threads", "aiobotocore"]
Call: TypeAlias = tuple[str, dict[str, Any]]
"""An operation and its arguments."""
ADAPTERS: tuple[Adapter, ...] = ("boto3", "threads", "aiobotocore")
COLOUR: dict[Adapter, Colour] = {"boto3": "sync", "threads": "async", "aiobotocore": "async"}
TABLE, BUCKET, PREFIX, REGION = "sessions", "payloads", "some/where", "eu-central-1"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CONFIG = Config(user_agent="tests")
"""botocore puts its own together again for each request, which takes a tenth of the time."""
_CONFIGS = {"dynamodb": _CONFIG.merge(Config(signature_version=UNSIGNED)), "s3": _CONFIG}
"""moto asks for no signature where it is DynamoDB."""
_one_at_a_time = threading.RLock()
_clients: dict[str, Any] = {}
_aio_clients: dict[str, Any] = {}
_current: list[Service] = []
quick_moto.quicken()


def _answer(event_name: str, request: Any, **_: Any) -> Any:
    """moto's answer. It looks and writes in two steps, so that it must be asked by one thread at a time."""
    with _one_at_a_time:
        fault = _current[-1].fault if _current else None
        if fault is None:
            return quick_moto.answered(event_name, request)
        service, operation = event_name.split(".")[1:]
        sent = Sent(service, operation, request.url, request.headers, request.body)
        return fault(sent, lambda: quick_moto.answered(event_name, request))


def client(service: str) -> Any:
    """A boto3 client of this process's services, made once."""
    if service not in _clients:
        session: Any = boto3.Session()  # its types know each service by name
        made = session.client(service, region_name=REGION, config=_CONFIGS[service])
        made.meta.events.unregister("before-send", botocore_stubber)
        made.meta.events.register_first("before-send", _answer)
        _clients[service] = made
    return _clients[service]


class Service:
    """The services of one test. *calls* are those that stores made, with their arguments.

    *opened* are those of each store, beside the least policy of who uses it. *fault* may befall each request.
    """

    def __init__(self, adapter: Adapter) -> None:
        self.adapter: Adapter = adapter
        self.calls: list[Call] = []
        self.opened: list[tuple[dict[str, Any], list[Call]]] = []
        self.fault: Fault | None = None

    def open_store(
        self, ports: Ports, *, blobs: bool = False, chunk_bytes: int = CHUNK_BYTES, **options: Any
    ) -> DynamoDBStore:
        """A store on the table; with *blobs*, on the bucket too."""
        place = S3Place(BUCKET, PREFIX) if blobs else None
        chosen = DynamoDBOptions(table=TABLE, region=REGION, blobs=place, **options)
        opened = self._opening(dynamodb_iam.policy(chosen), ports.clock)
        return DynamoDBStore(ports, chosen, open_aws=opened, chunk_bytes=chunk_bytes)

    def open_s3(self, ports: Ports, **options: Any) -> S3Store:
        """A store in the bucket."""
        chosen = S3Options(S3Place(BUCKET, PREFIX), region=REGION, **options)
        return S3Store(ports, chosen, open_aws=self._opening(s3_iam.policy(chosen), ports.clock))

    def _opening(self, policy: dict[str, Any], clock: Clock) -> Callable[[AwsTarget, Tasks], Aws]:
        """What opens the calls of a store, and notes them beside the least policy of who uses it."""
        noted: list[Call] = []
        self.opened.append((policy, noted))
        return lambda target, tasks: Told(self._open(target, tasks), self, clock, noted)

    def _open(self, target: AwsTarget, tasks: Tasks) -> Aws:
        if self.adapter == "aiobotocore":
            assert isinstance(tasks, AsyncioTasks)
            return _MotoAioAws(target, tasks)
        given = Given(clients=(client(target.service),))
        return Boto3Aws(AwsTarget(target.service, target.region, target.endpoint_url, given), tasks)

    def open_client(
        self,
        clock: FakeClock,
        *,
        tenant: str = "acme",
        limits: Limits | None = None,
        s3: bool = False,
        **options: Any,
    ) -> AsyncClient:
        """A client of the adapter's colour, with a connection of its own; its pauses take no time but the clock's.

        Its sessions are in the table, or, with *s3*, in the bucket.
        """
        open_store = self.open_s3 if s3 else self.open_store
        tasks = SleeplessThreads(clock) if COLOUR[self.adapter] == "sync" else SleeplessLoop(clock)
        made = AsyncClient.from_store(
            lambda ports: open_store(ports, **options), tenant=tenant, limits=limits, clock=clock, tasks=tasks
        )
        return cast(AsyncClient, Lifted(Client.over(made))) if COLOUR[self.adapter] == "sync" else made

    def called(self, *operations: str) -> list[dict[str, Any]]:
        """The arguments of the calls of these operations."""
        return [arguments for operation, arguments in self.calls if operation in operations]

    def items(self) -> list[dict[str, Any]]:
        """All that is in the table."""
        pages = client("dynamodb").get_paginator("scan").paginate(TableName=TABLE)
        return [item for page in pages for item in page["Items"]]

    def objects(self) -> dict[str, bytes]:
        """All that is in the bucket: the bytes of each object."""
        pages = client("s3").get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        keys = [found["Key"] for page in pages for found in page.get("Contents", ())]
        return {key: client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}

    def items_of(self, tenant: str) -> list[dict[str, Any]]:
        """Those of one tenant, as moto holds them: many tenants may share a table."""
        table: Any = dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION].tables[TABLE]
        found = [partition for name, partition in table.items.items() if tenant in name.value.split("/")]
        return [_plain(item) for partition in found for item in partition.values()]


def _plain(item: Any) -> dict[str, Any]:
    """As a client is given it."""
    return {name: {held.type: held.value} for name, held in item.attrs.items()}


class SleeplessThreads(BlockingTasks):
    """Who sleeps lets the test's clock go on instead."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    async def sleep(self, seconds: float) -> None:
        self._clock.advance(timedelta(seconds=seconds))


class SleeplessLoop(AsyncioTasks):
    """The same on asyncio."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    async def sleep(self, seconds: float) -> None:
        self._clock.advance(timedelta(seconds=seconds))
        await super().sleep(0)


class Told:
    """Notes each call, and lets its reply tell the time of the test's clock."""

    def __init__(self, below: Aws, service: Service, clock: Clock, noted: list[Call] | None = None) -> None:
        self._below = below
        self._noted = [service.calls, *([] if noted is None else [noted])]
        self._clock = clock

    async def call(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        for calls in self._noted:
            calls.append((operation, arguments))
        try:
            answer = await self._below.call(operation, **arguments)
        except ClientError as error:
            self._date(error.response)
            raise
        self._date(answer)
        return answer

    def _date(self, answer: Any) -> None:
        now = _EPOCH + timedelta(microseconds=self._clock.wall())
        answer["ResponseMetadata"]["HTTPHeaders"]["date"] = format_datetime(now, usegmt=True)

    async def region(self) -> str:
        return await self._below.region()

    async def endpoint(self) -> str:
        return await self._below.endpoint()

    async def aclose(self) -> None:
        await self._below.aclose()


class _MotoAioAws(AioAws):
    """aiobotocore awaits what moto has at hand. It never connects, so that one client will do for every event loop."""

    def __init__(self, target: AwsTarget, tasks: AsyncioTasks) -> None:
        super().__init__(replace(target, given=Given(config=_CONFIGS[target.service])), tasks)
        self._service = target.service

    async def _make(self) -> Any:
        if self._service not in _aio_clients:
            made = await super()._make()
            made.meta.events.unregister("before-send", botocore_stubber)
            made.meta.events.register_first("before-send", _aio_answer)
            _aio_clients[self._service] = made
        return _aio_clients[self._service]

    async def aclose(self) -> None:
        """Others use it too."""


async def _aio_answer(event_name: str, request: Any, **_: Any) -> Any:
    from aiobotocore.awsrequest import AioAWSResponse

    if hasattr(request.body, "read") and iscoroutinefunction(request.body.read):
        request.body = await request.body.read()
    told = _answer(event_name, request)
    return AioAWSResponse(told.url, told.status_code, told.headers, _AioRaw(told.url, told.content))


class _AioRaw:
    """A body as aiohttp hands it out."""

    def __init__(self, url: str, body: bytes) -> None:
        self.url = url
        self._left = body
        self.content = self

    async def read(self, size: int = -1) -> bytes:
        end = len(self._left) if size < 0 else size
        part, self._left = self._left[:end], self._left[end:]
        return part

    def at_eof(self) -> bool:
        return not self._left

    def close(self) -> None:
        self._left = b""


@contextmanager
def services(adapter: Adapter) -> Generator[Service]:
    """An empty table and an empty bucket."""
    with quick_moto.account():
        client("dynamodb").create_table(TableName=TABLE, **DEFINITION)
        client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        _current.append(Service(adapter))
        try:
            yield _current[-1]
        finally:
            _current.pop()


def ports(adapter: Adapter, clock: Clock) -> Ports:
    """Ports of the adapter's colour."""
    tasks = BlockingTasks() if COLOUR[adapter] == "sync" else AsyncioTasks()
    return Ports(clock, tasks, Files(), os.urandom)


def run(service: Service, case: Callable[[AsyncClient, FakeClock], Awaitable[None]], **options: Any) -> None:
    """Run a case with a client, and close that."""

    async def check() -> None:
        clock = FakeClock()
        opened = service.open_client(clock, **options)
        try:
            await case(opened, clock)
        finally:
            service.fault = None
            await opened.aclose()

    asyncio.run(check())
