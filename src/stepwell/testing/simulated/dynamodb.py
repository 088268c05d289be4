"""DynamoDB as its documentation has it, for schedules: `simulate --store dynamodb`.

The store under test is the real one, with its own calls; what answers them is this, and in half of the schedules a
bucket beside it (s3.py). Each call is lost, late, slow, throttled or answered in vain like any request (aws.py); beyond
that the service takes every liberty that the developer guide leaves it:

- what is past its TTL goes some time later or not at all, item by item, in any order
- the index, and a read that does not ask for consistency, show what was there before a change, for minutes
- a page is of any size up to what was asked for, and a full one says that more follows, whether it does or not
- a batch leaves some of it undone
- who fails a condition may be told nothing of what is there, as by older emulators
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote

from botocore.exceptions import ClientError

from stepwell.ids import uuid_bytes, uuid_text
from stepwell.io.aws import Aws, AwsTarget
from stepwell.io.files import Files
from stepwell.io.ports import Ports
from stepwell.io.ports import Tasks as AnyTasks
from stepwell.stores.base import JournalId, JournalStore
from stepwell.stores.dynamodb import DynamoDBStore
from stepwell.stores.dynamodb_items import INDEX, SLOT_0, blobs_partition, session_partition
from stepwell.stores.dynamodb_options import DynamoDBOptions
from stepwell.stores.dynamodb_table import DEFINITION
from stepwell.stores.s3_options import S3Place
from stepwell.testing.simulated.aws import Answer, Arguments, Calls, Codes, error
from stepwell.testing.simulated.expressions import Item, bound, holds, projected, updated
from stepwell.testing.simulated.faults import Line
from stepwell.testing.simulated.s3 import S3_CODES, S3_READS, SimulatedS3
from stepwell.testing.simulated.schedule import SECOND, Tasks, World
from stepwell.testing.simulated.stores import INLINE_BYTES, Written

TABLE, BUCKET, PREFIX = "simulated", "simulated-blobs", "some/where"
CHUNK_BYTES = 40
LAG = 10 * 60 * SECOND
READS = frozenset({"get_item", "query", "describe_table"})
_BUSY = ("ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded")
CODES = Codes(
    _BUSY, (*_BUSY, "TransactionConflictException", "ReplicatedWriteConflictException"), "InternalServerError"
)
_PAGE_MAX, _PAGE_BYTES = 1000, 1 << 20
_SOME, _FEW = 0.3, 0.1


class Place(NamedTuple):
    """An item's key: its partition, and how it sorts."""

    partition: str
    sort: str


class _Former(NamedTuple):
    """What lay at a place before the latest change, and until when it may still be shown."""

    item: Item | None
    until: int


class SimulatedDynamoDB:
    """One table, the bucket beside it, and the clients' stores on them."""

    forgets = True

    def __init__(self, world: World, written: Written) -> None:
        draw = world.random.random
        self.table = SimulatedTable(world, written)
        self.s3 = SimulatedS3(world)
        self._world = world
        self._blobs = S3Place(BUCKET, PREFIX) if draw() < 1 / 2 else None

    def open(self, line: Line) -> JournalStore:
        """The store, as one process sees it."""
        ports = Ports(line.process, Tasks(line.process), Files(), self._world.random_bytes)

        def open_aws(target: AwsTarget, tasks: AnyTasks) -> Aws:
            if target.service == "s3":
                return Calls(line, self.s3.apply, S3_READS, S3_CODES)
            return Calls(line, self.table.apply, READS, CODES)

        options = DynamoDBOptions(table=TABLE, blobs=self._blobs)
        store = DynamoDBStore(ports, options, open_aws=open_aws, chunk_bytes=CHUNK_BYTES)
        store.inline_bytes = INLINE_BYTES
        return store

    def held(self, journal: JournalId) -> bytes:
        """All that is stored of a journal at this moment."""
        items = self.table.items
        here = [*items[session_partition(journal)].values(), *items[blobs_partition(journal)].values()]
        prefix = f"{PREFIX}/{quote(journal.tenant, safe='')}/{uuid_text(journal.session)}/"
        objects = [body for name, body in self.s3.objects.items() if name.startswith(prefix)]
        return b"".join([*(item["data"]["B"] for item in here if "data" in item), *objects])


