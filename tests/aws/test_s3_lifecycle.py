"""Lifecycle rules: ours beside those of others, and what is said of those."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from stepwell.stores.s3_lifecycle import PARTS, REST, Rule, harmful, kept, merged, rule_id
from stepwell.stores.s3_options import S3Place

HERE = S3Place("my-bucket", "agents/a")
OURS: Rule = {"ID": rule_id(HERE), "Status": "Enabled", "Filter": {"Prefix": "agents/a/"}, **PARTS}


def rule(prefix: str | None = "", name: str = "theirs", **parts: Any) -> dict[str, Any]:
    """A rule of somebody else's."""
    return {"ID": name, "Status": "Enabled", "Filter": {} if prefix is None else {"Prefix": prefix}, **parts}


def completed(place: S3Place, rules: Sequence[Rule]) -> list[Rule]:
    """The rules, ours among them, which were not there."""
    made = merged(place, rules)
    assert made is not None
    return made


def test_our_rule_never_expires_or_moves_a_current_object() -> None:
    assert OURS["Expiration"] == {"ExpiredObjectDeleteMarker": True}
    assert "Transitions" not in OURS
    assert list(harmful(HERE, [OURS], {})) == []


def test_it_is_added_once_and_others_stay_as_they_are() -> None:
    theirs = [
        rule("logs/", Expiration={"Days": 7}),
        rule("", "x", Transitions=[{"Days": 9, "StorageClass": "GLACIER"}]),
    ]
    made = completed(HERE, theirs)
    assert made == [*theirs, OURS]
    assert merged(HERE, made) is None
    elsewhere = S3Place("my-bucket", "agents/b")
    both = completed(elsewhere, made)
    assert both[:-1] == made
    assert both[-1]["ID"] != OURS["ID"]
    assert merged(HERE, both) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"Status": "Disabled"},
        {"Filter": {"Prefix": "agents/b/"}},
        {"NoncurrentVersionExpiration": {"NoncurrentDays": 30}},
        {"Expiration": {"Days": 3}},
    ],
)
def test_ours_is_put_right_where_it_was_changed(changed: dict[str, Any]) -> None:
    assert merged(HERE, [{**OURS, **changed}]) == [OURS]


def test_ours_may_do_more_than_is_wanted_now() -> None:
    assert merged(HERE, [OURS], REST) is None


@pytest.mark.parametrize("prefix", [None, "", "agents/", "agents/a/"])
def test_what_a_rule_of_others_does_already_is_theirs(prefix: str | None) -> None:
    theirs = rule(prefix, NoncurrentVersionExpiration={"NoncurrentDays": 30})
    assert merged(HERE, [theirs]) == [theirs, {name: part for name, part in OURS.items() if name[:3] != "Non"}]
    assert kept(HERE, [theirs]) == 30
    assert merged(HERE, [rule(prefix, **PARTS)]) is None


@pytest.mark.parametrize(
    "theirs",
    [
        rule("agents/b/", **PARTS),
        rule("agents/a/default/", **PARTS),
        {**rule("", **PARTS), "Status": "Disabled"},
        {**rule("", **PARTS), "Filter": {"Tag": {"Key": "a", "Value": "b"}}},
        {**rule("", **PARTS), "Filter": {"And": {"Prefix": "", "ObjectSizeGreaterThan": 1000}}},
        rule("", NoncurrentVersionExpiration={"NoncurrentDays": 1, "NewerNoncurrentVersions": 3}),
    ],
)
def test_a_rule_for_some_of_the_objects_is_not_enough(theirs: dict[str, Any]) -> None:
    assert merged(HERE, [theirs]) == [theirs, OURS]
    assert kept(HERE, [theirs]) is None


def test_beside_rules_of_the_older_form_ours_has_that_form_too() -> None:
    """S3 refuses both in one configuration: "Filter element can only be used in Lifecycle V2"."""
    theirs = {"ID": "theirs", "Status": "Enabled", "Prefix": "logs/", "Expiration": {"Days": 7}}
    made = completed(HERE, [theirs])
    assert made == [theirs, {"ID": OURS["ID"], "Status": "Enabled", "Prefix": "agents/a/", **PARTS}]
    assert merged(HERE, made) is None
    assert len(list(harmful(HERE, [{**theirs, "Prefix": "agents/"}], {}))) == 1


GLACIER = [{"Days": 30, "StorageClass": "STANDARD_IA"}, {"Days": 90, "StorageClass": "DEEP_ARCHIVE"}]


@pytest.mark.parametrize(
    ("theirs", "told"),
    [
        (rule("", Expiration={"Days": 30}), "rule theirs removes objects of living sessions"),
        (rule("agents/", Expiration={"Date": "2030-01-01"}), "rule theirs removes"),
        (rule("agents/a/default/", Expiration={"Days": 30}), "rule theirs removes"),
        (rule(None, Transitions=GLACIER), "rule theirs archives objects of living sessions"),
        ({"Status": "Enabled", "Prefix": "agents/", "Expiration": {"Days": 1}}, "rule for 'agents/' removes"),
        ({**rule(Expiration={"Days": 1}), "Filter": {"Tag": {"Key": "team", "Value": "a"}}}, "rule theirs removes"),
        ({**rule(Expiration={"Days": 1}), "Filter": {"And": {"ObjectSizeGreaterThan": 10}}}, "rule theirs removes"),
    ],
)
def test_a_rule_that_harms_living_sessions_is_told_with_what_to_do(theirs: dict[str, Any], told: str) -> None:
    (found,) = harmful(HERE, [theirs, OURS], {"team": "a"})
    assert told in found
    assert "limit it to another prefix" in found


@pytest.mark.parametrize(
    "theirs",
    [
        rule("agents/b/", Expiration={"Days": 30}),
        {**rule("", Expiration={"Days": 30}), "Status": "Disabled"},
        rule("", Transitions=GLACIER[:1]),
        rule("", Expiration={"ExpiredObjectDeleteMarker": True}),
        {**rule(Expiration={"Days": 1}), "Filter": {"And": {"Tags": [{"Key": "team", "Value": "b"}]}}},
    ],
)
def test_other_rules_are_not_told(theirs: dict[str, Any]) -> None:
    assert list(harmful(HERE, [theirs], {"team": "a"})) == []
