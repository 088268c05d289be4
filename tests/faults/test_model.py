from __future__ import annotations

import pytest

from stepwell.testing import COLOURS, Colour
from stepwell.testing.model import chunk, run
from tests.faults.planted_model import MUTANTS

PROGRAMS = 300


@pytest.mark.faults
@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("url", ["memory:", "file:"])
def test_clients_do_what_the_reference_says(url: str, colour: Colour) -> None:
    figures, failures = run(PROGRAMS, 1, url=url, colour=colour)
    assert failures == []
    assert figures["programs"] >= PROGRAMS


@pytest.mark.faults
@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_a_planted_divergence_is_noticed(name: str) -> None:
    with MUTANTS[name]():
        _, failure = chunk(1, PROGRAMS, steps=50, url="memory:", colour="sync", shrink=False)
    assert "Failing test case" in failure
