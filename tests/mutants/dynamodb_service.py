"""The simulated DynamoDB and S3 without a schedule: each call is answered at once, unless a test says otherwise."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from stepwell.io.aws import Aws, AwsTarget
from stepwell.io.blocking import BlockingTasks
from stepwell.io.files import Files
from stepwell.io.ports import Ports, Tasks
from stepwell.stores.dynamodb import DynamoDBStore
from stepwell.stores.dynamodb_options import DynamoDBOptions
from stepwell.stores.s3 import S3Store
from stepwell.stores.s3_options import S3Options, S3Place
from stepwell.testing.bench import FakeClock
from stepwell.testing.simulated.aws import Apply
from stepwell.testing.simulated.dynamodb import BUCKET, CHUNK_BYTES, TABLE, SimulatedTable
from stepwell.testing.simulated.s3 import SimulatedS3
from stepwell.testing.simulated.schedule import World
from stepwell.testing.simulated.stores import Written

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Service:
    """A table and a bucket, with the time of *clock*.

    *before* and *after* are called with each operation and its arguments, and may raise in place of an answer. Replies
    tell a time that is *dated_back*.
    """

    def __init__(self, seed: int = 1, *, calm: bool = True) -> None:
        self.clock = FakeClock()
        self.calm = calm
        self.world = World(seed)
        self.world.now = self.clock.wall()
        self.table = SimulatedTable(self.world, Written(self.world))
        self.table.short_pages, self.table.tells_winners, self.table.ttl_pace = False, True, 0.0
        self.s3 = SimulatedS3(self.world)
        self.before: Callable[[str, dict[str, Any]], None] = lambda operation, arguments: None
        self.after: Callable[[str, dict[str, Any]], None] = lambda operation, arguments: None
        self.dated_back = timedelta()
        self.endpoint = "https://service.example"

    def store(self, ports: Ports | None = None, *, objects: bool = False) -> DynamoDBStore:
        """A store on them; with *objects*, its blobs are in the bucket."""
        options = DynamoDBOptions(table=TABLE, blobs=S3Place(BUCKET, "some/where") if objects else None)
        ports = ports or Ports(self.clock, BlockingTasks(), Files(), os.urandom)
        chunk_bytes = CHUNK_BYTES if ports.clock is self.clock else CHUNK_BYTES * 1000
        return DynamoDBStore(ports, options, open_aws=partial(self._open, clock=ports.clock), chunk_bytes=chunk_bytes)

    def s3_store(self, ports: Ports | None = None, *, segment_bytes: int = 700) -> S3Store:
        """A store in the bucket, in segments of a few records."""
        ports = ports or Ports(self.clock, BlockingTasks(), Files(), os.urandom)
        options = S3Options(S3Place(BUCKET, "some/where"), segment_bytes=segment_bytes)
        return S3Store(ports, options, open_aws=partial(self._open, clock=ports.clock))

    def _open(self, target: AwsTarget, tasks: Tasks, *, clock: Any) -> Aws:
        return _Answering(self, self.s3.apply if target.service == "s3" else self.table.apply, clock)


class _Answering:
    def __init__(self, service: Service, apply: Apply, clock: Any) -> None:
        self._service = service
        self._apply = apply
        self._clock = clock

    async def call(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        service = self._service
        service.before(operation, arguments)
        service.world.now = max(service.world.now, self._clock.wall())
        answer = self._apply(operation, arguments, service.calm)
        told = _EPOCH + timedelta(microseconds=service.world.now) - service.dated_back
        date = format_datetime(told, usegmt=True)
        metadata: Any = {"HTTPHeaders": {"date": date}, "RequestId": "R1"}
        service.after(operation, arguments)
        if isinstance(answer, ClientError):
            answer.response["ResponseMetadata"] = metadata
            raise answer
        answer["ResponseMetadata"] = metadata
        return answer

    async def region(self) -> str:
        return "eu-central-1"

    async def endpoint(self) -> str:
        return self._service.endpoint

    async def aclose(self) -> None:
        pass
