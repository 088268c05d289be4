"""What IAM would say of a call: whether a policy allows it, by action, resource and condition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from stepwell.stores import dynamodb_iam, s3_iam

_OPERATIONS = {**dynamodb_iam.CREATING, **dynamodb_iam.ACTIONS["rw"], **s3_iam.PROVISIONING, **s3_iam.ACTIONS["rw"]}


def refused(policy: Mapping[str, Any], operation: str, arguments: Mapping[str, Any], region: str) -> list[str]:
    """The actions of a call that *policy* does not allow, each with its resource."""
    return [
        f"{operation}: {action} on {resource}"
        for action, resource, context in asked(operation, arguments, region)
        if not allows(policy, action, resource, context)
    ]


def finds(policy: Mapping[str, Any], bucket: str, key: str) -> bool:
    """Whether S3 tells that an object is not there, rather than that access to it is denied.

    It asks whether the caller may list it: as if the object's name were the prefix of a listing. Its documentation says
    "the s3:ListBucket permission" alone; that the prefix counts is what Ceph found (ceph/ceph#68577, with a test of its
    own in ceph/s3-tests#741), and Kopia (kopia/kopia#3072).
    """
    return allows(policy, "s3:ListBucket", f"arn:aws:s3:::{bucket}", {"s3:prefix": key})


def asked(operation: str, arguments: Mapping[str, Any], region: str) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """What a call asks for: actions, each with its resource and what conditions are about."""
    needed = _OPERATIONS.get(operation, (f"unknown:{operation}",))
    if "Tagging" in arguments:
        needed += s3_iam.TAGGING.get(operation, (f"unknown:{operation} with tags",))
    if operation == "copy_object" and arguments.get("TaggingDirective") != "REPLACE":  # then the source's are read
        needed += ("s3:GetObjectTagging", "s3:PutObjectTagging")
    for action in needed:
        if action.startswith("s3:"):
            objects: Sequence[Mapping[str, Any]] = arguments.get("Delete", {"Objects": [{}]})["Objects"]
            for one in objects:
                yield action, *_of_s3(operation, action, {**arguments, **one})
            continue
        for table in arguments.get("RequestItems") or {arguments["TableName"]: None}:
            index = f"/index/{arguments['IndexName']}" if "IndexName" in arguments else ""
            yield action, f"arn:aws:dynamodb:{region}:123456789012:table/{table}{index}", {}


def _of_s3(operation: str, action: str, arguments: Mapping[str, Any]) -> tuple[str, Mapping[str, str]]:
    if "Key" not in arguments:
        context = {"s3:prefix": arguments["Prefix"]} if action == "s3:ListBucket" and "Prefix" in arguments else {}
        return f"arn:aws:s3:::{arguments['Bucket']}", context
    copies_from = operation == "copy_object" and action in ("s3:GetObject", "s3:GetObjectTagging")
    where = arguments["CopySource"] if copies_from else arguments
    return f"arn:aws:s3:::{where['Bucket']}/{where['Key']}", {}


def allows(policy: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str]) -> bool:
    """Whether *policy* allows an action on a resource; *context* is what conditions are about."""
    return any(_states(one, action, resource, context) for one in policy["Statement"])


def _states(statement: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str]) -> bool:
    wanted: Mapping[str, str] = statement.get("Condition", {}).get("StringLike", {})
    return (
        any(fnmatchcase(action, pattern) for pattern in statement["Action"])
        and fnmatchcase(resource, statement["Resource"])
        and all(name in context and fnmatchcase(context[name], pattern) for name, pattern in wanted.items())
    )
