"""The table of a `dynamodb:` URL, for the commands that speak of it."""

from __future__ import annotations

import os
from itertools import count
from typing import Any

from stepwell.blocking import run_sync
from stepwell.cli.command import progress
from stepwell.io.aws import AwsTarget, open_aws
from stepwell.io.blocking import BlockingTasks
from stepwell.io.clock import SystemClock
from stepwell.io.files import Files
from stepwell.io.ports import Ports
from stepwell.io.retry import Retry, RetryPolicy
from stepwell.stores import dynamodb_iam, dynamodb_table
from stepwell.stores.dynamodb_options import DynamoDBOptions
from stepwell.stores.dynamodb_table import MAX_POLLS, POLL_SECONDS, Provisioned
from stepwell.stores.iam import Mode
from stepwell.stores.kms import check_key_arn


def provisioned(options: DynamoDBOptions, kms_key_arn: str | None, *, as_json: bool) -> Provisioned:
    """The table, made or completed, once it can be used."""
    tasks = BlockingTasks()
    aws = open_aws(AwsTarget("dynamodb", options.region, options.endpoint_url), tasks)
    patience = RetryPolicy(deadline=MAX_POLLS * POLL_SECONDS)
    again = Retry(patience, Ports(SystemClock(), tasks, Files(), os.urandom))
    looks = count(1)
    with progress(f"waiting for table {options.table}, looked at", as_json=as_json) as told:

        async def sleep(seconds: float) -> None:
            told(next(looks))
            await tasks.sleep(seconds)

        async def attempt() -> Provisioned:
            return await dynamodb_table.provision(
                aws, options.table, kms_key_arn=kms_key_arn, home_region=options.home_region, sleep=sleep
            )

        try:
            return run_sync(again(attempt))
        finally:
            run_sync(aws.aclose())


def template(options: DynamoDBOptions, kms_key_arn: str | None) -> dict[str, Any]:
    """The table as a CloudFormation template."""
    return dynamodb_table.template(options.table, kms_key_arn)


def policy(options: DynamoDBOptions, mode: Mode, kms_key_arn: str | None) -> dict[str, Any]:
    """The least policy of who uses the table."""
    key = None if kms_key_arn is None else check_key_arn(kms_key_arn, options.region, of="table")
    return dynamodb_iam.policy(options, mode, kms_key_arn=key, partition=_partition(options.region))


def _partition(region: str | None) -> str:
    """AWS's partition of a region; without one, of the region that AWS's own configuration names."""
    import boto3
    from botocore.exceptions import UnknownRegionError

    session: Any = boto3.Session()
    try:
        return str(session.get_partition_for_region(region or session.region_name or "us-east-1"))
    except UnknownRegionError:
        return "aws"
