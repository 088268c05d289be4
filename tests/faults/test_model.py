from __future__ import annotations

from collections.abc import Callable

import pytest

from stepwell.stores.memory import MemoryStore
from stepwell.testing import COLOURS, Colour, OpenStore
from stepwell.testing.model import CHUNK, chunk, run
from tests.faults.planted_model import MUTANTS

PROGRAMS, CHUNKS = 300, 12


@pytest.mark.faults
@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("url", ["memory:", "file:"])
def test_clients_do_what_the_reference_says(url: str, colour: Colour) -> None:
    figures, failures = run(PROGRAMS, 1, url=url, colour=colour)
    assert failures == []
    assert figures["programs"] >= PROGRAMS


def another_place() -> tuple[OpenStore, Callable[[], None]]:
    """A store as somebody else's is given to the command."""
    store = MemoryStore()
    return lambda ports: store, lambda: None


def test_a_store_of_ones_own_is_taken_by_name() -> None:
    figures, failures = run(2, 1, url=f"{__name__}:another_place")
    assert (figures["programs"], failures) == (2, [])


def found() -> str:
    """The first failure in some chunks of programs, empty if there is none."""
    chunks = (chunk(seed, CHUNK, steps=50, url="memory:", colour="sync", shrink=False)[1] for seed in range(CHUNKS))
    return next(filter(None, chunks), "")


@pytest.fixture(scope="module")
def _clean() -> None:
    """Without a planted divergence the same programs pass: otherwise noticing one would say nothing."""
    assert found() == ""


@pytest.mark.faults
@pytest.mark.usefixtures("_clean")
@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_a_planted_divergence_is_noticed(name: str) -> None:
    with MUTANTS[name]():
        assert "AssertionError" in found()
