"""DynamoDB's expressions, as far as the store uses them: conditions, key conditions, filters, updates."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import eq, ge, gt, le, lt
from typing import Any, TypeAlias

Item: TypeAlias = dict[str, Any]
_SIGNS: Mapping[str, Callable[[Any, Any], Any]] = {"=": eq, "<": lt, ">": gt, "<=": le, ">=": ge}
_BETWEEN = re.compile(r"(\S+) BETWEEN (\S+) AND (\S+)")
_COMPARED = re.compile(r"(\S+) (=|<|>|<=|>=) (\S+)")
_EXISTS = re.compile(r"attribute_(not_)?exists\((\S+)\)")


def holds(expression: str | None, item: Item | None, arguments: Mapping[str, Any]) -> bool:
    """Whether a condition holds of an item, or of none."""
    if expression is None:
        return True
    return any(all(part(item or {}, arguments) for part in parts) for parts in _parsed(expression))


_Part: TypeAlias = Callable[[Item, Mapping[str, Any]], bool]


@lru_cache(maxsize=256)
def _parsed(expression: str) -> tuple[tuple[_Part, ...], ...]:
    plain = _BETWEEN.sub(r"\1 >= \2 AND \1 <= \3", expression)
    return tuple(tuple(_part(text) for text in either.split(" AND ")) for either in plain.split(" OR "))


def _part(text: str) -> _Part:
    if exists := _EXISTS.fullmatch(text):
        wanted, name = exists[1] is None, exists[2]
        return lambda item, arguments: (_named(name, arguments) in item) is wanted
    compared = _COMPARED.fullmatch(text)
    assert compared, f"an expression that the simulation does not know: {text}"
    name, sign, value = compared.groups()

    def compare(item: Item, arguments: Mapping[str, Any]) -> bool:
        held = item.get(_named(name, arguments))
        if held is None:
            return False
        left, right = _comparable(held), _comparable(arguments["ExpressionAttributeValues"][value])
        return bool(_SIGNS[sign](left, right))

    return compare


def updated(item: Item, arguments: Mapping[str, Any]) -> Item:
    """An item as `UpdateExpression` leaves it."""
    verb, _, changes = arguments["UpdateExpression"].partition(" ")
    if verb == "REMOVE":
        return {name: value for name, value in item.items() if name != _named(changes, arguments)}
    values = arguments["ExpressionAttributeValues"]
    pairs = (change.split(" = ") for change in changes.split(", "))
    return item | {_named(name, arguments): values[value] for name, value in pairs}


def _named(name: str, arguments: Mapping[str, Any]) -> str:
    known: Mapping[str, str] = arguments.get("ExpressionAttributeNames", {})
    return known.get(name, name)


def _comparable(value: Mapping[str, Any]) -> Any:
    ((kind, held),) = value.items()
    return int(held) if kind == "N" else held
