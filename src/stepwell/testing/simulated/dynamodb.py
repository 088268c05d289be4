"""DynamoDB as its documentation has it, for schedules: `simulate --store dynamodb`.

The store under test is the real one, with its own calls; what answers them is this. Each call is one request through a
process's `Line`, so that it is lost, late, slow, throttled or answered in vain like any other; beyond that

- what is past its TTL goes some time later or not at all, item by item, in any order
- the index shows a change minutes later
- a query returns a page of any size, and a batch leaves some of it undone
- no answer, an internal error and a refusal because of another transaction are all told as botocore tells them
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, TypeAlias

from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError

from stepwell.errors import OutcomeUnknown, Throttled, Unavailable
from stepwell.ids import uuid_bytes
from stepwell.io.aws import Aws, AwsTarget
from stepwell.io.files import Files
from stepwell.io.ports import Ports
from stepwell.io.ports import Tasks as AnyTasks
from stepwell.stores.base import JournalId, JournalStore
from stepwell.stores.dynamodb import DynamoDBStore
from stepwell.stores.dynamodb_items import INDEX, SLOT_0, blobs_partition, session_partition
from stepwell.stores.dynamodb_options import DynamoDBOptions
from stepwell.stores.dynamodb_table import DEFINITION
from stepwell.testing.simulated.expressions import Item, holds, updated
from stepwell.testing.simulated.faults import Line
from stepwell.testing.simulated.schedule import SECOND, Tasks, World
from stepwell.testing.simulated.stores import INLINE_BYTES, Written

TABLE, REGION = "simulated", "eu-central-1"
CHUNK_BYTES = 40
INDEX_LAG = 10 * 60 * SECOND
_DOCUMENTED_ENDPOINT = "https://dynamodb.example"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SOME, _FEW = 0.3, 0.1

Answer: TypeAlias = dict[str, Any]


class SimulatedDynamoDB:
    """One table, and the clients' stores on it."""

    forgets = True

    def __init__(self, world: World, written: Written) -> None:
        self._world = world
        self._written = written
        self.items: defaultdict[str, dict[str, Item]] = defaultdict(dict)
        self._shown_from: dict[tuple[str, ...], int] = {}
        self._calm = False
        self._short_pages = world.random.random() < _SOME
        self._ttl_pace = world.random.choice((0.0, 0.02, 0.3))

    def open(self, line: Line) -> JournalStore:
        """The store, as one process sees it."""
        ports = Ports(line.process, Tasks(line.process), Files(), self._world.random_bytes)

        def open_aws(target: AwsTarget, tasks: AnyTasks) -> Aws:
            return _Calls(self, line)

        store = DynamoDBStore(ports, DynamoDBOptions(table=TABLE), open_aws=open_aws, chunk_bytes=CHUNK_BYTES)
        store.inline_bytes = INLINE_BYTES
        return store

    def held(self, journal: JournalId) -> bytes:
        """All that is stored of a journal at this moment."""
        here = [*self.items[session_partition(journal)].values(), *self.items[blobs_partition(journal)].values()]
        return b"".join(item["data"]["B"] for item in here if "data" in item)

    # The service's operations; each returns its answer, or a `ClientError` to be raised

    def apply(self, operation: str, arguments: Mapping[str, Any], *, calm: bool) -> Answer | ClientError:
        """What the service does at one moment; all of it where it is *calm*."""
        self._calm = calm
        self._expire()
        act: Callable[[Mapping[str, Any]], Answer | ClientError] = getattr(self, f"_{operation}")
        return act(arguments)

    def _describe_table(self, arguments: Mapping[str, Any]) -> Answer:
        return {"Table": {**DEFINITION, "TableName": TABLE, "TableStatus": "ACTIVE"}}

    def _get_item(self, arguments: Mapping[str, Any]) -> Answer:
        assert arguments["ConsistentRead"]
        item = self._at(arguments["Key"])
        return {} if item is None else {"Item": item}

    def _put_item(self, arguments: Mapping[str, Any]) -> Answer | ClientError:
        item = arguments["Item"]
        before = self._at(item)
        if not holds(arguments.get("ConditionExpression"), before, arguments):
            return _failed(before)
        self._put(item)
        return {}

    def _update_item(self, arguments: Mapping[str, Any]) -> Answer | ClientError:
        before = self._at(arguments["Key"])
        if not holds(arguments.get("ConditionExpression"), before, arguments):
            return _failed(before)
        self._put(updated(before or arguments["Key"], arguments))
        return {}

    def _delete_item(self, arguments: Mapping[str, Any]) -> Answer | ClientError:
        before = self._at(arguments["Key"])
        if not holds(arguments.get("ConditionExpression"), before, arguments):
            return _failed(before)
        self._drop(arguments["Key"])
        return {}

    def _batch_write_item(self, arguments: Mapping[str, Any]) -> Answer:
        ((table, requests),) = arguments["RequestItems"].items()
        left = [request for request in requests if not self._calm and self._world.random.random() < _FEW]
        for request in requests:
            if request not in left:
                self._drop(request["DeleteRequest"]["Key"])
        return {"UnprocessedItems": {table: left}} if left else {}

    def _query(self, arguments: Mapping[str, Any]) -> Answer:
        order = _in_index if arguments.get("IndexName") else _place
        found = self._indexed(arguments) if arguments.get("IndexName") else self._found(arguments)
        start = arguments.get("ExclusiveStartKey")
        if start is not None:  # what lies there may be gone by now
            forwards = arguments.get("ScanIndexForward", True)
            found = [item for item in found if (order(item) > start["at"]) is forwards and order(item) != start["at"]]
        size = arguments.get("Limit", 1000)
        if self._short_pages and "Limit" not in arguments:
            size = 1 + self._world.random.randrange(3)
        page = [item for item in found[:size] if holds(arguments.get("FilterExpression"), item, arguments)]
        last = {"LastEvaluatedKey": {"at": order(found[size - 1])}} if len(found) > size else {}
        return {"Items": page, **last}

    def _found(self, arguments: Mapping[str, Any]) -> list[Item]:
        assert arguments["ConsistentRead"]
        partition = self.items[arguments["ExpressionAttributeValues"][":pk"]["S"]]
        ordered = sorted(partition.items(), reverse=not arguments.get("ScanIndexForward", True))
        return [item for _, item in ordered if holds(arguments["KeyConditionExpression"], item, arguments)]

    def _indexed(self, arguments: Mapping[str, Any]) -> list[Item]:
        assert arguments["IndexName"] == INDEX
        assert "ConsistentRead" not in arguments
        shown = (
            item
            for partition in self.items.values()
            for item in partition.values()
            if "session" in item and self._shown_from.get(_place(item), 0) <= self._world.now
        )
        ordered = sorted(shown, key=_in_index)
        return [item for item in ordered if holds(arguments["KeyConditionExpression"], item, arguments)]

    # Items

    def _at(self, key: Item) -> Item | None:
        return self.items[key["pk"]["S"]].get(key["sk"]["S"])

    def _put(self, item: Item) -> None:
        partition, sort = _place(item)
        if "session" in item and sort not in self.items[partition]:
            lag = INDEX_LAG if self._world.random.random() < _SOME else SECOND
            self._shown_from[partition, sort] = self._world.now + int(lag * self._world.random.random())
        if sort not in self.items[partition] and partition.rpartition("/")[0].endswith("/session"):
            self._note(partition, 0 if sort == SLOT_0 else int(sort), item)
        self.items[partition][sort] = item

    def _note(self, partition: str, slot: int, item: Item) -> None:
        """A record is durable; without a slot 0, nobody can see it."""
        if slot == 0 or "gone" not in self.items[partition].get(SLOT_0, {"gone": True}):
            tenant, _, session = partition.rsplit("/", 2)
            self._written.note(JournalId(tenant, uuid_bytes("pk", session)), slot, item["data"]["B"])

    def _drop(self, key: Item) -> None:
        self.items[key["pk"]["S"]].pop(key["sk"]["S"], None)

    def _expire(self) -> None:
        """What is past its TTL goes, or stays for a while."""
        if not self._ttl_pace:
            return
        now = self._world.now // SECOND
        for partition in self.items.values():
            past = [sort for sort, item in partition.items() if "ttl" in item and int(item["ttl"]["N"]) <= now]
            for sort in past:
                if self._world.random.random() < self._ttl_pace:
                    del partition[sort]


