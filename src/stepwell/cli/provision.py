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
    from stepwell.cli.patience import Outcome, Provisioning

StoreUrl: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="URL", help="The store. Default: STEPWELL_URL.", show_default=False)
]
KmsKey: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--kms-key-arn", metavar="ARN", help="The KMS key that encrypts the table or bucket.", show_default=False
    ),
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
    """Make the table of a dynamodb: store or the bucket of an s3: store, or complete it. Safe to run again."""
    with _telling(as_json=as_json, again="what was made stays; go on with the same command"):
        needed = _needed(url)
        if needed is None:
            if cloudformation or kms_key_arn is not None:
                raise InvalidRequest(f"{store_name(url, None)} needs no provisioning: there is nothing to describe")
            _tell_needless(url, as_json=as_json)
        elif cloudformation:
            _print(needed.template(kms_key_arn), as_json=as_json)
        else:
            _tell(needed.provisioned(kms_key_arn, as_json=as_json), as_json=as_json)


def iam_policy(
    url: StoreUrl = None,
    mode: Annotated[Mode, typer.Option(help="To write too, or only to read.")] = Mode.RW,
    kms_key_arn: KmsKey = None,
    as_json: AsJson = False,
) -> None:
    """Print the least IAM policy of who uses a dynamodb: or s3: store: nothing but the calls that are made."""
    with _telling(as_json=as_json, again="nothing was printed"):
        needed = _needed(url)
        if needed is None:
            raise InvalidRequest(f"{store_name(url, None)} makes no calls to AWS: it needs no policy")
        _print(needed.policy(mode.value, kms_key_arn), as_json=as_json)


@contextmanager
def _telling(*, as_json: bool, again: str) -> Generator[None]:
    with telling(
        as_json=as_json,
        hint=lambda error: "the same command may succeed later" if getattr(error, "retryable", False) else "",
        interrupted=lambda: (again, None),
    ):
        yield


def _needed(url: str | None) -> Provisioning | None:
    """What the store of a URL needs of AWS; None: nothing.

    Raises:
        InvalidRequest: it is malformed.
        NotSupported: a store that this version has not.
    """
    given = urls.default_url() if url is None else url
    if given.startswith("dynamodb:"):
        options = urls.dynamodb_options(given)
        from stepwell.cli.table import Table  # what no other command needs

        return Table(options)
    if given.startswith("s3:"):
        place = urls.s3_options(given)
        from stepwell.cli.bucket import Bucket

        return Bucket(place)
    urls.parse(given)
    return None


def _tell(found: Outcome, *, as_json: bool) -> None:
    if as_json:
        _print(found.document, as_json=True)
        return
    screen = Screen()
    for line, colour in found.lines:
        screen.line(line, colour)


def _tell_needless(url: str | None, *, as_json: bool) -> None:
    if as_json:
        _print({"table": None, "done": (), "lacking": ()}, as_json=True)
    remark(f"{store_name(url, None)} needs no provisioning: it is made when it is first used", as_json=as_json)


def _print(document: dict[str, Any], *, as_json: bool) -> None:
    """On one line for machines, and to be read otherwise; it is JSON anyway."""
    print(json.dumps(document, indent=None if as_json else 2), flush=True)
