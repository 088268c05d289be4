import json
from pathlib import Path

import pytest

import stepwell
from stepwell.testing.faults.history import Acknowledged, append, check_history, overtaken
from stepwell.testing.writers import main, race


@pytest.mark.faults
def test_eight_processes_append_to_one_session_and_every_step_is_there_once_and_in_order(
    tmp_path: Path,
) -> None:
    told = race(f"file:{tmp_path}/store", "default", writers=8, steps=60)
    assert len({done.place.slot for done in told.acknowledged}) == 480
    assert told.requests["append"] >= 480


@pytest.mark.faults
def test_two_threads_in_each_process_share_records_and_keep_the_order(tmp_path: Path) -> None:
    told = race(f"file:{tmp_path}/store", "default", writers=8, steps=60, processes=4)
    assert len(told.acknowledged) == 480


@pytest.mark.faults
def test_the_command_tells_the_requests_of_an_append(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--writers", "3", "--steps", "4", "--processes", "2", "--own-clients", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["acknowledged"], told["records"]) == (12, 12)
    assert told["requests per append"] >= 1


def test_the_check_finds_an_append_that_was_over_before_one_that_lies_before_it_began() -> None:
    early = Acknowledged("a", "", "7.0", started=1, finished=2)
    during = Acknowledged("b", "", "6.1", started=1, finished=9)
    late = Acknowledged("c", "", "6.0", started=3, finished=4)
    assert overtaken([early, during, late]) == [early]


def test_the_check_finds_what_was_lost_doubled_and_not_acknowledged() -> None:
    with stepwell.Client("memory:") as client:
        session_id = client.create_session().session_id
        invocation_id = client.create_invocation(session_id).invocation_id
        done = [append(client, session_id, invocation_id, text) for text in ("a", "b")]
        check_history(client, session_id, done)
        check_history(client, session_id, done[:1], unsettled=["b", "c"])
        for wrong in (done[:1], [*done, done[0]._replace(text="c")], [done[0], done[1]._replace(position="9.0")]):
            with pytest.raises(AssertionError):
                check_history(client, session_id, wrong)
        done.append(append(client, session_id, invocation_id, "a"))
        with pytest.raises(AssertionError):
            check_history(client, session_id, done)
