"""What a file store makes of erasures and removals that were interrupted, and what lies in a log that is damaged."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stepwell.blocking import run_sync
from stepwell.errors import CorruptJournal
from stepwell.io.blocking import BlockingTasks
from stepwell.io.clock import SystemClock
from stepwell.io.files import Files
from stepwell.io.ports import Ports
from stepwell.journal.record import ERASED, HEADER_SIZE
from stepwell.stores.base import UNFINISHED, Remain
from stepwell.stores.file import FileStore
from stepwell.testing.stores.records import journal, noise, record

HERE = journal("here")
SECRET = noise(300, "secret")
SECTOR = 512
NAME = "ab" * 32


class Killed(BaseException):
    """The process ends here; nothing that it would still do is done."""


class KilledFiles(Files):
    """Everything fails from some call on that is *chosen* by its name and the name it is about."""

    def __init__(self, chosen: Callable[[str, str], bool]) -> None:
        self._chosen = chosen
        self.dead = False

    def _meet(self, call: str, name: str = "") -> None:
        self.dead = self.dead or self._chosen(call, name)
        if self.dead:
            raise Killed

    def rename(self, old: str, new: str, folder: int) -> None:
        self._meet("rename", new)
        super().rename(old, new, folder)

    def unlink(self, name: str, folder: int) -> None:
        self._meet("unlink", name)
        super().unlink(name, folder)

    def write_at(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        self._meet("write_at")
        return super().write_at(fd, data, offset)


class CountedFiles(Files):
    """Counts what makes names durable."""

    def __init__(self) -> None:
        self.syncs = 0

    def sync(self, fd: int) -> None:
        self.syncs += 1
        super().sync(fd)


def opened(root: Path, files: Files | None = None) -> FileStore:
    return FileStore(str(root), Ports(SystemClock(), BlockingTasks(), files or Files(), os.urandom))


def filled(root: Path, *payloads: bytes) -> list[bytes]:
    store = opened(root)
    records = [record(HERE, slot, payload) for slot, payload in enumerate(payloads)]
    for slot, data in enumerate(records):
        assert run_sync(store.append(HERE, slot, data)) is None
    run_sync(store.aclose())
    return records


def read_anew(root: Path, first: int = 0) -> list[bytes]:
    store = opened(root)
    try:
        return list(run_sync(store.read(HERE, first)))
    finally:
        run_sync(store.aclose())


def log_in(root: Path) -> Path:
    [log] = (root / "sessions").rglob("journal.log")
    return log


def switched_off(root: Path) -> None:
    """The notes do not outlive the machine."""
    (root / "locks" / "notes").unlink()


def stored_in(root: Path, data: bytes) -> list[str]:
    return [path.name for path in root.rglob("*") if path.is_file() and data in path.read_bytes()]


def test_an_erasure_that_was_interrupted_does_not_reach_the_journal_that_is_made_anew(tmp_path: Path) -> None:
    (before,) = filled(tmp_path, SECRET)
    spans = [(len(before) - len(SECRET), len(SECRET))]
    erasing = opened(tmp_path, KilledFiles(lambda call, name: (call, name) == ("unlink", "redo")))
    with pytest.raises(Killed):
        run_sync(erasing.erase(HERE, 0, spans))
    removing = opened(tmp_path, KilledFiles(lambda call, name: (call, name) == ("unlink", "redo")))
    with pytest.raises(Killed):
        run_sync(removing.remove(HERE))
    anew = record(HERE, 0, noise(300, "anew"))
    assert run_sync(opened(tmp_path).append(HERE, 0, anew)) is None
    switched_off(tmp_path)
    assert read_anew(tmp_path) == [anew]


@pytest.mark.parametrize(("name", "copies"), [("journal.log", ["journal.log", "rewrite"]), ("redo", ["journal.log"])])
def test_what_is_erased_is_not_in_what_an_interrupted_call_left_behind(
    tmp_path: Path, name: str, copies: list[str]
) -> None:
    records = filled(tmp_path, b"zero", SECRET + noise(10), b"two")
    secret = len(records[1]) - len(SECRET) - 10
    dying = opened(tmp_path, KilledFiles(lambda called, about: (called, about) == ("rename", name)))
    with pytest.raises(Killed):
        run_sync(dying.remove(HERE, 1) if name == "journal.log" else dying.erase(HERE, 1, [(len(records[1]) - 10, 10)]))
    assert sorted(stored_in(tmp_path, SECRET)) == copies
    run_sync(opened(tmp_path).erase(HERE, 1, [(secret, len(SECRET))]))
    assert stored_in(tmp_path, SECRET) == []
    assert read_anew(tmp_path)[1][secret : secret + len(SECRET)] == ERASED * len(SECRET)


def test_a_blob_that_is_blanked_is_in_nothing_that_a_failed_put_left_behind(tmp_path: Path) -> None:
    dying = opened(tmp_path, KilledFiles(lambda called, about: (called, about) == ("rename", NAME)))
    with pytest.raises(Killed):
        run_sync(dying.put_blob(HERE, NAME, SECRET))
    store = opened(tmp_path)
    run_sync(store.put_blob(HERE, NAME, SECRET))
    assert len(stored_in(tmp_path, SECRET)) == 2
    run_sync(store.blank_blob(HERE, NAME))
    assert stored_in(tmp_path, SECRET) == []
    assert run_sync(store.blobs(HERE)) == [NAME]


@pytest.mark.parametrize("call", ["rename", "unlink"])
def test_a_blob_whose_blanking_was_interrupted_is_blanked_by_calling_it_again(tmp_path: Path, call: str) -> None:
    run_sync(opened(tmp_path).put_blob(HERE, NAME, SECRET))
    dying = opened(tmp_path, KilledFiles(lambda called, about: called == call))
    with pytest.raises(Killed):
        run_sync(dying.blank_blob(HERE, NAME))
    store = opened(tmp_path)
    assert run_sync(store.blobs(HERE)).count(NAME) == 1
    run_sync(store.blank_blob(HERE, NAME))
    assert stored_in(tmp_path, SECRET) == []
    with pytest.raises(CorruptJournal):
        run_sync(store.get_blob(HERE, NAME))


def test_a_removal_that_is_gone_on_with_is_durable(tmp_path: Path) -> None:
    """The one before may not have come so far as to sync the last folder."""
    filled(tmp_path, b"zero")
    run_sync(opened(tmp_path).remove(HERE))
    files = CountedFiles()
    again = opened(tmp_path, files)
    run_sync(again.remove(HERE))
    assert files.syncs > 0


def test_a_write_that_lost_any_sector_is_an_unfinished_one_for_whoever_looks_at_what_remains(tmp_path: Path) -> None:
    records = filled(tmp_path, noise(700), noise(3000))
    log = log_in(tmp_path)
    whole = log.read_bytes().rstrip(b"\0")
    start = len(records[0]) + 13
    for sector in range(start // SECTOR, len(whole) // SECTOR + 1):
        first, last = max(start, sector * SECTOR), min(len(whole), (sector + 1) * SECTOR)
        log.write_bytes(whole[:first] + bytes(last - first) + whole[last:])
        assert read_anew(tmp_path) == records[:1]
        torn = [] if last - first == len(whole) - start else [Remain(start, b"", UNFINISHED)]
        assert list(run_sync(opened(tmp_path).remains(HERE, 0))) == [Remain(0, records[0]), *torn]


def test_a_record_whose_trailer_is_damaged_remains_with_a_fault(tmp_path: Path) -> None:
    records = filled(tmp_path, noise(700), noise(800), noise(900))
    log = log_in(tmp_path)
    damaged = bytearray(log.read_bytes())
    damaged[len(records[0]) + 13 + len(records[1]) + 5] ^= 1
    log.write_bytes(damaged)
    found = run_sync(opened(tmp_path).remains(HERE, 0))
    assert [remain.record for remain in found] == records
    assert [bool(remain.fault) for remain in found] == [False, True, False]


def test_a_stretch_that_holds_no_record_is_told_with_its_bounds(tmp_path: Path) -> None:
    records = filled(tmp_path, noise(700), noise(800), noise(900))
    log = log_in(tmp_path)
    damaged = bytearray(log.read_bytes())
    start = len(records[0]) + 13
    damaged[start + 20] ^= 1
    log.write_bytes(damaged)
    end = start + len(records[1]) + 13
    found = run_sync(opened(tmp_path).remains(HERE, 0))
    assert [remain.record for remain in found] == [records[0], b"", records[2]]
    assert found[1].place == start
    assert f"{start} to {end - 1}" in found[1].fault
    assert log.read_bytes() == damaged


@pytest.mark.parametrize("slots", [1, 2, 3, 7, 8])
def test_a_damaged_first_header_hides_no_later_record_and_hinders_no_append(tmp_path: Path, slots: int) -> None:
    records = filled(tmp_path, *(noise(200, str(slot)) for slot in range(slots + 1)))
    log = log_in(tmp_path)
    damaged = bytearray(log.read_bytes())
    damaged[HEADER_SIZE - 1] ^= 1
    log.write_bytes(damaged)
    assert read_anew(tmp_path, 1) == records[1:]
    more = record(HERE, len(records), b"more")
    assert run_sync(opened(tmp_path).append(HERE, len(records), more)) is None
    assert read_anew(tmp_path, len(records)) == [more]


def test_an_erasure_goes_to_the_slot_it_is_for_or_is_refused(tmp_path: Path) -> None:
    """A pointer that leads to another record is damage: what it leads to is not overwritten."""
    records = filled(tmp_path, *(noise(200, str(slot)) for slot in range(10)))
    starts = [sum(len(data) + 13 for data in records[:slot]) for slot in range(10)]
    log = log_in(tmp_path)
    damaged = bytearray(log.read_bytes())
    trailer_of_six = starts[6] + len(records[6])
    assert int.from_bytes(damaged[trailer_of_six : trailer_of_six + 4], "big") == starts[4]
    damaged[trailer_of_six : trailer_of_six + 4] = starts[3].to_bytes(4, "big")
    log.write_bytes(damaged)
    with pytest.raises(CorruptJournal):
        run_sync(opened(tmp_path).erase(HERE, 4, [(len(records[4]) - 10, 10)]))
    assert log.read_bytes().rstrip(b"\0") == bytes(damaged).rstrip(b"\0")
