"""`stepwell provision` and `iam-policy`: what they do, print and end with."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from stepwell.cli import exits, patience, table
from stepwell.errors import Throttled
from stepwell.io.aws import open_aws
from stepwell.stores import dynamodb_iam, dynamodb_table, s3_iam, s3_provision
from stepwell.stores.dynamodb_options import DynamoDBOptions
from stepwell.stores.iam import Mode
from stepwell.stores.s3_options import S3Options, S3Place
from tests.aws.service import KEY, OTHER_KEY, REGION, client, refusal
from tests.cli.bench import Bench, error_of, lines

URL = f"dynamodb://sessions?region={REGION}"
IN_S3 = f"s3://my-bucket/agents?region={REGION}"
OPTIONS = S3Options(S3Place("my-bucket", "agents"), REGION)
ALL = ["table", "time to live", "point-in-time recovery"]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with mock_aws():
        yield Bench(tmp_path)


# provision


def test_provision_makes_the_table_and_says_what_it_did(bench: Bench) -> None:
    done = bench.run("provision", URL)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"dynamodb table sessions in {REGION} can be used",
        f"  made now: {', '.join(ALL)}",
        "  encrypted with a key that AWS owns",
    ]
    assert client().describe_table(TableName="sessions")["Table"]["TableStatus"] == "ACTIVE"
    assert "it was complete; nothing was changed" in bench.run("provision", URL).stdout


def test_provision_as_json_is_one_object(bench: Bench) -> None:
    (first,) = lines(bench.run("provision", URL, "--kms-key-arn", KEY, "--json"))
    (again,) = lines(bench.run("provision", URL, "--json"))
    arn = client().describe_table(TableName="sessions")["Table"]["TableArn"]
    assert first.pop("done") == ALL
    assert again.pop("done") == []
    assert first == {"table": "sessions", "arn": arn, "region": REGION, "kms_key_arn": KEY, "lacking": []}
    assert first == again


def test_provision_takes_the_url_of_the_environment(bench: Bench) -> None:
    assert bench.run("provision", STEPWELL_URL=URL).exit_code == 0
    assert client().list_tables()["TableNames"] == ["sessions"]


def test_what_cannot_be_had_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, "describe_continuous_backups", refusal("UnknownOperationException", "a"), times=100)
    assert "  it cannot have: point-in-time recovery\n" in bench.run("provision", URL).stdout
    assert lines(bench.run("provision", URL, "--json"))[0]["lacking"] == ["point-in-time recovery"]


def test_a_table_that_will_not_do_is_told_with_what_to_do(bench: Bench) -> None:
    bench.run("provision", URL, "--kms-key-arn", OTHER_KEY)
    done = bench.run("provision", URL, "--kms-key-arn", KEY)
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (exits.FAILED, "", 1)
    assert "name another table, or leave the key out" in done.stderr
    error = error_of(bench.run("provision", URL, "--kms-key-arn", KEY, "--json"))
    assert (error["type"], error["retryable"]) == ("NotSupported", False)


def test_a_failure_that_passes_is_tried_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    throttled = refusal("ThrottlingException", "a")
    failing(monkeypatch, "update_time_to_live", throttled, times=2)
    assert bench.run("provision", URL).exit_code == 0


def test_a_failure_that_lasts_says_that_the_same_command_may_succeed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def throttled(*_: object, **__: object) -> None:
        raise Throttled("a test says so")

    monkeypatch.setattr(dynamodb_table, "provision", throttled)
    monkeypatch.setattr(table, "MAX_POLLS", 0)
    done = bench.run("provision", URL)
    assert (done.exit_code, done.stderr) == (1, "stepwell: a test says so; the same command may succeed later\n")


def test_an_interruption_says_how_to_go_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, "update_time_to_live", KeyboardInterrupt(), times=1)
    done = bench.run("provision", URL)
    assert (done.exit_code, done.stdout) == (exits.INTERRUPTED, "")
    assert done.stderr == "stepwell: interrupted; what was made stays; go on with the same command\n"
    assert lines(bench.run("provision", URL, "--json"))[0]["done"] == ALL[1:]


def failing(monkeypatch: pytest.MonkeyPatch, operation: str, error: BaseException, *, times: int) -> None:
    """Calls of *operation* that fail, so often."""
    left = [None] * times

    def open_failing(*args: Any) -> Any:
        aws = open_aws(*args)
        call = aws.call

        async def fail(name: str, /, **arguments: Any) -> dict[str, Any]:
            if name == operation and left:
                left.pop()
                raise error
            return await call(name, **arguments)

        monkeypatch.setattr(aws, "call", fail)
        return aws

    monkeypatch.setattr(patience, "open_aws", open_failing)


def buckets() -> Any:
    """A client of moto's S3."""
    services: Any = boto3  # its types know a thousand services by name
    return services.client("s3", region_name=REGION)


