"""Every method of the client on a disk whose n-th operation fails: each operation, if not with each kind of fault."""

from __future__ import annotations

import inspect
import random
from collections import defaultdict
from collections.abc import Sequence

import pytest

from stepwell.client import AsyncClient
from stepwell.testing.faults.disk import KINDS, Fault
from stepwell.testing.faults.scenarios import SCENARIOS, method
from stepwell.testing.nthfault import Loop, Template, every_fault, random_pair, read_fault, written

pytestmark = pytest.mark.faults

PAIRS = 5


def test_every_public_method_has_a_scenario() -> None:
    methods = {name for name, _ in inspect.getmembers(AsyncClient, inspect.isfunction) if not name.startswith("_")}
    assert methods == {method(name) for name in SCENARIOS}


def each_operation(made: Template, chance: random.Random, *, warm: bool) -> list[Sequence[Fault]]:
    """A fault of some kind at each operation: one that passes, then one that lasts, and for a warm client conversely.

    Both at each, and all kinds: `python -m stepwell.testing.nthfault`.
    """
    by_operation: defaultdict[tuple[int, bool], list[tuple[Fault, ...]]] = defaultdict(list)
    for faults in every_fault(made, warm=warm):
        by_operation[faults[0].at, faults[0].lasting].append(faults)
    return [chance.choice(kinds) for (at, lasting), kinds in by_operation.items() if lasting is (at % 2 == warm)]


@pytest.mark.parametrize("name", SCENARIOS)
def test_it_happens_or_it_does_not_whatever_operation_fails(name: str) -> None:
    chance = random.Random(name)

    def chosen(made: Template, *, warm: bool) -> list[Sequence[Fault]]:
        pairs = [random_pair(chance, made, warm=warm) for _ in range(PAIRS)]
        return [*each_operation(made, chance, warm=warm), *pairs]

    loop = Loop()
    loop.run(name, chosen)
    assert loop.summary.failures == []
    assert loop.summary.runs >= loop.summary.operations
    assert loop.summary.operations > 0 or name == "aclose"


def test_a_fault_can_be_given_by_hand() -> None:
    for kind in KINDS:
        for fault in (Fault(3, kind), Fault(17, kind, lasting=True)):
            assert read_fault(written(fault)) == fault
