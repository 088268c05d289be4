"""The bucket is made and completed; what is somebody else's or has another key is refused.

moto lets everybody see every bucket, ignores the expected owner, knows no configurations of S3's own (a new bucket has
neither encryption nor blocked public access there, on AWS both), and tells at once what was set: where S3 differs, the
tests answer in its stead.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import boto3
import pytest
from moto import mock_aws

from stepwell.blocking import run_sync
from stepwell.errors import InvalidRequest, NotSupported, PermissionDenied, StepwellError, Unavailable
from stepwell.stores import s3_provision
from stepwell.stores.s3_iam import PROVISIONING
from stepwell.stores.s3_lifecycle import PARTS, rule_id
from stepwell.stores.s3_options import S3Options, S3Place
from stepwell.stores.s3_provision import BLOCKED, Provisioned, provision, template
from tests.aws.cfn import complaints
from tests.aws.service import KEY, OTHER_KEY, REGION, at_once, refusal, step

BUCKET = "my-bucket"
OPTIONS = S3Options(S3Place(BUCKET, "agents/a"), REGION)
ALL = ("bucket", "block public access", "default encryption", "lifecycle rule")
THEIRS = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 7}}


@pytest.fixture(autouse=True)
def account() -> Iterator[None]:
    with mock_aws():
        yield


@cache
def client(region: str = REGION) -> Any:
    """One of moto's."""
    services: Any = boto3
    return services.client("s3", region_name=region, aws_access_key_id="testing", aws_secret_access_key="testing")


@dataclass
class Service:
    """`Aws` over moto. *before* and *after* are called with each operation and may raise; *edit* changes answers."""

    before: Callable[[str], None] = lambda operation: None
    after: Callable[[str], None] = lambda operation: None
    edit: Callable[[str, dict[str, Any]], dict[str, Any]] = lambda operation, answer: answer
    region_name: str = REGION
    interleaved: bool = False
    calls: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list[tuple[str, Mapping[str, Any]]])

    @property
    def operations(self) -> list[str]:
        """Those that were called, in order."""
        return [operation for operation, _ in self.calls]

    @property
    def changing(self) -> list[str]:
        """Those that change something."""
        return [operation for operation in self.operations if operation.startswith(("put_", "create_"))]

    async def call(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        """See `Aws`."""
        if self.interleaved:
            await step()
        self.calls.append((operation, arguments))
        self.before(operation)
        where = self.region_name if self.region_name.count("-") > 1 else "us-east-1"
        answer = getattr(client(where), operation)(**arguments)
        self.after(operation)
        return self.edit(operation, answer)

    async def region(self) -> str:
        return self.region_name

    async def endpoint(self) -> str:
        return "https://service.example"

    async def aclose(self) -> None:
        pass


def provisioned(service: Service, options: S3Options = OPTIONS, **more: Any) -> Provisioned:
    return run_sync(provision(service, options, sleep=at_once, **more))


def make(*rules: Mapping[str, Any], versioned: bool = False, **more: Any) -> None:
    """A bucket as somebody else made it."""
    client().create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}, **more)
    if rules:
        client().put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": list(rules)})
    if versioned:
        client().put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})


def encrypt(key: str | None, **more: Any) -> None:
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key} if key else {"SSEAlgorithm": "AES256"}
    rule = {"ApplyServerSideEncryptionByDefault": default, **more}
    client().put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]})


def found() -> dict[str, Any]:
    """All that is set of the bucket."""
    s3 = client()
    return {
        "public": s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"],
        "encryption": s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"],
        "rules": s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"],
    }


def assert_complete(*others: Mapping[str, Any], key: str | None = None) -> None:
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key} if key else {"SSEAlgorithm": "AES256"}
    ours = {"ID": rule_id(OPTIONS.place), "Status": "Enabled", "Filter": {"Prefix": "agents/a/"}, **PARTS}
    assert found() == {
        "public": BLOCKED,
        "encryption": [{"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": key is not None}],
        "rules": [*others, ours],
    }


# Making it


def test_a_bucket_that_is_not_there_is_made_with_all_that_belongs_to_it() -> None:
    service = Service()
    done = provisioned(service)
    assert (done.done, done.lacking, done.remarks) == (ALL, (), ())
    assert done.state == s3_provision.BucketState(BUCKET, REGION, None, versioned=False, locked=False)
    assert client().head_bucket(Bucket=BUCKET)["BucketRegion"] == REGION
    assert_complete()


