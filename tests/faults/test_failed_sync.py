"""A disk that refuses to make bytes durable: nothing acknowledged is lost by it, and nothing refused comes back."""

import errno
import os
from pathlib import Path

import pytest

import stepwell
from stepwell.io.files import Files
from tests.faults.counting import file_client


class FailingFiles(Files):
    """Fails the next so many syncs of data, and the next so many other syncs, as a disk with a bad spot does."""

    def __init__(self) -> None:
        self.data_syncs_to_fail = 0
        self.syncs_to_fail = 0

    def sync_data(self, fd: int) -> None:
        if self.data_syncs_to_fail:
            self.data_syncs_to_fail -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync_data(fd)

    def sync(self, fd: int) -> None:
        if self.syncs_to_fail:
            self.syncs_to_fail -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(fd)


def read_anew(folder: Path, session_id: str) -> list[str]:
    with stepwell.Client(f"file:{folder}") as client:
        return [step.text for step in client.steps(session_id)]


@pytest.mark.parametrize("syncs", [0, 1])
def test_an_append_that_another_client_makes_after_a_failed_sync_stays(tmp_path: Path, syncs: int) -> None:
    files = FailingFiles()
    folder = tmp_path / "store"
    with file_client(folder, files) as failing, stepwell.Client(f"file:{folder}") as other:
        session_id = failing.create_session().session_id
        invocation_id = failing.create_invocation(session_id).invocation_id
        other.put_invocation_step(session_id, invocation_id, "first")
        assert [step.text for step in failing.steps(session_id)] == ["first"]
        files.data_syncs_to_fail, files.syncs_to_fail = 1, syncs
        with pytest.raises(stepwell.Unavailable):
            failing.put_invocation_step(session_id, invocation_id, "refused")
        other.put_invocation_step(session_id, invocation_id, "second")
        assert read_anew(folder, session_id) == ["first", "second"]
        with stepwell.Client(f"file:{folder}") as third:
            third.put_invocation_step(session_id, invocation_id, "third")
        failing.put_invocation_step(session_id, invocation_id, "fourth")
    assert read_anew(folder, session_id) == ["first", "second", "third", "fourth"]
