"""The bucket of the S3 store: making it, completing one that is there, and as a CloudFormation template.

provision      makes the bucket or completes one that is there: `Provisioned`
BucketState    what it is then
template       such a bucket as a CloudFormation template

Everything here may be called again, by several at once, and after an interruption. It retries nothing by itself, but
waits for what S3 is not ready for yet. Errors: `PermissionDenied` for somebody else's bucket, `NotSupported` for one
with another key.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from stepwell.errors import InvalidRequest, NotSupported, PermissionDenied, Unavailable
from stepwell.io.aws import Aws
from stepwell.io.aws_errors import translated
from stepwell.stores.kms import KEY_ARN, check_key_arn
from stepwell.stores.s3_iam import PROVISIONING
from stepwell.stores.s3_lifecycle import OLDER, OLDER_DAYS, PARTS, REST, Rule, harmful, kept, merged, rule_id
from stepwell.stores.s3_options import S3Options

POLL_SECONDS: Final = 1.0
MAX_POLLS: Final = 60
"""How often a bucket is looked at until it is there; one of the same name may just be on its way out."""
MAX_SWITCH_POLLS: Final = 30
"""How often to try to switch something on: what was set may be told a moment later, and somebody else may be at it."""
MAX_OWNER_POLLS: Final = 5
"""How often to look for a bucket among the account's own: a new one may be listed a moment later."""

BLOCKED: Final[Mapping[str, bool]] = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}
_WITHOUT_CONSTRAINT: Final = "us-east-1"
_NO_REGION: Final = "aws-global"
"""What botocore calls it when nothing names one."""

_ABSENT: Final = frozenset({"404", "NoSuchBucket"})
_FORBIDDEN: Final = frozenset({"403", "AccessDenied"})
_TAKEN: Final = frozenset({"BucketAlreadyExists"})
_NOT_YET: Final = frozenset({"OperationAborted", "NoSuchBucket"})
"""Somebody else changes it at the moment; a new bucket is not known everywhere yet."""
_UNKNOWN: Final = frozenset({"NotImplemented", "MethodNotAllowed", "UnsupportedOperation"})
"""What another server answers that has no such thing."""

Sleep: TypeAlias = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class BucketState:
    """A bucket as it is now. *kms_key_arn* encrypts what names no key; None: S3's own keys do."""

    name: str
    region: str
    kms_key_arn: str | None
    versioned: bool
    locked: bool
    """Whether versions may be locked against removal."""


@dataclass(frozen=True, slots=True)
class Provisioned:
    """A bucket that can be used.

    *done* names what was made or switched on now, *lacking* what cannot be had there; *remarks* are sentences about
    what somebody should know or change.
    """

    state: BucketState
    done: tuple[str, ...]
    lacking: tuple[str, ...]
    remarks: tuple[str, ...]


async def provision(aws: Aws, options: S3Options, *, kms_key_arn: str | None = None, sleep: Sleep) -> Provisioned:
    """Make the bucket of *options*, or complete it if it is there.

    *kms_key_arn* is the key that encrypts what names none; without it, that of *options*.

    Raises:
        InvalidRequest: the bucket or the key lies in another region; two keys are named; there is no region.
        NotSupported: the bucket that is there has another key.
        PermissionDenied: it is somebody else's, or the caller may not do what is needed.
        Unavailable: something is not ready, or failed and may succeed later.
    """
    key = _chosen_key(options, kms_key_arn)
    bucket = _Bucket(aws, options, sleep)
    made, region = await bucket.ready(key)
    remarks = [*(() if made else await bucket.owner()), *await bucket.detour(region)]
    versioned = (await bucket.looked("get_bucket_versioning")).get("Status") == "Enabled"
    lock = (await bucket.looked("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError")) or {}
    locked = lock.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled"
    spares_others = versioned and not made and not options.place.prefix
    encryption = _Encryption(options, kms_key_arn)
    lifecycle = _Lifecycle(options, REST if spares_others else PARTS)
    done, lacking = ["bucket"] if made else [], list[str]()
    for setting in (_PUBLIC_ACCESS, encryption.setting(), lifecycle.setting()):
        switched = await bucket.switch_on(setting)
        if switched is None:
            lacking.append(setting.name)
        elif switched:
            done.append(setting.name)
    remarks += harmful(options.place, lifecycle.rules, options.tags)
    if versioned:
        remarks.append(_of_versions(kept(options.place, lifecycle.rules)))
    if spares_others and kept(options.place, lifecycle.rules) is None:
        remarks.append(_SPARED)
    if locked:
        remarks.append(_LOCKED)
    state = BucketState(options.place.bucket, region, encryption.key, versioned, locked)
    return Provisioned(state, tuple(done), tuple(lacking), tuple(remarks))


