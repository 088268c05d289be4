"""The table is made, completed, waited for; what is there and is another table is refused."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from moto import mock_aws

from stepwell.blocking import run_sync
from stepwell.errors import InvalidRequest, NotSupported, PermissionDenied, StepwellError, Unavailable
from stepwell.stores import dynamodb_table
from stepwell.stores.dynamodb_table import DEFINITION, Provisioned, check, provision
from tests.aws.service import KEY, OTHER_KEY, REGION, Service, at_once, refusal

ALL = ("table", "time to live", "point-in-time recovery")


@pytest.fixture(autouse=True)
def account() -> Iterator[None]:
    with mock_aws():
        yield


def provisioned(service: Service, table: str = "sessions", **options: Any) -> Provisioned:
    return run_sync(provision(service, table, sleep=at_once, **options))


def make(service: Service, **changes: Any) -> None:
    """A table as somebody else made it."""
    service.client.create_table(**{"TableName": "sessions", **DEFINITION, **changes})


def assert_complete(service: Service, table: str = "sessions") -> None:
    found = service.client.describe_table(TableName=table)["Table"]
    assert check(found).ready
    assert found["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    expiry = service.client.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    assert expiry == {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}
    backups = service.client.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"


# Making it


def test_a_table_that_is_not_there_is_made_with_all_that_belongs_to_it() -> None:
    service = Service()
    done = provisioned(service)
    assert (done.done, done.lacking) == (ALL, ())
    assert (done.state.region, done.state.kms_key_arn, done.state.replicas) == (REGION, None, ())
    assert_complete(service)


def test_a_table_that_is_there_is_looked_at_and_left_as_it_is() -> None:
    provisioned(Service())
    service = Service()
    assert provisioned(service).done == ()
    assert [operation for operation in service.operations if not operation.startswith("describe_")] == []


def test_it_is_waited_for_until_table_and_index_can_be_used() -> None:
    service, slept = Service(making=4), list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    state = run_sync(provision(service, "sessions", sleep=sleep)).state
    assert (state.ready, service.making) == (True, 0)
    assert slept == [dynamodb_table.POLL_SECONDS] * 4


def test_waiting_has_an_end_and_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamodb_table, "MAX_POLLS", 120)
    service = Service(making=10**6)
    with pytest.raises(Unavailable, match=r"not ready after 2 minutes \(CREATING.*same again goes on") as caught:
        provisioned(service)
    assert service.operations.count("describe_table") == 120
    assert caught.value.retryable


def test_a_table_that_is_being_deleted_is_made_anew_whatever_it_was() -> None:
    service = Service()
    make(service, **WRONG["other keys"][0])
    looks = itertools.count()

    def deleting(operation: str, answer: dict[str, Any]) -> dict[str, Any]:
        if operation == "describe_table" and (look := next(looks)) < 2:
            answer["Table"]["TableStatus"] = "DELETING"
            if look == 1:
                service.client.delete_table(TableName="sessions")
        return answer

    service.edit = deleting
    assert provisioned(service).done == ALL
    assert_complete(service)


def test_a_key_encrypts_the_table() -> None:
    service = Service()
    assert provisioned(service, kms_key_arn=KEY).state.kms_key_arn == KEY
    assert provisioned(service, kms_key_arn=KEY).done == ()
    assert provisioned(service).state.kms_key_arn == KEY


# Completing it


@pytest.mark.parametrize("there", [(), ("time to live",), ("point-in-time recovery",)])
def test_what_a_table_lacks_is_switched_on(there: tuple[str, ...]) -> None:
    service = Service()
    make(service)
    if "time to live" in there:
        service.client.update_time_to_live(
            TableName="sessions", TimeToLiveSpecification={"AttributeName": "ttl", "Enabled": True}
        )
    if "point-in-time recovery" in there:
        service.client.update_continuous_backups(
            TableName="sessions", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
    assert provisioned(service).done == tuple(name for name in ALL[1:] if name not in there)
    assert_complete(service)


@pytest.mark.parametrize("code", ["ContinuousBackupsUnavailableException", "TableNotFoundException"])
def test_what_cannot_be_switched_on_yet_is_tried_again(code: str) -> None:
    refused = itertools.count()

    def not_yet(operation: str) -> None:
        looking = code == "TableNotFoundException"
        if operation == ("describe" if looking else "update") + "_continuous_backups" and next(refused) < 3:
            raise refusal(code, operation)

    service = Service(before=not_yet)
    assert provisioned(service).done == ALL
    assert_complete(service)


def test_what_is_never_switched_on_ends_with_why() -> None:
    def never(operation: str) -> None:
        if operation == "update_time_to_live":
            raise refusal("ValidationException", operation)

    service = Service(before=never)
    with pytest.raises(Unavailable, match="time to live is not on after 30 attempts") as caught:
        provisioned(service)
    assert service.operations.count("update_time_to_live") == dynamodb_table.MAX_SWITCH_POLLS
    assert "ValidationException" in str(caught.value.__cause__)


@pytest.mark.parametrize("missing", ["time_to_live", "continuous_backups"])
def test_what_a_local_server_does_not_have_is_told_as_lacking(missing: str) -> None:
    def unknown(operation: str) -> None:
        if operation.endswith(missing):
            raise refusal("UnknownOperationException", operation)

    lacking = "time to live" if missing == "time_to_live" else "point-in-time recovery"
    assert provisioned(Service(before=unknown)).lacking == (lacking,)


def test_a_strongly_consistent_global_table_has_no_time_to_live() -> None:
    service = Service(edit=described(MultiRegionConsistency="STRONG", Replicas=[{"RegionName": "eu-west-2"}]))
    make(service)
    done = provisioned(service)
    assert (done.done, done.lacking) == (("point-in-time recovery",), ("time to live",))
    assert "update_time_to_live" not in service.operations


def described(**members: Any) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    """Answers of `DescribeTable` with these members."""

    def edit(operation: str, answer: dict[str, Any]) -> dict[str, Any]:
        if operation == "describe_table":
            answer["Table"] |= members
        return answer

    return edit


# Several at once, and interruptions


@pytest.mark.parametrize("seed", range(40))
def test_two_that_provision_at_once_both_end_with_the_whole_table(seed: int) -> None:
    chance = random.Random(seed)
    services = [Service(interleaved=True), Service(interleaved=True)]
    running = {n: provision(service, "sessions", kms_key_arn=KEY, sleep=at_once) for n, service in enumerate(services)}
    ended: dict[int, Provisioned] = {}
    while running:
        number = chance.choice(list(running))
        try:
            running[number].send(None)
        except StopIteration as stop:
            ended[number] = stop.value
            del running[number]
    assert ended[0].state == ended[1].state
    assert sorted(name for one in ended.values() for name in one.done if name == "table") == ["table"]
    assert_complete(services[0])


class Interrupted(BaseException):
    pass


@pytest.mark.parametrize(("at", "lost"), [*((at, False) for at in range(6)), *((at, True) for at in range(5))])
def test_what_was_interrupted_is_finished_by_the_next_run(at: int, lost: bool) -> None:
    calls = itertools.count()

    def interrupt(operation: str) -> None:
        if next(calls) == at:
            raise Interrupted(operation)

    with pytest.raises(Interrupted):
        provisioned(Service(after=interrupt) if lost else Service(before=interrupt))
    service = Service()
    provisioned(service)
    assert_complete(service)


def test_a_table_that_is_not_told_yet_is_not_made_twice() -> None:
    hidden = itertools.count()

    def not_yet(operation: str) -> None:
        if operation == "describe_table" and next(hidden) < 3:
            raise refusal("ResourceNotFoundException", operation)

    service = Service(before=not_yet, making=2)
    assert provisioned(service).done == ALL
    assert service.operations.count("create_table") == 3


@pytest.mark.parametrize("at", ["describe_table", "create_table", "update_time_to_live", "update_continuous_backups"])
def test_any_other_error_is_told_as_what_it_means(at: str) -> None:
    def deny(operation: str) -> None:
        if operation == at:
            raise refusal("AccessDeniedException", operation)

    with pytest.raises(StepwellError, match=f"{at} on dynamodb table sessions") as caught:
        provisioned(Service(before=deny))
    assert "AccessDeniedException" in str(caught.value.__cause__)


# Other tables

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "other keys": (
        {
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [
                {"AttributeName": "id", "AttributeType": "S"},
                *DEFINITION["AttributeDefinitions"][2:],
            ],
        },
        "its keys are id (S), not pk (S) and sk (S)",
    ),
    "keys of another type": (
        {
            "AttributeDefinitions": [
                {"AttributeName": "sk", "AttributeType": "N"},
                *(one for one in DEFINITION["AttributeDefinitions"] if one["AttributeName"] != "sk"),
            ]
        },
        "its keys are pk (S) and sk (N), not pk (S) and sk (S)",
    ),
    "an index of another key": (
        {
            "GlobalSecondaryIndexes": [
                {
                    **DEFINITION["GlobalSecondaryIndexes"][0],
                    "KeySchema": [{"AttributeName": "tenant", "KeyType": "HASH"}],
                }
            ],
            "AttributeDefinitions": DEFINITION["AttributeDefinitions"][:3],
        },
        "its index 'sessions' is by tenant (S), not tenant (S) and session (B)",
    ),
    "an index of another name": (
        {"GlobalSecondaryIndexes": [{**DEFINITION["GlobalSecondaryIndexes"][0], "IndexName": "other"}]},
        "it has no index 'sessions' by tenant (S) and session (B)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_table_with_other_keys_or_without_the_index_is_refused_and_not_touched(case: str) -> None:
    changes, told = WRONG[case]
    service = Service()
    make(service, **changes)
    with pytest.raises(NotSupported) as caught:
        provisioned(service)
    assert told in str(caught.value)
    assert "`stepwell provision dynamodb://NAME`" in str(caught.value)
    assert service.operations == ["describe_table"]


def test_an_index_that_is_being_deleted_is_none() -> None:
    service = Service()
    make(service)
    found = service.client.describe_table(TableName="sessions")["Table"]
    found["GlobalSecondaryIndexes"][0]["IndexStatus"] = "DELETING"
    with pytest.raises(NotSupported, match="it has no index 'sessions'"):
        check(found)


def test_everything_that_is_wrong_is_told() -> None:
    service = Service()
    key = {"AttributeName": "id", "KeyType": "HASH"}
    service.client.create_table(
        TableName="sessions",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[key],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )
    with pytest.raises(NotSupported, match=r"its keys are id \(S\).*, it has no index"):
        provisioned(service)


def test_a_table_with_indexes_of_others_beside_ours_will_do() -> None:
    service = Service()
    index = DEFINITION["GlobalSecondaryIndexes"][0]
    make(service, GlobalSecondaryIndexes=[{**index, "IndexName": "other"}, index])
    assert provisioned(service).state.ready


@pytest.mark.parametrize(("has", "told"), [(None, "a key that AWS owns"), (OTHER_KEY, OTHER_KEY)])
def test_a_table_with_another_key_is_refused(has: str | None, told: str) -> None:
    service = Service()
    provisioned(service, kms_key_arn=has)
    with pytest.raises(NotSupported, match="chosen when a table is made") as caught:
        provisioned(service, kms_key_arn=KEY)
    assert f"encrypted with {told}, not with {KEY}" in str(caught.value)


def test_a_table_that_expires_by_another_attribute_is_refused() -> None:
    service = Service()
    make(service)
    service.client.update_time_to_live(
        TableName="sessions", TimeToLiveSpecification={"AttributeName": "expires", "Enabled": True}
    )
    with pytest.raises(NotSupported, match="expires by the attribute 'expires', not by 'ttl'"):
        provisioned(service)


def test_a_table_whose_time_to_live_is_being_switched_off_is_for_later() -> None:
    def disabling(operation: str, answer: dict[str, Any]) -> dict[str, Any]:
        if operation == "describe_time_to_live":
            answer["TimeToLiveDescription"] = {"TimeToLiveStatus": "DISABLING", "AttributeName": "ttl"}
        return answer

    service = Service(edit=disabling)
    make(service)
    with pytest.raises(Unavailable, match="up to an hour") as caught:
        provisioned(service)
    assert not caught.value.retryable


def test_a_table_whose_key_cannot_be_used_says_so() -> None:
    service = Service(edit=described(TableStatus="INACCESSIBLE_ENCRYPTION_CREDENTIALS"))
    make(service)
    with pytest.raises(PermissionDenied, match="key policy"):
        provisioned(service)


@pytest.mark.parametrize("name", ["", "ab", "a" * 256, "a/b", "a b", "sessions\n", "sess\u0456ons"])
def test_a_name_that_dynamodb_does_not_take_is_refused_before_any_call(name: str) -> None:
    service = Service()
    with pytest.raises(InvalidRequest, match="3 to 255 of"):
        provisioned(service, name)
    assert service.calls == []


@pytest.mark.parametrize(
    ("arn", "told"),
    [
        ("alias/sessions", "no key's ARN"),
        (f"arn:aws:kms:{REGION}:123456789012:alias/sessions", "no key's ARN"),
        ("8d0b4f5c-0000-4000-8000-000000000001", "no key's ARN"),
        (KEY.replace(REGION, "us-east-1"), "the key is in us-east-1, the table in eu-west-1"),
    ],
)
def test_what_is_no_key_of_the_region_is_refused_before_any_call(arn: str, told: str) -> None:
    service = Service()
    with pytest.raises(InvalidRequest, match=told):
        provisioned(service, kms_key_arn=arn)
    assert service.calls == []


# Global tables

REPLICAS = {"Replicas": [{"RegionName": "us-east-1"}, {"RegionName": REGION}]}


def looked_at(home_region: str | None = None, **members: Any) -> dynamodb_table.TableState:
    service = Service()
    if not service.client.list_tables()["TableNames"]:
        make(service)
    return check(service.client.describe_table(TableName="sessions")["Table"] | members, home_region=home_region)


@pytest.mark.parametrize(
    "members", [REPLICAS, {**REPLICAS, "MultiRegionConsistency": "EVENTUAL"}, {"GlobalTableVersion": "2017.11.29"}]
)
def test_a_global_table_is_refused_unless_its_home_is_named(members: dict[str, Any]) -> None:
    with pytest.raises(NotSupported, match=rf"\?home_region={REGION}.*multi-Region strong consistency"):
        looked_at(**members)
    assert looked_at(REGION, **members).region == REGION
    with pytest.raises(NotSupported, match=r"use \?region=us-east-1&home_region=us-east-1"):
        looked_at("us-east-1", **members)


def test_a_strongly_consistent_global_table_is_written_to_from_anywhere() -> None:
    witness = {"GlobalTableWitnesses": [{"RegionName": "us-east-2"}]}
    for home in (None, "us-east-1", REGION):
        state = looked_at(home, MultiRegionConsistency="STRONG", **REPLICAS, **witness)
        assert (state.strong, state.replicas) == (True, ("us-east-1", "us-east-2"))


@pytest.mark.parametrize("members", [{}, {"Replicas": []}, {"Replicas": [{"RegionName": REGION}]}])
def test_a_table_of_one_region_needs_no_home(members: dict[str, Any]) -> None:
    assert looked_at(**members).replicas == ()
    with pytest.raises(NotSupported, match="written to in its home region us-east-1 alone"):
        looked_at("us-east-1", **members)


@pytest.mark.parametrize(
    ("encryption", "key"),
    [
        ({"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": KEY}, KEY),
        ({"Status": "DISABLED", "KMSMasterKeyArn": KEY}, None),
        ({}, None),
    ],
)
def test_the_key_of_a_table_is_known(encryption: dict[str, str], key: str | None) -> None:
    assert looked_at(SSEDescription=encryption).kms_key_arn == key