def test_provision_makes_the_bucket_and_says_what_it_did(bench: Bench) -> None:
    done = bench.run("provision", IN_S3)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"S3 bucket my-bucket in {REGION} can be used",
        "  made now: bucket, block public access, default encryption, lifecycle rule",
        "  encrypted with keys of S3",
    ]
    assert "it was complete; nothing was changed" in bench.run("provision", IN_S3).stdout


def test_the_bucket_as_json_is_one_object_with_what_there_is_to_remark(bench: Bench) -> None:
    (first,) = lines(bench.run("provision", IN_S3, "--kms-key-arn", KEY, "--json"))
    buckets().put_bucket_versioning(Bucket="my-bucket", VersioningConfiguration={"Status": "Enabled"})
    (again,) = lines(bench.run("provision", IN_S3, "--json"))
    named = {"bucket": "my-bucket", "prefix": "agents", "region": REGION, "kms_key_arn": KEY, "locked": False}
    done = ["bucket", "block public access", "default encryption", "lifecycle rule"]
    assert first == named | {"versioned": False, "done": done, "lacking": [], "remarks": []}
    (remark,) = again.pop("remarks")
    assert again == named | {"versioned": True, "done": [], "lacking": []}
    shown = bench.run("provision", IN_S3).stdout
    assert f"  {remark}\n" in shown
    assert f"  encrypted with {KEY}\n" in shown


def test_a_bucket_of_another_region_is_refused(bench: Bench) -> None:
    bench.run("provision", IN_S3)
    done = bench.run("provision", IN_S3.replace(REGION, "us-east-1"))
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (exits.USAGE, "", 1)
    assert f"lies in {REGION}, not in us-east-1" in done.stderr


def test_the_template_of_a_bucket_is_printed_and_nothing_is_made(bench: Bench) -> None:
    done = bench.run("provision", IN_S3, "--cloudformation", "--kms-key-arn", KEY)
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == s3_provision.template(OPTIONS, KEY)
    assert buckets().list_buckets()["Buckets"] == []


def test_a_template_is_printed_and_nothing_is_made(bench: Bench) -> None:
    done = bench.run("provision", URL, "--cloudformation", "--kms-key-arn", KEY)
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == dynamodb_table.template("sessions", KEY)
    assert done.stdout.count("\n") > 20
    (template,) = lines(bench.run("provision", URL, "--cloudformation", "--json"))
    assert template == dynamodb_table.template("sessions")
    assert client().list_tables()["TableNames"] == []


