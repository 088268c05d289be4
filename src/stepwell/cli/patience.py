"""What is provisioned at AWS takes its time: `patiently`."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol, TypeAlias, TypeVar

from stepwell.blocking import run_sync
from stepwell.cli.command import progress
from stepwell.io.aws import Aws, AwsTarget, open_aws
from stepwell.io.blocking import BlockingTasks
from stepwell.io.clock import SystemClock
from stepwell.io.files import Files
from stepwell.io.ports import Ports
from stepwell.io.retry import Retry, RetryPolicy
from stepwell.stores.iam import Mode

T = TypeVar("T")
Sleep: TypeAlias = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was provisioned: for machines, and in lines with their colours."""

    document: dict[str, Any]
    lines: list[tuple[str, str]]


class Provisioning(Protocol):
    """What a store needs of AWS before it can be used."""

    def provisioned(self, kms_key_arn: str | None, *, as_json: bool) -> Outcome:
        """It, made or completed, once it can be used."""
        ...

    def template(self, kms_key_arn: str | None) -> dict[str, Any]:
        """It as a CloudFormation template."""
        ...

    def policy(self, mode: Mode, kms_key_arn: str | None) -> dict[str, Any]:
        """The least policy of who uses it."""
        ...


def patiently(
    target: AwsTarget, what: str, seconds: float, attempt: Callable[[Aws, Sleep], Awaitable[T]], *, as_json: bool
) -> T:
    """What comes of an attempt, made again for so many *seconds*; *what* is waited for is shown meanwhile."""
    tasks = BlockingTasks()
    aws = open_aws(target, tasks)
    again = Retry(RetryPolicy(deadline=seconds), Ports(SystemClock(), tasks, Files(), os.urandom))
    looks = count(1)
    with progress(f"waiting for {what}, looked at", as_json=as_json) as told:

        async def sleep(pause: float) -> None:
            told(next(looks))
            await tasks.sleep(pause)

        async def once() -> T:
            return await attempt(aws, sleep)

        try:
            return run_sync(again(once))
        finally:
            run_sync(aws.aclose())


def changes(done: tuple[str, ...], lacking: tuple[str, ...]) -> list[tuple[str, str]]:
    """The lines that say what was done, and what cannot be had."""
    first = f"  made now: {', '.join(done)}" if done else "  it was complete; nothing was changed"
    return [(first, ""), *([(f"  it cannot have: {', '.join(lacking)}", "yellow")] if lacking else [])]


def partition(region: str | None) -> str:
    """AWS's partition of a region; without one, of the region that AWS's own configuration names."""
    import boto3
    from botocore.exceptions import UnknownRegionError

    session: Any = boto3.Session()
    try:
        return str(session.get_partition_for_region(region or session.region_name or "us-east-1"))
    except UnknownRegionError:
        return "aws"