def _chosen_key(options: S3Options, kms_key_arn: str | None) -> str | None:
    if kms_key_arn is not None and options.kms_key_arn not in (None, kms_key_arn):
        raise InvalidRequest("kms_key_arn: the URL names another one; give it once")
    return kms_key_arn or options.kms_key_arn


def _of_versions(days: int | None) -> str:
    stay = "for ever" if days is None else "for a day" if days == OLDER_DAYS else f"for {days} days"
    return (
        f"the bucket keeps versions: each append leaves the older version of a segment {stay}, which is paid for, and "
        "what is redacted or removed can be read there as long"
    )


_SPARED: Final = (
    "older versions are not removed, for the URL has no prefix and the bucket was there before: a rule would be for "
    "every object in it; add a prefix to the URL, or such a rule yourself"
)
_LOCKED: Final = (
    "the bucket has Object Lock: what is redacted or removed stays in older versions while these are locked, and "
    "nobody can remove it before"
)


class _Bucket:
    """Calls on one bucket, each of which may be made again."""

    def __init__(self, aws: Aws, options: S3Options, sleep: Sleep) -> None:
        self._aws = aws
        self._options = options
        self._name = options.place.bucket
        self._sleep = sleep

    async def ready(self, key: str | None) -> tuple[bool, str]:
        """Whether the bucket had to be made, and where it is."""
        made = False
        for _ in range(MAX_POLLS):
            found = await self._call("head_bucket", unless=_ABSENT | _FORBIDDEN)
            if not isinstance(found, _Refusal):
                region = found.get("BucketRegion") or await self._aws.region()
                self._check_region(region)
                _check_key(key, region)
                return made, region
            if found.code in _FORBIDDEN:
                raise self._somebody_elses() from found.error
            _check_key(key, await self._region())
            created = await self._create()
            if made or isinstance(created, _Refusal):  # it is not told yet, or is being deleted
                await self._sleep(POLL_SECONDS)
            made |= not isinstance(created, _Refusal)
        raise Unavailable(f"S3 bucket {self._name} is not there after {MAX_POLLS} attempts; the same again goes on")

    async def _create(self) -> dict[str, Any] | _Refusal:
        region = await self._region()
        where: dict[str, Any] = {"CreateBucketConfiguration": {"LocationConstraint": region}}
        more = {} if region == _WITHOUT_CONSTRAINT else where
        unless = _NOT_YET | _TAKEN | {"BucketAlreadyOwnedByYou"}
        created = await self._call("create_bucket", unless=unless, owned=False, **more)
        if isinstance(created, _Refusal) and created.code in _TAKEN:
            raise self._somebody_elses() from created.error
        return created

    async def _region(self) -> str:
        region = await self._aws.region()
        if region == _NO_REGION:
            raise InvalidRequest(f"url: in which region is S3 bucket {self._name} to be made? Add ?region=")
        return region

    def _check_region(self, region: str) -> None:
        if self._options.region not in (None, region):
            raise InvalidRequest(
                f"url: S3 bucket {self._name} lies in {region}, not in {self._options.region}: correct ?region="
            )

    def _somebody_elses(self) -> PermissionDenied:
        owner = self._options.bucket_owner
        whose = "is somebody else's" if owner is None else f"is not that of account {owner}"
        return PermissionDenied(
            f"S3 bucket {self._name} {whose}, or these credentials may not see it (s3:ListBucket): choose another "
            "name, for each is given once in the world"
        )

    async def owner(self) -> tuple[str, ...]:
        """What to remark of the owner of a bucket that was there; nothing of our own.

        Raises:
            PermissionDenied: it is another account's, however much that one allows.
        """
        if self._options.bucket_owner is not None:  # then S3 compares it with every call
            return ()
        for _ in range(MAX_OWNER_POLLS):
            asked = {"Prefix": self._name, "MaxBuckets": 1}
            own = await self._call("list_buckets", unless=_FORBIDDEN | _UNKNOWN, named=False, owned=False, **asked)
            if isinstance(own, _Refusal):
                return (
                    "whose bucket it is could not be seen (s3:ListAllMyBuckets): add ?bucket_owner=ACCOUNT to the URL",
                )
            if any(one["Name"] == self._name for one in own.get("Buckets", ())):
                return ()
            await self._sleep(POLL_SECONDS)
        raise PermissionDenied(
            f"S3 bucket {self._name} belongs to another account: choose another name, or say that this is meant, with "
            "?bucket_owner=ACCOUNT"
        )

    async def detour(self, region: str) -> tuple[str, ...]:
        """What to remark of a bucket in another region than the one that is called."""
        if await self._aws.region() == region:
            return ()
        return (f"the bucket lies in {region}: add ?region={region} to the URL, for every other way there is longer",)

    async def looked(self, operation: str, *absent: str) -> dict[str, Any]:
        """The answer; an empty one where there is nothing to tell."""
        for _ in range(MAX_SWITCH_POLLS):
            answer = await self._call(operation, unless=_UNKNOWN | _NOT_YET | {*absent})
            if not isinstance(answer, _Refusal):
                return answer
            if answer.code not in _NOT_YET:
                return {}
            await self._sleep(POLL_SECONDS)
        raise Unavailable(f"{operation} on S3 bucket {self._name}: it is not ready; try again later")

    async def switch_on(self, setting: _Setting) -> bool | None:
        """Whether it had to be switched on; None: this server has no such thing."""
        switched = False
        refusal: _Refusal | None = None
        for _ in range(MAX_SWITCH_POLLS):
            answer = await self._call(setting.looks, unless=_UNKNOWN | _NOT_YET | {setting.absent})
            if not isinstance(answer, _Refusal) or answer.code == setting.absent:
                lacks = setting.lacks({} if isinstance(answer, _Refusal) else answer)
                if lacks is None:
                    return switched
                if switched:  # what was written is not told yet
                    await self._sleep(POLL_SECONDS)
                answer = await self._call(setting.turns, unless=_UNKNOWN | _NOT_YET, **lacks)
            if not isinstance(answer, _Refusal):
                switched = True
                continue
            if answer.code in _UNKNOWN:
                return None
            refusal = answer
            await self._sleep(POLL_SECONDS)
        raise Unavailable(
            f"S3 bucket {self._name}: {setting.name} is not on after {MAX_SWITCH_POLLS} attempts; try again later"
        ) from (refusal.error if refusal else None)

    async def _call(
        self, operation: str, *, unless: Collection[str], named: bool = True, owned: bool = True, **arguments: Any
    ) -> dict[str, Any] | _Refusal:
        """The answer; a refusal with one of the codes *unless* is one, too."""
        where = {"Bucket": self._name} if named else {}
        owner = {"ExpectedBucketOwner": self._options.bucket_owner} if owned and self._options.bucket_owner else {}
        try:
            return await self._aws.call(operation, **where, **owner, **arguments)
        except Exception as error:
            response: Mapping[str, Any] = getattr(error, "response", None) or {}
            code = str(response.get("Error", {}).get("Code", ""))
            if code in unless:
                return _Refusal(code, error)
            if code in _FORBIDDEN:
                raise PermissionDenied(
                    f"{operation} on S3 bucket {self._name}: who provisions needs {PROVISIONING[operation][0]}, and no "
                    "policy of the organization that denies it"
                ) from error
            # What is written here may be written again: it need not be known whether it was.
            raise translated(error, writes=False, what=f"{operation} on S3 bucket {self._name}") from error


