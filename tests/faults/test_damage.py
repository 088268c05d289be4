import contextlib
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest

import stepwell
from stepwell.testing.corruption import BITS, TRAILER_SIZE, Saved, flipped, look, octets, open_client, save, texts

pytestmark = pytest.mark.faults

SECTOR = 512
MORE = stepwell.Text(text="and on")


def blocks(journal: Saved) -> tuple[object, ...]:
    """What its steps hold now."""
    return tuple(block for step in journal.read() for block in step.content)


def check_goes_on(journal: Saved, damaged: bytes, expected: tuple[object, ...]) -> None:
    """With *damaged* as its log the session holds *expected*, and the next append lands behind that."""
    journal.log.write_bytes(damaged)
    verification = look(journal).verification
    assert verification is None or verification.intact
    assert expected == blocks(journal)
    journal.put(MORE)
    assert (*expected, MORE) == blocks(journal)


def without(journal: Saved, sectors: tuple[int, ...]) -> bytes:
    """The log as it is if these sectors of its last record never reached the disk."""
    damaged = bytearray(journal.data)
    start, end = journal.frames[-1]
    for sector in sectors:
        first, last = max(start, sector * SECTOR), min(end, (sector + 1) * SECTOR)
        damaged[first:last] = bytes(last - first)
    return bytes(damaged)


def test_a_log_cut_at_any_byte_of_its_last_record_reads_as_what_was_before_and_goes_on(tmp_path: Path) -> None:
    journal = save(tmp_path / "store", octets(40, 300))
    start, end = journal.frames[-1]
    for cut in range(start, end):
        check_goes_on(journal, journal.data[:cut], journal.blocks[:-1])


def test_a_log_that_ends_in_zeros_from_any_byte_of_its_last_record_reads_as_what_was_before_if_a_sector_is_lost(
    tmp_path: Path,
) -> None:
    journal = save(tmp_path / "store", octets(40, 1500))
    start, end = journal.frames[-1]
    for cut in range(-(-start // SECTOR) * SECTOR, end, SECTOR):
        for room in (end - cut, end - cut + 5000):
            check_goes_on(journal, journal.data[:cut] + bytes(room), journal.blocks[:-1])


@pytest.mark.parametrize("offset", [0, 1, 2, 3, 100, 255, 400, 489, 505, 508, 509, 510, 511])
def test_a_log_whose_last_record_lost_any_of_its_sectors_reads_as_what_was_before_and_goes_on(
    tmp_path: Path, offset: int
) -> None:
    probe = save(tmp_path / "probe", octets(600))
    before = 600 + (offset - probe.frames[-1][1]) % SECTOR
    journal = save(tmp_path / "store", octets(before, 1500))
    start, end = journal.frames[-1]
    assert start % SECTOR == offset
    sectors = range(start // SECTOR, (end - 1) // SECTOR + 1)
    for count in range(1, len(sectors) + 1):
        for lost in combinations(sectors, count):
            for room in (0, 1, 5000):
                check_goes_on(journal, without(journal, lost) + bytes(room), journal.blocks[:-1])


def test_a_log_cut_before_its_last_records_is_a_shorter_one(tmp_path: Path) -> None:
    journal = save(tmp_path / "store", texts(40, 50, 60))
    for kept in range(3):
        check_goes_on(journal, journal.data[: journal.frames[2 + kept][0]], journal.blocks[:kept])


def one_step(client: stepwell.Client, journal: Saved) -> object:
    step = next(iter(client.steps(journal.session_id, limit=1)))
    return client.get_invocation_step(journal.session_id, journal.invocation_id, step.invocation_step_id)


def newest_steps(client: stepwell.Client, journal: Saved) -> object:
    return list(client.steps(journal.session_id, reverse=True, limit=3))


def steps_behind_a_position(client: stepwell.Client, journal: Saved) -> object:
    return list(client.steps(journal.session_id, after=stepwell.Position("11.0"), limit=3))


@pytest.mark.parametrize("read", [one_step, newest_steps, steps_behind_a_position])
def test_a_flipped_bit_in_what_leads_to_older_records_is_told_or_changes_nothing_that_is_read(
    tmp_path: Path, read: Callable[[stepwell.Client, Saved], object]
) -> None:
    journal = save(tmp_path / "store", octets(*range(30, 54)))
    with open_client(journal.folder) as client:
        expected = read(client, journal)
    for _, end in journal.frames:
        for byte in range(end - TRAILER_SIZE, end):
            with (
                flipped(journal.log, byte * BITS + byte % BITS),
                open_client(journal.folder) as client,
                contextlib.suppress(stepwell.CorruptJournal),
            ):
                assert expected == read(client, journal)


@pytest.mark.parametrize("frame", [0, 1, 2, 3])
def test_a_record_of_zeros_with_a_whole_one_behind_it_is_damage_and_not_the_end(tmp_path: Path, frame: int) -> None:
    journal = save(tmp_path / "store", octets(900, 901, 902))
    start, end = journal.frames[frame]
    journal.log.write_bytes(journal.data[:start] + bytes(end - start) + journal.data[end:])
    with pytest.raises(stepwell.CorruptJournal):
        journal.read()
