"""Calls of AWS through every adapter, over a real connection to a server that answers as it is told."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from email.utils import formatdate
from time import time
from typing import Any, TypeVar

import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

import stepwell
from stepwell.blocking import run_sync
from stepwell.errors import (
    InvalidRequest,
    NotSupported,
    OutcomeUnknown,
    PermissionDenied,
    StepwellError,
    Throttled,
    Unavailable,
)
from stepwell.io.aio import AsyncioTasks
from stepwell.io.aio_turns import take_turn
from stepwell.io.aws import Aws, AwsTarget, Given, check_given, open_aws
from stepwell.io.aws_errors import translated
from stepwell.io.aws_models import MODELS
from stepwell.io.blocking import BlockingTasks
from stepwell.io.ports import Tasks
from stepwell.testing.faults.children import Child
from tests.aws.wire import REGION, Reply, Wire, refusal, wire

T = TypeVar("T")
Use = Callable[[Aws], Awaitable[T]]

ADAPTERS = {"boto3": "Boto3Aws", "boto3 in threads": "Boto3Aws", "aiobotocore": "AioAws"}


@dataclass(frozen=True)
class Calls:
    """One adapter, and the server that it calls."""

    adapter: str
    wire: Wire

    def target(self, **members: Any) -> AwsTarget:
        return replace(AwsTarget("dynamodb", REGION, self.wire.url), **members)

    def using(self, target: AwsTarget, use: Use[T]) -> T:
        """The result of *use* with the calls of *target*."""
        return (
            run_sync(_used(target, BlockingTasks(), use))
            if self.adapter == "boto3"
            else asyncio.run(_in_loop(target, use))
        )

    def put(self, **members: Any) -> dict[str, Any]:
        """A write."""
        return self.using(self.target(**members), put)

    def refused(self, use: Use[Any], *, writes: bool, **members: Any) -> StepwellError:
        """The error of a call, translated."""

        async def attempt(aws: Aws) -> StepwellError:
            try:
                await use(aws)
            except (BotoCoreError, ClientError, NotSupported) as error:
                return translated(error, writes=writes, what="call on table sessions")
            raise AssertionError("not refused")

        return self.using(self.target(**members), attempt)


async def _in_loop(target: AwsTarget, use: Use[T]) -> T:
    tasks = AsyncioTasks()
    try:
        return await _used(target, tasks, use)
    finally:
        await tasks.aclose()


async def _used(target: AwsTarget, tasks: Tasks, use: Use[T]) -> T:
    aws = open_aws(target, tasks)
    try:
        return await use(aws)
    finally:
        await aws.aclose()


async def put(aws: Aws) -> dict[str, Any]:
    return await aws.call("put_item", TableName="sessions", Item={"pk": {"S": "a"}})


async def get(aws: Aws) -> dict[str, Any]:
    return await aws.call("get_item", TableName="sessions", Key={"pk": {"S": "a"}}, ConsistentRead=True)


async def get_object(aws: Aws) -> dict[str, Any]:
    return await aws.call("get_object", Bucket="bucket", Key="key")


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(name="server")
def _server() -> Iterator[Wire]:
    with wire() as server:
        yield server


@pytest.fixture(params=ADAPTERS)
def calls(request: pytest.FixtureRequest, server: Wire, monkeypatch: pytest.MonkeyPatch) -> Calls:
    if request.param == "boto3 in threads":
        monkeypatch.setitem(sys.modules, "aiobotocore", None)
    return Calls(request.param, server)


def test_an_endpoint_that_is_no_url_is_told(calls: Calls) -> None:
    with pytest.raises(InvalidRequest, match="AWS_ENDPOINT_URL_DYNAMODB"):
        calls.put(endpoint_url="nonsense")


def test_a_client_goes_on_in_another_event_loop(server: Wire) -> None:
    aws = open_aws(AwsTarget("dynamodb", REGION, server.url), AsyncioTasks())

    async def put_and_close(aws: Aws) -> dict[str, Any]:
        try:
            return await put(aws)
        finally:
            await aws.aclose()

    asyncio.run(put_and_close(aws))
    asyncio.run(put_and_close(aws))
    assert [sent.operation for sent in server.requests] == ["PutItem", "PutItem"]


def test_a_call_is_one_request_that_says_who_makes_it(calls: Calls) -> None:
    async def put_and_look(aws: Aws) -> tuple[str, str, dict[str, Any]]:
        return type(aws).__name__, await aws.region(), await put(aws)

    name, region, answer = calls.using(calls.target(), put_and_look)
    assert (name, region) == (ADAPTERS[calls.adapter], REGION)
    assert answer["ResponseMetadata"]["HTTPHeaders"]["date"].endswith("GMT")
    (sent,) = calls.wire.requests
    assert sent.operation == "PutItem"
    assert f"stepwell/{stepwell.__version__}" in sent.headers["User-Agent"]
    assert f"Credential=ENVIRONMENT/{formatdate()[12:16]}" in sent.headers["Authorization"]


def test_one_client_serves_many_calls_and_is_made_anew_after_it_was_closed(calls: Calls) -> None:
    async def call_close_and_call(aws: Aws) -> None:
        for _ in range(3):
            await put(aws)
        await aws.aclose()
        await aws.aclose()
        await put(aws)

    calls.using(calls.target(), call_close_and_call)
    ports = [request.port for request in calls.wire.requests]
    assert len(set(ports[:3])) == 1
    assert ports[3] != ports[0]


# Replies that are none

SPOILT = {
    "without a checksum": Reply(headers={"x-amz-crc32": None}),
    "with another checksum": Reply(body=b'{"Item": {}}', headers={"x-amz-crc32": "1"}),
    "with something else for a checksum": Reply(headers={"x-amz-crc32": "none"}),
    "cut in its status": Reply(cut=12),
    "cut in its headers": Reply(cut=60),
    "cut in its body": Reply(body=b'{"Item": {"pk": {"S": "a"}}}', cut=-7),
    "cut before it began": Reply(cut=0),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_reply_that_is_cut_or_damaged_is_no_answer(calls: Calls, name: str) -> None:
    calls.wire.replies = [SPOILT[name]]
    assert isinstance(calls.refused(put, writes=True), OutcomeUnknown)
    unread = calls.refused(get, writes=False)
    assert isinstance(unread, Unavailable)
    assert unread.retryable
    assert [request.operation for request in calls.wire.requests] == ["PutItem", "GetItem"]


def test_a_refusal_that_is_damaged_is_no_answer(calls: Calls) -> None:
    told = refusal("ConditionalCheckFailedException")
    calls.wire.replies = [replace(told, headers={"x-amz-crc32": "1"})]
    assert isinstance(calls.refused(put, writes=True), OutcomeUnknown)


def test_a_refusal_by_something_before_the_service_needs_no_checksum(calls: Calls) -> None:
    calls.wire.replies = [Reply(429, b"", {"x-amz-crc32": None, "x-amzn-RequestId": None, "Retry-After": "3"})]
    error = calls.refused(put, writes=True)
    assert isinstance(error, Throttled)
    assert error.retry_after == 3


def test_no_answer_within_the_callers_time_is_an_unknown_outcome(calls: Calls) -> None:
    calls.wire.silent.set()
    given = Given(config=Config(read_timeout=0.2))
    assert isinstance(calls.refused(put, writes=True, given=given), OutcomeUnknown)
    assert len(calls.wire.requests) == 1


def test_a_server_that_nobody_reaches_was_sent_nothing(calls: Calls) -> None:
    error = calls.refused(put, writes=True, endpoint_url="http://127.0.0.1:9")
    assert isinstance(error, Unavailable)
    assert error.retryable
    assert "?region=" in str(error)


# Retries are ours


@pytest.mark.parametrize("reply", [refusal("InternalServerError", status=500), refusal("ThrottlingException")])
def test_nothing_is_sent_twice_whatever_the_settings_say(
    calls: Calls, reply: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    monkeypatch.setenv("AWS_RETRY_MODE", "adaptive")
    calls.wire.replies = [reply]
    config = Config(retries={"mode": "legacy", "max_attempts": 4})
    assert isinstance(calls.refused(put, writes=True, given=Given(config=config)), OutcomeUnknown | Throttled)
    assert len(calls.wire.requests) == 1


# What a caller brings along


def test_a_config_is_merged_with_ours(calls: Calls) -> None:
    calls.put(given=Given(config=Config(user_agent_extra="their-app/7", region_name="us-west-2")), region=None)
    (sent,) = calls.wire.requests
    assert f"their-app/7 stepwell/{stepwell.__version__}" in sent.headers["User-Agent"]
    assert "/us-west-2/dynamodb/" in sent.headers["Authorization"]


def test_a_session_gives_credentials_and_region(calls: Calls) -> None:
    session = boto3.Session("THEIRS", "secret", region_name="ap-south-1")
    calls.put(given=Given(session=session), region=None)
    (sent,) = calls.wire.requests
    assert "Credential=THEIRS/" in sent.headers["Authorization"]
    assert "/ap-south-1/dynamodb/" in sent.headers["Authorization"]


def test_a_client_is_used_as_it_is_and_left_open(calls: Calls) -> None:
    session: Any = boto3.Session("CLIENTS", "secret", region_name="sa-east-1")
    client = session.client("dynamodb", endpoint_url=calls.wire.url)
    for _ in range(2):
        calls.put(given=Given(clients=(client,)), region="us-east-1", endpoint_url="http://127.0.0.1:9")
    client.list_tables()
    client.close()
    assert [request.operation for request in calls.wire.requests] == ["PutItem", "PutItem", "ListTables"]
    assert {request.headers["Authorization"].split("/")[2] for request in calls.wire.requests} == {"sa-east-1"}


def test_a_clients_own_retries_are_for_others_calls_alone(calls: Calls) -> None:
    session: Any = boto3.Session("CLIENTS", "secret", region_name=REGION)
    config = Config(retries={"mode": "legacy", "max_attempts": 1})
    client = session.client("dynamodb", endpoint_url=calls.wire.url, config=config)
    calls.wire.replies = [refusal("InternalServerError", status=500)]
    assert isinstance(calls.refused(put, writes=True, given=Given(clients=(client,))), OutcomeUnknown)
    assert len(calls.wire.requests) == 1
    with pytest.raises(client.exceptions.InternalServerError):
        client.list_tables()
    assert len(calls.wire.requests) == 3
    client.close()


def test_a_clients_own_retries_are_not_ours_for_objects_either(calls: Calls) -> None:
    session: Any = boto3.Session("CLIENTS", "secret", region_name=REGION)
    config = Config(retries={"mode": "legacy", "max_attempts": 1}, s3={"addressing_style": "path"})
    client = session.client("s3", endpoint_url=calls.wire.url, config=config)
    calls.wire.replies = [Reply(503, b"<Error><Code>SlowDown</Code></Error>")]
    assert isinstance(calls.refused(get_object, writes=False, service="s3", given=Given(clients=(client,))), Throttled)
    assert len(calls.wire.requests) == 1
    with pytest.raises(client.exceptions.ClientError):
        client.get_object(Bucket="bucket", Key="key")
    assert len(calls.wire.requests) == 3
    client.close()


def test_a_client_still_follows_a_bucket_to_its_region(calls: Calls) -> None:
    session: Any = boto3.Session("CLIENTS", "secret", region_name=REGION)
    client = session.client("s3", endpoint_url=calls.wire.url, config=Config(s3={"addressing_style": "path"}))
    elsewhere = b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-north-1</Region></Error>"
    calls.wire.replies = [Reply(400, elsewhere), Reply(body=b"found")]
    target = calls.target(service="s3", given=Given(clients=(client,)))
    assert calls.using(target, get_object)["Body"] == b"found"
    assert ["/eu-north-1/s3/" in request.headers["Authorization"] for request in calls.wire.requests] == [False, True]
    client.close()


def test_a_client_is_told_of_cut_replies_too(calls: Calls) -> None:
    session: Any = boto3.Session("CLIENTS", "secret", region_name=REGION)
    client = session.client("dynamodb", endpoint_url=calls.wire.url)
    calls.wire.replies = [SPOILT["without a checksum"]]
    assert isinstance(calls.refused(put, writes=True, given=Given(clients=(client,))), OutcomeUnknown)
    client.close()


def test_a_client_is_for_its_own_service(calls: Calls) -> None:
    session: Any = boto3.Session("CLIENTS", "secret", region_name=REGION)
    client = session.client("s3", endpoint_url="http://127.0.0.1:9")
    calls.put(given=Given(clients=(client,)))
    assert "Credential=ENVIRONMENT/" in calls.wire.requests[0].headers["Authorization"]
    client.close()


def test_the_environment_names_an_endpoint_and_the_url_wins(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", calls.wire.url)
    calls.put(endpoint_url=None)
    assert len(calls.wire.requests) == 1
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9")
    calls.put()
    assert len(calls.wire.requests) == 2


@pytest.mark.parametrize("seconds", [3600, -7200])
def test_a_wrong_clock_is_told_with_how_wrong_it_is(calls: Calls, seconds: int) -> None:
    date = formatdate(time() - seconds, usegmt=True)
    calls.wire.replies = [refusal("InvalidSignatureException", "Signature expired: x is now earlier than y", Date=date)]
    error = calls.refused(put, writes=True)
    assert isinstance(error, Unavailable)
    assert not error.retryable
    found = re.search(r"it is (\d+) s (ahead of|behind) the service's", str(error))
    assert found
    assert abs(int(found[1]) - abs(seconds)) < 600
    assert found[2] == ("ahead of" if seconds > 0 else "behind")


def test_missing_credentials_are_told(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    error = calls.refused(put, writes=True)
    assert isinstance(error, PermissionDenied)
    assert "AWS_PROFILE" in str(error)


def test_a_missing_region_is_told(calls: Calls) -> None:
    error = calls.refused(put, writes=True, region=None)
    assert isinstance(error, InvalidRequest)
    assert "?region=" in str(error)


def test_a_child_calls_over_a_connection_of_its_own(server: Wire) -> None:
    """A connection that both used would mix their replies."""
    aws = open_aws(AwsTarget("dynamodb", REGION, server.url), BlockingTasks())
    run_sync(put(aws))
    child = Child(lambda report: report(run_sync(get(aws))["ResponseMetadata"]["HTTPStatusCode"]))
    assert child.result() == 200
    run_sync(put(aws))
    run_sync(aws.aclose())
    first, childs, last = server.requests
    assert (first.operation, childs.operation, last.operation) == ("PutItem", "GetItem", "PutItem")
    assert first.port == last.port != childs.port


# Bodies


def test_a_body_is_read_whole(calls: Calls) -> None:
    calls.wire.replies = [Reply(body=bytes(range(256)) * 1000)]
    target = calls.target(service="s3")
    assert calls.using(target, get_object)["Body"] == bytes(range(256)) * 1000


def test_a_list_that_is_cut_is_no_answer(calls: Calls) -> None:
    async def list_objects(aws: Aws) -> dict[str, Any]:
        return await aws.call("list_objects_v2", Bucket="bucket")

    calls.wire.replies = [Reply(body=b"<ListBucketResult><Name>bucket</Name></ListBucketResult>", cut=-20)]
    error = calls.refused(list_objects, writes=False, service="s3")
    assert isinstance(error, Unavailable)
    assert error.retryable


@pytest.mark.parametrize("operation", ["get_object", "list_objects_v2", "copy_object"])
def test_a_reply_about_objects_that_is_cut_in_its_headers_is_no_answer(calls: Calls, operation: str) -> None:
    arguments: dict[str, dict[str, Any]] = {
        "get_object": {"Key": "key"},
        "copy_object": {"Key": "key", "CopySource": {"Bucket": "bucket", "Key": "other"}},
    }

    async def call(aws: Aws) -> dict[str, Any]:
        return await aws.call(operation, Bucket="bucket", **arguments.get(operation, {}))

    calls.wire.replies = [Reply(cut=40)]
    assert isinstance(calls.refused(call, writes=True, service="s3"), OutcomeUnknown)


def test_a_body_that_is_cut_is_no_answer(calls: Calls) -> None:
    calls.wire.replies = [Reply(body=b"x" * 100_000, cut=-10)]
    error = calls.refused(get_object, writes=False, service="s3")
    assert isinstance(error, Unavailable)
    assert error.retryable


# What may be missing, and when it is needed


def test_nothing_is_imported_before_the_first_call() -> None:
    program = (
        "import sys; from stepwell.io.aws import *; from stepwell.io.blocking import BlockingTasks; "
        "open_aws(AwsTarget('dynamodb'), BlockingTasks()); from stepwell.io.aio import AsyncioTasks; "
        "print(type(open_aws(AwsTarget('dynamodb'), AsyncioTasks())).__name__, *sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    name, *modules = ran.stdout.split()
    assert name == "AioAws"
    assert {"boto3", "botocore", "aiobotocore", "aiohttp"} & set(modules) == set()


def test_boto3_that_is_missing_is_named(server: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    error = Calls("boto3", server).refused(put, writes=True)
    assert isinstance(error, NotSupported)
    assert "pip install boto3" in str(error)


def test_aiobotocore_that_is_broken_is_named(server: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiobotocore.session", None)
    error = Calls("aiobotocore", server).refused(put, writes=True)
    assert isinstance(error, NotSupported)
    assert "pip install 'stepwell[aio]'" in str(error)


def test_what_boto3_made_is_taken() -> None:
    session: Any = boto3.Session("A", "b", region_name=REGION)
    dynamodb, s3, config = session.client("dynamodb"), session.client("s3"), Config()
    assert check_given() == Given()
    assert not check_given()
    assert check_given(session, dynamodb, config) == Given(session, (dynamodb,), config)
    assert check_given(client=[s3, dynamodb]).client("dynamodb") is dynamodb
    assert check_given(client=(s3,)).client("dynamodb") is None
    assert check_given(client=(s3, dynamodb)).services() == {"s3", "dynamodb"}
    for wrong in ([dynamodb, session.client("dynamodb")], session, session.resource("dynamodb"), [dynamodb, config]):
        with pytest.raises(InvalidRequest, match="boto3_client"):
            check_given(client=wrong)
    with pytest.raises(InvalidRequest, match="boto3_session"):
        check_given(session=dynamodb)
    with pytest.raises(InvalidRequest, match="botocore_config"):
        check_given(config={"region_name": REGION})


def test_calls_of_one_event_loop_take_turns_and_others_are_served_between() -> None:
    order: list[str] = []

    async def caller(name: str) -> None:
        await take_turn()
        order.append(name)

    async def other() -> None:
        for _ in range(3):
            await asyncio.sleep(0)
            order.append("other")

    async def run() -> None:
        callers = [asyncio.create_task(caller(name)) for name in ("a", "never", "b", "c")]
        others = asyncio.create_task(other())
        await asyncio.sleep(0)
        callers[1].cancel()
        await asyncio.gather(*callers, others, return_exceptions=True)
        await caller("d")

    asyncio.run(run())
    assert [name for name in order if name != "other"] == ["a", "b", "c", "d"]
    assert order.index("other") < order.index("c")


def test_models_are_read_once_for_all_clients() -> None:
    first, second = botocore.session.Session(), botocore.session.Session()
    for session in (first, second):
        MODELS.give(session, "dynamodb")
    sessions = (first, second, botocore.session.Session())
    read = [one.get_component("data_loader").load_service_model("dynamodb", "service-2") for one in sessions]
    assert read[0] is read[1]
    assert read[0] == read[2]
