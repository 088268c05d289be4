"""Planted faults of the DynamoDB store: each a small change to what it asks for, or to what it makes of an answer.

test_dynamodb_mutants.py runs the checks that catch them.
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

from stepwell import gc, view
from stepwell.errors import CorruptJournal, OutcomeUnknown, Unavailable
from stepwell.io.server_time import ServerTime
from stepwell.journal.record import _FIELDS
from stepwell.stores import chunks, dynamodb, dynamodb_calls, dynamodb_items, s3_blobs
from stepwell.stores.base import JournalId, SlotTaken
from stepwell.stores.chunks import Chunks
from stepwell.stores.dynamodb import DynamoDBStore
from stepwell.stores.dynamodb_calls import Query, Refused, Table
from stepwell.stores.dynamodb_items import SLOT_0, Item
from stepwell.stores.moved_blobs import MovedBlobs
from stepwell.stores.s3_blobs import S3Blobs
from stepwell.stores.s3_bucket import Bucket
from stepwell.view import View
from tests.mutants.protocol import Mutant, constant, replaced

Arguments = dict[str, Any]


def _edited(wanted: str, edit: Callable[[Arguments], None]) -> AbstractContextManager[object]:
    """Let the store ask for something else in its calls of an operation."""

    def make(call: Callable[..., Awaitable[Any]]) -> object:
        async def called(self: Table, operation: str, arguments: Arguments, *, writes: bool) -> Any:
            if operation == wanted:
                arguments = {**arguments}
                edit(arguments)
            return await call(self, operation, arguments, writes=writes)

        return called

    return replaced(Table, "_call", make)


def _conditions(of: Callable[[Item], bool], condition: str | None) -> AbstractContextManager[object]:
    """Put some items on another condition, or on none."""

    def edit(arguments: Arguments) -> None:
        if of(arguments["Item"]):
            arguments.pop("ConditionExpression", None)
            if condition is not None:
                arguments["ConditionExpression"] = condition

    return _edited("put_item", edit)


def _is_record(item: Item) -> bool:
    return "/session/" in str(item["pk"]["S"])


def _is_slot_0(item: Item) -> bool:
    return str(item["sk"]["S"]) == SLOT_0


def _is_entry(item: Item) -> bool:
    return "version" in item


def _is_key(item: Item) -> bool:
    return "held_by" in item


def _inconsistent(arguments: Arguments) -> None:
    arguments.pop("ConsistentRead", None)


def _unconditional(arguments: Arguments) -> None:
    del arguments["ConditionExpression"]


def _if_there(arguments: Arguments) -> None:
    condition = arguments["ConditionExpression"]
    arguments["ConditionExpression"] = condition.replace("attribute_exists(#data)", "attribute_exists(pk)")


def _written_anyway(write_if: Callable[..., Awaitable[Refused | None]]) -> object:
    async def written(self: Table, operation: str, condition: str, **arguments: Any) -> None:
        await write_if(self, operation, condition, **arguments)

    return written


def _own_by_size(append: Callable[..., Awaitable[SlotTaken | None]]) -> object:
    async def appended(self: DynamoDBStore, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        taken = await append(self, journal, slot, record)
        return None if taken is not None and taken.winner and len(taken.winner) == len(record) else taken

    return appended


# Reading


async def _last_item(self: DynamoDBStore, journal: JournalId) -> bytes | None:
    asked = dynamodb._partition(dynamodb_items.session_partition(journal)) | {"ScanIndexForward": False, "Limit": 2}
    items = await self._table.query(asked).page()
    return dynamodb._record(items[-1]) if items else None


def _though_gone(record_of: Callable[..., Any]) -> object:
    def records(self: DynamoDBStore, items: Sequence[Item], first: int, last: int | None) -> Any:
        return record_of(
            self, [{name: held for name, held in item.items() if name != "gone"} for item in items], first, last
        )

    return records


def _but_slot_0(past: Callable[..., bool]) -> object:
    def is_past(self: DynamoDBStore, item: Item) -> bool:
        return not _is_slot_0(item) and past(self, item)

    return is_past


def _never(*_: object) -> bool:
    return False


def _no_refusal(*_: object, **kinds: bool) -> None:
    return None


def _one_page(page: Callable[..., Awaitable[list[Item]]]) -> object:
    async def first(self: Query) -> list[Item]:
        items = await page(self)
        self.more = False
        return items

    return first


async def _refreshed_anyway(self: View, now: Any, *, fresh: bool) -> Any:
    if self.state is not None and (fresh or now.seconds_since(self._began) >= view.VIEW_RENEW_SECONDS):
        await self._refresh(self.state)
    return self.state or await self.load()


def _backwards(hear: Callable[..., None]) -> object:
    def heard(self: ServerTime, answer: Any) -> None:
        self.latest = None
        self._date = ""
        hear(self, answer)

    return heard


# Taking away


def _as_a_new_item(arguments: Arguments) -> None:
    """For `update_item`: a change of the bytes alone that forgets the time to live."""
    if "erasures" in arguments["UpdateExpression"]:
        arguments["UpdateExpression"] += ", #ttl = :never"
        arguments["ExpressionAttributeNames"] = {**arguments["ExpressionAttributeNames"], "#ttl": "ttl"}
        values = arguments["ExpressionAttributeValues"]
        arguments["ExpressionAttributeValues"] = {**values, ":never": {"N": str(1 << 40)}}


def _slot_0_first(remove: Callable[..., Awaitable[None]]) -> object:
    async def removed(self: DynamoDBStore, journal: JournalId, below: int | None = None) -> None:
        if below is None:
            await self._table.write("delete_item", Key=dynamodb._slot_key(journal, 0))
        await remove(self, journal, below)

    return removed


def _without_a_mark(change: Callable[..., Awaitable[None]]) -> object:
    async def changed(self: DynamoDBStore, journal: JournalId, what: str, *rest: Any, **named: Any) -> None:
        if "gone" not in what:
            await change(self, journal, what, *rest, **named)

    return changed


async def _nothing_removed(self: object, journal: JournalId) -> None:
    pass


def _sent_once(delete: Callable[..., Awaitable[None]]) -> object:
    async def forgetful(self: Table, requests: list[Any]) -> None:
        batch = {"RequestItems": {self._options.table: requests}}
        await self._call("batch_write_item", batch, writes=True)

    return forgetful


def _stamped_anyway(arguments: Arguments) -> None:
    if arguments["UpdateExpression"] == "SET #ttl = :ttl":
        arguments["ConditionExpression"] = "attribute_exists(pk)"


async def _nothing_kept(self: DynamoDBStore, journal: JournalId, until: int) -> None:
    return None


def _its_time(data: bytes) -> int:
    fields = _FIELDS.unpack_from(data)
    return int(fields[9]) if fields[11] else 0


# Keys, blobs, errors


def _as_expected(swap: Callable[..., Awaitable[bytes | None]]) -> object:
    async def swapped(self: DynamoDBStore, *which: Any, expected: bytes | None) -> bytes | None:
        await swap(self, *which, expected=expected)
        return expected

    return swapped


def _empty_if_missing(get: Callable[..., Awaitable[bytes]]) -> object:
    async def got(self: object, journal: JournalId, name: str) -> bytes:
        try:
            return await get(self, journal, name)
        except CorruptJournal:
            return b""

    return got


def _first_in_the_index(chunk: Callable[..., Item]) -> object:
    def made(journal: JournalId, name: str, at: int, *rest: Any) -> Item:
        item = chunk(journal, name, at, *rest)
        return {key: held for key, held in item.items() if not at or key not in ("tenant", "session")}

    return made


def _is_chunk(item: Item) -> bool:
    return "chunks" in item and "data" in item


async def _over_what_is_there(self: Bucket, key: str, body: bytes, *, key_arn: str | None = None) -> str | None:
    return await self.put(key, body, key_arn=key_arn)


async def _the_object_alone(self: MovedBlobs, journal: JournalId, name: str) -> None:
    await self._blobs.blank(journal, name)


async def _the_first_chunk_alone(self: Chunks, journal: JournalId, name: str) -> None:
    await self._table.write("put_item", Item=chunks._blank_chunk(journal, name, 0, 1))


async def _not_blank(self: Chunks, journal: JournalId, name: str) -> bool:
    return False


def _page_of_a_bucket(pages: Callable[..., Any]) -> object:
    async def first(self: Bucket, prefix: str, **asked: Any) -> Any:
        async for page in pages(self, prefix, **asked):
            yield page
            return

    return first


def _surely_not(*names: str) -> Callable[[Callable[..., Exception]], object]:
    """What these errors mean is taken for "nothing was written"."""

    def make(translated: Callable[..., Exception]) -> object:
        def told(error: Exception, *, writes: bool, what: str) -> Exception:
            ours = translated(error, writes=writes, what=what)
            response: Mapping[str, Any] = getattr(error, "response", None) or {}
            code = response.get("Error", {}).get("Code", type(error).__name__)
            return Unavailable(str(ours)) if isinstance(ours, OutcomeUnknown) and code in names else ours

        return told

    return make


DYNAMODB: Mapping[str, Mutant] = {
    "a record is put on no condition": lambda: _conditions(_is_record, None),
    "a record is put on a condition of what most items lack": lambda: _conditions(
        _is_record, "attribute_not_exists(erasures)"
    ),
    "slot 0 is put on no condition": lambda: _conditions(_is_slot_0, None),
    "an entry is put whatever its version": lambda: _conditions(_is_entry, None),
    "a key is put without comparing": lambda: _conditions(_is_key, None),
    "a failed condition is told as a success": lambda: replaced(Table, "write_if", _written_anyway),
    "a winner of the same size is taken for one's own": lambda: replaced(DynamoDBStore, "append", _own_by_size),
    "queries are not consistent": lambda: _edited("query", _inconsistent),
    "reads of an item are not consistent": lambda: _edited("get_item", _inconsistent),
    "the head is the last item, whether slot 0 is there or not": lambda: patch.object(
        DynamoDBStore, "head", _last_item
    ),
    "a slot 0 that is to be removed is read": lambda: replaced(DynamoDBStore, "_records", _though_gone),
    "the first page is taken for all": lambda: replaced(Query, "page", _one_page),
    "a view of any age is read on from": lambda: patch.object(View, "current", _refreshed_anyway),
    "the time of replies goes backwards": lambda: replaced(ServerTime, "hear", _backwards),
    "an erasure has no condition": lambda: _edited("update_item", _unconditional),
    "an erasure brings a trimmed slot 0 back": lambda: _edited("update_item", _if_there),
    "an erasure changes the time to live": lambda: _edited("update_item", _as_a_new_item),
    "a removal takes slot 0 first": lambda: replaced(DynamoDBStore, "remove", _slot_0_first),
    "a removal does not say that it has begun": lambda: replaced(DynamoDBStore, "_change_slot_0", _without_a_mark),
    "a removal leaves the blobs": lambda: patch.object(Chunks, "remove_all", _nothing_removed),
    "what a batch left undone is forgotten": lambda: replaced(Table, "_delete", _sent_once),
    "what is past its time to live is there": lambda: constant((dynamodb,), "is_past", _never),
    "slot 0 is there past its time to live": lambda: replaced(DynamoDBStore, "_is_past", _but_slot_0),
    "items live no longer than their session": lambda: constant((dynamodb_items,), "LINGER_SECONDS", 0),
    "items live for a day, whatever the retention": lambda: constant((dynamodb,), "lasts_until", _its_time),
    "nothing is kept": lambda: patch.object(DynamoDBStore, "keep", _nothing_kept),
    "a shorter time to live replaces a longer one": lambda: _edited("update_item", _stamped_anyway),
    "what is missing of an expired session is told as a loss": lambda: constant((view,), "visible", _no_refusal),
    "gc leaves a purged session that is there in parts": lambda: constant((gc,), "_IN_PARTS", CorruptJournal),
    "a swap of a key tells what it expected": lambda: replaced(DynamoDBStore, "swap_key", _as_expected),
    "a blob that lacks a chunk is empty": lambda: replaced(Chunks, "get", _empty_if_missing),
    "an object that is gone is empty": lambda: replaced(S3Blobs, "get", _empty_if_missing),
    "a chunk is put over what is there": lambda: _conditions(_is_chunk, None),
    "an object is put over what is there": lambda: replaced(Bucket, "put_new", lambda _: _over_what_is_there),
    "the chunks of a blob are removed in place of being blanked": lambda: patch.object(Chunks, "blank", Chunks.remove),
    "an object is removed in place of being blanked": lambda: patch.object(S3Blobs, "blank", S3Blobs.remove),
    "only the first chunk is blanked": lambda: patch.object(Chunks, "blank", _the_first_chunk_alone),
    "a put behind a blank blob leaves what it wrote": lambda: patch.object(Chunks, "_is_blank", _not_blank),
    "a blob from before the bucket is not blanked": lambda: patch.object(MovedBlobs, "blank", _the_object_alone),
    "a blank object is taken for a blob": lambda: constant((s3_blobs,), "_is_blank", _never),
    "only the first chunk is in the index": lambda: replaced(chunks, "_chunk", _first_in_the_index),
    "the first page of a bucket is taken for all": lambda: replaced(Bucket, "pages", _page_of_a_bucket),
    "an internal error is told as a failure": lambda: replaced(
        dynamodb_calls, "translated", _surely_not("InternalServerError")
    ),
    "a timeout is told as a failure": lambda: replaced(dynamodb_calls, "translated", _surely_not("ReadTimeoutError")),
    "a damaged reply is told as a failure": lambda: replaced(
        dynamodb_calls, "translated", _surely_not("ChecksumError")
    ),
    "a connection that was closed is told as a failure": lambda: replaced(
        dynamodb_calls, "translated", _surely_not("ConnectionClosedError")
    ),
}
