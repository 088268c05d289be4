"""Before anything is written to a server that is not AWS's, it has to show that it heeds conditions.

rclone's server and s3rver ignore them: of twenty writers, all are told that they won.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeAlias

import pytest
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, ReadTimeoutError

from stepwell import AsyncClient, Client
from stepwell.blocking import run_sync
from stepwell.errors import NotFound, NotSupported, PermissionDenied, StepwellError, Throttled, Unavailable
from stepwell.io.aws import Aws, AwsTarget, Boto3Aws, Given
from stepwell.io.blocking import BlockingTasks
from stepwell.io.ports import Tasks
from stepwell.stores.base import JournalStore, ListingEntry
from stepwell.stores.s3 import S3Store
from stepwell.stores.s3_options import S3Options, S3Place
from stepwell.testing import FakeClock
from stepwell.testing.stores.records import journal, record
from tests.aws import moto
from tests.aws.moto import BUCKET, PREFIX, SleeplessThreads, ports
from tests.aws.servers import Around

pytestmark = pytest.mark.usefixtures("alone")

HERE = journal("probed")
BLOB = "ab" * 32
PROBE = f"{PREFIX}/probe"
PROBES = 3
"""The first sees to it that there is an object, the others have to be refused."""
ELSEWHERE = "http://127.0.0.1:9000"
KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
IGNORED = pytest.mark.parametrize("ignored", [("IfMatch", "IfNoneMatch"), ("IfMatch",), ("IfNoneMatch",)], ids="-".join)

Write: TypeAlias = Callable[[JournalStore], Coroutine[Any, Any, object]]
WRITES: dict[str, Write] = {
    "append": lambda store: store.append(HERE, 0, record(HERE, 0, b"a")),
    "put_blob": lambda store: store.put_blob(HERE, BLOB, b"blob"),
    "copy_blob": lambda store: store.copy_blob(HERE, BLOB, journal("other")),
    "blank_blob": lambda store: store.blank_blob(HERE, BLOB),
    "remove_blob": lambda store: store.remove_blob(HERE, BLOB),
    "swap_key": lambda store: store.swap_key("acme", "key", bytes(16), expected=None),
    "put_entry": lambda store: store.put_entry("acme", ListingEntry(bytes(16), 1, b"entry")),
    "remove_entry": lambda store: store.remove_entry("acme", bytes(16)),
    "remove": lambda store: store.remove(HERE),
}


class Elsewhere(Around):
    """moto as a server that is not AWS's: *ignored* conditions are, and its first answers to puts are *faults*."""

    def __init__(self, *ignored: str, endpoint: str = ELSEWHERE, faults: Sequence[Exception | None] = ()) -> None:
        given = Given(clients=(moto.client("s3"),))
        super().__init__(Boto3Aws(AwsTarget("s3", given=given), BlockingTasks()))
        self._ignored = ignored
        self._endpoint = endpoint
        self._faults = list(faults)
        self.calls: list[str] = []
        self.probes = 0

    async def call(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        self.calls.append(operation)
        self.probes += arguments.get("Key") == PROBE
        if operation == "put_object" and self._faults and (fault := self._faults.pop(0)):
            raise fault
        heeded = {name: value for name, value in arguments.items() if name not in self._ignored}
        return await super().call(operation, **heeded)

    async def endpoint(self) -> str:
        return self._endpoint

    def store(self, **options: Any) -> S3Store:
        """A store of its own on it."""

        def open_aws(target: AwsTarget, tasks: Tasks) -> Aws:
            return self

        chosen = S3Options(S3Place(BUCKET, PREFIX), **options)
        return S3Store(ports("boto3", FakeClock()), chosen, open_aws=open_aws)

    def client(self) -> Client:
        """A client whose pauses take no time."""
        clock = FakeClock()
        driven = AsyncClient.from_store(lambda _: self.store(), clock=clock, tasks=SleeplessThreads(clock))
        return Client.over(driven)


def there() -> list[str]:
    found = moto.client("s3").list_objects_v2(Bucket=BUCKET)
    return [one["Key"] for one in found.get("Contents", ())]


@IGNORED
@pytest.mark.parametrize("write", WRITES.values(), ids=list(WRITES))
def test_a_server_that_ignores_conditions_gets_nothing_but_the_probe(ignored: tuple[str, ...], write: Write) -> None:
    server = Elsewhere(*ignored)
    store = server.store()
    for _ in range(2):
        with pytest.raises(NotSupported, match="ignores If-Match or If-None-Match"):
            run_sync(write(store))
    assert there() == [PROBE]
    assert set(server.calls) <= {"put_object", "get_object", "list_objects_v2"}


@IGNORED
def test_a_client_is_told_at_once(ignored: tuple[str, ...]) -> None:
    server = Elsewhere(*ignored)
    with server.client() as client, pytest.raises(NotSupported, match="such as AWS or SeaweedFS"):
        client.create_session()
    assert server.probes <= 3
    assert there() == [PROBE]


class ByName(Elsewhere):
    """Takes `If-Match` to ask whether there is an object, whichever version it is."""

    async def call(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        if "IfMatch" in arguments and arguments["Key"] in there():
            del arguments["IfMatch"]
        return await super().call(operation, **arguments)


def test_a_server_that_compares_no_versions_is_refused_by_its_first_client() -> None:
    for _ in range(2):
        with pytest.raises(NotSupported, match="ignores If-Match"):
            run_sync(WRITES["append"](ByName().store()))
    assert there() == [PROBE]


def test_a_server_that_knows_no_kms_keys_is_told_from_one_that_does() -> None:
    """Before anything of a session is written."""
    ignoring = Elsewhere("ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled")
    assert run_sync(Elsewhere().store().encrypts_with(KEY)) is True
    assert run_sync(ignoring.store().encrypts_with(KEY)) is False
    with ignoring.client() as client, pytest.raises(NotSupported, match="encryption_key_arn"):
        client.create_session(encryption_key_arn=KEY)
    with pytest.raises(NotSupported, match=r"\?kms_key_arn="):
        run_sync(WRITES["append"](ignoring.store(kms_key_arn=KEY)))
    run_sync(WRITES["append"](Elsewhere().store(kms_key_arn=KEY)))
    assert len(there()) == 2


def test_reads_do_not_wait_for_the_probe() -> None:
    server = Elsewhere("IfMatch", "IfNoneMatch")
    with server.client() as client:
        client.ping()
        assert list(client.sessions()) == []
        with pytest.raises(NotFound):
            client.get_session(key="none")
    store = server.store()
    assert run_sync(store.head(HERE)) is None
    assert not run_sync(store.read(HERE, 0))
    assert not run_sync(store.blobs(HERE))
    assert (server.probes, "put_object" in server.calls, there()) == (0, False, [])


def test_a_server_that_heeds_them_is_probed_once_by_each_client() -> None:
    first, second = Elsewhere(), Elsewhere()
    for server in (first, second):
        store = server.store()
        run_sync(store.put_blob(HERE, BLOB, b"blob"))
        assert server.probes == PROBES
        for write in WRITES.values():
            run_sync(write(store))
        assert server.probes == PROBES


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://s3.eu-central-1.amazonaws.com",
        "https://s3.dualstack.eu-central-1.amazonaws.com",
        "https://s3-fips.us-gov-west-1.amazonaws.com",
        "https://bucket.vpce-0a1b-2c3d.s3.eu-west-1.vpce.amazonaws.com",
        "https://s3.cn-north-1.amazonaws.com.cn",
        "https://s3.eu-central-1.amazonaws.com:443",
        "https://s3.eusc-de-east-1.amazonaws.eu",
    ],
)
def test_aws_is_not_asked(endpoint: str) -> None:
    server = Elsewhere(endpoint=endpoint)
    run_sync(server.store().append(HERE, 0, record(HERE, 0, b"a")))
    assert (server.probes, server.calls) == (0, ["put_object"])