@dataclass(frozen=True, slots=True)
class _Refusal:
    """An answer that was to be expected."""

    code: str
    error: Exception


def _check_key(key: str | None, region: str) -> None:
    if key is not None:
        check_key_arn(key, region, of="bucket")


@dataclass(frozen=True, slots=True)
class _Setting:
    """Something of a bucket that is switched on once it is there. *absent* is the code of what was never set.

    *lacks* makes of what it is, the arguments that set what is lacking; None, if nothing is.
    """

    name: str
    looks: str
    absent: str
    turns: str
    lacks: Callable[[Mapping[str, Any]], Mapping[str, Any] | None]


def _lacks_block(answer: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found: Mapping[str, bool] = answer.get("PublicAccessBlockConfiguration", {})
    return None if found.items() >= BLOCKED.items() else {"PublicAccessBlockConfiguration": BLOCKED}


_PUBLIC_ACCESS: Final = _Setting(
    "block public access",
    "get_public_access_block",
    "NoSuchPublicAccessBlockConfiguration",
    "put_public_access_block",
    _lacks_block,
)


class _Encryption:
    """How a bucket encrypts what names no key. A key is set where S3's own keys are used, and never changed."""

    def __init__(self, options: S3Options, kms_key_arn: str | None) -> None:
        self._name = options.place.bucket
        self._asked = kms_key_arn
        self._wanted = kms_key_arn or options.kms_key_arn
        self.key: str | None = None

    def setting(self) -> _Setting:
        """It as a setting."""
        absent = "ServerSideEncryptionConfigurationNotFoundError"
        return _Setting("default encryption", "get_bucket_encryption", absent, "put_bucket_encryption", self._lacks)

    def _lacks(self, answer: Mapping[str, Any]) -> Mapping[str, Any] | None:
        rules: Sequence[Mapping[str, Any]] = answer.get("ServerSideEncryptionConfiguration", {}).get("Rules", ())
        rule = dict(rules[0]) if rules else {}
        found: Mapping[str, str] = rule.get("ApplyServerSideEncryptionByDefault", {})
        algorithm = found.get("SSEAlgorithm", "")
        self.key = found.get("KMSMasterKeyID", "alias/aws/s3") if algorithm.startswith("aws:kms") else None
        if self._wanted is None or (self.key is not None and not self._is_wanted(self.key)):
            return None if algorithm else _encrypted({**rule, **_OWN_KEYS})
        if self.key is None:
            return _encrypted({**rule, **_with_key(self._wanted)})
        has_bucket_key = rule.get("BucketKeyEnabled") or algorithm != "aws:kms"
        return None if has_bucket_key else _encrypted({**rule, "BucketKeyEnabled": True})

    def _is_wanted(self, key: str) -> bool:
        """Whether the bucket's key is the one that is asked for; a key of the URL's alone is told S3 with every object.

        Raises:
            NotSupported: it is another one.
        """
        wanted = self._wanted or ""
        if key in (wanted, wanted.rpartition("/")[2]):
            return True
        if self._asked is not None:
            raise NotSupported(
                f"S3 bucket {self._name} encrypts with {key}, not with {wanted}: others may rely on it; leave the key "
                "out, name another bucket, or change its default encryption yourself"
            )
        return False


def _with_key(key_arn: Any) -> dict[str, Any]:
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key_arn}
    return {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}