def _place(item: Item) -> tuple[str, ...]:
    return item["pk"]["S"], item["sk"]["S"]


def _in_index(item: Item) -> tuple[bytes | str, ...]:
    return (item["session"]["B"], *_place(item))


_READS = frozenset({"get_item", "query", "describe_table"})


class _Calls:
    """One process's calls, with botocore's errors."""

    def __init__(self, service: SimulatedDynamoDB, line: Line) -> None:
        self._service = service
        self._line = line

    async def call(self, operation: str, /, **arguments: Any) -> Answer:
        random = self._line.world.random
        arguments.pop("TableName", None)
        writes = operation not in _READS
        told = self._line.world.now

        def apply() -> Answer | ClientError:
            nonlocal told
            told = self._line.world.now
            return self._service.apply(operation, arguments, calm=self._line.calm)

        try:
            answer = await self._line.request(_short(operation, arguments), apply, writes=writes)
        except Throttled:
            busy = ("ThrottlingException", "ProvisionedThroughputExceededException", "TransactionConflictException")
            raise _error(random.choice(busy if writes else busy[:2])) from None
        except OutcomeUnknown:
            if random.random() < _FEW:
                raise _error("InternalServerError", 500) from None
            raise ReadTimeoutError(endpoint_url=_DOCUMENTED_ENDPOINT) from None
        except Unavailable:
            silent = ReadTimeoutError if random.random() < _SOME else ConnectTimeoutError
            raise silent(endpoint_url=_DOCUMENTED_ENDPOINT) from None
        metadata = {"HTTPHeaders": {"date": _date(told)}}
        if isinstance(answer, ClientError):
            answer.response["ResponseMetadata"] = metadata  # type: ignore[typeddict-item]
            raise answer
        return {**answer, "ResponseMetadata": metadata}

    async def region(self) -> str:
        return REGION

    async def aclose(self) -> None:
        pass


def _date(now: int) -> str:
    return format_datetime(_EPOCH + timedelta(microseconds=now), usegmt=True)


def _short(operation: str, arguments: Mapping[str, Any]) -> str:
    item = arguments.get("Item") or arguments.get("Key")
    if item:
        return f"{operation} {item['pk']['S'][-12:]} {item['sk']['S'][-16:]}"
    return f"{operation} {list(arguments.get('ExpressionAttributeValues', {}).values())}"


def _failed(item: Item | None) -> ClientError:
    error = _error("ConditionalCheckFailedException")
    if item is not None:
        error.response["Item"] = item  # type: ignore[typeddict-unknown-key]
    return error


def _error(code: str, status: int = 400) -> ClientError:
    metadata: Any = {"HTTPStatusCode": status, "HTTPHeaders": {}}
    return ClientError({"Error": {"Code": code, "Message": "simulated"}, "ResponseMetadata": metadata}, "Simulated")
