"""What a client believes of its table, and of the replies it gets."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from inspect import isfunction
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stepwell.blocking import run_sync
from stepwell.errors import NotSupported, Throttled, Unavailable
from stepwell.io.blocking import BlockingTasks
from stepwell.stores.dynamodb_calls import UNPROCESSED_ROUNDS_MAX, Table
from stepwell.stores.dynamodb_options import DynamoDBOptions
from stepwell.stores.dynamodb_table import DEFINITION

REGION = "eu-west-1"
READY: dict[str, Any] = {
    **DEFINITION,
    "TableName": "sessions",
    "TableArn": f"arn:aws:dynamodb:{REGION}:111122223333:table/sessions",
    "TableStatus": "ACTIVE",
    "GlobalSecondaryIndexes": [{**DEFINITION["GlobalSecondaryIndexes"][0], "IndexStatus": "ACTIVE"}],
}
FAR = "Fri, 01 Jan 2099 00:00:00 GMT"


class Sleepless(BlockingTasks):
    """Sleeping takes no time."""

    async def sleep(self, seconds: float) -> None:
        pass


class Service:
    """`Aws` of one table; each call is answered by *answers*, by its operation, or with nothing."""

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = {"describe_table": {"Table": READY}, **answers}
        self.calls: list[tuple[str, Mapping[str, Any]]] = []

    async def call(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        self.calls.append((operation, arguments))
        told = self.answers.get(operation, {})
        if isinstance(told, Exception):
            raise told
        return {**told(arguments)} if isfunction(told) else {**told}

    async def region(self) -> str:
        return REGION

    async def endpoint(self) -> str:
        return "https://service.example"

    async def aclose(self) -> None:
        pass


def _table(service: Service, **options: Any) -> Table:
    return Table(service, DynamoDBOptions(table="sessions", **options), Sleepless())


def _refusal(*, request: str | None) -> ClientError:
    metadata: dict[str, Any] = {"HTTPStatusCode": 503, "HTTPHeaders": {"date": FAR}}
    named = {} if request is None else {"RequestId": request}
    response: Any = {"Error": {"Code": "503", "Message": "busy"}, "ResponseMetadata": metadata | named}
    return ClientError(response, "GetItem")


def test_the_time_that_a_proxy_tells_is_nobodys() -> None:
    table = _table(Service(get_item=_refusal(request=None)))
    with pytest.raises(Unavailable):
        run_sync(table.read("get_item", Key={}))
    assert table.server_time is None


def test_the_time_that_the_service_tells_with_an_error_counts() -> None:
    table = _table(Service(get_item=_refusal(request="R1")))
    with pytest.raises((Unavailable, Throttled)):
        run_sync(table.read("get_item", Key={}))
    assert table.server_time == 4_070_908_800 * 1_000_000


@pytest.mark.parametrize("status", ["TableStatus", "IndexStatus"])
def test_a_table_that_is_being_made_is_looked_at_again(status: str) -> None:
    index = {**READY["GlobalSecondaryIndexes"][0], "IndexStatus": "CREATING"}
    unready = {"GlobalSecondaryIndexes": [index]} if status == "IndexStatus" else {"TableStatus": "CREATING"}
    service = Service(describe_table={"Table": READY | unready})
    table = _table(service)
    with pytest.raises(Unavailable, match="being made: try again") as refused:
        run_sync(table.read("get_item", Key={}))
    assert refused.value.retryable
    service.answers["describe_table"] = {"Table": READY}
    assert run_sync(table.read("get_item", Key={})) == {}


REPLICATED = {"Table": READY | {"Replicas": [{"RegionName": "us-east-1"}]}}


def test_a_global_table_is_made_with_its_home_region() -> None:
    expires = {"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}}
    recovers = {
        "ContinuousBackupsDescription": {"PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "ENABLED"}}
    }
    service = Service(describe_table=REPLICATED, describe_time_to_live=expires, describe_continuous_backups=recovers)
    assert run_sync(_table(service, create=True, home_region=REGION).state()).replicas == ("us-east-1",)
    with pytest.raises(NotSupported, match="home_region"):
        run_sync(_table(service, create=True).state())


def test_what_a_batch_leaves_is_sent_again_and_nothing_else() -> None:
    def all_but_two(arguments: Mapping[str, Any]) -> dict[str, Any]:
        requests = arguments["RequestItems"]["sessions"]
        return {"UnprocessedItems": {"sessions": requests[2:]}} if len(requests) > 2 else {}

    service = Service(batch_write_item=all_but_two)
    keys = [{"pk": {"S": str(number)}} for number in range(7)]
    run_sync(_table(service).delete_all(keys))
    sent = [arguments["RequestItems"]["sessions"] for name, arguments in service.calls if name == "batch_write_item"]
    assert [len(requests) for requests in sent] == [7, 5, 3, 1]
    assert sent[-1] == [{"DeleteRequest": {"Key": keys[-1]}}]


def test_a_batch_of_which_nothing_is_done_ends_in_a_pause() -> None:
    def none(arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {"UnprocessedItems": arguments["RequestItems"]}

    service = Service(batch_write_item=none)
    with pytest.raises(Throttled):
        run_sync(_table(service).delete_all([{"pk": {"S": "a"}}]))
    assert [name for name, _ in service.calls].count("batch_write_item") == UNPROCESSED_ROUNDS_MAX


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_a_child_that_is_forked_during_the_first_look_looks_for_itself() -> None:
    looking, forked = threading.Event(), threading.Event()
    parent = os.getpid()

    def slowly(arguments: Mapping[str, Any]) -> dict[str, Any]:
        if os.getpid() == parent:
            looking.set()
            forked.wait(30)
        return {"Table": READY}

    table = _table(Service(describe_table=slowly))
    thread = threading.Thread(target=lambda: run_sync(table.state()))
    thread.start()
    looking.wait(30)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        run_sync(table.state())
        os._exit(0)
    forked.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
