"""Servers that are talked to over a socket: moto's, which the tests start, and those that a user names.

Server    where one is, and what it has
Stretch   a part of its table for one case: nobody else's tenants are seen or touched
Folder    a part of its bucket for one case
Around    what stands around its calls, to change them
serving   moto's server, in a thread
Proxy     stands before a server, and cuts a reply at any byte
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any, ParamSpec, Self, TypeVar
from uuid import uuid4

import boto3
from botocore.config import Config
from werkzeug.serving import make_server

import stepwell
from stepwell.io.aws import Aws, AwsTarget, Given, open_aws
from stepwell.io.ports import Ports, Tasks
from stepwell.stores.base import JournalId, JournalStore
from stepwell.stores.dynamodb import DynamoDBStore
from stepwell.stores.dynamodb_options import DynamoDBOptions
from stepwell.stores.forwarded import Forwarded
from stepwell.stores.s3 import S3Store
from stepwell.stores.s3_options import SEGMENT_BYTES, S3Options, S3Place
from tests.aws.moto import BUCKET, REGION, Service, Told

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Server:
    """*url* is None for AWS itself, where the table is there; *bucket* where there are no objects."""

    url: str | None
    table: str = "sessions"
    bucket: str | None = None
    region: str | None = REGION

    def client(self, service: str) -> Any:
        """A boto3 client of it."""
        return _client(service, self.region, self.url)

    def prepare(self) -> None:
        """Make table and bucket, unless somebody has."""
        if self.url is not None:
            with stepwell.Client(
                f"dynamodb://{self.table}?region={self.region}&endpoint_url={self.url}&create=1"
            ) as made:
                made.ping()
        if self.bucket is not None:
            where = {"CreateBucketConfiguration": {"LocationConstraint": self.region}}
            self.client("s3").create_bucket(Bucket=self.bucket, **where)


@cache
def _client(service: str, region: str | None, url: str | None) -> Any:
    session: Any = boto3.Session()  # its types know each service by name
    config = Config(s3={"addressing_style": "path"})
    return session.client(service, region_name=region, endpoint_url=url, config=config)


@dataclass
class Stretch:
    """See the module. Its name begins the names of its tenants, so that another run finds nothing of it."""

    server: Server
    objects: bool = False
    name: str = field(default_factory=lambda: f"test-{uuid4().hex[:12]}.")

    def __post_init__(self) -> None:
        self._told = Service("boto3")

    def open_store(self, ports: Ports) -> JournalStore:
        """A store, whose replies tell the test's time."""
        server = self.server
        place = S3Place(server.bucket, "blobs") if self.objects and server.bucket else None
        options = DynamoDBOptions(server.table, server.region, server.url, place)

        def open_told(target: AwsTarget, tasks: Tasks) -> Aws:
            there = AwsTarget(target.service, server.region, server.url, target.given)
            return Told(open_aws(there, tasks), self._told, ports.clock)

        return _Apart(DynamoDBStore(ports, options, open_aws=open_told), self.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Remove what was written here, and nothing else."""
        puts = [put["Item"]["pk"]["S"] for put in self._told.called("put_item")]
        for partition in sorted({pk for pk in puts if pk.startswith(self.name)}):
            _clear(self.server.client("dynamodb"), self.server.table, partition)


def _clear(client: Any, table: str, partition: str) -> None:
    pages = client.get_paginator("query").paginate(
        TableName=table,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": partition}},
        ProjectionExpression="pk, sk",
        ConsistentRead=True,
    )
    for key in [item for page in pages for item in page["Items"]]:
        client.delete_item(TableName=table, Key=key)


class _Apart(Forwarded):
    """Gives every tenant and every list another name."""

    def __init__(self, store: JournalStore, name: str) -> None:
        super().__init__(store)
        self._name = name

    async def call(self, method: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        renamed: Any = [self._renamed(arg) for arg in args]
        named = renamed and isinstance(renamed[0], str) and method.__name__ != "encrypts_with"
        if named:
            renamed[0] = self._name + renamed[0]
        return await method(*renamed, **kwargs)

    def _renamed(self, arg: object) -> object:
        return JournalId(self._name + arg.tenant, arg.session) if isinstance(arg, JournalId) else arg


class Around:
    """`Aws`, to be put around another one."""

    def __init__(self, below: Aws) -> None:
        self.below = below

    async def call(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        return await self.below.call(operation, **arguments)

    async def region(self) -> str:
        return await self.below.region()

    async def endpoint(self) -> str:
        return await self.below.endpoint()

    async def aclose(self) -> None:
        await self.below.aclose()


@dataclass
class Folder:
    """See the module: a prefix of its own. *client* is a boto3 client to call it with; *around* is put around calls."""

    server: Server
    client: Any = None
    segment_bytes: int = SEGMENT_BYTES
    around: Callable[[Aws], Aws] = lambda below: below
    name: str = field(default_factory=lambda: f"test-{uuid4().hex[:12]}")

    def __post_init__(self) -> None:
        self.told = Service("boto3")

    def open_store(self, ports: Ports) -> JournalStore:
        """A store, whose replies tell the test's time."""
        server = self.server
        assert server.bucket is not None
        options = S3Options(
            S3Place(server.bucket, self.name),
            server.region,
            server.url,
            segment_bytes=self.segment_bytes,
            given=Given() if self.client is None else Given(clients=(self.client,)),
        )

        def open_told(target: AwsTarget, tasks: Tasks) -> Aws:
            return Told(self.around(open_aws(target, tasks)), self.told, ports.clock)

        return S3Store(ports, options, open_aws=open_told)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """On AWS, remove what was written here, and nothing else."""
        if self.server.url is None:
            client = self.server.client("s3")
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.server.bucket, Prefix=f"{self.name}/")
            for found in [found for page in pages for found in page.get("Contents", ())]:
                client.delete_object(Bucket=self.server.bucket, Key=found["Key"])


@contextmanager
def serving() -> Generator[Server]:
    """moto's server. It looks and writes in two steps, so that it answers one request at a time."""
    parts: Any = import_module("moto.moto_server.werkzeug_app")  # it has no types
    app = parts.DomainDispatcherApplication(parts.create_backend_app)
    one_at_a_time = threading.Lock()

    def answered(environ: Any, start_response: Any) -> Iterable[bytes]:
        with one_at_a_time:
            return list(app(environ, start_response))

    server = make_server("127.0.0.1", 0, answered, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Server(f"http://127.0.0.1:{server.server_port}", bucket=BUCKET)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Proxy:
    """Stands before *server*. Of the next reply, only the first *cut* bytes are passed on, and the socket is closed."""

    def __init__(self, server: Server) -> None:
        assert server.url is not None
        self._host, self._port = server.url.removeprefix("http://").split(":")
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.cut: int | None = None
        self.cuts = 0
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                self._pass_on(connection)

    def _pass_on(self, connection: socket.socket) -> None:
        """One request and its reply; then both sides connect anew."""
        request = _message(connection)
        if not request:
            return
        with socket.create_connection((self._host, int(self._port))) as server:
            server.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
            reply = b"".join(iter(lambda: server.recv(65536), b""))
        cut, self.cut = self.cut, None
        self.cuts += cut is not None
        connection.sendall(reply.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)[:cut])

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()


def _message(connection: socket.socket) -> bytes:
    """A request as a whole."""
    found = b""
    while b"\r\n\r\n" not in found:
        if not (more := connection.recv(65536)):
            return b""
        found += more
        if b"100-continue" in found:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    head, _, _ = found.partition(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length:" in line), 0)
    while len(found) < len(head) + 4 + length:
        found += connection.recv(65536)
    return found
