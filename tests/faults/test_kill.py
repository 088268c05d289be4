import os
import signal
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

import stepwell
from stepwell.io.files import Files
from stepwell.testing.crash import play, rounds
from stepwell.testing.faults.children import Child, Report
from tests.faults.counting import file_client

pytestmark = pytest.mark.faults

CHANGES = (
    "lock",
    "make_folder",
    "make_root",
    "open",
    "rename",
    "share",
    "sync",
    "sync_data",
    "truncate",
    "unlink",
    "unlock",
    "write_at",
)


KILLS = 200


@pytest.mark.parametrize("round_", rounds(1, KILLS), ids="seed {0[0]}, {0[1]} kills".format)
def test_what_was_acknowledged_survives_kills_at_random_moments(round_: tuple[int, int]) -> None:
    done = play(round_, None)
    assert not done.failure, done.failure
    assert done.figures["kills"] == round_[1]
    assert done.figures["acknowledged"] > 0
    assert done.figures["verified"] > 0


class KilledFiles(Files):
    """Dies of SIGKILL right before its *last*-th change to the disk, counted from 1; *torn*: a write is half done."""

    def __init__(self, last: int, *, torn: bool) -> None:
        for name in CHANGES:
            setattr(self, name, self._mortal(getattr(self, name)))
        self._left = last
        self._torn = torn

    def _mortal(self, change: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(change)
        def call(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left == 0:
                if self._torn and change.__name__ == "write_at":
                    fd, data, offset = args
                    change(fd, data[: len(data) // 2], offset)
                os.kill(os.getpid(), signal.SIGKILL)
            return change(*args, **kwargs)

        return call


def write_everything(folder: Path, files: Files) -> Callable[[Report], None]:
    """A child's body: create a session, an invocation and two steps, and report each call that returned."""

    def body(report: Report) -> None:
        client = file_client(folder, files)
        session_id = client.create_session(key="INC-7").session_id
        report("session")
        invocation_id = client.create_invocation(session_id).invocation_id
        report("invocation")
        client.put_invocation_step(session_id, invocation_id, "first")
        report("first")
        large = stepwell.Data(data=os.urandom(100_000))
        client.put_invocation_step(session_id, invocation_id, ["second", large])
        report("second")

    return body


@pytest.mark.parametrize("torn", [False, True])
def test_a_kill_before_any_one_change_to_the_disk_loses_nothing_acknowledged(tmp_path: Path, torn: bool) -> None:
    for last in range(1, 1000):
        folder = tmp_path / str(last)
        code, reports = Child(write_everything(folder, KilledFiles(last, torn=torn))).join()
        with stepwell.Client(f"file:{folder}") as client:
            found = client.open_session(key="INC-7")
            assert "session" not in reports or [found.session_id] == [s.session_id for s in client.sessions()]
            texts = [step.text for step in client.steps(found.session_id)]
            steps = [report for report in reports if report in ("first", "second")]
            assert steps == texts[: len(steps)], f"killed before change {last}"
            assert len(texts) - len(steps) in (0, 1)
            invocations = client.list_invocations(found.session_id).items
            assert len(invocations) >= ("invocation" in reports)
            invocation_id = client.create_invocation(found.session_id).invocation_id
            client.put_invocation_step(found.session_id, invocation_id, "and on")
            assert [*texts, "and on"] == [step.text for step in client.steps(found.session_id)]
        if code == 0:
            assert reports == ["session", "invocation", "first", "second"]
            assert last > 40
            return
        assert code == -signal.SIGKILL, reports
    pytest.fail("it never ended")
