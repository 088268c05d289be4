"""The checkers are checked: every planted fault of the S3 store is caught, and the store itself has none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import pytest

from stepwell.testing import check_store, store_cases
from stepwell.testing.simulate import play
from tests.mutants.dynamodb_service import Service
from tests.mutants.s3 import S3
from tests.mutants.s3_scenarios import SCENARIOS

SCHEDULES = 100
PLANTED_LEAST = 25


def _faults_in_scenarios() -> Iterator[str]:
    for scenario in SCENARIOS:
        yield from _failure(scenario.__name__, scenario)


def _faults_in_cases() -> Iterator[str]:
    for case in store_cases():
        check = check_store(case, Service().s3_store, "async")
        yield from _failure(case.__name__, partial(asyncio.run, check))


def _failure(name: str, check: Callable[[], object]) -> Iterator[str]:
    try:
        check()
    except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - in whatever way the fault brings about
        yield f"{name}: {error!r}"


def _faults_in_schedules() -> Iterator[str]:
    for seed in range(1, SCHEDULES + 1):
        yield from play(seed, "hot", "s3").faults


def _faults() -> Iterator[str]:
    yield from _faults_in_scenarios()
    yield from _faults_in_cases()
    yield from _faults_in_schedules()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_scenario(scenario: Callable[[], None]) -> None:
    scenario()


@pytest.mark.faults
@pytest.mark.parametrize("name", S3)
def test_a_planted_fault_is_caught(name: str) -> None:
    with S3[name](), suppress(StopIteration):
        assert next(_faults())
        return
    pytest.fail("no check finds it")


@pytest.mark.faults
def test_without_a_planted_fault_nothing_is_found() -> None:
    assert next(_faults(), None) is None


def test_there_are_enough_of_them() -> None:
    assert len(S3) >= PLANTED_LEAST