class SimulatedTable:
    """One table. Each operation returns its answer, or a `ClientError` to be raised."""

    def __init__(self, world: World, written: Written) -> None:
        draw = world.random.random
        self.items: defaultdict[str, dict[str, Item]] = defaultdict(dict)
        self._world = world
        self._written = written
        self._indexed: dict[Place, Item] = {}
        self._former: dict[Place, _Former] = {}
        self._mortal: dict[Place, int] = {}
        self._next_death = 0
        self._calm = False
        self.short_pages = draw() < _SOME
        self.tells_winners = draw() > _SOME / 2
        self.ttl_pace = world.random.choice((0.0, 0.02, 0.3))

    def apply(self, operation: str, arguments: Arguments, calm: bool) -> Answer | ClientError:
        """What the service does at one moment; all of it where it is *calm*."""
        self._calm = calm
        if self._mortal and self.ttl_pace:
            self._expire()
        act: Callable[[Arguments], Answer | ClientError] = getattr(self, f"_{operation}")
        return act(arguments)

    def _describe_table(self, arguments: Arguments) -> Answer:
        return {"Table": {**DEFINITION, "TableName": TABLE, "TableStatus": "ACTIVE"}}

    def _get_item(self, arguments: Arguments) -> Answer:
        place = _place(arguments["Key"])
        item = self._at(place) if arguments.get("ConsistentRead") else self._shown(place)
        return {} if item is None else {"Item": item}

    def _put_item(self, arguments: Arguments) -> Answer | ClientError:
        item = arguments["Item"]
        place = _place(item)
        return self._refusal(place, arguments) or self._put(place, item)

    def _update_item(self, arguments: Arguments) -> Answer | ClientError:
        place = _place(arguments["Key"])
        refusal = self._refusal(place, arguments)
        return refusal or self._put(place, updated(self._at(place) or arguments["Key"], arguments))

    def _delete_item(self, arguments: Arguments) -> Answer | ClientError:
        place = _place(arguments["Key"])
        return self._refusal(place, arguments) or self._drop(place)

    def _refusal(self, place: Place, arguments: Arguments) -> ClientError | None:
        before = self._at(place)
        if holds(arguments.get("ConditionExpression"), before, arguments):
            return None
        wanted = arguments.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
        refusal = error("ConditionalCheckFailedException")
        if before is not None and wanted and self.tells_winners:
            refusal.response["Item"] = before  # type: ignore[typeddict-unknown-key]
        return refusal

    def _batch_write_item(self, arguments: Arguments) -> Answer:
        ((table, requests),) = arguments["RequestItems"].items()
        left = [request for request in requests if not self._calm and self._world.random.random() < _FEW]
        for request in requests:
            if request not in left:
                self._drop(_place(request["DeleteRequest"]["Key"]))
        return {"UnprocessedItems": {table: left}} if left else {}

    # Queries

    def _query(self, arguments: Arguments) -> Answer:
        in_index = arguments.get("IndexName") is not None
        found = self._in_index(arguments) if in_index else self._in_partition(arguments)
        order: Callable[[Item], tuple[Any, ...]] = _index_order if in_index else _place
        forwards = arguments.get("ScanIndexForward", True)
        if not forwards:
            found.reverse()
        start = arguments.get("ExclusiveStartKey")
        if start is not None:  # what lies there may be gone by now
            found = [item for item in found if (order(item) > start["at"]) is forwards and order(item) != start["at"]]
        size = self._page_size(arguments.get("Limit", _PAGE_MAX), found)
        page = found[:size]
        last = {"LastEvaluatedKey": {"at": order(page[-1])}} if len(page) == size else {}
        if (filtered := arguments.get("FilterExpression")) is not None:
            page = list(filter(bound(filtered, arguments), page))
        return {"Items": projected(page, arguments), **last}

    def _page_size(self, limit: int, found: list[Item]) -> int:
        """A page ends at 1 MB, which two items never are."""
        if self.short_pages and limit > 2:
            return 1 + self._world.random.randrange(3)
        total = 0
        for at, item in enumerate(found[:limit]):
            total += len(item["data"]["B"]) if "data" in item else 0
            if total > _PAGE_BYTES and at > 1:
                return at
        return limit

    def _in_partition(self, arguments: Arguments) -> list[Item]:
        name = arguments["ExpressionAttributeValues"][":pk"]["S"]
        partition = self.items.get(name, {})
        if arguments.get("ConsistentRead"):
            here = [partition[sort] for sort in sorted(partition)]
        else:
            places = {Place(name, sort) for sort in partition} | {at for at in self._former if at.partition == name}
            here = [item for item in map(self._shown, sorted(places)) if item is not None]
        condition = arguments["KeyConditionExpression"]
        return here if condition == "pk = :pk" else list(filter(bound(condition, arguments), here))

    def _in_index(self, arguments: Arguments) -> list[Item]:
        assert arguments["IndexName"] == INDEX
        assert "ConsistentRead" not in arguments, "an index knows no consistent reads"
        changed = [self._shown(place) for place in list(self._former)]
        shown = [item for place, item in self._indexed.items() if place not in self._former]
        shown += [item for item in changed if item is not None and "session" in item]
        wanted = bound(arguments["KeyConditionExpression"], arguments)
        found = [{name: item[name] for name in _IN_INDEX} for item in shown if wanted(item)]
        return sorted(found, key=_index_order)

    def _shown(self, place: Place) -> Item | None:
        """What a read that may be stale sees."""
        former = self._former.get(place)
        if former is not None and former.until <= self._world.now:
            del self._former[place]
            former = None
        return self._at(place) if former is None or self._world.random.random() < 1 / 2 else former.item

    # Items

    def _at(self, place: Place) -> Item | None:
        return self.items[place.partition].get(place.sort)

    def _put(self, place: Place, item: Item) -> Answer:
        before = self._at(place)
        if before is None and place.partition.rpartition("/")[0].endswith("/session"):
            self._note(place, item)
        self._changed(place, before)
        self.items[place.partition][place.sort] = item
        if "session" in item:
            self._indexed[place] = item
        if "ttl" in item:
            dies = int(item["ttl"]["N"]) * SECOND
            self._mortal[place] = dies
            self._next_death = min(self._next_death, dies)
        else:
            self._mortal.pop(place, None)
        return {}

    def _drop(self, place: Place) -> Answer:
        before = self.items[place.partition].pop(place.sort, None)
        if before is not None:
            self._changed(place, before)
            self._indexed.pop(place, None)
            self._mortal.pop(place, None)
        return {}

    def _changed(self, place: Place, before: Item | None) -> None:
        if self._calm:
            self._former.pop(place, None)
            return
        lag = LAG if self._world.random.random() < _SOME else SECOND
        self._former[place] = _Former(before, self._world.now + int(lag * self._world.random.random()))

    def _note(self, place: Place, item: Item) -> None:
        """A record is durable; without a slot 0, nobody can see it."""
        slot = 0 if place.sort == SLOT_0 else int(place.sort)
        if slot == 0 or "gone" not in self.items[place.partition].get(SLOT_0, {"gone": True}):
            tenant, _, session = place.partition.rsplit("/", 2)
            self._written.note(JournalId(tenant, uuid_bytes("pk", session)), slot, item["data"]["B"])

    def _expire(self) -> None:
        """What is past its TTL goes, or stays for a while."""
        now = self._world.now
        if now < self._next_death:
            return
        for place in [place for place, dies in self._mortal.items() if dies <= now]:
            if self._world.random.random() < self.ttl_pace:
                self._drop(place)
        self._next_death = min(self._mortal.values(), default=1 << 62)


_IN_INDEX = ("pk", "sk", "tenant", "session")


def _place(item: Item) -> Place:
    return Place(item["pk"]["S"], item["sk"]["S"])


def _index_order(item: Item) -> tuple[bytes | str, ...]:
    return (item["session"]["B"], *_place(item))
