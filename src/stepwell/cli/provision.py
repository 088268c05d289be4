"""`stepwell provision`, `iam-policy`: what a store needs of AWS before it can be used."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from itertools import count
from typing import Annotated, Any, TypeAlias

import typer

from stepwell import urls
from stepwell.blocking import run_sync
from stepwell.cli.command import AsJson, progress, telling
from stepwell.cli.exits import remark
from stepwell.cli.place import store_name
from stepwell.cli.screen import Screen
from stepwell.errors import InvalidRequest
from stepwell.io.aws import AwsTarget, open_aws
from stepwell.io.blocking import BlockingTasks
from stepwell.io.clock import SystemClock
from stepwell.io.files import Files
from stepwell.io.ports import Ports
from stepwell.io.retry import Retry, RetryPolicy
from stepwell.stores import dynamodb_table, iam
from stepwell.stores.dynamodb_options import DynamoDBOptions
from stepwell.stores.dynamodb_table import MAX_POLLS, POLL_SECONDS, Provisioned

StoreUrl: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="URL", help="The store. Default: STEPWELL_URL.", show_default=False)
]
KmsKey: TypeAlias = Annotated[
    str | None,
    typer.Option("--kms-key-arn", metavar="ARN", help="The KMS key that encrypts the table.", show_default=False),
]


class Mode(StrEnum):
    """What a policy allows."""

    RW = "rw"
    RO = "ro"


def provision(
    url: StoreUrl = None,
    kms_key_arn: KmsKey = None,
    cloudformation: Annotated[
        bool, typer.Option("--cloudformation", help="Only print a CloudFormation template of it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the table of a dynamodb: store, or complete it, and wait until it can be used. Safe to run again."""
    with _telling(as_json=as_json, again="what was made stays; go on with the same command"):
        options = _table(url)
        if options is None:
            if cloudformation or kms_key_arn is not None:
                raise InvalidRequest(f"{store_name(url, None)} needs no provisioning: there is no table to describe")
            _tell_needless(url, as_json=as_json)
        elif cloudformation:
            _print(dynamodb_table.template(options.table, kms_key_arn), as_json=as_json)
        else:
            _tell(options.table, _provisioned(options, kms_key_arn, as_json=as_json), as_json=as_json)


def iam_policy(
    url: StoreUrl = None,
    mode: Annotated[Mode, typer.Option(help="To write too, or only to read.")] = Mode.RW,
    kms_key_arn: KmsKey = None,
    as_json: AsJson = False,
) -> None:
    """Print the least IAM policy of who uses a dynamodb: store: nothing but the calls that are made."""
    with _telling(as_json=as_json, again="nothing was printed"):
        options = _table(url)
        if options is None:
            raise InvalidRequest(f"{store_name(url, None)} makes no calls to AWS: it needs no policy")
        key = None if kms_key_arn is None else dynamodb_table.check_key_arn(kms_key_arn, options.region)
        partition = _partition(options.region)
        _print(iam.policy(options, mode.value, kms_key_arn=key, partition=partition), as_json=as_json)


@contextmanager
def _telling(*, as_json: bool, again: str) -> Generator[None]:
    with telling(
        as_json=as_json,
        hint=lambda error: "the same command may succeed later" if getattr(error, "retryable", False) else "",
        interrupted=lambda: (again, None),
    ):
        yield


def _table(url: str | None) -> DynamoDBOptions | None:
    """What a URL says of its table; None: a store without one.

    Raises:
        InvalidRequest: it is malformed.
        NotSupported: a store that this version has not.
    """
    given = urls.default_url() if url is None else url
    if given.startswith("dynamodb:"):
        return urls.dynamodb_options(given)
    urls.parse(given)
    return None


def _provisioned(options: DynamoDBOptions, kms_key_arn: str | None, *, as_json: bool) -> Provisioned:
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


def _tell(table: str, found: Provisioned, *, as_json: bool) -> None:
    state = found.state
    if as_json:
        named = {"table": table, "arn": state.arn, "region": state.region, "kms_key_arn": state.kms_key_arn}
        _print(named | {"done": found.done, "lacking": found.lacking}, as_json=True)
        return
    screen = Screen()
    screen.line(f"dynamodb table {table} in {state.region} can be used", "green")
    screen.line(f"  made now: {', '.join(found.done)}" if found.done else "  it was complete; nothing was changed")
    if found.lacking:
        screen.line(f"  it cannot have: {', '.join(found.lacking)}", "yellow")
    screen.line(f"  encrypted with {state.kms_key_arn or 'a key that AWS owns'}")


def _tell_needless(url: str | None, *, as_json: bool) -> None:
    if as_json:
        _print({"table": None, "done": (), "lacking": ()}, as_json=True)
    remark(f"{store_name(url, None)} needs no provisioning: it is made when it is first used", as_json=as_json)


def _partition(region: str | None) -> str:
    """AWS's partition of a region; without one, of the region that AWS's own configuration names."""
    import boto3
    from botocore.exceptions import UnknownRegionError

    session: Any = boto3.Session()
    try:
        return str(session.get_partition_for_region(region or session.region_name or "us-east-1"))
    except UnknownRegionError:
        return "aws"


def _print(document: dict[str, Any], *, as_json: bool) -> None:
    """On one line for machines, and to be read otherwise; it is JSON anyway."""
    print(json.dumps(document, indent=None if as_json else 2), flush=True)
