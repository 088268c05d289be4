"""Calls on one DynamoDB table: looked at before the first, every error translated, the time of every reply noted.

Table     the calls
Query     one query, page by page
Refused   what a conditional write found instead
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from stepwell.errors import Throttled, Unavailable
from stepwell.io.aws import Aws
from stepwell.io.aws_errors import translated
from stepwell.io.fork import after_fork
from stepwell.io.ports import Tasks
from stepwell.stores import dynamodb_table as table
from stepwell.stores.dynamodb_items import Item
from stepwell.stores.dynamodb_options import DynamoDBOptions

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

DELETES_AT_ONCE = 25
"""Of one `BatchWriteItem`."""
UNPROCESSED_ROUNDS_MAX, UNPROCESSED_PAUSE_SECONDS = 6, 0.05
"""How often what a batch left undone is sent again, and the first pause before that; each is twice the one before."""
_FAILED = "ConditionalCheckFailedException"


class Refused(NamedTuple):
    """A condition did not hold; *item* is what lies there, if anything does."""

    item: Item | None


class Table:
    """Calls on one table, and the time that its replies told."""

    def __init__(self, aws: Aws, options: DynamoDBOptions, tasks: Tasks) -> None:
        self._aws = aws
        self._options = options
        self._tasks = tasks
        self._state: table.TableState | None = None
        self._unlock()
        after_fork(self._unlock)
        self._date = ""
        self.server_time: int | None = None

    def _unlock(self) -> None:
        self._lock = self._tasks.lock()

    async def state(self) -> table.TableState:
        """What the table is like; looked at once, before anything else.

        Raises:
            Unavailable: there is none.
            NotSupported: sessions would not be safe in it.
        """
        if self._state is None:
            async with self._lock:
                if self._state is None:
                    self._state = await self._look()
        return self._state

    async def _look(self) -> table.TableState:
        name, home = self._options.table, self._options.home_region
        if self._options.create:
            await table.provision(self._aws, name, home_region=home, sleep=self._tasks.sleep)
        described = await self._call("describe_table", {"TableName": name}, writes=False)
        state = table.check(described["Table"], home_region=home)
        if state.status == "CREATING" or state.index_status == "CREATING":
            raise Unavailable(f"DynamoDB table {name} is being made: try again")
        return state

    async def read(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """A call that changes nothing."""
        return await self._ready(operation, arguments, writes=False)

    async def write(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """A call that writes, without a condition.

        Raises:
            OutcomeUnknown: it may have written, or not.
        """
        return await self._ready(operation, arguments, writes=True)

    async def write_if(self, operation: str, condition: str, **arguments: Any) -> Refused | None:
        """A call that writes one item if a condition on what is there holds; None when it did.

        Raises:
            OutcomeUnknown: it may have written, or not.
        """
        conditional = {"ConditionExpression": condition, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        try:
            await self._ready(operation, arguments | conditional, writes=True)
        except _ConditionFailed as failed:
            return Refused(failed.item)
        return None

    def query(self, arguments: Mapping[str, Any]) -> Query:
        """A query, which nobody has asked yet."""
        return Query(self, dict(arguments))

    async def delete_all(self, keys: Sequence[Item]) -> None:
        """Delete items by their keys.

        Raises:
            Throttled: some are left: call again.
        """
        await self.state()
        for at in range(0, len(keys), DELETES_AT_ONCE):
            await self._delete([{"DeleteRequest": {"Key": key}} for key in keys[at : at + DELETES_AT_ONCE]])

    async def _delete(self, requests: list[Item]) -> None:
        """A batch, and what is left of it: DynamoDB leaves some where a partition has had enough for now."""
        name, pause = self._options.table, UNPROCESSED_PAUSE_SECONDS
        for _ in range(UNPROCESSED_ROUNDS_MAX):
            answer = await self._call("batch_write_item", {"RequestItems": {name: requests}}, writes=True)
            left: list[Item] = answer.get("UnprocessedItems", {}).get(name, [])
            if not left:
                return
            requests = left
            await self._tasks.sleep(pause)
            pause *= 2
        raise Throttled("DynamoDB asks for a pause while items are deleted")

    async def _ready(self, operation: str, arguments: dict[str, Any], *, writes: bool) -> dict[str, Any]:
        if self._state is None:
            await self.state()
        return await self._call(operation, {"TableName": self._options.table, **arguments}, writes=writes)

    async def _call(self, operation: str, arguments: dict[str, Any], *, writes: bool) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError  # a client that is not used yet loads no botocore

        try:
            answer = await self._aws.call(operation, **arguments)
        except ClientError as error:
            self._hear(error.response)
            if error.response.get("Error", {}).get("Code") == _FAILED:
                raise _ConditionFailed(_item_of(error)) from error
            raise translated(error, writes=writes, what=self._what(operation)) from error
        except BotoCoreError as error:
            raise translated(error, writes=writes, what=self._what(operation)) from error
        self._hear(answer)
        return answer

    def _what(self, operation: str) -> str:
        return f"{operation} on DynamoDB table {self._options.table}"

    def _hear(self, answer: Any) -> None:
        """Note the time of a reply of the service's own; most come in the same second as the one before.

        A reply without a request's id is a proxy's, whatever time it tells: sessions would be over by it.
        """
        metadata = answer.get("ResponseMetadata", {})
        date = metadata.get("HTTPHeaders", {}).get("date", "")
        if date and date != self._date and metadata.get("RequestId"):
            self._date = date
            try:
                told = _microseconds(date)
            except ValueError:
                return  # a proxy's, or an emulator's
            self.server_time = max(told, self.server_time or 0)

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._aws.aclose()


class Query:
    """`while query.more: items = await query.page()`."""

    def __init__(self, table: Table, arguments: dict[str, Any]) -> None:
        self._table = table
        self._arguments = arguments
        self.more = True

    async def page(self) -> list[Item]:
        """The next page, which may be empty though more follow."""
        answer = await self._table.read("query", **self._arguments)
        self._arguments["ExclusiveStartKey"] = answer.get("LastEvaluatedKey")
        self.more = answer.get("LastEvaluatedKey") is not None
        items: list[Item] = answer["Items"]
        return items


@lru_cache(maxsize=256)
def _microseconds(date: str) -> int:
    """Since 1970; many tables hear of the same second.

    Raises:
        ValueError: it is no date.
    """
    return int(parsedate_to_datetime(date).timestamp()) * 1_000_000


def _item_of(error: ClientError) -> Item | None:
    response: dict[str, Any] = {**error.response}
    return response.get("Item")


class _ConditionFailed(Exception):  # never leaves this module
    def __init__(self, item: Item | None) -> None:
        super().__init__()
        self.item = item
