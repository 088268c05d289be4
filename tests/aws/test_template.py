"""What is printed for others to use: a CloudFormation template that cfn-lint accepts, and the least IAM policy."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import botocore.session
import pytest

from stepwell.errors import InvalidRequest
from stepwell.stores import dynamodb_iam, s3_iam
from stepwell.stores.dynamodb_options import DynamoDBOptions
from stepwell.stores.dynamodb_table import template
from stepwell.stores.iam import Mode, actions
from stepwell.stores.s3_options import S3Options, S3Place
from tests.aws.cfn import complaints
from tests.aws.service import KEY, OTHER_KEY, REGION

# CloudFormation


@pytest.mark.parametrize("key", [None, KEY])
def test_cfn_lint_accepts_the_template(key: str | None) -> None:
    made = template("sessions", key)
    assert complaints(made) == []
    assert made["Parameters"]["KmsKeyArn"]["Default"] == (key or "")


def test_cfn_lint_would_not_accept_any_template() -> None:
    made = template("sessions")
    made["Resources"]["Table"]["Properties"]["BillingMode"] = "FREE"
    del made["Resources"]["Table"]["UpdateReplacePolicy"]
    assert len(complaints(made)) >= 2


def test_the_table_outlives_its_stack_expires_and_can_be_restored() -> None:
    table = template("sessions")["Resources"]["Table"]
    properties = table["Properties"]
    assert (table["DeletionPolicy"], table["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert properties["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert properties["BillingMode"] == "PAY_PER_REQUEST"


@pytest.mark.parametrize(("table", "key"), [("no/name", None), ("sessions", "alias/key")])
def test_a_template_names_what_cloudformation_would_take(table: str, key: str | None) -> None:
    with pytest.raises(InvalidRequest):
        template(table, key)


# IAM

BLOBS = S3Place("my-bucket", "agents/a")


def statements(options: DynamoDBOptions | S3Options, mode: Mode = "rw", **more: Any) -> dict[str, dict[str, Any]]:
    if isinstance(options, S3Options):
        document = s3_iam.policy(options, mode, **more)
    else:
        document = dynamodb_iam.policy(options, mode, **more)
    assert document.keys() == {"Version", "Statement"}
    assert document["Version"] == "2012-10-17"
    assert all(one["Effect"] == "Allow" and one["Action"] and one["Resource"] for one in document["Statement"])
    assert all(one["Sid"].isalnum() for one in document["Statement"])
    json.dumps(document)
    return {one["Sid"]: one for one in document["Statement"]}


def allowed(options: DynamoDBOptions | S3Options, mode: Mode = "rw", **more: Any) -> set[str]:
    return {action for one in statements(options, mode, **more).values() for action in one["Action"]}


def test_a_policy_allows_what_is_called_and_nothing_else() -> None:
    for mode in ("rw", "ro"):
        of_table, of_objects = actions(dynamodb_iam.ACTIONS[mode]), actions(s3_iam.ACTIONS[mode])
        assert allowed(DynamoDBOptions("sessions"), mode) == of_table
        assert allowed(DynamoDBOptions("sessions", blobs=BLOBS), mode) == of_table | of_objects
        assert allowed(S3Options(BLOBS), mode) == of_objects


def test_who_reads_only_may_write_nothing() -> None:
    may = allowed(DynamoDBOptions("sessions", blobs=BLOBS, create=True), "ro", kms_key_arn=KEY)
    expected = {"DescribeTable", "GetItem", "Query", "GetObject", "ListBucket", "Decrypt", "DescribeKey"}
    assert {action.partition(":")[2] for action in may} == expected


def test_only_who_is_to_make_the_table_may() -> None:
    assert "dynamodb:CreateTable" not in allowed(DynamoDBOptions("sessions"))
    may = allowed(DynamoDBOptions("sessions", create=True))
    assert may == actions(dynamodb_iam.ACTIONS["rw"]) | actions(dynamodb_iam.CREATING)


def test_nobody_may_delete_or_scan_the_table() -> None:
    may = allowed(DynamoDBOptions("sessions", blobs=BLOBS, create=True), kms_key_arn=KEY)
    assert not {action for action in may if action.endswith(("DeleteTable", "Scan", "UpdateTable", "*:*"))}
    assert "*" not in {action.partition(":")[2] for action in may}


@pytest.mark.parametrize(("region", "shown"), [(REGION, REGION), (None, "*")])
def test_a_policy_is_for_one_table_its_index_and_where_it_is(region: str | None, shown: str) -> None:
    found = statements(DynamoDBOptions("sessions", region=region, create=True))
    table = f"arn:aws:dynamodb:{shown}:*:table/sessions"
    assert {name: one["Resource"] for name, one in found.items()} == {
        "Table": table,
        "Index": f"{table}/index/sessions",
        "Provision": table,
    }
    assert found["Index"]["Action"] == ["dynamodb:Query"]


def test_blobs_are_for_one_prefix_of_one_bucket() -> None:
    found = statements(DynamoDBOptions("sessions", blobs=BLOBS))
    assert found["Blobs"]["Resource"] == "arn:aws:s3:::my-bucket/agents/a/*"
    assert found["BlobNames"] == {
        "Sid": "BlobNames",
        "Effect": "Allow",
        "Action": ["s3:ListBucket"],
        "Resource": "arn:aws:s3:::my-bucket",
        "Condition": {"StringLike": {"s3:prefix": "agents/a/*"}},
    }
    whole = statements(DynamoDBOptions("sessions", blobs=S3Place("my-bucket")))
    assert whole["Blobs"]["Resource"] == "arn:aws:s3:::my-bucket/*"
    assert "Condition" not in whole["BlobNames"]


@pytest.mark.parametrize(
    ("region", "partition", "via"),
    [
        (REGION, "aws", f"dynamodb.{REGION}.amazonaws.com"),
        (None, "aws", "dynamodb.*.amazonaws.com"),
        ("cn-north-1", "aws-cn", "dynamodb.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_a_key_is_used_through_dynamodb_alone(region: str | None, partition: str, via: str) -> None:
    options = DynamoDBOptions("sessions", region=region)
    key = statements(options, kms_key_arn=KEY, partition=partition)["Key"]
    assert key["Action"] == ["kms:Decrypt", "kms:DescribeKey"]
    assert key["Resource"] == KEY
    assert key["Condition"] == {"StringLike": {"kms:ViaService": via}}
    assert "kms:CreateGrant" in allowed(DynamoDBOptions("sessions", create=True), kms_key_arn=KEY)


# IAM of S3 stores

IN_S3 = S3Options(BLOBS, REGION)


def test_a_store_in_s3_is_one_prefix_of_one_bucket() -> None:
    found = statements(IN_S3)
    assert {name: one["Resource"] for name, one in found.items()} == {
        "Objects": "arn:aws:s3:::my-bucket/agents/a/*",
        "Names": "arn:aws:s3:::my-bucket",
    }
    assert found["Objects"]["Action"] == ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
    assert found["Names"]["Action"] == ["s3:ListBucket"]
    assert found["Names"]["Condition"] == {"StringLike": {"s3:prefix": "agents/a/*"}}
    assert "Condition" not in statements(S3Options(S3Place("my-bucket")))["Names"]
    assert statements(IN_S3, partition="aws-cn")["Names"]["Resource"] == "arn:aws-cn:s3:::my-bucket"


def test_only_who_writes_tags_may() -> None:
    tagged = replace(IN_S3, tags={"team": "a"})
    assert allowed(tagged) - allowed(IN_S3) == {"s3:PutObjectTagging"}
    assert allowed(tagged, "ro") == allowed(IN_S3, "ro") == {"s3:GetObject", "s3:ListBucket"}


@pytest.mark.parametrize(("mode", "used"), [("rw", ["kms:Decrypt", "kms:GenerateDataKey"]), ("ro", ["kms:Decrypt"])])
def test_keys_are_used_through_s3_alone(mode: Mode, used: list[str]) -> None:
    keyed = replace(IN_S3, kms_key_arn=KEY)
    assert statements(keyed, mode)["Key"] == {
        "Sid": "Key",
        "Effect": "Allow",
        "Action": used,
        "Resource": KEY,
        "Condition": {"StringLike": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}},
    }
    assert (
        statements(keyed, mode, kms_key_arn=KEY) == statements(keyed, mode) == statements(IN_S3, mode, kms_key_arn=KEY)
    )
    both = statements(keyed, mode, kms_key_arn=OTHER_KEY)
    assert [both[name]["Resource"] for name in ("Key", "OtherKey")] == [KEY, OTHER_KEY]


def test_nobody_may_change_or_delete_a_bucket_or_older_versions() -> None:
    may = allowed(replace(IN_S3, tags={"team": "a"}), kms_key_arn=KEY)
    assert not {action for action in may if "Bucket" in action and action != "s3:ListBucket"}
    assert not {action for action in may if "Version" in action or action.endswith("*")}


TABLES = (
    dynamodb_iam.ACTIONS["rw"],
    dynamodb_iam.CREATING,
    s3_iam.ACTIONS["rw"],
    s3_iam.TAGGING,
    s3_iam.PROVISIONING,
)


@pytest.mark.parametrize(("operation", "needed"), [entry for table in TABLES for entry in table.items()])
def test_every_operation_of_the_tables_is_one_of_its_service(operation: str, needed: tuple[str, ...]) -> None:
    service = needed[0].partition(":")[0]
    names = botocore.session.get_session().get_service_model(service).operation_names
    assert operation.replace("_", "") in {name.lower() for name in names}
