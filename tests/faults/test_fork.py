import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import stepwell
from stepwell.io.files import Files
from stepwell.testing.faults.children import HANGS_AFTER_SECONDS, Child, Report
from tests.faults.counting import file_client

pytestmark = pytest.mark.faults


class GatedFiles(Files):
    """While the gate is closed, the process that made it stops where it makes bytes durable."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Event()

    def sync_data(self, fd: int) -> None:
        if os.getpid() == self._process:
            self.arrived.set()
            assert self.gate.wait(HANGS_AFTER_SECONDS)
        super().sync_data(fd)


@pytest.fixture
def files() -> GatedFiles:
    return GatedFiles()


@pytest.fixture
def client(tmp_path: Path, files: GatedFiles) -> Iterator[stepwell.Client]:
    with file_client(tmp_path / "store", files) as client:
        yield client


@pytest.fixture
def ids(client: stepwell.Client) -> tuple[str, str]:
    session_id = client.create_session().session_id
    return session_id, client.create_invocation(session_id).invocation_id


def read_anew(folder: Path, session_id: str) -> list[str]:
    with stepwell.Client(f"file:{folder}") as client:
        return [step.text for step in client.steps(session_id)]


def test_parent_and_child_both_go_on_with_a_client_made_before_the_fork(
    tmp_path: Path, client: stepwell.Client, ids: tuple[str, str]
) -> None:
    def body(report: Report) -> None:
        for i in range(20):
            client.put_invocation_step(*ids, f"child {i}")
            report(f"child {i}")

    client.put_invocation_step(*ids, "before")
    child = Child(body)
    mine = [client.put_invocation_step(*ids, f"parent {i}").text for i in range(20)]
    code, theirs = child.join()
    assert (code, len(theirs)) == (0, 20)
    found = read_anew(tmp_path / "store", ids[0])
    assert sorted(["before", *mine, *theirs]) == sorted(found)
    assert [mine, theirs] == [[t for t in found if t in mine], [t for t in found if t in theirs]]


def test_a_fork_in_the_middle_of_another_threads_append_hangs_nobody_and_loses_nothing(
    tmp_path: Path, client: stepwell.Client, files: GatedFiles, ids: tuple[str, str]
) -> None:
    def body(report: Report) -> None:
        report("began")
        client.put_invocation_step(*ids, "child")
        report([step.text for step in client.steps(ids[0])])

    files.gate.clear()
    files.arrived.clear()
    thread = threading.Thread(target=client.put_invocation_step, args=[*ids, "in the middle"])
    thread.start()
    assert files.arrived.wait(HANGS_AFTER_SECONDS)
    child = Child(body)  # the parent's thread holds the session's lane, and the lock on its log
    child.wait_for_report()
    files.gate.set()
    thread.join(HANGS_AFTER_SECONDS)
    assert not thread.is_alive()
    code, reports = child.join()
    assert (code, reports) == (0, ["began", ["in the middle", "child"]])
    client.put_invocation_step(*ids, "parent")
    assert read_anew(tmp_path / "store", ids[0]) == ["in the middle", "child", "parent"]


def test_threads_append_while_the_process_forks_again_and_again(
    tmp_path: Path, client: stepwell.Client, ids: tuple[str, str]
) -> None:
    stop = threading.Event()
    mine: list[list[str]] = [[] for _ in range(3)]

    def work(name: int) -> None:
        while not stop.is_set():
            text = f"thread {name} {len(mine[name])}"
            client.put_invocation_step(*ids, text)
            mine[name].append(text)

    def write(text: str) -> Child:
        def body(report: Report) -> None:
            client.put_invocation_step(*ids, text)
            report(text)

        return Child(body)

    threads = [threading.Thread(target=work, args=[name]) for name in range(3)]
    for thread in threads:
        thread.start()
    try:
        theirs = [write(f"child {i}").result() for i in range(20)]
    finally:
        stop.set()
        for thread in threads:
            thread.join(HANGS_AFTER_SECONDS)
    assert [f"child {i}" for i in range(20)] == theirs
    assert sorted([*theirs, *mine[0], *mine[1], *mine[2]]) == sorted(read_anew(tmp_path / "store", ids[0]))


def test_after_a_fork_parent_and_child_are_different_handles_for_if_head(
    client: stepwell.Client, ids: tuple[str, str]
) -> None:
    def body(report: Report) -> None:
        try:
            client.put_invocation_step(*ids, "child, unknowing", if_head=before.position)
        except stepwell.HeadMoved:
            report("HeadMoved")
        client.put_invocation_step(*ids, "child, knowing", if_head=after.position)

    before = client.put_invocation_step(*ids, "before the fork")
    client.put_invocation_step(*ids, "mine", if_head=before.position)
    after = client.put_invocation_step(*ids, "mine too", if_head=before.position)
    assert Child(body).result() == "HeadMoved"
    with pytest.raises(stepwell.HeadMoved):
        client.put_invocation_step(*ids, "parent, unknowing", if_head=after.position)


def test_a_lease_stays_with_the_parent_until_the_child_takes_one(client: stepwell.Client, ids: tuple[str, str]) -> None:
    def interleave(report: Report) -> None:
        report(client.put_invocation_step(*ids, "child, without a lease").text)

    def take_over(report: Report) -> None:
        report(client.lease(ids[0]).epoch)
        client.put_invocation_step(*ids, "child, with a lease")

    assert client.lease(ids[0]).epoch == 1
    assert Child(interleave).result() == "child, without a lease"
    client.put_invocation_step(*ids, "parent, with a lease")
    assert Child(take_over).result() == 2
    with pytest.raises(stepwell.Fenced):
        client.put_invocation_step(*ids, "parent, fenced")
