"""Power losses on a simulated disk: nothing that was acknowledged is lost; and the check can tell."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from functools import partial

import pytest

from stepwell.models import Data, Redacted
from stepwell.testing.bench import FakeClock
from stepwell.testing.disk import SECTOR, SimulatedDisk
from stepwell.testing.power.program import INLINE_BYTES, client_on
from stepwell.testing.powerloss import main, power_losses
from tests.faults.mutants_file import MUTANTS

SEED, STATES = 1, 5000
CALLS_LEAST = {"erase": 30, "remove": 30, "remove_below": 15, "blank_blob": 15, "copy_blob": 15}
"""How often the rare calls of the store were made; each is cut short at all of its system calls."""
SECRETS_LEAST = 80
MUTANT_STATES = 20_000
NEAR = {
    "a torn end is taken for a record": 150,
    "a session's removal is not synced": 43,
    "a copied blob is not synced": 10,
    "a cloned blob is not synced": 23,
    "a cloned blob's name is not synced": 23,
    "an interrupted erasure is done again before its note is durable": 2000,
    "an erasure's note is not durably forgotten": 118,
}
"""Seeds a little before one that finds what takes a rare coincidence; from `SEED` on it is up to 8,000 states away."""

DRAWS, FEW_DRAWS = 200, 4
INVOCATION = "6f1c2f0e-8d1b-4f0e-9a53-3a0f4c6b7d21"


@pytest.mark.faults
@pytest.mark.slow
def test_what_was_acknowledged_survives() -> None:
    figures = power_losses(STATES, SEED)
    assert figures.faults == []
    assert figures.counts["states"] >= STATES
    assert min(figures.counts["kills"], figures.counts["power losses"]) > 300
    assert {call: figures.counts[call] for call in CALLS_LEAST if figures.counts[call] < CALLS_LEAST[call]} == {}
    assert all(figures.counts[f"crashes in {call}"] >= least for call, least in CALLS_LEAST.items())
    assert figures.counts["secrets"] >= SECRETS_LEAST


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_store_that_is_wrong_is_caught(name: str) -> None:
    with MUTANTS[name]():
        figures = power_losses(MUTANT_STATES, NEAR.get(name, SEED))
    assert len(figures.faults) == 1
    assert "repeat it: python -m stepwell.testing.powerloss --states 1 --seed" in figures.faults[0]


def test_one_seed_is_one_run() -> None:
    assert power_losses(1, 3).counts == power_losses(1, 3).counts


def test_the_command_tells_a_fault_by_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--states", "1", "--json"]) == 0
    assert '"faults": 0' in capsys.readouterr().out
    with MUTANTS["a record is acknowledged before it is synced"]():
        assert main(["--states", "1"]) == 1


def test_an_erasure_that_was_cut_short_is_finished_however_often_that_is_cut_short_too() -> None:
    chance, clock = random.Random(1), FakeClock()
    disk = SimulatedDisk()
    client = client_on(disk, clock, chance)
    session = client.create_session().session_id
    data = Data(media_type="test/random", data=chance.randbytes(INLINE_BYTES))
    put = client.put_invocation_step(session, INVOCATION, data, create_invocation=True)
    killed = left_at_each_change(
        disk, disk.killed, lambda: client.redact(session, INVOCATION, put.invocation_step_id, reason="asked for")
    )
    for left in killed:
        recovering = partial(client_on(left, clock, chance).get_session, session)
        for again in left_at_each_change(left, left.crash, recovering):
            after = client_on(again, clock, chance)
            [step] = after.steps(session)
            assert step.content in ((data,), (Redacted(),))
            assert after.verify(session).intact


def left_at_each_change(
    disk: SimulatedDisk, crash: Callable[[random.Random], SimulatedDisk], doing: Callable[[], object]
) -> list[SimulatedDisk]:
    """What some crashes leave after each change of *disk* that is made."""
    chance = random.Random(1)
    left: list[SimulatedDisk] = []
    disk.on_change = lambda: left.extend(crash(chance) for _ in range(FEW_DRAWS))
    doing()
    disk.on_change = None
    return left


# The disk


def disk_with(*, synced: bool, name_synced: bool) -> SimulatedDisk:
    """A disk with one file, `kept`, of two sectors."""
    disk = SimulatedDisk()
    root = disk.open_folder("/")
    fd = disk.open("kept", root, os.O_RDWR | os.O_CREAT)
    disk.write_at(fd, b"a" * SECTOR + b"b" * SECTOR, 0)
    if synced:
        disk.sync_data(fd)
    if name_synced:
        disk.sync(root)
    return disk


def left_by(crash: Callable[[random.Random], SimulatedDisk]) -> set[tuple[tuple[str, bytes], ...]]:
    """All that some crashes leave."""
    chance = random.Random(1)
    return {tuple(sorted(crash(chance).files())) for _ in range(DRAWS)}


def test_what_is_synced_is_never_lost() -> None:
    disk = disk_with(synced=True, name_synced=True)
    assert left_by(disk.crash) == {(("/kept", b"a" * SECTOR + b"b" * SECTOR),)}


def test_a_name_that_is_not_synced_may_be_lost() -> None:
    disk = disk_with(synced=True, name_synced=False)
    assert left_by(disk.crash) == {(), (("/kept", b"a" * SECTOR + b"b" * SECTOR),)}


def test_bytes_that_are_not_synced_may_be_lost_sector_by_sector() -> None:
    disk = disk_with(synced=False, name_synced=True)
    a, b, zeros = b"a" * SECTOR, b"b" * SECTOR, bytes(SECTOR)
    contents = (b"", zeros + zeros, a + zeros, zeros + b, a + b)
    assert left_by(disk.crash) == {(("/kept", content),) for content in contents}


def test_a_rename_that_is_not_synced_is_whole_or_absent() -> None:
    disk = disk_with(synced=True, name_synced=True)
    disk.rename("kept", "new", disk.open_folder("/"))
    assert {tuple(name for name, _ in left) for left in left_by(disk.crash)} == {("/kept",), ("/new",)}


def test_an_unlinked_file_may_come_back_until_its_folder_is_synced() -> None:
    disk = disk_with(synced=True, name_synced=True)
    root = disk.open_folder("/")
    disk.unlink("kept", root)
    assert {len(left) for left in left_by(disk.crash)} == {0, 1}
    disk.sync(root)
    assert left_by(disk.crash) == {()}


def test_a_folder_that_is_not_synced_takes_what_is_in_it_along() -> None:
    disk = SimulatedDisk()
    root = disk.open_folder("/")
    disk.make_folder("sub", root)
    sub = disk.open_folder("sub", root)
    disk.sync(disk.open("file", sub, os.O_RDWR | os.O_CREAT))
    disk.sync(sub)
    assert left_by(disk.crash) == {(), (("/sub/file", b""),)}


def test_a_cut_is_durable_only_after_a_full_sync() -> None:
    disk = disk_with(synced=True, name_synced=True)
    fd = disk.open("kept", disk.open_folder("/"), os.O_RDWR)
    disk.truncate(fd, SECTOR)
    disk.sync_data(fd)
    assert {len(content) for [(_, content)] in left_by(disk.crash)} == {SECTOR, 2 * SECTOR}
    disk.sync(fd)
    assert left_by(disk.crash) == {(("/kept", b"a" * SECTOR),)}


def test_after_a_failed_sync_the_next_one_makes_nothing_durable() -> None:
    disk = disk_with(synced=False, name_synced=True)
    fd = disk.open("kept", disk.open_folder("/"), os.O_RDWR)
    disk.failing = lambda _: random.Random(1)
    with pytest.raises(OSError, match="Input/output error"):
        disk.sync(fd)
    disk.failing = None
    disk.sync(fd)
    [((_, content),)] = left_by(disk.crash)
    assert content != disk.read_at(fd, 2 * SECTOR, 0) == b"a" * SECTOR + b"b" * SECTOR


def test_shared_memory_outlives_a_kill_but_not_a_power_loss() -> None:
    disk = disk_with(synced=True, name_synced=True)
    disk.share(disk.open("kept", disk.open_folder("/"), os.O_RDWR), SECTOR)[:3] = b"new"
    changed = b"new" + b"a" * (SECTOR - 3) + b"b" * SECTOR
    assert left_by(disk.killed) == {(("/kept", changed),)}
    assert left_by(disk.crash) == {(("/kept", changed),), (("/kept", b"a" * SECTOR + b"b" * SECTOR),)}


def test_a_kill_tears_the_last_write_at_any_byte() -> None:
    disk = SimulatedDisk()
    fd = disk.open("kept", disk.open_folder("/"), os.O_RDWR | os.O_CREAT)
    disk.write_at(fd, b"one", 0)
    disk.write_at(fd, b"two", 3)
    assert {content for [(_, content)] in left_by(disk.killed)} == {b"one", b"onet", b"onetw", b"onetwo"}