def test_a_bucket_that_is_there_is_looked_at_and_left_as_it_is() -> None:
    provisioned(Service())
    service = Service()
    assert provisioned(service).done == ()
    assert service.changing == []


def test_only_us_east_1_takes_no_location() -> None:
    service = Service(region_name="us-east-1")
    assert provisioned(service, replace(OPTIONS, region="us-east-1")).state.region == "us-east-1"
    (created,) = [arguments for operation, arguments in service.calls if operation == "create_bucket"]
    assert created == {"Bucket": BUCKET}


def test_without_a_region_no_bucket_is_made() -> None:
    service = Service(region_name="aws-global")
    with pytest.raises(InvalidRequest, match=r"in which region.*\?region="):
        provisioned(service, replace(OPTIONS, region=None))
    assert service.operations == ["head_bucket"]


def test_the_owner_of_the_url_is_named_in_every_call_that_takes_one() -> None:
    service = Service()
    provisioned(service, replace(OPTIONS, bucket_owner="123456789012"))
    unnamed = {operation for operation, arguments in service.calls if "ExpectedBucketOwner" not in arguments}
    assert unnamed == {"create_bucket"}


def test_what_is_called_is_what_who_provisions_needs() -> None:
    make()
    service = Service()
    provisioned(service)
    client().delete_bucket(Bucket=BUCKET)
    provisioned(service)
    assert set(service.operations) == PROVISIONING.keys()


# Completing it


@pytest.mark.parametrize("lacking", ALL[1:])
def test_what_a_bucket_lacks_is_set(lacking: str) -> None:
    provisioned(Service())
    s3 = client()
    taken = {
        ALL[1]: s3.delete_public_access_block,
        ALL[2]: s3.delete_bucket_encryption,
        ALL[3]: s3.delete_bucket_lifecycle,
    }
    taken[lacking](Bucket=BUCKET)
    assert provisioned(Service()).done == (lacking,)
    assert_complete()


def test_public_access_is_blocked_where_a_part_of_it_is_open() -> None:
    provisioned(Service())
    client().put_public_access_block(
        Bucket=BUCKET, PublicAccessBlockConfiguration={**BLOCKED, "BlockPublicPolicy": False}
    )
    assert provisioned(Service()).done == (ALL[1],)
    assert_complete()


def test_rules_of_others_stay_and_how_they_move_small_objects_does_too() -> None:
    make(THEIRS)
    size = {"TransitionDefaultMinimumObjectSize": "varies_by_storage_class"}  # moto always tells the default

    def told(operation: str, answer: dict[str, Any]) -> dict[str, Any]:
        return answer | size if operation == "get_bucket_lifecycle_configuration" else answer

    service = Service(edit=told)
    done = provisioned(service)
    (sent,) = [arguments for operation, arguments in service.calls if operation == "put_bucket_lifecycle_configuration"]
    assert sent.items() >= size.items()
    assert done.remarks == ()
    assert_complete(THEIRS)


def test_a_rule_that_harms_living_sessions_is_remarked_and_left() -> None:
    theirs = {**THEIRS, "Filter": {"Prefix": ""}}
    make(theirs)
    for _ in range(2):
        (remark,) = provisioned(Service()).remarks
        assert "the lifecycle rule theirs removes objects of living sessions" in remark
    assert_complete(theirs)


# Keys


@pytest.mark.parametrize("there", ["absent", "own keys", "its key without a bucket key", "its key"])
@pytest.mark.parametrize("of_url", [False, True])
def test_a_key_encrypts_what_names_none(there: str, of_url: bool) -> None:
    if there != "absent":
        make()
    if there == "own keys":
        encrypt(None)
    elif there.startswith("its key"):
        encrypt(KEY, BucketKeyEnabled=there == "its key")
    options, more = (replace(OPTIONS, kms_key_arn=KEY), {}) if of_url else (OPTIONS, {"kms_key_arn": KEY})
    done = provisioned(Service(), options, **more)
    assert ("default encryption" in done.done) == (there != "its key")
    assert done.state.kms_key_arn == KEY
    assert_complete(key=KEY)
    assert provisioned(Service(), options, **more).done == ()
    assert provisioned(Service()).state.kms_key_arn == KEY


def test_a_key_that_is_named_by_its_id_is_the_same() -> None:
    make()
    encrypt(KEY.rpartition("/")[2], BucketKeyEnabled=True)
    assert "default encryption" not in provisioned(Service(), kms_key_arn=KEY).done


