"""A write is applied, and its reply is lost: what was called succeeds as if nothing had happened, exactly once.

Every operation that writes, every request of it that writes, one to three lost replies in a row, over each adapter, in
a table and in a bucket. `pytest -rP` prints how many there were.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.aws.moto import Adapter, Service
from tests.aws.trials import answered, done_once
from tests.aws.writes import WRITES, Write

pytestmark = pytest.mark.faults

IN_A_ROW: dict[Adapter, tuple[int, ...]] = {"boto3": (1, 2, 3), "threads": (3,), "aiobotocore": (3,)}
STRIDE: dict[Adapter, int] = {"boto3": 1, "threads": 3, "aiobotocore": 3}
"""What is done about a loss is the same for each adapter: one loses them all, the others some of each operation's."""
S3: dict[str, Any] = {"s3": True, "segment_bytes": 900}
"""Segments of few records, so that some writes begin one."""
IN_BUCKET = [write for write in WRITES if write.objects]


@pytest.mark.parametrize("write", WRITES, ids=repr)
def test_an_operation_whose_replies_are_lost_is_done_once(service: Service, write: Write) -> None:
    adapter = service.adapter
    asyncio.run(done_once(service, write, write.options, STRIDE[adapter], IN_A_ROW[adapter]))


@pytest.mark.parametrize("service", ["boto3", "aiobotocore"], indirect=True)
@pytest.mark.parametrize("write", IN_BUCKET, ids=repr)
def test_an_operation_in_a_bucket_whose_replies_are_lost_is_done_once(service: Service, write: Write) -> None:
    adapter = service.adapter
    asyncio.run(done_once(service, write, S3, STRIDE[adapter], IN_A_ROW[adapter][-2:]))


@pytest.mark.parametrize("write", WRITES, ids=repr)
def test_more_losses_than_any_retry_bears_leave_a_question_that_is_answered_truly(alone: Service, write: Write) -> None:
    asyncio.run(answered(alone, write, write.options))


@pytest.mark.parametrize("write", IN_BUCKET, ids=repr)
def test_more_losses_in_a_bucket_leave_a_question_that_is_answered_truly(alone: Service, write: Write) -> None:
    asyncio.run(answered(alone, write, S3))
