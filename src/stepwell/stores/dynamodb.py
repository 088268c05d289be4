"""DynamoDB: one conditional `PutItem` per append.

A slot is an item, written on the condition that it is not there; who loses is sent the winner (`ALL_OLD`), so a
conflict costs no read. The table is described in dynamodb_items.py. Slot 0 sorts behind the others, so that one query
of the last two says what the head is and that the journal is there: what a writer that was frozen for days leaves
behind a removed journal is nobody's. All reads are consistent but those of the index, which only says where `gc` has to
look.

What is past its TTL is not there, whether DynamoDB has removed it or not, and in whatever order it does.

Errors are translated where they arise (io/aws_errors.py); nothing is retried here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from stepwell.errors import LimitExceeded, NotSupported, StaleStore, Unavailable
from stepwell.ids import uuid_bytes, uuid_text
from stepwell.io.aws import Aws, AwsTarget, open_aws
from stepwell.io.ports import Ports, Tasks
from stepwell.journal.record import ERASED, lasts_until
from stepwell.stores.base import SHORT_READ_BYTES, JournalId, ListingEntry, Remain, SlotTaken
from stepwell.stores.blobs import Blobs
from stepwell.stores.chunks import CHUNK_BYTES, Chunks
from stepwell.stores.dynamodb_calls import Refused, Table
from stepwell.stores.dynamodb_items import (
    INDEX,
    ITEM_MAX_BYTES,
    LEAST,
    MOST,
    SLOT_0,
    TTL_ATTRIBUTE,
    Item,
    binary,
    expiry_seconds,
    is_past,
    item_size,
    key_partition,
    list_partition,
    number,
    record_item,
    session_partition,
    slot_text,
    text,
)
from stepwell.stores.dynamodb_options import DynamoDBOptions
from stepwell.stores.moved_blobs import MovedBlobs
from stepwell.stores.s3_blobs import S3Blobs
from stepwell.stores.s3_bucket import Bucket
from stepwell.stores.s3_options import quoted

INLINE_BYTES = 256 * 1024
INLINE_BYTES_BESIDE_S3 = 8 * 1024
"""From here on a `PutObject` costs less than the write units of an item (docs/dynamodb.md)."""
STAMPS_AT_ONCE = 16
SEEN_MAX, SEEN_BYTES = 256, 8 * 1024
"""Journals whose slot 0 is remembered from a `head` until the `read` behind it, and how large it may be for that."""
ERASURES_MAX = 100
"""How often one erasure may be overtaken by others of the same record."""
SWAPS_MAX = 100
"""How often a key may be freed or taken between a swap that failed and a look at why."""
_ABSENT = "attribute_not_exists(pk)"
_PRESENT = "attribute_exists(pk)"
_RECORD = "attribute_exists(#data)"


class DynamoDBStore:
    """See the module."""

    forgets = True
    sees_gaps = False

    def __init__(
        self,
        ports: Ports,
        options: DynamoDBOptions,
        *,
        open_aws: Callable[[AwsTarget, Tasks], Aws] = open_aws,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self.name = f"dynamodb://{options.table}"
        self._ports = ports
        self._seen: OrderedDict[JournalId, bytes] = OrderedDict()
        target = AwsTarget("dynamodb", options.region, options.endpoint_url, options.given)
        self._table = Table(open_aws(target, ports.tasks), options, ports.tasks)
        chunks = Chunks(self._table, ports.tasks, chunk_bytes)
        self._blobs: Blobs = chunks
        self.inline_bytes = INLINE_BYTES
        self.copies: tuple[str, ...] = ("point-in-time recovery and backups of the table",)
        if options.blobs is not None:
            s3 = open_aws(AwsTarget("s3", options.region, None, options.given), ports.tasks)
            begin = options.blobs.begin
            objects = S3Blobs(Bucket(s3, options.blobs.bucket, ports.tasks), lambda tenant: f"{begin}{quoted(tenant)}")
            self._blobs = MovedBlobs(objects, older=chunks)
            self.inline_bytes = INLINE_BYTES_BESIDE_S3
            self.copies += ("versions and replicas of the bucket",)

    @property
    def server_time(self) -> int | None:
        """See `JournalStore`: the latest `Date` of a reply."""
        return self._table.server_time

    async def encrypts_with(self, key_arn: str) -> bool:
        """See `JournalStore`.

        Raises:
            NotSupported: it does not; DynamoDB encrypts a table with one key.
        """
        ours = (await self._table.state()).kms_key_arn
        if ours != key_arn:
            raise NotSupported(
                f"encryption_key_arn: {self.name} is encrypted with {ours or 'a key that AWS owns'}, as it was chosen "
                "when the table was made: leave the key out, or use a table that has it"
            )
        return True

    # Journals

    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        """See `JournalStore`; one request. A gap before *slot* is not seen."""
        item = record_item(journal, slot, record, lasts_until(record))
        if (size := item_size(item)) > ITEM_MAX_BYTES:
            raise LimitExceeded(f"the record makes an item of {size} bytes, DynamoDB's limit is {ITEM_MAX_BYTES}")
        refused = await self._table.write_if("put_item", _ABSENT, Item=item)
        if refused is None:
            return None
        return SlotTaken(None if refused.item is None else _record(refused.item))

    async def head(self, journal: JournalId) -> bytes | None:
        """See `JournalStore`; one request."""
        last_two = {"ScanIndexForward": False, "Limit": 2}
        items = await self._table.query(_partition(session_partition(journal)) | last_two).page()
        if not items or items[0]["sk"]["S"] != SLOT_0 or "gone" in items[0] or any(map(self._is_past, items)):
            return None
        self._see(journal, _record(items[0]))
        return _record(items[-1])

    def _see(self, journal: JournalId, first: bytes | None) -> None:
        """Remember what slot 0 holds: nothing where the journal was trimmed."""
        self._seen.pop(journal, None)
        if first is not None and len(first) <= SEEN_BYTES:
            self._seen[journal] = first
            while len(self._seen) > SEEN_MAX:
                self._seen.popitem(last=False)

    async def read(self, journal: JournalId, first: int, last: int | None = None) -> Sequence[bytes]:
        """See `JournalStore`; one request for each MB. Slot 0 is that of the latest `head` where it is not beside."""
        if last is not None and last < first:
            return ()
        if first == 0:
            return await self._read_all(journal, last)
        return await self._read(journal, first, last)

    async def _read_all(self, journal: JournalId, last: int | None) -> Sequence[bytes]:
        seen = self._seen.pop(journal, None)
        if last == 0:
            return await self._slot_0(journal)
        query = self._table.query(_partition(session_partition(journal)))
        items = await query.page()
        if items and items[-1]["sk"]["S"] == SLOT_0:
            begin = self._records(items[-1:], 0, last)
            items = items[:-1]
        else:
            begin = await self._slot_0(journal) if seen is None or not query.more else [seen]
        records = begin + self._records(items, 1, last) if begin else begin
        if query.more and len(records) > len(items) and sum(map(len, records)) < SHORT_READ_BYTES:
            records += await self._read(journal, len(records), last)
        return records

    async def _slot_0(self, journal: JournalId) -> list[bytes]:
        item = await self._get(_slot_key(journal, 0))
        return [] if item is None else self._records([item], 0, None)

    async def _read(self, journal: JournalId, first: int, last: int | None) -> list[bytes]:
        records: list[bytes] = []
        size, query = 0, self._table.query(_slots(journal, first, last))
        while query.more and size < SHORT_READ_BYTES:
            items = await query.page()
            records += self._records(items, first + len(records), last)
            if len(records) < len(items):
                break
            size = sum(map(len, records))
        return records

    def _records(self, items: Sequence[Item], first: int, last: int | None) -> list[bytes]:
        """The records from *first* to *last*; what lies behind a gap belongs to nobody."""
        records: list[bytes] = []
        for slot, item in enumerate(items, first):
            record = _record(item)
            if item["sk"]["S"] != slot_text(slot) or record is None or "gone" in item or self._is_past(item):
                break
            if last is not None and slot > last:
                break
            records.append(record)
        return records

    async def remains(self, journal: JournalId, place: int) -> Sequence[Remain]:
        """See `JournalStore`; a place is a slot."""
        first = [] if place else [item for item in [await self._get(_slot_key(journal, 0))] if item and "data" in item]
        query = self._table.query(_slots(journal, place, None))
        while query.more:
            if items := [*first, *await query.page()]:
                return [_remain(item) for item in items]
        return ()

    async def erase(self, journal: JournalId, slot: int, spans: Sequence[tuple[int, int]]) -> None:
        """See `JournalStore`; a read, and a write of the bytes alone if nobody else has erased since."""
        key = _slot_key(journal, slot)
        for _ in range(ERASURES_MAX):
            item = await self._get(key)
            before = None if item is None else _record(item)
            if item is None or before is None:
                raise StaleStore(f"slot {slot} is gone")
            record = _erased(before, spans)
            if record == before:
                return
            seen = int(item.get("erasures", number(0))["N"])
            known = {":seen": number(seen)} if seen else {}
            refused = await self._table.write_if(
                "update_item",
                f"{_RECORD} AND erasures = :seen" if seen else f"{_RECORD} AND attribute_not_exists(erasures)",
                Key=key,
                UpdateExpression="SET #data = :data, erasures = :next",
                ExpressionAttributeNames={"#data": "data"},
                ExpressionAttributeValues={":data": binary(record), ":next": number(seen + 1), **known},
            )
            if refused is None:
                return
        raise Unavailable("other erasures of the same record were faster every time: try again")

    async def remove(self, journal: JournalId, below: int | None = None) -> None:
        """See `JournalStore`. Slot 0 is as good as gone first, and goes last: what is left over can be found by it."""
        if below is None:
            await self._change_slot_0(journal, "SET gone = :true", {":true": {"BOOL": True}})
            await self._delete(_slots(journal, 1, None))
            await self._blobs.remove_all(journal)
            await self._table.write("delete_item", Key=_slot_key(journal, 0))
        elif below:
            if not await self._table.query(_slots(journal, below, None) | {"Limit": 1}).page():
                raise StaleStore(f"slot {below} is gone")
            await self._change_slot_0(journal, "REMOVE #data", names={"#data": "data"})
            if below > 1:
                await self._delete(_slots(journal, 1, below - 1))

    async def _change_slot_0(
        self, journal: JournalId, change: str, values: Item | None = None, names: dict[str, str] | None = None
    ) -> None:
        named = {"ExpressionAttributeNames": names} if names else {}
        valued = {"ExpressionAttributeValues": values} if values else {}
        key = _slot_key(journal, 0)
        await self._table.write_if("update_item", _PRESENT, Key=key, UpdateExpression=change, **named, **valued)

    async def _delete(self, slots: dict[str, Any]) -> None:
        query = self._table.query(slots | {"ProjectionExpression": "pk, sk"})
        while query.more:
            await self._table.delete_all(await query.page())

    async def journals(self, tenant: str, after: bytes | None, limit: int) -> Sequence[bytes]:
        """See `JournalStore`; from the index, which is seconds behind at most."""
        query = self._table.query(_index(tenant, after) | {"Limit": limit})
        found: set[bytes] = set()
        while query.more and len(found) < limit:
            found.update(item["session"]["B"] for item in await query.page())
        found.update(await self._blobs.sessions(tenant, after, limit))
        return sorted(found)[:limit]

    async def keep(self, journal: JournalId, until: int) -> None:
        """See `JournalStore`; others may append meanwhile: what they write lasts longer by itself."""
        expiry = number(expiry_seconds(until))
        shorter = {
            "FilterExpression": "#ttl < :ttl",
            "ProjectionExpression": "pk, sk",
            "ExpressionAttributeNames": {"#ttl": TTL_ATTRIBUTE},
        }
        query = self._table.query(_partition(session_partition(journal), {":ttl": expiry}) | shorter)
        while query.more:
            stamps = [self._stamp(key, expiry) for key in await query.page()]
            await self._ports.tasks.gather(stamps, width=STAMPS_AT_ONCE)

    async def _stamp(self, key: Item, expiry: dict[str, str]) -> None:
        await self._table.write_if(
            "update_item",
            f"{_PRESENT} AND #ttl < :ttl",
            Key=key,
            UpdateExpression="SET #ttl = :ttl",
            ExpressionAttributeNames={"#ttl": TTL_ATTRIBUTE},
            ExpressionAttributeValues={":ttl": expiry},
        )

    def _is_past(self, item: Item) -> bool:
        # By DynamoDB's own time, which is what it removes by: a fast clock here must not hide what is there.
        return is_past(item, self._table.server_time or self._ports.clock.wall())

    async def _get(self, key: Item) -> Item | None:
        found = await self._table.read("get_item", Key=key, ConsistentRead=True)
        item: Item | None = found.get("Item")
        return item

    # Blobs

    def check_blob(self, size: int) -> None:
        """See `JournalStore`."""
        self._blobs.check(size)

    async def put_blob(self, journal: JournalId, name: str, data: bytes) -> None:
        """See `JournalStore`."""
        await self._blobs.put(journal, name, data)

    async def get_blob(self, journal: JournalId, name: str) -> bytes:
        """See `JournalStore`."""
        return await self._blobs.get(journal, name)

    async def copy_blob(self, source: JournalId, name: str, target: JournalId) -> None:
        """See `JournalStore`."""
        await self._blobs.copy(source, name, target)

    async def blobs(self, journal: JournalId) -> Sequence[str]:
        """See `JournalStore`."""
        return await self._blobs.names(journal)

    async def blank_blob(self, journal: JournalId, name: str) -> None:
        """See `JournalStore`."""
        await self._blobs.blank(journal, name)

    async def remove_blob(self, journal: JournalId, name: str) -> None:
        """See `JournalStore`."""
        await self._blobs.remove(journal, name)

    # Keys and lists

    async def get_key(self, tenant: str, key: str) -> bytes | None:
        """See `JournalStore`."""
        return _named(await self._get(_key(tenant, key)))

    async def swap_key(self, tenant: str, key: str, session: bytes | None, *, expected: bytes | None) -> bytes | None:
        """See `JournalStore`; one request."""
        if expected is None and session is None:
            return await self.get_key(tenant, key)
        for _ in range(SWAPS_MAX):
            refused = await self._swap_key(_key(tenant, key), session, expected)
            if refused is None:
                return expected
            held = _named(refused.item) if refused.item is not None else await self.get_key(tenant, key)
            if held != expected:
                return held
        raise Unavailable("the key is given and taken again and again: try again")

    async def _swap_key(self, where: Item, session: bytes | None, expected: bytes | None) -> Refused | None:
        condition = _ABSENT if expected is None else "held_by = :expected"
        values = {} if expected is None else {"ExpressionAttributeValues": {":expected": binary(expected)}}
        if session is None:
            return await self._table.write_if("delete_item", condition, Key=where, **values)
        return await self._table.write_if("put_item", condition, Item=where | {"held_by": binary(session)}, **values)

    async def put_entry(self, listing: str, entry: ListingEntry) -> None:
        """See `JournalStore`."""
        item = _entry_key(listing, entry.session) | {"version": number(entry.version), "data": binary(entry.data)}
        values = {":version": number(entry.version)}
        condition = f"{_ABSENT} OR version <= :version"
        await self._table.write_if("put_item", condition, Item=item, ExpressionAttributeValues=values)

    async def get_entry(self, listing: str, session: bytes) -> ListingEntry | None:
        """See `JournalStore`."""
        item = await self._get(_entry_key(listing, session))
        return None if item is None else _entry(item)

    async def remove_entry(self, listing: str, session: bytes) -> None:
        """See `JournalStore`."""
        await self._table.write("delete_item", Key=_entry_key(listing, session))

    async def entries(self, listing: str, before: bytes | None, limit: int) -> Sequence[ListingEntry]:
        """See `JournalStore`."""
        query = _partition(list_partition(listing))
        if before is not None:
            query["KeyConditionExpression"] += " AND sk < :before"
            query["ExpressionAttributeValues"][":before"] = text(uuid_text(before))
        pages = self._table.query(query | {"ScanIndexForward": False, "Limit": limit})
        found: list[ListingEntry] = []
        while pages.more and len(found) < limit:
            found += map(_entry, await pages.page())
        return found[:limit]

    async def ping(self) -> None:
        """See `JournalStore`; it describes the table the first time, and reads an item that is not there."""
        await self._get({"pk": text("/ping"), "sk": text("-")})
        await self._blobs.ping()

    async def aclose(self) -> None:
        """See `JournalStore`."""
        await self._table.aclose()
        await self._blobs.aclose()


def _partition(partition: str, values: Item | None = None) -> dict[str, Any]:
    """A query of a whole partition."""
    return {
        "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": {":pk": text(partition)} | (values or {}),
        "ConsistentRead": True,
    }


def _slots(journal: JournalId, first: int, last: int | None) -> dict[str, Any]:
    """A query of a journal's records, all but slot 0."""
    ends = {
        ":first": text(slot_text(first) if first else LEAST),
        ":last": text(MOST if last is None else slot_text(last)),
    }
    query = _partition(session_partition(journal), ends)
    query["KeyConditionExpression"] += " AND sk BETWEEN :first AND :last"
    return query


