"""Blobs as objects in S3: `PREFIX/TENANT/SESSION/NAME`, one for each.

A put writes only where nothing lies: a name is only ever given the same bytes, and a blank blob, an empty object that
says so in its metadata, stays blank. What a crash leaves behind is found by listing the prefix. Blobs that lie
elsewhere, from before the bucket was named, are still found, blanked and removed there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from stepwell.errors import CorruptJournal, InvalidRequest, PermissionDenied
from stepwell.ids import uuid_bytes, uuid_text
from stepwell.io.aws import Aws
from stepwell.io.aws_errors import translated
from stepwell.stores.base import JournalId
from stepwell.stores.blobs import Blobs
from stepwell.stores.dynamodb_options import S3Place

_GONE = frozenset({"NoSuchKey", "404"})
_TAKEN = "PreconditionFailed"
_BLANK = {"stepwell": "blank"}


class S3Blobs:
    """See the module, and `Blobs`. *older* is where blobs were before."""

    def __init__(self, aws: Aws, place: S3Place, *, older: Blobs) -> None:
        self._aws = aws
        self._bucket = place.bucket
        self._prefix = f"{place.prefix}/" if place.prefix else ""
        self._older = older

    def check(self, size: int) -> None:
        """A `PutObject` takes 5 GB, far more than a step."""

    async def put(self, journal: JournalId, name: str, data: bytes) -> None:
        """One request."""
        try:
            await self._call("put_object", writes=True, Key=self._key(journal, name), Body=data, IfNoneMatch="*")
        except _Taken:
            return

    async def get(self, journal: JournalId, name: str) -> bytes:
        """One request; more for one that is older than the bucket."""
        try:
            answer = await self._call("get_object", writes=False, Key=self._key(journal, name))
        except (_Gone, PermissionDenied) as missing:
            return await self._from_older(journal, name, missing)
        if _is_blank(answer):
            raise CorruptJournal("a blob is gone")
        data: bytes = answer["Body"]
        return data

    async def copy(self, source: JournalId, name: str, target: JournalId) -> None:
        """S3 copies it; its bytes do not come through here. Whether it was blank, only the copy tells for sure."""
        where, key = {"Bucket": self._bucket, "Key": self._key(source, name)}, self._key(target, name)
        try:
            await self._call("copy_object", writes=True, Key=key, CopySource=where)
        except (_Gone, PermissionDenied) as missing:
            await self.put(target, name, await self._from_older(source, name, missing))
            return
        if _is_blank(await self._call("head_object", writes=False, Key=key)):
            await self._call("delete_object", writes=True, Key=key)
            raise CorruptJournal("a blob is gone")

    async def _from_older(self, journal: JournalId, name: str, missing: Exception) -> bytes:
        """A blob from before the bucket: who may not list the whole bucket is told 403 of what is not there."""
        try:
            return await self._older.get(journal, name)
        except CorruptJournal as nowhere:
            raise (nowhere if isinstance(missing, _Gone) else missing) from nowhere

    async def names(self, journal: JournalId) -> Sequence[str]:
        """Those in the bucket, a thousand with each request, and the older ones."""
        return [*await self._older.names(journal), *await self._own_names(journal)]

    async def _own_names(self, journal: JournalId) -> list[str]:
        prefix = self._key(journal, "")
        names: list[str] = []
        async for page in self._pages(Prefix=prefix):
            names += [found["Key"][len(prefix) :] for found in page.get("Contents", ())]
        return names

    async def blank(self, journal: JournalId, name: str) -> None:
        """Wherever it may be: also where it was before the bucket was named."""
        await self._call("put_object", writes=True, Key=self._key(journal, name), Body=b"", Metadata=_BLANK)
        await self._older.blank(journal, name)

    async def remove(self, journal: JournalId, name: str) -> None:
        """Wherever it is."""
        await self._delete(journal, name)
        await self._older.remove(journal, name)

    async def remove_all(self, journal: JournalId) -> None:
        """Those in the bucket one by one, and the older ones."""
        for name in await self._own_names(journal):
            await self._delete(journal, name)
        await self._older.remove_all(journal)

    async def _delete(self, journal: JournalId, name: str) -> None:
        await self._call("delete_object", writes=True, Key=self._key(journal, name))

    async def sessions(self, tenant: str, after: bytes | None, limit: int) -> Sequence[bytes]:
        """From the bucket's names; a page may hold fewer than there are, and names that are nobody's session."""
        prefix = self._tenant(tenant)
        start = {} if after is None else {"StartAfter": f"{prefix}{uuid_text(after)}0"}
        found: list[bytes] = []
        async for page in self._pages(Prefix=prefix, Delimiter="/", MaxKeys=limit, **start):
            named = [group["Prefix"][len(prefix) :].rstrip("/") for group in page.get("CommonPrefixes", ())]
            found += [raw for raw in map(_session, named) if raw is not None]
            if len(found) >= limit:
                break
        return found[:limit]

    async def _pages(self, **asked: Any) -> AsyncIterator[dict[str, Any]]:
        while True:
            page = await self._call("list_objects_v2", writes=False, **asked)
            yield page
            if not page.get("IsTruncated"):
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]

    async def ping(self) -> None:
        """Whether the bucket can be listed."""
        await self._call("list_objects_v2", writes=False, Prefix=self._prefix, MaxKeys=1)

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._aws.aclose()

    async def _call(self, operation: str, *, writes: bool, **arguments: Any) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError  # a client that is not used yet loads no botocore

        try:
            return await self._aws.call(operation, Bucket=self._bucket, **arguments)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            if code in _GONE:
                raise _Gone("a blob is gone") from error
            if code == _TAKEN:
                raise _Taken from error
            raise translated(error, writes=writes, what=self._what(operation)) from error
        except BotoCoreError as error:
            raise translated(error, writes=writes, what=self._what(operation)) from error

    def _what(self, operation: str) -> str:
        return f"{operation} on S3 bucket {self._bucket}"

    def _key(self, journal: JournalId, name: str) -> str:
        return f"{self._tenant(journal.tenant)}{uuid_text(journal.session)}/{name}"

    def _tenant(self, tenant: str) -> str:
        return f"{self._prefix}{quote(tenant, safe='')}/"  # a slash in it would nest one tenant in another


class _Gone(CorruptJournal):
    pass


class _Taken(Exception):  # never leaves this module
    pass


def _is_blank(answer: Mapping[str, Any]) -> bool:
    metadata: Mapping[str, str] = answer.get("Metadata", {})
    return metadata.items() >= _BLANK.items()


def _session(name: str) -> bytes | None:
    """The session that an object's name tells; None for what others put there."""
    try:
        return uuid_bytes("session", name)
    except InvalidRequest:
        return None
