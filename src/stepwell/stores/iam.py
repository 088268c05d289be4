"""The least that somebody may do who uses a store: IAM policies, of what they have in common.

Operations  which calls are made, and what allows each; every store has its own tables (dynamodb_iam.py, s3_iam.py)
statement   what is allowed on a resource
of_key      the same for a KMS key, through one service alone
document    a policy

An action that no call needs is in no policy: tests compare the tables with the calls that are made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

Mode = Literal["rw", "ro"]
Operations: TypeAlias = Mapping[str, tuple[str, ...]]
"""By the names of a client's methods: the actions that allow each."""


def document(statements: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A policy document."""
    return {"Version": "2012-10-17", "Statement": [dict(one) for one in statements]}


def statement(name: str, actions: Iterable[str], resource: str, **condition: Any) -> dict[str, Any]:
    """What is allowed on a resource; *condition* is by operator, such as `StringLike={"s3:prefix": "a/*"}`."""
    allowed = {"Sid": name, "Effect": "Allow", "Action": sorted(actions), "Resource": resource}
    return allowed | ({"Condition": condition} if condition else {})


def actions(operations: Operations) -> set[str]:
    """Everything that allows some of these."""
    return {action for needed in operations.values() for action in needed}


def of_key(
    name: str, arn: str, actions: Iterable[str], service: str, region: str | None, partition: str
) -> dict[str, Any]:
    """What is allowed with a key through *service* alone: by themselves, who has the policy cannot use the key."""
    domain = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
    via = {"kms:ViaService": f"{service}.{region or '*'}.{domain}"}
    return statement(name, actions, arn, StringLike=via)