_OWN_KEYS: Final[Mapping[str, Any]] = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}


def _encrypted(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {"ServerSideEncryptionConfiguration": {"Rules": [rule]}}


class _Lifecycle:
    """The rules of a bucket, ours among them. *rules* are those that were told last."""

    def __init__(self, options: S3Options, parts: Mapping[str, Any]) -> None:
        self._place = options.place
        self._parts = parts
        self.rules: tuple[Rule, ...] = ()

    def setting(self) -> _Setting:
        """It as a setting."""
        return _Setting(
            "lifecycle rule",
            "get_bucket_lifecycle_configuration",
            "NoSuchLifecycleConfiguration",
            "put_bucket_lifecycle_configuration",
            self._lacks,
        )

    def _lacks(self, answer: Mapping[str, Any]) -> Mapping[str, Any] | None:
        self.rules = tuple(answer.get("Rules", ()))
        rules = merged(self._place, self.rules, self._parts)
        if rules is None:
            return None
        # S3 would set it to its default: it decides which objects the others' rules move.
        name = "TransitionDefaultMinimumObjectSize"
        return {"LifecycleConfiguration": {"Rules": rules}} | ({name: answer[name]} if name in answer else {})


def template(options: S3Options, kms_key_arn: str | None = None) -> dict[str, Any]:
    """The bucket as a CloudFormation template. It outlives its stack; name and key are parameters."""
    key = _chosen_key(options, kms_key_arn)
    place = options.place
    where = {"Prefix": place.begin} if place.prefix else {}
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "The bucket of Stepwell's S3 store.",
        "Parameters": {
            "BucketName": {
                "Type": "String",
                "Default": place.bucket,
                "AllowedPattern": "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
                "Description": "The name, as in s3://NAME/PREFIX.",
            },
            "KmsKeyArn": {
                "Type": "String",
                "Default": "" if key is None else check_key_arn(key, options.region, of="bucket"),
                "AllowedPattern": f"^$|^{KEY_ARN.pattern}$",
                "Description": "The ARN of the KMS key that encrypts what names none; empty for keys of S3's own.",
            },
        },
        "Conditions": {"HasKey": {"Fn::Not": [{"Fn::Equals": [{"Ref": "KmsKeyArn"}, ""]}]}},
        "Resources": {
            "Bucket": {
                "Type": "AWS::S3::Bucket",
                "DeletionPolicy": "Retain",
                "UpdateReplacePolicy": "Retain",
                "Properties": {
                    "BucketName": {"Ref": "BucketName"},
                    "PublicAccessBlockConfiguration": dict(BLOCKED),
                    "BucketEncryption": {
                        "ServerSideEncryptionConfiguration": [
                            {
                                "Fn::If": [
                                    "HasKey",
                                    _as_template(_with_key({"Ref": "KmsKeyArn"})),
                                    _as_template(_OWN_KEYS),
                                ]
                            }
                        ]
                    },
                    "LifecycleConfiguration": {
                        "Rules": [
                            {
                                "Id": rule_id(place),
                                "Status": "Enabled",
                                **where,
                                **OLDER,
                                **REST["Expiration"],
                                "AbortIncompleteMultipartUpload": REST["AbortIncompleteMultipartUpload"],
                            }
                        ]
                    },
                },
            }
        },
        "Outputs": {
            "BucketName": {"Value": {"Ref": "Bucket"}},
            "BucketArn": {"Value": {"Fn::GetAtt": ["Bucket", "Arn"]}},
        },
    }


def _as_template(rule: Mapping[str, Any]) -> dict[str, Any]:
    """A rule of encryption by CloudFormation's names."""
    return {name.removeprefix("Apply"): value for name, value in rule.items()}
