"""Blobs as objects in S3, one for each, in a folder of their session's.

A put writes only where nothing lies: a name is only ever given the same bytes, and a blank blob, an empty object that
says so in its metadata, stays blank. What a crash leaves behind is found by listing the folder.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

from stepwell.errors import CorruptJournal, InvalidRequest
from stepwell.ids import uuid_bytes, uuid_text
from stepwell.stores.base import JournalId
from stepwell.stores.s3_bucket import Bucket

_BLANK = {"stepwell": "blank"}

KeyOf: TypeAlias = Callable[[JournalId], Awaitable[str | None]]
"""The KMS key of a session's own, if it has one."""


async def no_key(journal: JournalId) -> str | None:
    """Sessions have no keys of their own."""
    return None


class S3Blobs:
    """See the module, and `Blobs`. *tenant* is where a tenant's sessions lie, *folder* a session's blobs below that."""

    def __init__(
        self, bucket: Bucket, tenant: Callable[[str], str], *, folder: str = "", key_of: KeyOf = no_key
    ) -> None:
        self._bucket = bucket
        self._tenant = tenant
        self._folder = folder
        self._key_of = key_of

    def check(self, size: int) -> None:
        """A `PutObject` takes 5 GB, far more than a step."""

    async def put(self, journal: JournalId, name: str, data: bytes) -> None:
        """One request."""
        await self._bucket.put_new(self._name(journal, name), data, key_arn=await self._key_of(journal))

    async def get(self, journal: JournalId, name: str) -> bytes:
        """One request."""
        found = await self._bucket.get(self._name(journal, name))
        if found is None or _is_blank(found.metadata):
            raise CorruptJournal("a blob is gone")
        return found.data

    async def copy(self, source: JournalId, name: str, target: JournalId) -> None:
        """S3 copies it; its bytes do not come through here. Whether it was blank, only the copy tells for sure."""
        there = self._name(target, name)
        copied = await self._bucket.copy(self._name(source, name), there, key_arn=await self._key_of(target))
        metadata = await self._bucket.metadata(there) if copied else None
        if metadata is None or _is_blank(metadata):
            if copied:
                await self._bucket.delete(there)
            raise CorruptJournal("a blob is gone")

    async def names(self, journal: JournalId) -> Sequence[str]:
        """A thousand with each request."""
        return await self._bucket.names(self._name(journal, ""))

    async def blank(self, journal: JournalId, name: str) -> None:
        """One request."""
        key_arn = await self._key_of(journal)
        await self._bucket.put(self._name(journal, name), b"", key_arn=key_arn, metadata=_BLANK)

    async def remove(self, journal: JournalId, name: str) -> None:
        """One request."""
        await self._bucket.delete(self._name(journal, name))

    async def remove_all(self, journal: JournalId) -> None:
        """A thousand with each request, and those are listed before."""
        folder = self._name(journal, "")
        await self._bucket.delete_all([folder + name for name in await self._bucket.names(folder)])

    async def sessions(self, tenant: str, after: bytes | None, limit: int) -> Sequence[bytes]:
        """From the bucket's names."""
        return await sessions_below(self._bucket, self._tenant(tenant), after, limit)

    async def ping(self) -> None:
        """Whether the bucket can be listed."""
        await self._bucket.ping(self._tenant(""))

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._bucket.aclose()

    def _name(self, journal: JournalId, name: str) -> str:
        return f"{self._tenant(journal.tenant)}{uuid_text(journal.session)}/{self._folder}{name}"


async def sessions_below(bucket: Bucket, prefix: str, after: bytes | None, limit: int) -> list[bytes]:
    """Up to *limit* sessions above *after* with a folder below *prefix*, the least first; others' names are none."""
    behind = None if after is None else f"{prefix}{uuid_text(after)}0"
    found: list[bytes] = []
    async for page in bucket.pages(prefix, after=behind, Delimiter="/", MaxKeys=limit):
        named = [group["Prefix"][len(prefix) :].rstrip("/") for group in page.get("CommonPrefixes", ())]
        found += [raw for raw in map(_session, named) if raw is not None]
        if len(found) >= limit:
            break
    return found[:limit]


def _is_blank(metadata: Mapping[str, str]) -> bool:
    return metadata.items() >= _BLANK.items()


def _session(name: str) -> bytes | None:
    """The session that a folder's name tells; None for what others put there."""
    try:
        return uuid_bytes("session", name)
    except InvalidRequest:
        return None
