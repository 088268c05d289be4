"""Calls on one S3 bucket: every error translated, the time of every reply noted.

Bucket     the calls
Stored     an object as it was read; `UNCHANGED` where it is the one that is known
Written    what objects are written with: a key, tags, a storage class

An ETag is an object's version, and nothing else: what it is made from depends on how the object is encrypted.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import urlencode

from stepwell.errors import NotSupported, OutcomeUnknown, PermissionDenied, StepwellError, Unavailable
from stepwell.io.aws import Aws
from stepwell.io.aws_errors import translated
from stepwell.io.fork import after_fork
from stepwell.io.ports import Tasks
from stepwell.io.server_time import ServerTime

DELETES_AT_ONCE = 1000
"""Of one `DeleteObjects`."""
LONG_BYTES = 256 * 1024
"""From here on a checksum is computed in a thread, where there is an event loop to hold up."""
_BY_KMS = "aws:kms"
_STALE_ETAG = '"00000000000000000000000000000000"'
_OF_AWS = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws", ".api.amazonwebservices.com.cn")


class Stored(NamedTuple):
    """An object: its bytes, its version, its metadata."""

    data: bytes
    etag: str
    metadata: Mapping[str, str]


UNCHANGED: Final = Stored(b"", "", {})
"""The answer to a `get` of an object that still is the one with the ETag that was told."""


@dataclass(frozen=True, slots=True)
class Written:
    """What objects are written with. *kms_key_arn* is for those without a key of their own."""

    kms_key_arn: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    storage_class: str | None = None

    def of(self, key_arn: str | None) -> dict[str, Any]:
        """The arguments of a write, with this key."""
        key = key_arn or self.kms_key_arn
        arguments: dict[str, Any] = {}
        if key:
            arguments |= {"ServerSideEncryption": _BY_KMS, "SSEKMSKeyId": key, "BucketKeyEnabled": True}
        if self.tags:
            arguments["Tagging"] = urlencode(self.tags)
        if self.storage_class:
            arguments["StorageClass"] = self.storage_class
        return arguments


class Bucket:
    """One bucket. Nothing is retried here.

    With *probe*, an object's name, what the server makes of conditions is looked at before anything is written, unless
    it is AWS's.
    """

    def __init__(
        self,
        aws: Aws,
        name: str,
        tasks: Tasks,
        *,
        owner: str | None = None,
        written: Written | None = None,
        probe: str | None = None,
    ) -> None:
        self.name = name
        self._aws = aws
        self._tasks = tasks
        self._owner = owner
        self._written = written or Written()
        self._time = ServerTime()
        self._probe = probe
        self._checked = probe is None
        self._unlock()
        after_fork(self._unlock)

    def _unlock(self) -> None:
        self._lock = self._tasks.lock()

    @property
    def server_time(self) -> int | None:
        """The latest `Date` of a reply, in microseconds since 1970."""
        return self._time.latest

    async def get(self, key: str, *, known: str | None = None) -> Stored | None:
        """An object; None if it is not there, `UNCHANGED` if its ETag is *known*."""
        unless = {} if known is None else {"IfNoneMatch": known}
        try:
            answer = await self._call("get_object", _READING, writes=False, Key=key, **unless)
        except _Gone:
            return None
        except _Same:
            return UNCHANGED
        except PermissionDenied:
            if await self._is_missing(key):
                return None
            raise
        if not answer.get("ETag"):
            raise Unavailable(f"{self._what('get_object', {})}: it gave no whole answer: try again")
        return Stored(answer["Body"], answer["ETag"], answer.get("Metadata", {}))

    async def metadata(self, key: str) -> Mapping[str, str] | None:
        """An object's metadata; None if it is not there."""
        try:
            answer = await self._call("head_object", _LOOKING, writes=False, Key=key)
        except _Gone:
            return None
        except PermissionDenied:
            if await self._is_missing(key):
                return None
            raise
        found: Mapping[str, str] = answer.get("Metadata", {})
        return found

    async def _is_missing(self, key: str) -> bool:
        """Whether "access denied" was said of nothing: so S3 answers who may not list all of a bucket.

        A list of what begins with the object's whole name is allowed wherever its prefix is.
        """
        try:
            page = await self._call("list_objects_v2", {}, writes=False, Prefix=key, MaxKeys=1)
        except StepwellError:
            return False
        return all(found["Key"] != key for found in page.get("Contents", ()))

    async def put(
        self, key: str, body: bytes, *, key_arn: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> str:
        """Write an object, whatever lies there; its ETag.

        Raises:
            OutcomeUnknown: it may be written, or not.
        """
        return await self._put(key, body, key_arn, {} if metadata is None else {"Metadata": metadata}, {})

    async def put_new(self, key: str, body: bytes, *, key_arn: str | None = None) -> str | None:
        """Write an object where nothing lies; its ETag, or None where something does."""
        return await self._put_if(key, body, key_arn, {"IfNoneMatch": "*"})

    async def put_over(self, key: str, body: bytes, etag: str, *, key_arn: str | None = None) -> str | None:
        """Write an object over the version with *etag*; its own, or None if that one is not there any more."""
        return await self._put_if(key, body, key_arn, {"IfMatch": etag})

    async def _put_if(self, key: str, body: bytes, key_arn: str | None, condition: dict[str, Any]) -> str | None:
        try:
            return await self._put(key, body, key_arn, condition, _CONDITIONAL)
        except (_Failed, _Gone):  # of what is not there, some servers say that the condition failed
            return None

    async def _put(self, key: str, body: bytes, key_arn: str | None, more: dict[str, Any], expected: _Codes) -> str:
        return str((await self._answer_to_put(key, body, key_arn, more, expected))["ETag"])

    async def _answer_to_put(
        self, key: str, body: bytes, key_arn: str | None, more: dict[str, Any], expected: _Codes
    ) -> dict[str, Any]:
        checksum = _checksum(body) if len(body) < LONG_BYTES else await self._tasks.run(_checksum, body)
        arguments = {"Key": key, "Body": body, "ChecksumSHA256": checksum}
        written = self._written.of(key_arn)
        answer = await self._call("put_object", expected, writes=True, **arguments, **written, **more)
        if not answer.get("ETag"):  # a reply that was cut within its headers
            raise OutcomeUnknown(f"{self._what('put_object', {})}: it gave no whole answer: try again")
        return answer

    async def copy(self, source: str, target: str, *, key_arn: str | None = None) -> bool:
        """Let S3 copy an object, metadata included; False if there is none."""
        # Tags are those of what is written by this client; to copy the source's takes permissions of their own.
        arguments = self._written.of(key_arn) | {"TaggingDirective": "REPLACE"}
        if self._owner is not None:
            arguments["ExpectedSourceBucketOwner"] = self._owner
        where = {"Bucket": self.name, "Key": source}
        try:
            await self._call("copy_object", _COPYING, writes=True, Key=target, CopySource=where, **arguments)
        except _Gone:
            return False
        return True

    async def delete(self, key: str) -> None:
        """Delete an object; one that is not there is deleted already."""
        await self._call("delete_object", {}, writes=True, Key=key)

    async def delete_all(self, keys: Sequence[str]) -> None:
        """Delete objects, a thousand with each request.

        Raises:
            StepwellError: why some of them are left; deleting them again goes on.
        """
        for at in range(0, len(keys), DELETES_AT_ONCE):
            named = [{"Key": key} for key in keys[at : at + DELETES_AT_ONCE]]
            answer = await self._call("delete_objects", {}, writes=True, Delete={"Objects": named, "Quiet": True})
            for failed in answer.get("Errors", ()):
                raise self._failed("delete_objects", failed, answer)

    async def pages(self, prefix: str, *, after: str | None = None, **asked: Any) -> AsyncIterator[dict[str, Any]]:
        """Listings of what begins with *prefix*, and comes behind *after* in the order of UTF-8."""
        asked["Prefix"] = prefix
        if after is not None:
            asked["StartAfter"] = after
        while True:
            page = await self._call("list_objects_v2", {}, writes=False, **asked)
            yield page
            if not page.get("IsTruncated"):
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]

    async def names(self, prefix: str) -> list[str]:
        """What comes behind *prefix* in the names of its objects, in order."""
        names: list[str] = []
        async for page in self.pages(prefix):
            names += [found["Key"][len(prefix) :] for found in page.get("Contents", ())]
        return names

    async def ping(self, prefix: str) -> None:
        """Whether it can be listed."""
        await self._call("list_objects_v2", {}, writes=False, Prefix=prefix, MaxKeys=1)

    async def honours(self, key_arn: str) -> bool:
        """Whether the server encrypts with a KMS key, which one that is not AWS's shows by an object that is empty."""
        if self._probe is None or await self._is_aws():
            return True
        try:
            answer = await self._answer_to_put(self._probe, b"", key_arn, {}, {})
        except OutcomeUnknown as error:  # of what nobody cares about
            raise Unavailable(str(error)) from error
        return answer.get("ServerSideEncryption") == _BY_KMS

    async def _is_aws(self) -> bool:
        host = (await self._aws.endpoint()).split("/")[2].partition(":")[0]
        return host.endswith(_OF_AWS)

    async def _check(self) -> None:
        """Find out, once, whether the server does what is asked of it.

        Raises:
            NotSupported: it does not.
        """
        async with self._lock:
            if not self._checked and self._probe is not None and not await self._is_aws():
                written = self._written
                asks = Bucket(self._aws, self.name, self._tasks, owner=self._owner, written=written, probe=self._probe)
                asks._checked = True
                try:
                    await asks.refuse_if_lax(self._probe)
                except OutcomeUnknown as error:  # of what nobody cares about
                    raise Unavailable(str(error)) from error
                if written.kms_key_arn is not None and not await asks.honours(written.kms_key_arn):
                    raise NotSupported(
                        f"the server of S3 bucket {self.name} does not encrypt with KMS keys: leave ?kms_key_arn= out"
                    )
            self._checked = True

    async def refuse_if_lax(self, key: str) -> None:
        """Find out, with an object under *key* that holds nothing, whether conditions are heeded.

        Raises:
            NotSupported: they are not: two writers could both be right.
        """
        await self.put_new(key, b"")  # so that the next one meets a version
        if await self.put_over(key, b"", _STALE_ETAG) is None and await self.put_new(key, b"") is None:
            return
        raise NotSupported(
            f"the server of S3 bucket {self.name} ignores If-Match or If-None-Match, so that two writers could both "
            "be right: use one that heeds them, such as AWS or SeaweedFS"
        )

    async def _call(self, operation: str, expected: _Codes, *, writes: bool, **arguments: Any) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError  # a client that is not used yet loads no botocore

        if writes and not self._checked:
            await self._check()
        owner = {} if self._owner is None else {"ExpectedBucketOwner": self._owner}
        try:
            answer = await self._aws.call(operation, Bucket=self.name, **owner, **arguments)
        except ClientError as error:
            self._time.hear(error.response)
            told: Mapping[str, Any] = error.response
            if (kind := expected.get(told.get("Error", {}).get("Code", ""))) and _has_id(told):
                raise kind from error
            raise translated(error, writes=writes, what=self._what(operation, arguments)) from error
        except BotoCoreError as error:
            raise translated(error, writes=writes, what=self._what(operation, arguments)) from error
        self._time.hear(answer)
        return answer

    def _failed(self, operation: str, failed: Any, answer: Any) -> StepwellError:
        """What happened to one object of several."""
        from botocore.exceptions import ClientError

        one = ClientError({"Error": failed, "ResponseMetadata": answer["ResponseMetadata"]}, operation)
        return translated(one, writes=True, what=self._what(operation, {}))

    def _what(self, operation: str, arguments: Mapping[str, Any]) -> str:
        key = arguments.get("SSEKMSKeyId")
        return f"{operation} on S3 bucket {self.name}" + (f" with KMS key {key}" if key else "")

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._aws.aclose()


class _Gone(Exception):  # none of these leaves this module
    pass


class _Failed(Exception):
    pass


class _Same(Exception):
    pass


def _has_id(response: Mapping[str, Any]) -> bool:
    """Whether a reply is S3's, which gives each an id: without one it is a proxy's, and tells nothing of an object."""
    metadata = response.get("ResponseMetadata", {})
    return bool(metadata.get("RequestId") or _IDS & metadata.get("HTTPHeaders", {}).keys())


_IDS = frozenset({"x-amz-request-id", "x-amzn-requestid"})
"""botocore passes over them where a reply has no body."""


def _checksum(body: bytes) -> str:
    return b64encode(sha256(body).digest()).decode()


_Codes: TypeAlias = Mapping[str, type[Exception]]
_READING: _Codes = {"NoSuchKey": _Gone, "304": _Same, "NotModified": _Same}
_LOOKING: _Codes = {"404": _Gone, "NoSuchKey": _Gone}
"""Of a HEAD, whose reply has no body that could name a code."""
_CONDITIONAL: _Codes = {"PreconditionFailed": _Failed, "412": _Failed, "NoSuchKey": _Gone}
_COPYING: _Codes = {"NoSuchKey": _Gone}
