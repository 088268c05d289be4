"""What IAM would say of a call: whether a policy allows it, by action, resource and condition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from stepwell.stores.iam import ACTIONS, CREATING

_OPERATIONS = {**CREATING, **ACTIONS["rw"]}


def refused(policy: Mapping[str, Any], operation: str, arguments: Mapping[str, Any], region: str) -> list[str]:
    """The actions of a call that *policy* does not allow, each with its resource."""
    return [
        f"{operation}: {action} on {resource}"
        for action, resource, context in _asked(operation, arguments, region)
        if not any(_allows(one, action, resource, context) for one in policy["Statement"])
    ]


def _asked(operation: str, arguments: Mapping[str, Any], region: str) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    for action in _OPERATIONS.get(operation, (f"unknown:{operation}",)):
        if action.startswith("s3:"):
            objects = arguments["Delete"]["Objects"] if "Delete" in arguments else ({},)
            for one in objects:
                yield action, *_of_s3(operation, action, {**arguments, **one})
            continue
        for table in arguments.get("RequestItems") or {arguments["TableName"]: None}:
            index = f"/index/{arguments['IndexName']}" if "IndexName" in arguments else ""
            yield action, f"arn:aws:dynamodb:{region}:123456789012:table/{table}{index}", {}


def _of_s3(operation: str, action: str, arguments: Mapping[str, Any]) -> tuple[str, Mapping[str, str]]:
    if action == "s3:ListBucket":
        return f"arn:aws:s3:::{arguments['Bucket']}", {
            "s3:prefix": arguments["Prefix"]
        } if "Prefix" in arguments else {}
    copies_from = operation == "copy_object" and action == "s3:GetObject"
    where = arguments["CopySource"] if copies_from else arguments
    return f"arn:aws:s3:::{where['Bucket']}/{where['Key']}", {}


def _allows(statement: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str]) -> bool:
    wanted: Mapping[str, str] = statement.get("Condition", {}).get("StringLike", {})
    return (
        any(fnmatchcase(action, pattern) for pattern in statement["Action"])
        and fnmatchcase(resource, statement["Resource"])
        and all(name in context and fnmatchcase(context[name], pattern) for name, pattern in wanted.items())
    )
