"""DynamoDB's expressions, as far as the store uses them: conditions, key conditions, filters, projections, updates."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache, reduce
from operator import eq, ge, gt, le, lt
from typing import Any, NamedTuple, TypeAlias

Item: TypeAlias = dict[str, Any]
Holds: TypeAlias = Callable[[Item], bool]
_SIGNS: Mapping[str, Callable[[Any, Any], Any]] = {"=": eq, "<": lt, ">": gt, "<=": le, ">=": ge}
_BETWEEN = re.compile(r"(\S+) BETWEEN (\S+) AND (\S+)")
_COMPARED = re.compile(r"(\S+) (=|<|>|<=|>=) (\S+)")
_EXISTS = re.compile(r"attribute_(not_)?exists\((\S+)\)")


class _Part(NamedTuple):
    """`attribute_exists(name)`, with *wanted* for whether it is to; or a comparison with the value of a name."""

    name: str
    wanted: bool = True
    compare: Callable[[Any, Any], Any] | None = None
    value: str = ""

    def bound(self, names: Mapping[str, str], values: Mapping[str, Any]) -> Holds:
        """With the call's names and values."""
        name, wanted, compare = names.get(self.name, self.name), self.wanted, self.compare
        if compare is None:
            return lambda item: (name in item) is wanted
        ((kind, right),) = values[self.value].items()
        if kind == "N":
            right = int(right)

        def holds(item: Item) -> bool:
            held = item.get(name)
            if held is None or kind not in held:
                return False
            return bool(compare(int(held["N"]) if kind == "N" else held[kind], right))

        return holds


@lru_cache(maxsize=256)
def _parsed(expression: str) -> tuple[tuple[_Part, ...], ...]:
    plain = _BETWEEN.sub(r"\1 >= \2 AND \1 <= \3", expression)
    return tuple(tuple(map(_part, either.split(" AND "))) for either in plain.split(" OR "))


def _part(text: str) -> _Part:
    if exists := _EXISTS.fullmatch(text):
        return _Part(exists[2], wanted=exists[1] is None)
    compared = _COMPARED.fullmatch(text)
    assert compared, f"an expression that the simulation does not know: {text}"
    name, sign, value = compared.groups()
    return _Part(name, compare=_SIGNS[sign], value=value)


def bound(expression: str, arguments: Mapping[str, Any]) -> Holds:
    """What tells whether a condition holds of an item; of one that is not there, which is empty."""
    names = arguments.get("ExpressionAttributeNames", {})
    values = arguments.get("ExpressionAttributeValues", {})
    either = [reduce(_both, [part.bound(names, values) for part in parts]) for parts in _parsed(expression)]
    return either[0] if len(either) == 1 else lambda item: any(holds(item) for holds in either)


def _both(first: Holds, second: Holds) -> Holds:
    return lambda item: first(item) and second(item)


def holds(expression: str | None, item: Item | None, arguments: Mapping[str, Any]) -> bool:
    """Whether a condition holds of an item, or of none."""
    return expression is None or bound(expression, arguments)(item or {})


def projected(items: list[Item], arguments: Mapping[str, Any]) -> list[Item]:
    """Of items, what `ProjectionExpression` asks for."""
    wanted = arguments.get("ProjectionExpression")
    if wanted is None:
        return items
    names = [_named(name, arguments) for name in wanted.split(", ")]
    return [{name: item[name] for name in names if name in item} for item in items]


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
