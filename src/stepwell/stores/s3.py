"""S3: journals in segments, one PUT per append (s3_log.py); blobs, keys and entries are an object each.

    PREFIX/TENANT/sessions/SESSION/log/SLOT      a segment
    PREFIX/TENANT/sessions/SESSION/blobs/NAME
    PREFIX/TENANT/keys/DIGEST                    the session that a key names; empty for none
    PREFIX/LISTING/list/ID                       an entry: its id's bits turned round, so that S3 lists the newest first
    PREFIX/probe                                 empty: what a server that is not AWS's makes of conditions

Every write that depends on what is there says so (`If-Match`, `If-None-Match`), and S3 is strongly consistent in reads
and lists. Nothing expires by itself. Errors are translated where they arise; nothing is retried here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from hashlib import sha256

from stepwell.errors import Unavailable
from stepwell.ids import uuid_text
from stepwell.io.aws import Aws, AwsTarget, open_aws
from stepwell.io.ports import Ports, Tasks
from stepwell.journal.events import Created
from stepwell.journal.record import identity, open_record
from stepwell.stores.base import JournalId, ListingEntry, Remain, SlotTaken
from stepwell.stores.s3_blobs import S3Blobs, sessions_below
from stepwell.stores.s3_bucket import Bucket, Written
from stepwell.stores.s3_log import Log
from stepwell.stores.s3_options import S3Options, quoted
from stepwell.stores.small import FREED_BYTES, entry_data, entry_of, freed_data, key_data, key_session

INLINE_BYTES = 32 * 1024
"""A larger payload would be sent again with every append to its segment."""
ENTRIES_AT_ONCE = 16
SWAPS_MAX = 100
"""How often a key or an entry may be changed by others between a look at it and a write."""
_NAME = re.compile(r"[0-9a-f]{32}")


class S3Store:
    """See the module."""

    inline_bytes = INLINE_BYTES
    forgets = False
    sees_gaps = True
    copies: tuple[str, ...] = ("versions and replicas of the bucket",)

    def __init__(
        self, ports: Ports, options: S3Options, *, open_aws: Callable[[AwsTarget, Tasks], Aws] = open_aws
    ) -> None:
        place = options.place
        self.name = f"s3://{place.bucket}/{place.prefix}"
        self._begin = place.begin
        self._tasks = ports.tasks
        self._random = ports.random
        target = AwsTarget("s3", options.region, options.endpoint_url, options.given)
        self._bucket = Bucket(
            open_aws(target, ports.tasks),
            place.bucket,
            ports.tasks,
            owner=options.bucket_owner,
            written=Written(options.kms_key_arn, options.tags, options.storage_class),
            probe=f"{place.begin}probe",
        )
        self._log = Log(self._bucket, ports.tasks, self._folder, options.segment_bytes)
        self._blobs = S3Blobs(self._bucket, self._sessions, folder="blobs/", key_of=self._log.key_of)

    @property
    def server_time(self) -> int | None:
        """See `JournalStore`: the latest `Date` of a reply."""
        return self._bucket.server_time

    async def encrypts_with(self, key_arn: str) -> bool:
        """See `JournalStore`: each session with its own, which slot 0 names, if the server knows KMS keys."""
        return await self._bucket.honours(key_arn)

    # Journals

    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        """See `JournalStore`; one request where the journal's last segment is known."""
        return await self._log.append(journal, slot, record, _key_arn(journal, record) if slot == 0 else "")

    async def head(self, journal: JournalId) -> bytes | None:
        """See `JournalStore`."""
        return await self._log.head(journal)

    async def read(self, journal: JournalId, first: int, last: int | None = None) -> Sequence[bytes]:
        """See `JournalStore`."""
        return await self._log.read(journal, first, last)

    async def remains(self, journal: JournalId, place: int) -> Sequence[Remain]:
        """See `JournalStore`."""
        return await self._log.remains(journal, place)

    async def erase(self, journal: JournalId, slot: int, spans: Sequence[tuple[int, int]]) -> None:
        """See `JournalStore`."""
        await self._log.erase(journal, slot, spans)

    async def remove(self, journal: JournalId, below: int | None = None) -> None:
        """See `JournalStore`."""
        if below is None:
            await self._log.remove(journal)
        elif below:
            await self._log.trim(journal, below)

    async def journals(self, tenant: str, after: bytes | None, limit: int) -> Sequence[bytes]:
        """See `JournalStore`; one request for a thousand."""
        return await sessions_below(self._bucket, self._sessions(tenant), after, limit)

    async def keep(self, journal: JournalId, until: int) -> None:
        """Nothing expires by itself."""

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
        """See `JournalStore`; one request."""
        found = await self._bucket.get(self._key(tenant, key))
        return None if found is None else key_session(key, found.data)

    async def swap_key(self, tenant: str, key: str, session: bytes | None, *, expected: bytes | None) -> bytes | None:
        """See `JournalStore`; a PUT, and a GET before it unless nothing is expected. A freed key's object stays."""
        if expected is None and session is None:
            return await self.get_key(tenant, key)
        where = self._key(tenant, key)
        body = freed_data(self._random(FREED_BYTES)) if session is None else key_data(key, session)
        if expected is None and await self._bucket.put_new(where, body) is not None:
            return None
        for _ in range(SWAPS_MAX):
            found = await self._bucket.get(where)
            held = None if found is None else key_session(key, found.data)
            if held != expected:
                return held
            if found is not None and await self._bucket.put_over(where, body, found.etag) is not None:
                return expected
            if found is None and await self._bucket.put_new(where, body) is not None:
                return expected
        raise Unavailable("the key is given and taken again and again: try again")

    async def put_entry(self, listing: str, entry: ListingEntry) -> None:
        """See `JournalStore`; a GET and a PUT."""
        where = self._entry(listing, entry.session)
        body = entry_data(entry)
        for _ in range(SWAPS_MAX):
            found = await self._bucket.get(where)
            if found is None:
                written = await self._bucket.put_new(where, body)
            elif entry_of(entry.session, found.data).version > entry.version:
                return
            else:
                written = await self._bucket.put_over(where, body, found.etag)
            if written is not None:
                return
        raise Unavailable("others changed the same entry every time: try again")

    async def get_entry(self, listing: str, session: bytes) -> ListingEntry | None:
        """See `JournalStore`."""
        found = await self._bucket.get(self._entry(listing, session))
        return None if found is None else entry_of(session, found.data)

    async def remove_entry(self, listing: str, session: bytes) -> None:
        """See `JournalStore`."""
        await self._bucket.delete(self._entry(listing, session))

    async def entries(self, listing: str, before: bytes | None, limit: int) -> Sequence[ListingEntry]:
        """See `JournalStore`; a request, and one for each entry."""
        prefix = self._list(listing)
        found: list[ListingEntry] = []
        after = None if before is None else self._entry(listing, before)
        async for page in self._bucket.pages(prefix, after=after, MaxKeys=limit):
            names = [listed["Key"][len(prefix) :] for listed in page.get("Contents", ())]
            ids = [_turned(bytes.fromhex(name)) for name in names if _NAME.fullmatch(name)]
            while ids and len(found) < limit:
                calls = [self.get_entry(listing, one) for one in ids[: limit - len(found)]]
                del ids[: len(calls)]
                got = await self._tasks.gather(calls, width=ENTRIES_AT_ONCE)
                found += [entry for entry in got if entry is not None]  # others removed what is none
            if len(found) >= limit:
                break
        return found

    async def ping(self) -> None:
        """See `JournalStore`; one request, which writes nothing."""
        await self._bucket.ping(self._begin)

    async def aclose(self) -> None:
        """See `JournalStore`."""
        await self._bucket.aclose()

    # Names

    def _sessions(self, tenant: str) -> str:
        return f"{self._begin}{quoted(tenant)}sessions/"

    def _folder(self, journal: JournalId) -> str:
        return f"{self._sessions(journal.tenant)}{uuid_text(journal.session)}/"

    def _key(self, tenant: str, key: str) -> str:
        return f"{self._begin}{quoted(tenant)}keys/{sha256(key.encode()).hexdigest()}"

    def _list(self, listing: str) -> str:
        return f"{self._begin}{quoted(listing)}list/"

    def _entry(self, listing: str, session: bytes) -> str:
        return f"{self._list(listing)}{_turned(session).hex()}"


def _key_arn(journal: JournalId, record: bytes) -> str:
    """The KMS key that a session asks for in its first record."""
    for entry in open_record(record, identity(*journal)).entries:
        if entry is not None and isinstance(entry.event, Created):
            return entry.event.attributes.encryption_key_arn or ""
    return ""


_TURNED = bytes(range(255, -1, -1))


def _turned(session: bytes) -> bytes:
    """An id with its bits turned round: the greatest is the least, and the other way round."""
    return session.translate(_TURNED)
