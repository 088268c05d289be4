"""The table of the DynamoDB store: what it is, making it, and whether one that is there will do.

DEFINITION     its keys, its index and how it is paid for, in the words that CreateTable and CloudFormation share
check          what a client needs to know of `DescribeTable`'s answer: a `TableState`, or why the table will not do
provision      makes the table or completes one that is there, and waits until it can be used: `Provisioned`
template       the same table as a CloudFormation template

Errors: `NotSupported` names what is wrong with a table and what to do; it is never changed beyond switching on what it
lacks. Everything here may be called again, by several at once, and after an interruption. It retries nothing by itself.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stepwell.errors import InvalidRequest, NotSupported, PermissionDenied, Unavailable
from stepwell.io.aws import Aws
from stepwell.io.aws_errors import translated
from stepwell.stores.dynamodb_items import INDEX
from stepwell.stores.dynamodb_items import TTL_ATTRIBUTE as TTL
from stepwell.stores.kms import KEY_ARN, check_key_arn

_KEYS: Final = {"pk": "S", "sk": "S"}
_INDEX_KEYS: Final = {"tenant": "S", "session": "B"}


def _key_schema(names: Collection[str]) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, ("HASH", "RANGE"), strict=True)]


DEFINITION: Final[Mapping[str, Any]] = {
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [
        {"AttributeName": name, "AttributeType": kind} for name, kind in (_KEYS | _INDEX_KEYS).items()
    ],
    "KeySchema": _key_schema(_KEYS),
    "GlobalSecondaryIndexes": [
        {
            "IndexName": INDEX,
            "KeySchema": _key_schema(_INDEX_KEYS),
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }
    ],
}
_EXPIRES: Final = {"AttributeName": TTL, "Enabled": True}
_RECOVERS: Final = {"PointInTimeRecoveryEnabled": True}

POLL_SECONDS: Final = 1.0
MAX_POLLS: Final = 600
"""How often a table is looked at until it is ready. DynamoDB needs some ten seconds, for a global table minutes."""
MAX_SWITCH_POLLS: Final = 30
"""How often to try to switch something on: somebody else may be at it."""

_NAME: Final = re.compile(r"[a-zA-Z0-9_.-]{3,255}")

_ABSENT: Final = frozenset({"ResourceNotFoundException", "TableNotFoundException"})
_OTHERS_ARE_AT_IT: Final = frozenset({"ResourceInUseException"})
_NOT_YET: Final = _OTHERS_ARE_AT_IT | {"ContinuousBackupsUnavailableException", "ValidationException"}
"""`UpdateTimeToLive` answers the last one where it is on already."""
_UNKNOWN: Final = frozenset({"UnknownOperationException"})
"""What a local server answers that has no such thing."""

Sleep = Callable[[float], Awaitable[None]]


def check_table_name(name: str) -> str:
    """*name*, if DynamoDB would take it.

    Raises:
        InvalidRequest: it would not.
    """
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"table: {name[:40]!a} is no table's name: 3 to 255 of a-z, A-Z, 0-9, '_', '.' and '-'")
    return name


@dataclass(frozen=True, slots=True)
class TableState:
    """What `DescribeTable` says of a table that will do."""

    arn: str
    region: str
    """Where the client reaches it."""
    status: str
    index_status: str
    kms_key_arn: str | None
    """The key that encrypts it; None: one that AWS owns."""
    replicas: tuple[str, ...] = ()
    """The other regions that it is replicated to."""
    strong: bool = False
    """Whether what one region acknowledged is what every other one reads."""

    @property
    def ready(self) -> bool:
        """Whether the table and its index can be used."""
        return (self.status, self.index_status) == ("ACTIVE", "ACTIVE")


@dataclass(frozen=True, slots=True)
class Provisioned:
    """A table that can be used. *done* names what was made or switched on now, *lacking* what cannot be had there."""

    state: TableState
    done: tuple[str, ...]
    lacking: tuple[str, ...]


def check(description: Mapping[str, Any], *, home_region: str | None = None) -> TableState:
    """What a client needs to know of *description*, the member `Table` of `DescribeTable`'s answer.

    *home_region* is the one region of a global table that is written to.

    Raises:
        NotSupported: the keys or the index are others, or writers in two regions could both win.
        PermissionDenied: DynamoDB may not use the key that encrypts the table.
    """
    name = description["TableName"]
    faults = list(_faults(description))
    if faults:
        raise NotSupported(
            f"dynamodb table {name} is none of stepwell's: {', '.join(faults)}; "
            "name another table and make it with `stepwell provision dynamodb://NAME`"
        )
    if description.get("TableStatus") == "INACCESSIBLE_ENCRYPTION_CREDENTIALS":
        raise PermissionDenied(
            f"dynamodb table {name}: its KMS key is disabled, or its key policy does not let DynamoDB use it; "
            "DynamoDB archives the table if that lasts for seven days"
        )
    state = _state(description)
    _check_regions(name, state, description, home_region)
    return state


def _faults(description: Mapping[str, Any]) -> Iterator[str]:
    types = {one["AttributeName"]: one["AttributeType"] for one in description.get("AttributeDefinitions", ())}
    index = _index(description)
    if (keys := _typed(description["KeySchema"], types)) != _typed(DEFINITION["KeySchema"], _KEYS):
        yield f"its keys are {keys}, not {_typed(DEFINITION['KeySchema'], _KEYS)}"
    wanted = _typed(_key_schema(_INDEX_KEYS), _INDEX_KEYS)
    if index is None or index.get("IndexStatus") == "DELETING":
        yield f"it has no index {INDEX!r} by {wanted}"
    elif (keys := _typed(index["KeySchema"], types)) != wanted:
        yield f"its index {INDEX!r} is by {keys}, not {wanted}"


def _index(description: Mapping[str, Any]) -> Mapping[str, Any] | None:
    indexes: Sequence[Mapping[str, Any]] = description.get("GlobalSecondaryIndexes") or ()
    return next((one for one in indexes if one["IndexName"] == INDEX), None)


def _typed(schema: Sequence[Mapping[str, str]], types: Mapping[str, str]) -> str:
    """`pk (S) and sk (S)`, the partition key first."""
    ordered = sorted(schema, key=lambda one: one["KeyType"])
    return " and ".join(f"{one['AttributeName']} ({types.get(one['AttributeName'], '?')})" for one in ordered)


def _state(description: Mapping[str, Any]) -> TableState:
    arn: str = description.get("TableArn", "")
    region = (arn.split(":") + [""] * 4)[3]
    encryption: Mapping[str, str] = description.get("SSEDescription") or {}
    others = (*(description.get("Replicas") or ()), *(description.get("GlobalTableWitnesses") or ()))
    return TableState(
        arn=arn,
        region=region,
        status=description.get("TableStatus", ""),
        index_status=(_index(description) or {}).get("IndexStatus", ""),
        kms_key_arn=None if encryption.get("Status") == "DISABLED" else encryption.get("KMSMasterKeyArn"),
        replicas=tuple(sorted({one["RegionName"] for one in others} - {region})),
        strong=description.get("MultiRegionConsistency") == "STRONG",
    )


def _check_regions(name: str, state: TableState, description: Mapping[str, Any], home_region: str | None) -> None:
    """Refuse a table that two regions can write to, unless one of them sees at once what the other wrote."""
    legacy = description.get("GlobalTableVersion") == "2017.11.29"  # its replicas are not told
    if state.strong or (home_region is None and not state.replicas and not legacy):
        return
    if home_region is None:
        regions = ", ".join(state.replicas) or "other regions"
        raise NotSupported(
            f"dynamodb table {name} is a global table, replicated to {regions} with eventual consistency: two regions "
            f"could both write the same slot; if only one region ever writes, say which: ?home_region={state.region}; "
            "else use a global table with multi-Region strong consistency"
        )
    if home_region != state.region:
        raise NotSupported(
            f"dynamodb table {name} is written to in its home region {home_region} alone, and this client uses "
            f"{state.region}; use ?region={home_region}&home_region={home_region}"
        )


async def provision(
    aws: Aws, table: str, *, kms_key_arn: str | None = None, home_region: str | None = None, sleep: Sleep
) -> Provisioned:
    """Make *table*, or complete it if it is there, and wait until it can be used.

    *kms_key_arn* is the key that encrypts it, None: one that AWS owns, or whichever a table has that is there.

    Raises:
        InvalidRequest: the name or the ARN is none.
        NotSupported: the table that is there is another one, has another key, or expires by another attribute.
        Unavailable: it is not ready after `MAX_POLLS`, or something failed that may succeed later.
    """
    check_table_name(table)
    if kms_key_arn is not None:
        check_key_arn(kms_key_arn, await aws.region(), of="table")
    made, state = await _ready(aws, table, kms_key_arn, home_region, sleep)
    done = ["table"] if made else []
    lacking: list[str] = []
    for switch in (_TIME_TO_LIVE, _RECOVERY):
        if switch is _TIME_TO_LIVE and state.strong:  # DynamoDB has none there; `gc` removes what is due
            lacking.append(switch.name)
            continue
        match await _switch_on(aws, table, switch, sleep):
            case True:
                done.append(switch.name)
            case None:
                lacking.append(switch.name)
            case _:
                pass
    return Provisioned(state, tuple(done), tuple(lacking))


async def _ready(
    aws: Aws, table: str, kms_key_arn: str | None, home_region: str | None, sleep: Sleep
) -> tuple[bool, TableState]:
    """Whether the table had to be made, and what it is once it can be used."""
    made, status = False, "absent"
    for _ in range(MAX_POLLS):
        answer = await _call(aws, "describe_table", table, unless=_ABSENT)
        if isinstance(answer, _Refusal):  # perhaps it is only not told yet: then the name is in use already
            answer = await _create(aws, table, kms_key_arn)
            made |= not isinstance(answer, _Refusal)
        found = None if isinstance(answer, _Refusal) else answer.get("Table") or answer["TableDescription"]
        if found is not None and found["TableStatus"] != "DELETING":  # that is made anew
            state = check(found, home_region=home_region)
            _check_key(table, state, kms_key_arn)
            if state.ready:
                return made, state
            status = f"{state.status}, its index {state.index_status}"
        await sleep(POLL_SECONDS)
    waited = f"{POLL_SECONDS * MAX_POLLS / 60:.0f} minutes"
    raise Unavailable(f"dynamodb table {table} is not ready after {waited} ({status}); the same again goes on waiting")


async def _create(aws: Aws, table: str, kms_key_arn: str | None) -> dict[str, Any] | _Refusal:
    encryption = {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": kms_key_arn}
    sealed = {} if kms_key_arn is None else {"SSESpecification": encryption}
    return await _call(aws, "create_table", table, unless=_OTHERS_ARE_AT_IT, **DEFINITION, **sealed)


def _check_key(table: str, state: TableState, kms_key_arn: str | None) -> None:
    if kms_key_arn not in (None, state.kms_key_arn):
        raise NotSupported(
            f"dynamodb table {table} is encrypted with {state.kms_key_arn or 'a key that AWS owns'}, not with "
            f"{kms_key_arn}: the key is chosen when a table is made; name another table, or leave the key out"
        )


@dataclass(frozen=True, slots=True)
class _Switch:
    """Something of a table that is switched on once it is there."""

    name: str
    looks: str
    turns: str
    specification: Mapping[str, Mapping[str, object]]
    is_on: Callable[[str, Mapping[str, Any]], bool]


def _expires(table: str, answer: Mapping[str, Any]) -> bool:
    found: Mapping[str, str] = answer["TimeToLiveDescription"]
    status, attribute = found.get("TimeToLiveStatus", "DISABLED"), found.get("AttributeName", TTL)
    if status == "DISABLING":
        raise Unavailable(
            f"dynamodb table {table}: time to live is being switched off, which takes up to an hour; "
            "provision it again then",
            retryable=False,
        )
    if status != "DISABLED" and attribute != TTL:
        raise NotSupported(
            f"dynamodb table {table} expires by the attribute {attribute!a}, not by {TTL!r}, and DynamoDB allows one; "
            "switch that off, or name another table"
        )
    return status != "DISABLED"


def _recovers(table: str, answer: Mapping[str, Any]) -> bool:
    del table
    found: Mapping[str, Any] = answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription") or {}
    return found.get("PointInTimeRecoveryStatus") == "ENABLED"


_TIME_TO_LIVE: Final = _Switch(
    "time to live",
    "describe_time_to_live",
    "update_time_to_live",
    {"TimeToLiveSpecification": _EXPIRES},
    _expires,
)
_RECOVERY: Final = _Switch(
    "point-in-time recovery",
    "describe_continuous_backups",
    "update_continuous_backups",
    {"PointInTimeRecoverySpecification": _RECOVERS},
    _recovers,
)


async def _switch_on(aws: Aws, table: str, switch: _Switch, sleep: Sleep) -> bool | None:
    """Whether it had to be switched on; None: this server has no such thing."""
    refusal: _Refusal | None = None
    for _ in range(MAX_SWITCH_POLLS):
        answer = await _call(aws, switch.looks, table, unless=_UNKNOWN | _ABSENT)
        if not isinstance(answer, _Refusal):
            if switch.is_on(table, answer):
                return False
            answer = await _call(aws, switch.turns, table, unless=_UNKNOWN | _NOT_YET, **switch.specification)
        if not isinstance(answer, _Refusal):
            return True
        if answer.code in _UNKNOWN:
            return None
        refusal = answer
        await sleep(POLL_SECONDS)
    raise Unavailable(
        f"dynamodb table {table}: {switch.name} is not on after {MAX_SWITCH_POLLS} attempts; try again later"
    ) from (refusal.error if refusal else None)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """An answer that was to be expected."""

    code: str
    error: Exception


async def _call(
    aws: Aws, operation: str, table: str, *, unless: Collection[str], **arguments: Any
) -> dict[str, Any] | _Refusal:
    """The answer; a refusal with one of the codes *unless* is one, too."""
    try:
        return await aws.call(operation, TableName=table, **arguments)
    except Exception as error:
        response: Mapping[str, Any] = getattr(error, "response", None) or {}
        code = str(response.get("Error", {}).get("Code", ""))
        if code in unless:
            return _Refusal(code, error)
        # What is written here may be written again: it need not be known whether it was.
        raise translated(error, writes=False, what=f"{operation} on dynamodb table {table}") from error


def template(table: str, kms_key_arn: str | None = None) -> dict[str, Any]:
    """The table as a CloudFormation template. It outlives its stack; name and key are parameters."""
    key = {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": {"Ref": "KmsKeyArn"}}
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "The table of Stepwell's DynamoDB store.",
        "Parameters": {
            "TableName": {
                "Type": "String",
                "Default": check_table_name(table),
                "AllowedPattern": f"^{_NAME.pattern}$",
                "Description": "The name, as in dynamodb://NAME.",
            },
            "KmsKeyArn": {
                "Type": "String",
                "Default": "" if kms_key_arn is None else check_key_arn(kms_key_arn, of="table"),
                "AllowedPattern": f"^$|^{KEY_ARN.pattern}$",
                "Description": "The ARN of the KMS key that encrypts the table; empty for one that AWS owns.",
            },
        },
        "Conditions": {"HasKey": {"Fn::Not": [{"Fn::Equals": [{"Ref": "KmsKeyArn"}, ""]}]}},
        "Resources": {
            "Table": {
                "Type": "AWS::DynamoDB::Table",
                "DeletionPolicy": "Retain",
                "UpdateReplacePolicy": "Retain",
                "Properties": {
                    "TableName": {"Ref": "TableName"},
                    **DEFINITION,
                    "TimeToLiveSpecification": _EXPIRES,
                    "PointInTimeRecoverySpecification": _RECOVERS,
                    "SSESpecification": {"Fn::If": ["HasKey", key, {"Ref": "AWS::NoValue"}]},
                },
            }
        },
        "Outputs": {
            "TableName": {"Value": {"Ref": "Table"}},
            "TableArn": {"Value": {"Fn::GetAtt": ["Table", "Arn"]}},
        },
    }
