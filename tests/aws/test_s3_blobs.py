"""Payloads in S3: those from before the bucket was named are still found."""

from __future__ import annotations

from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from stepwell.blocking import run_sync
from stepwell.errors import CorruptJournal, PermissionDenied
from stepwell.io.blocking import BlockingTasks
from stepwell.stores.base import JournalId
from stepwell.stores.blobs import Blobs
from stepwell.stores.moved_blobs import MovedBlobs
from stepwell.stores.s3_blobs import S3Blobs
from stepwell.stores.s3_bucket import Bucket
from stepwell.stores.s3_options import quoted

HERE, THERE = JournalId("acme", bytes(16)), JournalId("acme", bytes(15) + b"1")
NAME = "ab" * 32


class FakeAws:
    """`Aws` of a bucket without the object; it notes what is put."""

    def __init__(self, code: str) -> None:
        self._code = code
        self.put: list[tuple[str, bytes]] = []

    async def call(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        if operation == "put_object":
            self.put.append((arguments["Key"], arguments["Body"]))
            return {"ETag": '"1"'}
        raise ClientError({"Error": {"Code": self._code, "Message": "no"}}, operation)

    async def region(self) -> str:
        return "eu-west-1"

    async def endpoint(self) -> str:
        return "https://s3.eu-west-1.amazonaws.com"

    async def aclose(self) -> None:
        pass


class Older:
    """`Blobs` from before the bucket."""

    def __init__(self, *held: str) -> None:
        self._held = held

    async def get(self, journal: JournalId, name: str) -> bytes:
        if name not in self._held:
            raise CorruptJournal("a blob is gone")
        return b"older"


def _blobs(code: str, *held: str) -> tuple[MovedBlobs, FakeAws]:
    aws, older = FakeAws(code), Older(*held)
    objects = S3Blobs(Bucket(aws, "payloads", BlockingTasks()), quoted)
    return MovedBlobs(objects, older=cast(Blobs, older)), aws


# 403 is what S3 tells of an object that is not there to whoever may not list the whole bucket.
CODES = pytest.mark.parametrize("code", ["NoSuchKey", "AccessDenied"])


@CODES
def test_a_payload_that_is_older_than_the_bucket_is_found(code: str) -> None:
    blobs, _ = _blobs(code, NAME)
    assert run_sync(blobs.get(HERE, NAME)) == b"older"


@CODES
def test_a_copy_of_an_older_payload_lies_in_the_bucket(code: str) -> None:
    blobs, bucket = _blobs(code, NAME)
    run_sync(blobs.copy(HERE, NAME, THERE))
    assert bucket.put == [(f"acme/00000000-0000-0000-0000-000000000031/{NAME}", b"older")]


@pytest.mark.parametrize(("code", "error"), [("NoSuchKey", CorruptJournal), ("AccessDenied", PermissionDenied)])
def test_a_payload_that_is_nowhere_is_told_as_s3_told_it(code: str, error: type[Exception]) -> None:
    blobs, bucket = _blobs(code)
    with pytest.raises(error):
        run_sync(blobs.get(HERE, NAME))
    with pytest.raises(error):
        run_sync(blobs.copy(HERE, NAME, THERE))
    assert not bucket.put
