"""Stored bytes hold no aligned 512-byte run of zeros, whatever callers store; only room behind the last record does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import stepwell
from tests.faults.counting import QuickFiles, file_client

SECTOR = 512
SIZES = (1, 255, 256, 257, 511, 512, 513, 1024, 5000, 70_000, 200_000)


def empty_sectors(folder: Path) -> list[tuple[str, int]]:
    """Files below *folder* with the offsets of sectors of zeros in them."""
    return [
        (path.name, offset)
        for path in sorted((folder / "sessions").rglob("*"))
        if path.is_file()
        for offset, sector in _sectors(path.read_bytes().rstrip(b"\0"))
        if not sector.strip(b"\0")
    ]


def _sectors(data: bytes) -> Iterator[tuple[int, bytes]]:
    for offset in range(0, len(data) - SECTOR + 1, SECTOR):
        yield offset, data[offset : offset + SECTOR]


def blocks(size: int) -> list[stepwell.Text | stepwell.Data | stepwell.Image]:
    return [
        stepwell.Data(data=bytes(size)),
        stepwell.Image(format="png", data=bytes(size)),
        stepwell.Text(text="\0" * size),
        stepwell.Image(format="gif", data=b"\1" + bytes(size) + b"\1"),
        stepwell.Data(data=(bytes(255) + b"\1") * (size // 256 + 1)),
        stepwell.Image(format="jpeg", data=(b"\1" + bytes(600)) * (size // 601 + 1)),
    ]


@pytest.mark.parametrize("size", SIZES)
def test_payloads_of_zeros_leave_no_sector_of_zeros_and_come_back(tmp_path: Path, size: int) -> None:
    with file_client(tmp_path / "store", QuickFiles()) as client:
        session_id = client.create_session().session_id
        invocation_id = client.create_invocation(session_id).invocation_id
        for block in blocks(size):
            client.put_invocation_step(session_id, invocation_id, block)
        client.put_invocation_step(session_id, invocation_id, blocks(size))
        assert empty_sectors(tmp_path / "store") == []
        read = [block for step in client.steps(session_id) for block in step.content]
        assert [*blocks(size), *blocks(size)] == read


def test_texts_of_zeros_in_metadata_tags_and_descriptions_leave_no_sector_of_zeros(tmp_path: Path) -> None:
    zeros = "\0" * 5000
    with file_client(tmp_path / "store", QuickFiles()) as client:
        created = client.create_session(metadata={"a": zeros, "b" + zeros: ""}, tags={"t": zeros})
        client.update_session(created.session_id, {"c": zeros})
        client.tag_resource(created.session_id, {"u": zeros})
        client.create_invocation(created.session_id, description=zeros)
        copy = client.fork(created.session_id)
        client.end_session(created.session_id)
        assert empty_sectors(tmp_path / "store") == []
        assert client.get_session(copy.session_id).metadata == {"c": zeros}
        assert client.get_session(created.session_id).tags == {"t": zeros, "u": zeros}


def test_snapshots_of_long_sessions_leave_no_sector_of_zeros(tmp_path: Path) -> None:
    with file_client(tmp_path / "store", QuickFiles()) as client:
        session_id = client.create_session().session_id
        invocation_id = client.create_invocation(session_id).invocation_id
        for _ in range(20):
            client.put_invocation_steps(session_id, invocation_id, ["\0"] * 250)
        assert empty_sectors(tmp_path / "store") == []


def test_the_check_finds_a_sector_of_zeros(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    (tmp_path / "sessions" / "journal.log").write_bytes(b"\1" * SECTOR + bytes(SECTOR) + b"\1")
    assert empty_sectors(tmp_path) == [("journal.log", SECTOR)]
