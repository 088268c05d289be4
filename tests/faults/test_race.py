from pathlib import Path

import pytest

from tests.faults.history import Acknowledged, overtaken
from tests.faults.race import race


@pytest.mark.faults
def test_eight_processes_append_to_one_session_and_every_step_is_there_once_and_in_order(
    tmp_path: Path,
) -> None:
    acknowledged = race(tmp_path / "store", processes=8, appends=60)
    assert len({done.place.slot for done in acknowledged}) == 480


@pytest.mark.faults
def test_two_threads_in_each_process_share_records_and_keep_the_order(tmp_path: Path) -> None:
    race(tmp_path / "store", processes=4, appends=60, threads=2)


def test_the_check_finds_an_append_that_was_over_before_one_that_lies_before_it_began() -> None:
    early = Acknowledged("a", "", "7.0", started=1, finished=2)
    during = Acknowledged("b", "", "6.1", started=1, finished=9)
    late = Acknowledged("c", "", "6.0", started=3, finished=4)
    assert overtaken([early, during, late]) == [early]
