"""`stepwell provision`, `iam-policy`: what a store needs of AWS before it can be used."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from stepwell import urls
from stepwell.cli.command import AsJson, telling
from stepwell.cli.exits import remark
from stepwell.cli.place import store_name
from stepwell.cli.screen import Screen
from stepwell.errors import InvalidRequest

if TYPE_CHECKING:
    from stepwell.stores.dynamodb_options import DynamoDBOptions
    from stepwell.stores.dynamodb_table import Provisioned

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
            return
        from stepwell.cli import table  # what no other command needs

        if cloudformation:
            _print(table.template(options, kms_key_arn), as_json=as_json)
        else:
            _tell(options.table, table.provisioned(options, kms_key_arn, as_json=as_json), as_json=as_json)


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
        from stepwell.cli import table

        _print(table.policy(options, mode.value, kms_key_arn), as_json=as_json)


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


def _print(document: dict[str, Any], *, as_json: bool) -> None:
    """On one line for machines, and to be read otherwise; it is JSON anyway."""
    print(json.dumps(document, indent=None if as_json else 2), flush=True)
