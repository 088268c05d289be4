"""Lifecycle rules of a bucket, as a store's place in it sees them. Pure.

merged   the rules with ours among them, where they lack something: others' rules stay as they are
harmful  which of them remove or archive objects of living sessions
kept     how many days older versions stay

Our rule removes what is over by itself: older versions, delete markers, uploads that nobody finished. It never expires
a current object: every object may be a part of a session that is alive, and `gc` alone knows which are not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, TypeAlias

from stepwell.stores.s3_options import S3Place

Rule: TypeAlias = Mapping[str, Any]
"""As `GetBucketLifecycleConfiguration` tells it."""

OLDER_DAYS: Final = 1
"""S3's least."""
OLDER: Final[Mapping[str, Any]] = {"NoncurrentVersionExpiration": {"NoncurrentDays": OLDER_DAYS}}
REST: Final[Mapping[str, Any]] = {
    "Expiration": {"ExpiredObjectDeleteMarker": True},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
}
PARTS: Final[Mapping[str, Any]] = {**OLDER, **REST}
"""What our rule does."""
_ARCHIVES: Final = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Whose objects have to be restored before they can be read."""


def rule_id(place: S3Place) -> str:
    """What our rule for a place is called: always the same, and not that of another place."""
    return f"stepwell-{sha256(place.begin.encode()).hexdigest()[:16]}"


def merged(place: S3Place, rules: Sequence[Rule], parts: Mapping[str, Any] = PARTS) -> list[Rule] | None:
    """The rules, and ours for *place* with those *parts* that no other rule has; None if nothing is lacking."""
    own = [rule for rule in rules if rule.get("ID") == rule_id(place)]
    others = [rule for rule in rules if rule.get("ID") != rule_id(place)]
    covering = [rule for rule in others if _covers(rule, place)]
    wanted = {name: part for name, part in parts.items() if not any(_has(rule, name, part) for rule in covering)}
    if all(any(_covers(rule, place) and rule.get(name) == part for rule in own) for name, part in wanted.items()):
        return None
    # Rules of the older form, with a prefix of their own, and those with a filter cannot stand in one configuration.
    older_form = any("Prefix" in rule for rule in others)
    where = {"Prefix": place.begin} if older_form else {"Filter": {"Prefix": place.begin}}
    return [*others, {"ID": rule_id(place), "Status": "Enabled", **where, **wanted}]


def harmful(place: S3Place, rules: Sequence[Rule], tags: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each rule that removes or archives what is alive, of objects with *tags*."""
    for rule in rules:
        prefix, wanted = _prefix(rule), _tags(rule)
        meets = prefix.startswith(place.begin) or place.begin.startswith(prefix)
        if not _enabled(rule) or not meets or not wanted.items() <= tags.items():
            continue
        name = rule.get("ID") or f"for {prefix!r}"
        if rule.get("Expiration", {}).keys() & {"Days", "Date"}:
            yield f"the lifecycle rule {name} removes objects of living sessions: limit it to another prefix"
        elif _classes(rule) & _ARCHIVES:
            yield (
                f"the lifecycle rule {name} archives objects of living sessions, which cannot be read then: limit it "
                "to another prefix"
            )


def kept(place: S3Place, rules: Sequence[Rule]) -> int | None:
    """For how many days older versions of a place's objects stay; None: for ever."""
    days = [
        rule["NoncurrentVersionExpiration"].get("NoncurrentDays", OLDER_DAYS)
        for rule in rules
        if _covers(rule, place) and _removes_older(rule)
    ]
    return min(days, default=None)


def _has(rule: Rule, name: str, part: Mapping[str, Any]) -> bool:
    """Whether a rule does what a part of ours does, be it later."""
    if name in OLDER:
        return _removes_older(rule)
    return rule.get(name, {}).keys() >= part.keys() and all(rule[name].values())


def _removes_older(rule: Rule) -> bool:
    found: Mapping[str, Any] = rule.get("NoncurrentVersionExpiration", {})
    return bool(found) and "NewerNoncurrentVersions" not in found


def _covers(rule: Rule, place: S3Place) -> bool:
    """Whether a rule is for every object of a place."""
    return _enabled(rule) and place.begin.startswith(_prefix(rule)) and not _tags(rule) and not _sizes(rule)


def _enabled(rule: Rule) -> bool:
    return bool(rule.get("Status") == "Enabled")


def _conditions(rule: Rule) -> Mapping[str, Any]:
    found: Mapping[str, Any] = rule.get("Filter") or {}
    return found.get("And") or found


def _prefix(rule: Rule) -> str:
    return str(rule.get("Prefix") or _conditions(rule).get("Prefix") or "")


def _tags(rule: Rule) -> Mapping[str, str]:
    found = _conditions(rule)
    tags: Sequence[Mapping[str, str]] = [*found.get("Tags", ()), *([found["Tag"]] if "Tag" in found else [])]
    return {tag["Key"]: tag["Value"] for tag in tags}


def _sizes(rule: Rule) -> Collection[str]:
    return _conditions(rule).keys() & {"ObjectSizeGreaterThan", "ObjectSizeLessThan"}


def _classes(rule: Rule) -> set[str]:
    return {one.get("StorageClass", "") for one in rule.get("Transitions", ())}
