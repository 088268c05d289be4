"""DynamoDB and S3 in this process (moto), under each of the three adapters, with the time that a test chooses."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from inspect import iscoroutinefunction
from typing import Any, Literal, TypeAlias

import boto3
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core.models import botocore_stubber

from stepwell.blocking import run_sync
from stepwell.io.aio import AsyncioTasks
from stepwell.io.aio_aws import AioAws
from stepwell.io.aws import Aws, AwsTarget, Boto3Aws, Given
from stepwell.io.blocking import BlockingTasks
from stepwell.io.ports import Clock, Ports, Tasks
from stepwell.stores.base import JournalStore
from stepwell.stores.dynamodb import DynamoDBStore
from stepwell.stores.dynamodb_options import DynamoDBOptions, S3Place
from stepwell.stores.dynamodb_table import DEFINITION
from stepwell.testing import Colour

Adapter: TypeAlias = Literal["boto3", "threads", "aiobotocore"]
ADAPTERS: tuple[Adapter, ...] = ("boto3", "threads", "aiobotocore")
COLOUR: dict[Adapter, Colour] = {"boto3": "sync", "threads": "async", "aiobotocore": "async"}
TABLE, BUCKET, PREFIX, REGION = "sessions", "payloads", "some/where", "eu-central-1"
_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_one_at_a_time = threading.Lock()
_clients: dict[str, Any] = {}


def _answer(event_name: str, request: Any, **_: Any) -> Any:
    """moto's answer. It looks and writes in two steps, so that it must be asked by one thread at a time."""
    with _one_at_a_time:
        return botocore_stubber(event_name, request)


def client(service: str) -> Any:
    """A boto3 client of this process's services, made once."""
    if service not in _clients:
        made = boto3.Session().client(service, region_name=REGION)  # type: ignore[call-overload]
        made.meta.events.unregister("before-send", botocore_stubber)
        made.meta.events.register_first("before-send", _answer)
        _clients[service] = made
    return _clients[service]


class Service:
    """The services of one test. *calls* are those that stores made, with their arguments; *creates*: with `create`."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.creates = False
        self._made: dict[str, Aws] = {}

    def open_store(self, ports: Ports, *, blobs: bool = False, **options: Any) -> DynamoDBStore:
        """A store on the table; with *blobs*, on the bucket too."""
        place = S3Place(BUCKET, PREFIX) if blobs else None
        chosen = DynamoDBOptions(table=TABLE, region=REGION, blobs=place, **options)
        self.creates |= chosen.create

        def open_aws(target: AwsTarget, tasks: Tasks) -> Aws:
            return Told(self._open(target, tasks), self, ports.clock)

        return DynamoDBStore(ports, chosen, open_aws=open_aws)

    def _open(self, target: AwsTarget, tasks: Tasks) -> Aws:
        if self.adapter == "aiobotocore":
            assert isinstance(tasks, AsyncioTasks)
            return self._made.setdefault(target.service, _MotoAioAws(target, tasks))
        given = Given(clients=(client(target.service),))
        return Boto3Aws(AwsTarget(target.service, target.region, target.endpoint_url, given), tasks)

    async def aclose(self) -> None:
        """Let go of connections."""
        for made in self._made.values():
            if isinstance(made, _MotoAioAws):
                await made.really_close()
        self._made.clear()

    def items(self, **scan: Any) -> list[dict[str, Any]]:
        """All that is in the table."""
        found: list[dict[str, Any]] = client("dynamodb").scan(TableName=TABLE, **scan)["Items"]
        return found


class Told:
    """Notes each call, and lets its reply tell the time of the test's clock."""

    def __init__(self, below: Aws, service: Service, clock: Clock) -> None:
        self._below = below
        self._service = service
        self._clock = clock

    async def call(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        self._service.calls.append((operation, arguments))
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

    async def aclose(self) -> None:
        await self._below.aclose()


class _MotoAioAws(AioAws):
    """aiobotocore awaits what moto has at hand."""

    async def _make(self) -> Any:
        made = await super()._make()
        made.meta.events.unregister("before-send", botocore_stubber)
        made.meta.events.register_first("before-send", _aio_answer)
        return made

    async def aclose(self) -> None:
        """Others use it too."""

    async def really_close(self) -> None:
        await super().aclose()


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
    with mock_aws():
        client("dynamodb").create_table(TableName=TABLE, **DEFINITION)
        client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        yield Service(adapter)


def ports(adapter: Adapter, clock: Clock) -> Ports:
    """Ports of the adapter's colour."""
    import os

    from stepwell.io.files import Files

    tasks = BlockingTasks() if COLOUR[adapter] == "sync" else AsyncioTasks()
    return Ports(clock, tasks, Files(), os.urandom)


def checked(store: JournalStore) -> JournalStore:
    """A store that was asked once: its table is known to be there."""
    run_sync(store.ping())
    return store
