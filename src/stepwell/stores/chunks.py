"""Blobs as items: cut into chunks, each of which says how many there are.

Every chunk is in the index: whichever of them a crash leaves behind, or a put that arrives late brings back, is found.
A blob that lacks a chunk was never named by a record: it is put as a whole before the record is. A blank one consists
of chunks without bytes. No put replaces a chunk, so that one which arrives late changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from stepwell.errors import CorruptJournal, LimitExceeded
from stepwell.io.ports import Tasks
from stepwell.stores.base import JournalId
from stepwell.stores.dynamodb_calls import Query, Table
from stepwell.stores.dynamodb_items import INDEX, Item, binary, blobs_partition, index_attributes, number, text

CHUNK_BYTES = 384 * 1024
BLOB_MAX_BYTES = 4 * 1024 * 1024
CHUNKS_AT_ONCE = 4
_ABSENT = "attribute_not_exists(pk)"
_LAST_CHUNK = "~"  # sorts behind every number


class Chunks:
    """See the module, and `Blobs`."""

    def __init__(self, table: Table, tasks: Tasks, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._table = table
        self._chunk_bytes = chunk_bytes
        self._tasks = tasks

    def check(self, size: int) -> None:
        """Refuse what makes too many chunks."""
        if size > BLOB_MAX_BYTES:
            raise LimitExceeded(
                f"content: a payload of {size} bytes, the limit BLOB_MAX_BYTES is {BLOB_MAX_BYTES}; "
                "with ?blobs=s3://bucket/prefix in the URL there is none"
            )

    async def put(self, journal: JournalId, name: str, data: bytes) -> None:
        """Each chunk is an item; one that is there already stays as it is."""
        self.check(len(data))
        cuts = range(0, len(data), self._chunk_bytes)
        parts = [data[at : at + self._chunk_bytes] for at in cuts] or [b""]
        items = [_chunk(journal, name, at, len(parts), part) for at, part in enumerate(parts)]
        put = await self._tasks.gather([self._put(item) for item in items], width=CHUNKS_AT_ONCE)
        if not all(put) and await self._is_blank(journal, name):
            await self.blank(journal, name)  # whoever blanked it found no chunk, and could not tell how many there are

    async def _put(self, item: Item) -> bool:
        return await self._table.write_if("put_item", _ABSENT, Item=item) is None

    async def _is_blank(self, journal: JournalId, name: str) -> bool:
        without_bytes = {
            "ConsistentRead": True,
            "FilterExpression": "attribute_not_exists(#data)",
            "ProjectionExpression": "pk, sk",
            "ExpressionAttributeNames": {"#data": "data"},
        }
        query = self._chunks(journal, name, without_bytes)
        while query.more:
            if await query.page():
                return True
        return False

    async def get(self, journal: JournalId, name: str) -> bytes:
        """One request for each MB."""
        query = self._chunks(journal, name, {"ConsistentRead": True})
        parts: list[bytes] = []
        count = 1
        while query.more:
            for item in await query.page():
                if item["sk"]["S"] != _sort(name, len(parts)) or "data" not in item:
                    break
                parts.append(item["data"]["B"])
                count = int(item["chunks"]["N"])
        if len(parts) != count:
            raise CorruptJournal("a blob is gone; one that was written with ?blobs= in the URL is read with it too")
        return b"".join(parts)

    async def copy(self, source: JournalId, name: str, target: JournalId) -> None:
        """Through here: DynamoDB copies nothing by itself."""
        await self.put(target, name, await self.get(source, name))

    async def names(self, journal: JournalId) -> Sequence[str]:
        """From the index, which holds no bytes, so that a look is cheap."""
        session = {
            "IndexName": INDEX,
            "KeyConditionExpression": "tenant = :tenant AND #session = :session",
            "ExpressionAttributeNames": {"#session": "session"},
            "ExpressionAttributeValues": {
                ":tenant": text(journal.tenant),
                ":session": binary(journal.session),
            },
        }
        query, partition = self._table.query(session), blobs_partition(journal)
        names: list[str] = []
        while query.more:
            names += [item["sk"]["S"].partition("/")[0] for item in await query.page() if item["pk"]["S"] == partition]
        return list(dict.fromkeys(names))

    async def blank(self, journal: JournalId, name: str) -> None:
        """Every chunk is replaced by one without bytes, also those that are missing; the first takes the name."""
        query = self._chunks(journal, name, {"ConsistentRead": True, "ProjectionExpression": "pk, sk, chunks"})
        count = 1
        while query.more:
            count = max([count, *(int(item["chunks"]["N"]) for item in await query.page())])
        items = [_blank_chunk(journal, name, at, count) for at in range(count)]
        calls = [self._table.write("put_item", Item=item) for item in items]
        await self._tasks.gather(calls, width=CHUNKS_AT_ONCE)

    async def remove(self, journal: JournalId, name: str) -> None:
        """Whichever of its chunks are there."""
        await self._remove(self._chunks(journal, name, {"ConsistentRead": True, "ProjectionExpression": "pk, sk"}))

    async def remove_all(self, journal: JournalId) -> None:
        """All that lies in the partition, in one query."""
        every = {
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": text(blobs_partition(journal))},
            "ConsistentRead": True,
            "ProjectionExpression": "pk, sk",
        }
        await self._remove(self._table.query(every))

    async def _remove(self, query: Query) -> None:
        while query.more:
            await self._table.delete_all(await query.page())

    def _chunks(self, journal: JournalId, name: str, options: Item) -> Query:
        ends = {":first": text(_sort(name, 0)), ":last": text(f"{name}/{_LAST_CHUNK}")}
        chunks = {
            "KeyConditionExpression": "pk = :pk AND sk BETWEEN :first AND :last",
            "ExpressionAttributeValues": {":pk": text(blobs_partition(journal)), **ends},
        }
        return self._table.query(chunks | options)

    async def sessions(self, tenant: str, after: bytes | None, limit: int) -> Sequence[bytes]:
        """None beyond those in the index."""
        return ()

    async def ping(self) -> None:
        """The table is asked anyway."""

    async def aclose(self) -> None:
        """The table is not ours to close."""


def _sort(name: str, at: int) -> str:
    return f"{name}/{at:04d}"


def _chunk(journal: JournalId, name: str, at: int, count: int, data: bytes) -> Item:
    return {**_blank_chunk(journal, name, at, count), "data": binary(data)}


def _blank_chunk(journal: JournalId, name: str, at: int, count: int) -> Item:
    return {
        "pk": text(blobs_partition(journal)),
        "sk": text(_sort(name, at)),
        "chunks": number(count),
        **index_attributes(journal),
    }
