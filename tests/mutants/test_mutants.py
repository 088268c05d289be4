"""The checkers are checked: every planted fault of the protocol is caught, by the first check that can."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from stepwell.errors import StepwellError
from stepwell.stores.memory import MemoryStore
from stepwell.testing import OpenStore, check_client, client_cases
from stepwell.testing.simulate import play
from tests.faults.mutants_file import MUTANTS as FILE_STORE
from tests.faults.test_corruption import MUTANTS as VERIFICATION
from tests.mutants.protocol import PROTOCOL
from tests.mutants.scenarios import SCENARIOS

pytestmark = pytest.mark.faults

SCHEDULES = 100
"""Of the ten thousand that tests/faults/test_simulate.py plays: what they do not catch, the cases do."""
_AT_FIRST, _LATER = range(1, 21), range(21, SCHEDULES + 1)
PLANTED_LEAST = 30


def _faults_in_cases() -> Iterator[str]:
    for case in client_cases():
        try:
            asyncio.run(check_client(case, _one(MemoryStore()), "sync"))
        except Exception as error:  # noqa: BLE001 - a case fails in whatever way the fault brings about
            yield f"{case.__name__}: {error!r}"


def _one(store: MemoryStore) -> OpenStore:
    return lambda ports: store


def _faults_in_schedules(seeds: range) -> Iterator[str]:
    for seed in seeds:
        yield from play(seed, "hot", "sliced").faults


def _fault_in(scenario: Callable[[], str | None]) -> str | None:
    try:
        return scenario()
    except StepwellError as error:
        return f"{scenario.__name__}: {error!r}"


def _faults() -> Iterator[str]:
    """What is found: by situations made for it, by a few schedules, by the conformance cases, by more schedules."""
    yield from (fault for scenario in SCENARIOS if (fault := _fault_in(scenario)))
    yield from _faults_in_schedules(_AT_FIRST)
    yield from _faults_in_cases()
    yield from _faults_in_schedules(_LATER)


@pytest.mark.parametrize("name", PROTOCOL)
def test_a_planted_fault_is_caught(name: str) -> None:
    with PROTOCOL[name](), suppress(StopIteration):
        assert next(_faults())
        return
    pytest.fail("no check finds it")


def test_without_a_planted_fault_nothing_is_found() -> None:
    assert next(_faults(), None) is None


def test_there_are_enough_of_them() -> None:
    assert len({*PROTOCOL, *FILE_STORE, *VERIFICATION}) >= PLANTED_LEAST