def _index(tenant: str, after: bytes | None) -> dict[str, Any]:
    """A query of the index: what is stored of a tenant's sessions above *after*."""
    if after is None:
        return {
            "IndexName": INDEX,
            "KeyConditionExpression": "tenant = :tenant",
            "ExpressionAttributeValues": {":tenant": text(tenant)},
        }
    return {
        "IndexName": INDEX,
        "KeyConditionExpression": "tenant = :tenant AND #session > :after",
        "ExpressionAttributeNames": {"#session": "session"},
        "ExpressionAttributeValues": {":tenant": text(tenant), ":after": binary(after)},
    }


def _slot_key(journal: JournalId, slot: int) -> Item:
    return {"pk": text(session_partition(journal)), "sk": text(slot_text(slot))}


def _record(item: Item) -> bytes | None:
    """An item's record; slot 0 of a trimmed journal has none."""
    record: bytes | None = item.get("data", {}).get("B")
    return record


def _remain(item: Item) -> Remain:
    record, sort = _record(item) or b"", item["sk"]["S"]
    return Remain(0 if sort == SLOT_0 else int(sort), record, "" if record else "an item without bytes")


def _erased(record: bytes, spans: Sequence[tuple[int, int]]) -> bytes:
    changed = bytearray(record)
    for offset, size in spans:
        changed[offset : offset + size] = ERASED * size
    return bytes(changed)


def _key(tenant: str, key: str) -> Item:
    return {"pk": text(key_partition(tenant, key)), "sk": text("key")}


def _named(item: Item | None) -> bytes | None:
    return None if item is None else item["held_by"]["B"]


def _entry_key(listing: str, session: bytes) -> Item:
    return {"pk": text(list_partition(listing)), "sk": text(uuid_text(session))}


def _entry(item: Item) -> ListingEntry:
    session = uuid_bytes("sk", item["sk"]["S"])
    return ListingEntry(session, int(item["version"]["N"]), item["data"]["B"])
