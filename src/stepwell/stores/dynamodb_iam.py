"""The least that somebody may do who uses a DynamoDB store.

ACTIONS, CREATING   which calls are made of DynamoDB, and what allows each; those of S3, for `?blobs=`, are in s3_iam.py
policy              as a policy document, for one URL
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from stepwell.stores import s3_iam
from stepwell.stores.dynamodb_items import INDEX
from stepwell.stores.dynamodb_options import DynamoDBOptions
from stepwell.stores.iam import Mode, Operations, actions, document, of_key, statement

_READS: Final[Operations] = {
    "describe_table": ("dynamodb:DescribeTable",),
    "get_item": ("dynamodb:GetItem",),
    "query": ("dynamodb:Query",),
}
_WRITES: Final[Operations] = {
    "put_item": ("dynamodb:PutItem",),
    "update_item": ("dynamodb:UpdateItem",),
    "delete_item": ("dynamodb:DeleteItem",),
    "batch_write_item": ("dynamodb:BatchWriteItem",),
}
ACTIONS: Final[Mapping[Mode, Operations]] = {"ro": _READS, "rw": {**_READS, **_WRITES}}
"""By what a user may do."""
CREATING: Final[Operations] = {
    "create_table": ("dynamodb:CreateTable",),
    "describe_table": ("dynamodb:DescribeTable",),
    "describe_time_to_live": ("dynamodb:DescribeTimeToLive",),
    "update_time_to_live": ("dynamodb:UpdateTimeToLive",),
    "describe_continuous_backups": ("dynamodb:DescribeContinuousBackups",),
    "update_continuous_backups": ("dynamodb:UpdateContinuousBackups",),
}
"""The same of `stepwell provision`, and of `?create=1`."""

_OF_INDEX: Final = frozenset({"dynamodb:Query"})
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
        statements += s3_iam.of_place(options.blobs, s3_iam.ACTIONS[mode], partition, ("Blobs", "BlobNames"))
    if kms_key_arn is not None:
        used = (*_USING_A_KEY, *(_CHOOSING_A_KEY if creates else ()))
        statements.append(of_key("Key", kms_key_arn, used, "dynamodb", options.region, partition))
    return document(statements)


def _of_table(options: DynamoDBOptions, mode: Mode, partition: str, *, creates: bool) -> Iterable[dict[str, Any]]:
    arn = f"arn:{partition}:dynamodb:{options.region or '*'}:*:table/{options.table}"
    used = actions(ACTIONS[mode])
    yield statement("Table", used, arn)
    yield statement("Index", _OF_INDEX, f"{arn}/index/{INDEX}")
    if creates:
        yield statement("Provision", actions(CREATING) - used, arn)
