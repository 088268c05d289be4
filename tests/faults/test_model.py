from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from stepwell.blocking import run_sync
from stepwell.stores.memory import MemoryStore
from stepwell.testing import COLOURS, Colour, OpenStore
from stepwell.testing.model import CHUNK, STEPS, chunk, run
from stepwell.testing.modelled.faulty import FAULTS, LOST, Fault
from stepwell.testing.modelled.programs import Programs
from tests.faults.planted_model import MUTANTS

PROGRAMS, SEED = 300, 1
SEEDS = range(SEED, SEED + PROGRAMS // CHUNK)
"""Of the chunks that make up `model --programs 300`, each a test."""


@pytest.mark.faults
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("url", ["memory:", "file:"])
def test_clients_do_what_the_reference_says(url: str, colour: Colour, seed: int) -> None:
    figures, failures = run(CHUNK, seed, url=url, colour=colour)
    assert failures == []
    assert figures["programs"] >= CHUNK


def another_place() -> tuple[OpenStore, Callable[[], None]]:
    """A store as somebody else's is given to the command."""
    store = MemoryStore()
    return lambda ports: store, lambda: None


def test_a_store_of_ones_own_is_taken_by_name() -> None:
    figures, failures = run(2, 1, url=f"{__name__}:another_place")
    assert (figures["programs"], failures) == (2, [])


@pytest.mark.parametrize("fault", LOST)
def test_a_client_that_is_cut_off_is_not_told_that_a_retention_is_over(fault: Fault) -> None:
    store = MemoryStore()
    programs = Programs(lambda ports: store, "sync")
    who = programs.handles[2]  # whose sessions live for two days

    async def program() -> None:
        await programs.create(who, None)
        (kept,) = programs.reference.sessions.values()
        programs.sleep(timedelta(days=3), lagging_too=True)
        programs.arm(who, FAULTS.index(fault), 0, 0)
        await programs.extend(who, kept, 0)
        assert kept.purged == (fault == "reply lost")
        await programs.check_all()
        await programs.aclose()

    run_sync(program())


def found() -> str:
    """The first failure in programs that pass without a planted one, as was tested above; empty if there is none."""
    chunks = (chunk(seed, CHUNK, steps=STEPS, url="memory:", colour="sync", shrink=False)[1] for seed in SEEDS)
    return next(filter(None, chunks), "")


@pytest.mark.faults
@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_a_planted_divergence_is_noticed(name: str) -> None:
    with MUTANTS[name]():
        assert "AssertionError" in found()