def test_a_store_without_a_table_needs_no_provisioning(bench: Bench) -> None:
    for url in (bench.url, "memory:"):
        done = bench.run("provision", url)
        assert (done.exit_code, done.stdout) == (0, "")
        assert done.stderr == f"stepwell: {url} needs no provisioning: it is made when it is first used\n"
        assert lines(bench.run("provision", url, "--json")) == [{"table": None, "done": [], "lacking": []}]
        refused = bench.run("provision", url, "--cloudformation")
        assert (refused.exit_code, refused.stdout) == (exits.USAGE, "")
        assert "there is nothing to describe" in refused.stderr
    assert list(bench.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["provision", "dynamodb://x"], "3 to 255 of"),
        (["provision", "dynamodb://sessions?tabel=x"], "no option 'tabel'"),
        (["provision", URL, "--kms-key-arn", "alias/key"], "--kms-key-arn: 'alias/key' is no key's ARN"),
        (["provision", URL, "--cloudformation", "--kms-key-arn", "alias/key"], "--kms-key-arn: 'alias/key'"),
        (["iam-policy", "nowhere:x"], "the scheme 'nowhere' is unknown"),
        (["iam-policy", URL, "--mode", "rx"], "'rx' is not one of"),
        (["provision", "s3://UPPER"], "s3://bucket/prefix"),
        (["provision", f"{IN_S3}&segmint=1"], "no option 'segmint'"),
        (["provision", IN_S3, "--kms-key-arn", KEY.replace(REGION, "us-east-1")], "the bucket in eu-west-1"),
        (["provision", f"{IN_S3}&kms_key_arn={KEY}", "--kms-key-arn", OTHER_KEY], "--kms-key-arn: the URL names"),
        (["iam-policy", IN_S3, "--kms-key-arn", "alias/key"], "--kms-key-arn: 'alias/key' is no key's ARN"),
        (["iam-policy", URL, "--kms-key-arn", KEY.replace(REGION, "us-east-1")], "the key is in us-east-1"),
        (["iam-policy", "memory:"], "memory: makes no calls to AWS: it needs no policy"),
    ],
)
def test_what_is_not_understood_says_what_would_be(bench: Bench, words: list[str], told: str) -> None:
    done = bench.run(*words)
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (exits.USAGE, "", 1)
    assert told in done.stderr
    assert told in error_of(bench.run(*words, "--json"))["message"]


# iam-policy


@pytest.mark.parametrize("mode", ["rw", "ro"])
def test_a_policy_is_printed_for_what_the_url_says(bench: Bench, mode: Mode) -> None:
    done = bench.run("iam-policy", f"{URL}&create=1&blobs=s3://my-bucket/a", "--mode", mode, "--kms-key-arn", KEY)
    options = DynamoDBOptions("sessions", REGION, blobs=S3Place("my-bucket", "a"), create=True)
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == dynamodb_iam.policy(options, mode, kms_key_arn=KEY)
    assert done.stdout.count("\n") > 20


def test_a_policy_is_for_writers_unless_it_is_said(bench: Bench) -> None:
    (policy,) = lines(bench.run("iam-policy", "dynamodb://sessions", "--json"))
    assert policy == dynamodb_iam.policy(DynamoDBOptions("sessions"), "rw")


@pytest.mark.parametrize("mode", ["rw", "ro"])
def test_a_policy_of_a_bucket_is_printed_for_what_the_url_says(bench: Bench, mode: Mode) -> None:
    url = f"{IN_S3}&tags=team=support&kms_key_arn={OTHER_KEY}"
    done = bench.run("iam-policy", url, "--mode", mode, "--kms-key-arn", KEY)
    options = replace(OPTIONS, tags={"team": "support"}, kms_key_arn=OTHER_KEY)
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == s3_iam.policy(options, mode, kms_key_arn=KEY)
    (chinese,) = lines(bench.run("iam-policy", "s3://my-bucket/agents?region=cn-north-1", "--json"))
    assert chinese == s3_iam.policy(replace(OPTIONS, region="cn-north-1"), partition="aws-cn")


@pytest.mark.parametrize(("region", "partition"), [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")])
def test_a_policy_is_for_the_partition_of_the_region(bench: Bench, region: str, partition: str) -> None:
    (policy,) = lines(bench.run("iam-policy", f"dynamodb://sessions?region={region}", "--json"))
    assert policy == dynamodb_iam.policy(DynamoDBOptions("sessions", region), partition=partition)
    (local,) = lines(bench.run("iam-policy", "dynamodb://sessions?region=nowhere", "--json"))
    assert local == dynamodb_iam.policy(DynamoDBOptions("sessions", "nowhere"))
