import threading
import time
from pathlib import Path

import pytest

import stepwell
from stepwell.testing.faults.history import Acknowledged, append, check_history
from tests.faults.counting import CountingFiles, file_client
from tests.faults.history import records

THREADS, APPENDS = 8, 40


class SlowDisk(CountingFiles):
    """Takes a millisecond longer to be durable, as many disks do."""

    def sync_data(self, fd: int) -> None:
        super().sync_data(fd)
        time.sleep(0.001)


def test_plain_appends_sync_data_once_for_each_record_and_sync_nothing_else(tmp_path: Path) -> None:
    files = CountingFiles()
    with file_client(tmp_path / "store", files) as client:
        session_id = client.create_session().session_id
        invocation_id = client.create_invocation(session_id).invocation_id
        before = len(records(tmp_path / "store", session_id))
        files.reset()
        for i in range(50):
            append(client, session_id, invocation_id, f"step {i}")
        assert (files.data_syncs, files.syncs) == (50, 0)
    assert len(records(tmp_path / "store", session_id)) - before == 50


@pytest.mark.faults
def test_eight_threads_on_one_session_share_records_of_at_least_three_events_one_sync_each(
    tmp_path: Path,
) -> None:
    files = SlowDisk()
    acknowledged: list[Acknowledged] = []
    with file_client(tmp_path / "store", files) as client:
        session_id = client.create_session().session_id
        invocation_id = client.create_invocation(session_id).invocation_id
        before = len(records(tmp_path / "store", session_id))
        files.reset()

        def work(name: int) -> None:
            texts = (f"{name}-{i}" for i in range(APPENDS))
            acknowledged.extend([append(client, session_id, invocation_id, text) for text in texts])

        threads = [threading.Thread(target=work, args=[name]) for name in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        groups = len(records(tmp_path / "store", session_id)) - before
        assert (files.data_syncs, files.syncs) == (groups, 0)
    with stepwell.Client(f"file:{tmp_path}/store") as client:
        check_history(client, session_id, acknowledged)
    assert THREADS * APPENDS / groups >= 3