def test_what_else_the_rule_of_encryption_says_is_kept() -> None:
    blocked = {"BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]}}  # moto drops it

    def told(operation: str, answer: dict[str, Any]) -> dict[str, Any]:
        if operation == "get_bucket_encryption":
            answer["ServerSideEncryptionConfiguration"]["Rules"][0] |= blocked
        return answer

    make()
    encrypt(None)
    service = Service(edit=told)
    provisioned(service, kms_key_arn=KEY)
    (sent,) = [arguments for operation, arguments in service.calls if operation == "put_bucket_encryption"]
    assert sent["ServerSideEncryptionConfiguration"]["Rules"][0].items() >= blocked.items()


def test_a_bucket_with_another_key_is_refused_unless_every_object_names_its_own() -> None:
    make()
    encrypt(OTHER_KEY)
    with pytest.raises(NotSupported, match=f"encrypts with {OTHER_KEY}, not with {KEY}"):
        provisioned(Service(), kms_key_arn=KEY)
    assert provisioned(Service(), replace(OPTIONS, kms_key_arn=KEY)).state.kms_key_arn == OTHER_KEY
    assert found()["encryption"][0]["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"] == OTHER_KEY


@pytest.mark.parametrize(
    ("arn", "told"), [("alias/key", "no key's ARN"), (KEY.replace(REGION, "us-east-1"), "the bucket in eu-west-1")]
)
def test_what_is_no_key_of_the_region_is_refused_before_anything_is_made(arn: str, told: str) -> None:
    service = Service()
    with pytest.raises(InvalidRequest, match=told):
        provisioned(service, kms_key_arn=arn)
    assert service.changing == []


def test_two_keys_are_one_too_many() -> None:
    with pytest.raises(InvalidRequest, match="the URL names another one"):
        provisioned(Service(), replace(OPTIONS, kms_key_arn=KEY), kms_key_arn=OTHER_KEY)


# Versions and locks


def test_of_versions_their_cost_and_what_they_keep_is_remarked() -> None:
    make(versioned=True)
    (remark,) = provisioned(Service()).remarks
    assert "older version of a segment for a day, which is paid for" in remark
    assert "redacted or removed can be read there as long" in remark


def test_how_long_others_keep_versions_is_theirs() -> None:
    theirs = {**THEIRS, "Filter": {"Prefix": ""}, "NoncurrentVersionExpiration": {"NoncurrentDays": 30}}
    del theirs["Expiration"]
    make(theirs, versioned=True)
    (remark,) = provisioned(Service()).remarks
    assert "for 30 days" in remark
    assert "NoncurrentVersionExpiration" not in found()["rules"][1]


def test_versions_of_a_whole_bucket_that_was_there_are_not_ours_to_remove() -> None:
    make(versioned=True)
    whole = replace(OPTIONS, place=S3Place(BUCKET))
    versions, spared = provisioned(Service(), whole).remarks
    assert "for ever" in versions
    assert "add a prefix to the URL" in spared
    assert [rule.keys() & PARTS.keys() for rule in found()["rules"]] == [PARTS.keys() - {"NoncurrentVersionExpiration"}]
    assert provisioned(Service(), whole).done == ()


def test_a_whole_bucket_of_our_own_stays_as_it_is_when_it_gets_versions() -> None:
    whole = replace(OPTIONS, place=S3Place(BUCKET))
    provisioned(Service(), whole)
    client().put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    again = provisioned(Service(), whole)
    assert (again.done, len(again.remarks)) == ((), 1)
    assert PARTS.items() <= found()["rules"][0].items()


def test_of_locks_it_is_remarked_that_nothing_can_be_erased() -> None:
    make(ObjectLockEnabledForBucket=True)
    done = provisioned(Service())
    assert (done.state.versioned, done.state.locked) == (True, True)
    assert "Object Lock: what is redacted or removed stays" in done.remarks[-1]


# Somebody else's, and elsewhere


@pytest.mark.parametrize(
    ("operation", "code"),
    [("head_bucket", "403"), ("head_bucket", "AccessDenied"), ("create_bucket", "BucketAlreadyExists")],
)
def test_somebody_elses_bucket_is_refused_with_what_to_do(operation: str, code: str) -> None:
    service = Service(before=refusing(operation, code))
    with pytest.raises(PermissionDenied, match="choose another name"):
        provisioned(service)
    assert service.operations[-1] == operation
    with pytest.raises(PermissionDenied, match="is not that of account 123456789012"):
        provisioned(Service(before=refusing(operation, code)), replace(OPTIONS, bucket_owner="123456789012"))


def test_a_bucket_that_another_account_lets_us_use_is_refused_unless_it_is_named() -> None:
    make()

    def listed(operation: str, answer: dict[str, Any]) -> dict[str, Any]:
        return answer | {"Buckets": [{"Name": f"{BUCKET}-2"}]} if operation == "list_buckets" else answer

    service = Service(edit=listed)
    with pytest.raises(PermissionDenied, match=r"another account.*\?bucket_owner=ACCOUNT"):
        provisioned(service)
    assert service.changing == []
    named = Service(edit=listed)
    assert provisioned(named, replace(OPTIONS, bucket_owner="210987654321")).done == ALL[1:]
    assert "list_buckets" not in named.operations


def test_a_new_bucket_may_be_listed_later() -> None:
    make()
    looks = itertools.count()

    def later(operation: str, answer: dict[str, Any]) -> dict[str, Any]:
        return answer | {"Buckets": []} if operation == "list_buckets" and next(looks) < 2 else answer

    assert provisioned(Service(edit=later)).remarks == ()


def test_who_may_not_list_buckets_is_told_how_to_name_the_owner() -> None:
    make()
    (remark,) = provisioned(Service(before=refusing("list_buckets", "AccessDenied"))).remarks
    assert "?bucket_owner=ACCOUNT" in remark


def test_a_bucket_in_another_region_is_refused_or_remarked() -> None:
    make()
    with pytest.raises(InvalidRequest, match=f"lies in {REGION}, not in us-east-1"):
        provisioned(Service(region_name="us-east-1"), replace(OPTIONS, region="us-east-1"))
    done = provisioned(Service(region_name="us-east-1"), replace(OPTIONS, region=None))
    assert done.state.region == REGION
    assert f"add ?region={REGION}" in done.remarks[0]


def refusing(operation: str, code: str, times: int = 1000) -> Callable[[str], None]:
    """What refuses the first calls of an operation."""
    left = itertools.count()

    def refuse(called: str) -> None:
        if called == operation and next(left) < times:
            raise refusal(code, called)

    return refuse


# Several at once, other servers, and interruptions


@pytest.mark.parametrize("seed", range(40))
def test_two_that_provision_at_once_both_end_with_the_whole_bucket(seed: int) -> None:
    chance = random.Random(seed)
    services = [Service(interleaved=True), Service(interleaved=True)]
    running = {n: provision(one, OPTIONS, kms_key_arn=KEY, sleep=at_once) for n, one in enumerate(services)}
    ended: dict[int, Provisioned] = {}
    while running:
        number = chance.choice(list(running))
        try:
            running[number].send(None)
        except StopIteration as stop:
            ended[number] = stop.value
            del running[number]
    assert ended[0].state == ended[1].state
    assert [name for one in ended.values() for name in one.done].count("bucket") == 1
    assert_complete(key=KEY)


class Interrupted(BaseException):
    pass


@pytest.mark.parametrize(("at", "lost"), [*((at, False) for at in range(14)), *((at, True) for at in range(9))])
def test_what_was_interrupted_is_finished_by_the_next_run(at: int, lost: bool) -> None:
    calls = itertools.count()

    def interrupt(operation: str) -> None:
        if next(calls) == at:
            raise Interrupted(operation)

    with pytest.raises(Interrupted):
        provisioned(Service(after=interrupt) if lost else Service(before=interrupt))
    provisioned(Service())
    assert_complete()


@pytest.mark.parametrize("operation", ["create_bucket", "get_bucket_versioning", *sorted(PROVISIONING)[-2:]])
def test_what_others_are_changing_is_tried_again(operation: str) -> None:
    assert provisioned(Service(before=refusing(operation, "OperationAborted", times=3))).done == ALL
    assert_complete()


def test_a_new_bucket_may_be_known_later_and_what_is_set_be_told_later() -> None:
    hidden = [refusing("get_public_access_block", "NoSuchBucket", 2), refusing("head_bucket", "404", 3)]
    looks = itertools.count()

    def before(operation: str) -> None:
        for hide in hidden:
            hide(operation)

    def stale(operation: str, answer: dict[str, Any]) -> dict[str, Any]:
        return answer | {"Rules": [THEIRS]} if operation.startswith("get_bucket_life") and next(looks) < 2 else answer

    assert set(provisioned(Service(before=before, edit=stale)).done) == set(ALL)


def test_what_is_never_ready_ends_with_why() -> None:
    with pytest.raises(Unavailable, match="is not there after 60 attempts") as caught:
        provisioned(Service(before=refusing("head_bucket", "404")))
    assert caught.value.retryable
    with pytest.raises(Unavailable, match="lifecycle rule is not on after 30 attempts"):
        provisioned(Service(before=refusing("put_bucket_lifecycle_configuration", "OperationAborted")))
    with pytest.raises(Unavailable, match="get_bucket_versioning on S3 bucket"):
        provisioned(Service(before=refusing("get_bucket_versioning", "NoSuchBucket")))


@pytest.mark.parametrize(
    ("missing", "lacking"),
    [
        ("get_public_access_block", ALL[1:2]),
        ("put_bucket_encryption", ALL[2:3]),
        ("get_bucket_lifecycle_configuration", ALL[3:]),
        ("get_bucket_versioning", ()),
        ("get_object_lock_configuration", ()),
    ],
)
def test_what_another_server_does_not_have_is_told_as_lacking(missing: str, lacking: tuple[str, ...]) -> None:
    assert provisioned(Service(before=refusing(missing, "NotImplemented"))).lacking == lacking


@pytest.mark.parametrize("operation", sorted(PROVISIONING.keys() - {"head_bucket", "list_buckets"}))
def test_who_may_not_is_told_what_is_needed(operation: str) -> None:
    with pytest.raises(PermissionDenied, match=f"needs {PROVISIONING[operation][0]}"):
        provisioned(Service(before=refusing(operation, "AccessDenied")))


@pytest.mark.parametrize("operation", ["head_bucket", "put_bucket_encryption"])
def test_any_other_error_is_told_as_what_it_means(operation: str) -> None:
    with pytest.raises(StepwellError, match=f"{operation} on S3 bucket {BUCKET}") as caught:
        provisioned(Service(before=refusing(operation, "SlowDown")))
    assert "SlowDown" in str(caught.value.__cause__)


# CloudFormation


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("prefix", ["", "agents/a"])
def test_cfn_lint_accepts_the_template(prefix: str, key: str | None) -> None:
    made = template(replace(OPTIONS, place=S3Place(BUCKET, prefix)), key)
    assert complaints(made) == []
    assert made["Parameters"]["KmsKeyArn"]["Default"] == (key or "")


def test_cfn_lint_would_not_accept_any_template() -> None:
    made = template(OPTIONS)
    made["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"][0]["Status"] = "Perhaps"
    del made["Resources"]["Bucket"]["UpdateReplacePolicy"]
    assert len(complaints(made)) >= 2


@pytest.mark.parametrize("key", [None, KEY])
def test_the_template_is_of_the_bucket_that_is_made_and_outlives_its_stack(key: str | None) -> None:
    provisioned(Service(), kms_key_arn=key)
    bucket = template(OPTIONS, key)["Resources"]["Bucket"]
    assert (bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert as_api(bucket["Properties"], key) == found()


def as_api(properties: Mapping[str, Any], key: str | None) -> dict[str, Any]:
    """What CloudFormation makes of the properties, in the words of S3's own API."""
    (choice,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    chosen = dict(choice["Fn::If"][1 if key else 2])
    default = dict(chosen["ServerSideEncryptionByDefault"])
    if key:
        assert default["KMSMasterKeyID"] == {"Ref": "KmsKeyArn"}
        default["KMSMasterKeyID"] = key
    rules = [dict(rule) for rule in properties["LifecycleConfiguration"]["Rules"]]
    for rule in rules:
        rule["ID"], rule["Filter"] = rule.pop("Id"), {"Prefix": rule.pop("Prefix", "")}
        rule["Expiration"] = {"ExpiredObjectDeleteMarker": rule.pop("ExpiredObjectDeleteMarker")}
    encryption = {
        "ApplyServerSideEncryptionByDefault": default,
        "BucketKeyEnabled": chosen.get("BucketKeyEnabled", False),
    }
    return {"public": properties["PublicAccessBlockConfiguration"], "encryption": [encryption], "rules": rules}


@pytest.mark.parametrize("key", ["alias/key", KEY.replace(REGION, "us-east-1")])
def test_a_template_names_what_cloudformation_would_take(key: str) -> None:
    with pytest.raises(InvalidRequest):
        template(OPTIONS, key)
