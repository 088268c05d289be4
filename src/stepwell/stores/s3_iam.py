"""The least that somebody may do who uses an S3 store, or objects of another one.

ACTIONS, TAGGING    which calls are made, and what allows each
PROVISIONING        the same of `stepwell provision`
policy              as a policy document, for one URL
of_place            its part about one place in a bucket
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from stepwell.stores.iam import Mode, Operations, actions, document, of_key, statement
from stepwell.stores.s3_options import S3Options, S3Place

_READS: Final[Operations] = {"get_object": ("s3:GetObject",), "list_objects_v2": ("s3:ListBucket",)}
_WRITES: Final[Operations] = {
    "put_object": ("s3:PutObject",),
    "copy_object": ("s3:GetObject", "s3:PutObject"),
    "head_object": ("s3:GetObject",),
    "delete_object": ("s3:DeleteObject",),
    "delete_objects": ("s3:DeleteObject",),
}
ACTIONS: Final[Mapping[Mode, Operations]] = {"ro": _READS, "rw": {**_READS, **_WRITES}}
"""By what a user may do. A copy takes no tags over, so that nobody needs `s3:GetObjectTagging`."""
TAGGING: Final[Operations] = {"put_object": ("s3:PutObjectTagging",), "copy_object": ("s3:PutObjectTagging",)}
"""What they need besides to write objects with tags."""
PROVISIONING: Final[Operations] = {
    "head_bucket": ("s3:ListBucket",),
    "list_buckets": ("s3:ListAllMyBuckets",),
    "create_bucket": ("s3:CreateBucket",),
    "get_public_access_block": ("s3:GetBucketPublicAccessBlock",),
    "put_public_access_block": ("s3:PutBucketPublicAccessBlock",),
    "get_bucket_encryption": ("s3:GetEncryptionConfiguration",),
    "put_bucket_encryption": ("s3:PutEncryptionConfiguration",),
    "get_bucket_lifecycle_configuration": ("s3:GetLifecycleConfiguration",),
    "put_bucket_lifecycle_configuration": ("s3:PutLifecycleConfiguration",),
    "get_bucket_versioning": ("s3:GetBucketVersioning",),
    "get_object_lock_configuration": ("s3:GetBucketObjectLockConfiguration",),
}

_OF_BUCKET: Final = frozenset({"s3:ListBucket"})
_KEY_ACTIONS: Final[Mapping[Mode, tuple[str, ...]]] = {
    "ro": ("kms:Decrypt",),
    "rw": ("kms:Decrypt", "kms:GenerateDataKey"),
}
"""With a bucket key, S3 asks for these some times an hour instead of with every object."""


def policy(
    options: S3Options, mode: Mode = "rw", *, kms_key_arn: str | None = None, partition: str = "aws"
) -> dict[str, Any]:
    """The least policy for *options*.

    *partition* is AWS's, such as "aws-cn". *kms_key_arn* is a key beside that of *options*: the bucket's own, or one
    that sessions ask for.
    """
    operations = _with_tags(ACTIONS[mode]) if options.tags else ACTIONS[mode]
    statements = [*of_place(options.place, operations, partition)]
    keys = dict.fromkeys(key for key in (options.kms_key_arn, kms_key_arn) if key is not None)
    for name, key in zip(("Key", "OtherKey"), keys, strict=False):
        statements.append(of_key(name, key, _KEY_ACTIONS[mode], "s3", options.region, partition))
    return document(statements)


def of_place(
    place: S3Place, operations: Operations, partition: str, names: tuple[str, str] = ("Objects", "Names")
) -> Iterable[dict[str, Any]]:
    """What is allowed on the objects of a place, and on the bucket that lists them; *names* are the statements'.

    Who may list a prefix is told that an object below it is not there; who may not, that access is denied.
    """
    bucket = f"arn:{partition}:s3:::{place.bucket}"
    used = actions(operations)
    only = {"StringLike": {"s3:prefix": f"{place.begin}*"}} if place.prefix else {}
    yield statement(names[0], used - _OF_BUCKET, f"{bucket}/{place.begin}*")
    yield statement(names[1], _OF_BUCKET, bucket, **only)


def _with_tags(operations: Operations) -> Operations:
    return {name: (*needed, *TAGGING.get(name, ())) for name, needed in operations.items()}
