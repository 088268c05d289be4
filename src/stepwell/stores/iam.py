"""The least that somebody may do who uses a store: IAM policies.

ACTIONS, CREATING   which calls are made, and what allows each
policy              as a policy document, for one URL

An action that no call needs is in no policy: tests compare the tables with the calls that are made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from stepwell.stores.dynamodb_items import INDEX
from stepwell.stores.dynamodb_options import DynamoDBOptions
from stepwell.stores.s3_options import S3Place

Mode = Literal["rw", "ro"]

_READS: Final[Mapping[str, tuple[str, ...]]] = {
    "describe_table": ("dynamodb:DescribeTable",),
    "get_item": ("dynamodb:GetItem",),
    "query": ("dynamodb:Query",),
    "get_object": ("s3:GetObject",),
    "list_objects_v2": ("s3:ListBucket",),
}
_WRITES: Final[Mapping[str, tuple[str, ...]]] = {
    "put_item": ("dynamodb:PutItem",),
    "update_item": ("dynamodb:UpdateItem",),
    "delete_item": ("dynamodb:DeleteItem",),
    "batch_write_item": ("dynamodb:BatchWriteItem",),
    "put_object": ("s3:PutObject",),
    "copy_object": ("s3:GetObject", "s3:PutObject"),
    "head_object": ("s3:GetObject",),
    "delete_object": ("s3:DeleteObject",),
    "delete_objects": ("s3:DeleteObject",),
}
ACTIONS: Final[Mapping[Mode, Mapping[str, tuple[str, ...]]]] = {"ro": _READS, "rw": {**_READS, **_WRITES}}
"""By what a user may do: the operations that are called, by the names of a client's methods, and what allows each."""
CREATING: Final[Mapping[str, tuple[str, ...]]] = {
    "create_table": ("dynamodb:CreateTable",),
    "describe_table": ("dynamodb:DescribeTable",),
    "describe_time_to_live": ("dynamodb:DescribeTimeToLive",),
    "update_time_to_live": ("dynamodb:UpdateTimeToLive",),
    "describe_continuous_backups": ("dynamodb:DescribeContinuousBackups",),
    "update_continuous_backups": ("dynamodb:UpdateContinuousBackups",),
}
"""The same of `stepwell provision`, and of `?create=1`."""

_OF_INDEX: Final = frozenset({"dynamodb:Query"})
_OF_BUCKET: Final = frozenset({"s3:ListBucket"})
_USING_A_KEY: Final = ("kms:Decrypt", "kms:DescribeKey")
"""With these a user's calls open the key of a table; everything else DynamoDB does by its own grants."""
_CHOOSING_A_KEY: Final = ("kms:CreateGrant", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*")
"""What DynamoDB asks besides of who makes a table with a key."""


def policy(
    options: DynamoDBOptions, mode: Mode = "rw", *, kms_key_arn: str | None = None, partition: str = "aws"
) -> dict[str, Any]:
    """The least policy for *options*: in their region, else in every one, and in any account.

    Making the table is allowed to "rw" with `create`. *partition* is AWS's, such as "aws-cn". *kms_key_arn* is the
    key that encrypts the table; the one of a bucket is the bucket's affair.
    """
    creates = options.create and mode == "rw"
    statements = [*_of_table(options, mode, partition, creates=creates)]
    if options.blobs is not None:
        statements += _of_blobs(options.blobs, mode, partition)
    if kms_key_arn is not None:
        statements.append(_of_key(kms_key_arn, options.region, partition, creates=creates))
    return {"Version": "2012-10-17", "Statement": statements}


def _of_table(options: DynamoDBOptions, mode: Mode, partition: str, *, creates: bool) -> Iterable[dict[str, Any]]:
    arn = f"arn:{partition}:dynamodb:{options.region or '*'}:*:table/{options.table}"
    used = _actions(ACTIONS[mode], "dynamodb:")
    yield _allowed("Table", used, arn)
    yield _allowed("Index", _OF_INDEX, f"{arn}/index/{INDEX}")
    if creates:
        yield _allowed("Provision", _actions(CREATING, "dynamodb:") - used, arn)


def _of_blobs(blobs: S3Place, mode: Mode, partition: str) -> Iterable[dict[str, Any]]:
    bucket = f"arn:{partition}:s3:::{blobs.bucket}"
    below = f"{blobs.prefix}/*" if blobs.prefix else "*"
    used = _actions(ACTIONS[mode], "s3:")
    yield _allowed("Blobs", used - _OF_BUCKET, f"{bucket}/{below}")
    names = _allowed("BlobNames", _OF_BUCKET, bucket)
    yield names | ({"Condition": {"StringLike": {"s3:prefix": below}}} if blobs.prefix else {})


def _of_key(arn: str, region: str | None, partition: str, *, creates: bool) -> dict[str, Any]:
    """Through DynamoDB alone: who has the policy cannot decrypt anything with the key by themselves."""
    domain = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
    actions = (*_USING_A_KEY, *(_CHOOSING_A_KEY if creates else ()))
    via = {"StringLike": {"kms:ViaService": f"dynamodb.{region or '*'}.{domain}"}}
    return _allowed("Key", actions, arn) | {"Condition": via}


def _actions(table: Mapping[str, tuple[str, ...]], service: str) -> set[str]:
    return {action for actions in table.values() for action in actions if action.startswith(service)}


def _allowed(name: str, actions: Iterable[str], resource: str) -> dict[str, Any]:
    return {"Sid": name, "Effect": "Allow", "Action": sorted(actions), "Resource": resource}