@pytest.mark.parametrize(
    "endpoint", ["http://localhost:9000", "https://s3.amazonaws.com.example.org", "https://notamazonaws.com"]
)
def test_others_are_asked_whatever_they_are_called(endpoint: str) -> None:
    server = Elsewhere(endpoint=endpoint)
    run_sync(server.store().append(HERE, 0, record(HERE, 0, b"a")))
    assert server.probes == 3


def _answer(code: str, status: int) -> ClientError:
    metadata: Any = {"HTTPStatusCode": status, "RequestId": "A", "HTTPHeaders": {}}
    return ClientError({"Error": {"Code": code, "Message": ""}, "ResponseMetadata": metadata}, "PutObject")


def _named(one: object) -> str:
    response: Any = getattr(one, "response", None)
    return response["Error"]["Code"] if response else getattr(one, "__name__", type(one).__name__)


PASSING: list[tuple[Exception, type[StepwellError]]] = [
    (_answer("SlowDown", 503), Throttled),
    (_answer("ServiceUnavailable", 503), Unavailable),
    (_answer("InternalError", 500), Unavailable),
    (_answer("ConditionalRequestConflict", 409), Unavailable),
    (ReadTimeoutError(endpoint_url=ELSEWHERE), Unavailable),
    (ConnectTimeoutError(endpoint_url=ELSEWHERE), Unavailable),
]


@pytest.mark.parametrize("behind", range(3))
@pytest.mark.parametrize(("fault", "told"), PASSING, ids=_named)
def test_a_probe_that_fails_for_another_reason_is_made_again(
    fault: ClientError | BotoCoreError, told: type[StepwellError], behind: int
) -> None:
    server = Elsewhere(faults=[*[None] * behind, fault])
    store = server.store()
    with pytest.raises(told) as refusal:
        run_sync(store.append(HERE, 0, record(HERE, 0, b"a")))
    assert refusal.value.retryable
    assert there() in ([], [PROBE])
    assert run_sync(store.append(HERE, 0, record(HERE, 0, b"a"))) is None
    probes = server.probes
    assert run_sync(store.append(HERE, 1, record(HERE, 1, b"b"))) is None
    assert server.probes == probes


@pytest.mark.parametrize("fault", [fault for fault, _ in PASSING], ids=_named)
def test_a_client_tries_by_itself(fault: Exception) -> None:
    server = Elsewhere(faults=[None, fault])
    with server.client() as client:
        session_id = client.create_session().session_id
        assert client.get_session(session_id).session_id == session_id


def test_who_may_not_write_the_probe_learns_that() -> None:
    server = Elsewhere(faults=[_answer("AccessDenied", 403)])
    with pytest.raises(PermissionDenied):
        run_sync(server.store().append(HERE, 0, record(HERE, 0, b"a")))
    assert there() == []
