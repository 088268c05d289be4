"""Every kind of damage to a stored session: it is found, named, never read as good, and all that is whole is saved."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from hashlib import sha256
from itertools import combinations, product
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock
from zlib import crc32

import pytest

import stepwell
from stepwell.blocking import run_sync
from stepwell.codecs.content import decode
from stepwell.ids import uuid_bytes
from stepwell.io.blocking import BlockingTasks
from stepwell.io.clock import SystemClock
from stepwell.io.ports import Ports
from stepwell.journal import record as records
from stepwell.journal.record import Facts, Record, identity, open_record, seal
from stepwell.stores.base import UNFINISHED, JournalId
from stepwell.stores.file import FileStore
from stepwell.stores.log import trailer
from stepwell.testing.corruption import (
    BITS,
    BLOB_BYTES,
    TRAILER_SIZE,
    Saved,
    UnsyncedFiles,
    check_flip,
    check_flips,
    flipped,
    look,
    octets,
    open_client,
    save,
    some_sessions,
    texts,
)
from tests.unit.worlds import World

pytestmark = pytest.mark.faults

PARTS = 4
"""Of what takes long, for as many tests."""
STEPS_FROM = 2
"""The slot of the first step: behind the session and the invocation."""


def four_kilobytes(folder: Path) -> Saved:
    """A journal of texts, octets and a compressed payload."""
    return save(folder / "store", [*texts(40, 3600), *octets(500, 600)])


def equal_frames(folder: Path, marks: str) -> list[Saved]:
    """Sessions in one store, all of whose steps take the same room: a frame fits wherever another was."""
    return [
        save(folder / "store", [stepwell.Text(text=f"{mark}{number}" * 50) for number in range(6)]) for mark in marks
    ]


# Flipped bits


def check_bits(folder: Path, chosen: Callable[[int, int], bool]) -> None:
    """Flip those bits of a small journal that are *chosen* by their byte, and by their place in it."""
    saved = four_kilobytes(folder)
    bits = [divmod(bit, BITS) for bit in range(len(saved.data) * BITS)]
    counts = [check_flip(saved, saved.log, byte * BITS + at) for byte, at in bits if chosen(byte, at)]
    # Readers from the front use no trailer but the last one; and zstd frames have a few bits that change nothing.
    assert counts.count("unchanged") <= len(saved.frames) * TRAILER_SIZE * BITS
    assert counts.count("refused") > counts.count("unchanged") * 10


def check_a_bit_of_each_byte(folder: Path) -> None:
    check_bits(folder, lambda byte, at: at == byte % BITS)


@pytest.mark.parametrize("place", range(BITS))
def test_a_flip_of_any_bit_is_named_and_nothing_else_is_read(tmp_path: Path, place: int) -> None:
    """Of any bit at this place in its byte."""
    check_bits(tmp_path, lambda byte, at: at == place)


def test_a_flip_in_a_blob_is_named_and_nothing_else_is_read(tmp_path: Path) -> None:
    saved = save(tmp_path / "store", [*texts(40), *octets(BLOB_BYTES)])
    (blob,) = saved.blobs
    for bit in range(0, BLOB_BYTES * BITS, 1013):
        assert check_flip(saved, blob, bit) == "refused"


def test_a_flip_in_unused_room_loses_nothing(tmp_path: Path) -> None:
    saved = save(tmp_path / "store", texts(40, 50))
    for byte in range(len(saved.data), saved.log.stat().st_size, 97):
        with flipped(saved.log, byte * BITS + byte % BITS):
            sight = look(saved)
        assert sight.steps in (None, saved.steps)
        assert sight.steps == saved.steps or sight.names(-1, len(saved.data))


def test_random_flips_in_a_larger_store_are_named(tmp_path: Path) -> None:
    chance = random.Random(7)
    counts = check_flips(some_sessions(tmp_path / "store", 40, chance), 1000, chance)
    assert counts.total() == 1000
    assert set(counts) <= {"refused", "unchanged"}


# Truncations


@pytest.mark.parametrize("part", range(PARTS))
def test_every_truncation_leaves_the_whole_records_before_it_and_at_most_an_unfinished_write(
    tmp_path: Path, part: int
) -> None:
    saved = save(tmp_path / "store", octets(*range(6500, 6510)))
    assert len(saved.data) > 1 << 16
    journal = JournalId("default", uuid_bytes("session_id", saved.session_id))
    whole = [saved.data[start : end - TRAILER_SIZE] for start, end in saved.frames]
    ends = [end for _, end in saved.frames]
    ports = Ports(SystemClock(), BlockingTasks(), UnsyncedFiles(), os.urandom)
    for cut in range(len(saved.data) - part, -1, -PARTS):
        os.truncate(saved.log, cut)
        store = FileStore(os.fspath(saved.folder), ports)
        left = sum(end <= cut for end in ends)
        assert whole[:left] == list(run_sync(store.read(journal, 0))), cut
        remains = run_sync(store.remains(journal, 0))
        assert whole[:left] == [remain.record for remain in remains if not remain.fault], cut
        assert [remain.fault for remain in remains[left:]] == [UNFINISHED] * (cut not in (0, *ends)), cut
        run_sync(store.aclose())


def test_a_truncated_session_reads_as_what_was_before_and_verify_says_unfinished(tmp_path: Path) -> None:
    saved = save(tmp_path / "store", texts(*range(40, 60)))
    for cut in range(len(saved.data), 0, -41):
        os.truncate(saved.log, cut)
        sight = look(saved)
        left = sum(end <= cut for _, end in saved.frames)
        assert sight.steps == saved.steps[: max(0, left - STEPS_FROM)]
        if left == 0:
            assert sight.verification is None
        else:
            assert sight.verification is not None
            assert sight.verification.faults == ()
            assert sight.verification.unfinished == (cut != saved.frames[left - 1][1])


def test_whole_records_that_are_missing_at_the_end_are_told_to_whoever_saw_them(tmp_path: Path) -> None:
    saved = save(tmp_path / "store", texts(40, 50, 60))
    seen = saved.steps[-1].position
    os.truncate(saved.log, saved.frames[-1][0])
    assert look(saved).steps == saved.steps[:-1]
    with open_client(saved.folder) as client:
        assert client.verify(saved.session_id).intact
        with pytest.raises(stepwell.StaleStore):
            list(client.steps(saved.session_id, after=seen))
        with pytest.raises(stepwell.StaleStore):
            client.put_invocation_step(saved.session_id, saved.invocation_id, "more", if_head=seen)


# Records that were moved


class Damage(NamedTuple):
    """A log as somebody left it: in words, its bytes, which slots are still there, and where the first wrong record is.

    *missed*: a reader may miss it.
    """

    name: str
    data: bytes
    whole: frozenset[int]
    place: int
    missed: bool = False


def arranged(name: str, frames: Sequence[bytes], order: Sequence[int]) -> Damage:
    """A log of a session's records in this order."""
    wrong = next(at for at, slot in enumerate(order) if slot != at)
    place = sum(len(frames[slot]) for slot in order[:wrong])
    data = b"".join(frames[slot] for slot in order)
    return Damage(name, data, frozenset(order), place, missed=wrong == len(frames))


def moved(saved: Saved) -> Iterator[Damage]:
    """Records of one session, swapped, doubled and dropped."""
    frames = [saved.data[start:end] for start, end in saved.frames]
    every = range(len(frames))
    for a, b in combinations(every, 2):
        swapped = list(every)
        swapped[a], swapped[b] = b, a
        yield arranged(f"swapped {a} and {b}", frames, swapped)
    for one in every:
        for at in range(len(frames) + 1):
            yield arranged(f"{one} again before {at}", frames, [*every[:at], one, *every[at:]])
        if one < len(frames) - 1:
            yield arranged(f"dropped {one}", frames, [*every[:one], *every[one + 1 :]])


def foreign(saved: Saved, other: Saved) -> Iterator[Damage]:
    """Records of another session in the place of one's own, of the same slot and of others."""
    every = frozenset(range(len(saved.frames)))
    for (slot, (start, end)), (theirs, (begin, stop)) in product(enumerate(saved.frames), enumerate(other.frames)):
        data = saved.data[:start] + other.data[begin:stop] + saved.data[end:]
        yield Damage(f"another's {theirs} for {slot}", data, every - {slot}, start)


def check_found(saved: Saved, damages: Iterator[Damage]) -> None:
    """Verify finds each, a reader gets nothing but what was written, and what is whole is salvaged."""
    for damage in damages:
        saved.log.write_bytes(damage.data)
        sight = look(saved)
        assert sight.verification is not None, damage.name
        assert not sight.verification.intact, damage.name
        places = [fault.place for fault in sight.verification.faults if fault.place is not None]
        assert min(places) == damage.place, damage.name
        assert sight.steps is None or (damage.missed and sight.steps == saved.steps), damage.name
        check_salvage(saved, damage.whole, damage.name)
    saved.log.write_bytes(saved.data)
    assert look(saved).steps == saved.steps


def check_salvage(saved: Saved, whole: frozenset[int], name: str = "") -> None:
    """Salvaging gives exactly the steps in the slots that are *whole*, and changes nothing of the old session."""
    before = contents(saved.log.parent)
    with open_client(saved.folder) as client:
        salvaged = client.salvage(saved.session_id)
        new = salvaged.session.session_id
        steps = list(client.steps(new))
        again = client.verify(new)
        client.delete_session(new, end=True)
    assert contents(saved.log.parent) == before
    expected = [step for step in saved.steps if step.slot in whole]
    assert [essence(step) for step in expected] == [essence(step) for step in steps], name
    assert (salvaged.steps, again.steps, again.faults) == (len(expected), len(expected), ()), name
    assert salvaged.session.session_status == "ACTIVE"


def essence(step: stepwell.InvocationStep) -> tuple[object, ...]:
    return step.invocation_id, step.invocation_step_id, step.invocation_step_time, step.content


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_moved(folder: Path) -> None:
    (saved,) = equal_frames(folder, "a")
    check_found(saved, moved(saved))


def check_foreign(folder: Path) -> None:
    saved, other = equal_frames(folder, "ab")
    check_found(saved, foreign(saved, other))


def test_records_that_were_moved_within_a_session_are_found(tmp_path: Path) -> None:
    check_moved(tmp_path)


def test_records_of_another_session_are_found(tmp_path: Path) -> None:
    check_foreign(tmp_path)


def check_another_whole_journal(folder: Path) -> None:
    """A journal in the place of another, with its blobs."""
    saved, other = equal_frames(folder, "ab")
    saved.log.write_bytes(other.data)
    sight = look(saved)
    assert sight.steps is None
    assert sight.verification is not None
    assert len(sight.verification.faults) >= len(other.frames)
    with open_client(saved.folder) as client, pytest.raises(stepwell.CorruptJournal, match="nothing to salvage"):
        client.salvage(saved.session_id)
    assert look(other).steps == other.steps


def test_a_journal_in_the_place_of_another_is_found(tmp_path: Path) -> None:
    check_another_whole_journal(tmp_path)


def check_another_history(folder: Path) -> None:
    """A record of another history of the same session: of a restored backup that was written to."""
    (saved,) = equal_frames(folder, "a")
    with open_client(saved.folder) as client:
        client.put_invocation_step(saved.session_id, saved.invocation_id, "one" * 50)
    other = saved.log.read_bytes()[len(saved.data) :].rstrip(b"\0")
    saved.log.write_bytes(saved.data)
    for _ in range(2):
        saved.put(stepwell.Text(text="two" * 50))
    data = saved.log.read_bytes().rstrip(b"\0")
    last = len(saved.data)
    saved.log.write_bytes(data[:last] + other + data[last + len(other) :])
    sight = look(saved)
    assert sight.verification is not None
    assert len(saved.frames) + 1 in {fault.slot for fault in sight.verification.faults}
    assert sight.steps is None


def test_a_record_of_another_history_of_the_session_is_found(tmp_path: Path) -> None:
    check_another_history(tmp_path)


def check_forged_facts(folder: Path) -> None:
    """A last record, sealed as it should be, whose header contradicts its events."""
    saved = save(folder / "store", texts(40, 50))
    session = uuid_bytes("session_id", saved.session_id)
    whose = identity("default", session)
    start, end = saved.frames[-1]
    last = open_record(saved.data[start : end - TRAILER_SIZE], whose)
    for name, fact in last.facts._asdict().items():
        if name in ("expires_at", "purge_after"):
            continue  # it says that the session is gone, and is believed
        forged = seal(
            journal=whose,
            slot=last.slot,
            time=last.time,
            writer=last.writer,
            token=last.token,
            prev=last.prev,
            facts=last.facts._replace(**{name: fact + 1}),
            entries=[entry for entry in last.entries if entry is not None],
        ).data
        skip = int.from_bytes(saved.data[end - TRAILER_SIZE : end - TRAILER_SIZE + 4], "big")
        saved.log.write_bytes(saved.data[:start] + forged + trailer(skip, forged))
        with open_client(saved.folder) as client:
            faults = client.verify(saved.session_id).faults
        assert faults, name
        assert name == "base" or (faults[0].slot, faults[0].place) == (last.slot, start)


def test_a_header_that_contradicts_its_events_is_found(tmp_path: Path) -> None:
    check_forged_facts(tmp_path)


# Blobs


def check_blobs(folder: Path) -> None:
    """Blobs swapped, cut, missing, and another session's."""
    store = folder / "store"
    large = [stepwell.Data(data=random.Random(seed).randbytes(BLOB_BYTES)) for seed in range(3)]
    saved, other = save(store, [*texts(40), *large[:2]]), save(store, large[2:])
    (a, b), (c,) = saved.blobs, other.blobs
    first, second, third = a.read_bytes(), b.read_bytes(), c.read_bytes()
    slots = {path: STEPS_FROM + 1 + large.index(stepwell.Data(data=path.read_bytes())) for path in (a, b)}
    cases: dict[str, dict[Path, bytes | None]] = {
        "swapped": {a: second, b: first},
        "another's": {a: third},
        "cut": {a: first[:-1]},
        "empty": {b: b""},
        "missing": {b: None},
    }
    for name, now in cases.items():
        for path, data in now.items():
            if data is None:
                path.unlink()
            else:
                path.write_bytes(data)
        sight = look(saved)
        assert sight.steps is None, name
        assert sight.verification is not None
        assert {slots[path] for path in now} == {fault.slot for fault in sight.verification.faults}, name
        check_salvage(saved, frozenset({STEPS_FROM, *(slots[path] for path in slots if path not in now)}), name)
        a.write_bytes(first)
        b.write_bytes(second)
    assert look(saved).steps == saved.steps


def test_blobs_that_are_not_what_was_written_are_found(tmp_path: Path) -> None:
    check_blobs(tmp_path)


# Salvaging


def test_salvaging_after_a_flip_gives_exactly_the_whole_steps(tmp_path: Path) -> None:
    saved = save(tmp_path / "store", octets(40, 300, 500))
    every = frozenset(range(len(saved.frames)))
    for bit in range(0, len(saved.data) * BITS, 131):
        slot = saved.frame_at(bit // BITS)
        in_trailer = bit // BITS >= saved.frames[slot][1] - TRAILER_SIZE
        with flipped(saved.log, bit):
            check_salvage(saved, every if in_trailer else every - {slot}, f"bit {bit}")


def test_salvaging_a_truncated_session_gives_the_steps_before_the_cut(tmp_path: Path) -> None:
    saved = save(tmp_path / "store", texts(*range(40, 46)))
    for cut in range(len(saved.data), saved.frames[0][1], -97):
        os.truncate(saved.log, cut)
        check_salvage(saved, frozenset(slot for slot, (_, end) in enumerate(saved.frames) if end <= cut), f"cut {cut}")


def test_salvaging_without_slot_0_keeps_what_is_known_of_the_session(tmp_path: Path) -> None:
    saved = save(tmp_path / "store", texts(40, 50))
    with open_client(saved.folder) as client:
        client.tag_resource(saved.session_id, {"team": "storage"})
        with flipped(saved.log, 1000), flipped(saved.log, (saved.frames[1][0] + 150) * BITS):
            salvaged = client.salvage(saved.session_id, key="again")
        session = salvaged.session
        assert (session.key, session.tags, session.metadata) == ("again", {"team": "storage"}, {"incidentId": "INC-7"})
        (invocation,) = client.list_invocations(session.session_id).items
        assert invocation.invocation_id == saved.invocation_id
        assert [essence(step) for step in saved.steps] == [essence(step) for step in client.steps(session.session_id)]
        assert client.open_session(key="again").session_id == session.session_id


def test_what_was_redacted_stays_redacted_and_what_was_trimmed_stays_away(tmp_path: Path) -> None:
    saved = save(tmp_path / "store", [*texts(40, 50, 60, 70), *octets(BLOB_BYTES)])
    redacted = saved.steps[-2:]
    with open_client(saved.folder) as client:
        for step in redacted:
            client.redact(saved.session_id, step.invocation_id, step.invocation_step_id, reason="a name")
        client.trim(saved.session_id, before=saved.steps[1].position)
        assert client.verify(saved.session_id).intact
        salvaged = client.salvage(saved.session_id)
        steps = list(client.steps(salvaged.session.session_id))
        assert client.verify(salvaged.session.session_id).intact
    assert [step.content for step in steps] == [
        *(step.content for step in saved.steps[1:-2]),
        *[(stepwell.Redacted(),)] * len(redacted),
    ]
    assert salvaged.faults == ()


def test_a_damaged_note_of_where_a_journal_ends_hinders_readers_and_no_salvage(tmp_path: Path) -> None:
    saved = save(tmp_path / "store", texts(40, 50))
    (saved.log.parent / "cut").write_bytes(b"?")
    sight = look(saved)
    assert sight.steps is None
    assert sight.verification is not None
    assert [fault.reason for fault in sight.verification.faults] == [
        "reading stops: the file cut beside the log is damaged"
    ]
    check_salvage(saved, frozenset(range(len(saved.frames))))


def test_where_slots_are_stored_one_by_one_a_place_is_a_slot() -> None:
    world = World()
    client = world.client()
    session_id = client.create_session().session_id
    invocation_id = client.create_invocation(session_id).invocation_id
    steps = [client.put_invocation_step(session_id, invocation_id, text) for text in ("one", "two", "three", "four")]
    stored = world.store.raw_records()
    stored[3] = stored[3][:-1] + b"?"
    stored[4] = stored[4][:140] + b"?" + stored[4][141:]
    client = world.client()
    verification = client.verify(session_id)
    assert {(fault.slot, fault.place) for fault in verification.faults} == {(3, 3), (4, 4), (4, 5), (4, None)}
    salvaged = client.salvage(session_id)
    assert salvaged.faults == verification.faults
    kept = [essence(step) for step in client.steps(salvaged.session.session_id)]
    assert kept == [essence(steps[0]), essence(steps[3])]


def test_progress_is_told(tmp_path: Path) -> None:
    saved = save(tmp_path / "store", texts(40, 50))
    looked_at: list[int] = []
    copied: list[int] = []
    with open_client(saved.folder) as client:
        client.verify(saved.session_id, on_progress=looked_at.append)
        client.salvage(saved.session_id, on_progress=copied.append)
    assert looked_at == [1, 2, 3, 4]
    assert copied[-1] == 2


def test_no_more_faults_are_named_than_fit_and_the_rest_are_counted(tmp_path: Path) -> None:
    saved = save(tmp_path / "store", texts(*[40] * 130))
    data = bytearray(saved.data)
    for _, end in saved.frames:
        data[end - TRAILER_SIZE + 8] ^= 1
    saved.log.write_bytes(data)
    verification = look(saved).verification
    assert verification is not None
    assert len(verification.faults) == 101
    assert "32 more" in verification.faults[-1].reason or "33 more" in verification.faults[-1].reason


def test_a_session_that_is_not_there_or_deleted_is_not_found(tmp_path: Path) -> None:
    saved = save(tmp_path / "store", texts(40))
    with open_client(saved.folder) as client:
        for operation in (client.verify, client.salvage):
            with pytest.raises(stepwell.NotFound):
                operation("00000000-0000-4000-8000-000000000000")
        client.delete_session(saved.session_id, end=True)
        for operation in (client.verify, client.salvage):
            with pytest.raises(stepwell.NotFound):
                operation(saved.session_id)


def test_an_index_that_does_not_find_a_step_is_found(tmp_path: Path) -> None:
    saved = save(tmp_path / "store", texts(*[40] * 300))
    assert look(saved).verification == stepwell.Verification(
        session_id=saved.session_id, records=302, steps=300, blobs=0, faults=()
    )
    with mock.patch("stepwell.journal.index._mark", return_value=bytes(8)):
        verification = look(saved).verification
    assert verification is not None
    assert [fault.reason for fault in verification.faults] == [
        "the index run in slot 256 does not find all that came before it"
    ]


# Checks that are left out are missed


class _Equal(bytes):
    """Equal to everything."""

    __hash__ = bytes.__hash__

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


class _EqualNumber(int):
    __hash__ = int.__hash__

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


class _EqualFacts(Facts):
    __hash__ = Facts.__hash__

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


def _no_record_digest() -> AbstractContextManager[object]:
    chain: Callable[[bytes, bytes], bytes] = vars(records)["_chain"]

    def unchecked(covered: bytes, journal: bytes) -> bytes:
        return _Equal(chain(covered, journal))

    return mock.patch.object(records, "_chain", unchecked)


def _no_identity() -> AbstractContextManager[object]:
    def unbound(covered: bytes, journal: bytes) -> bytes:
        return sha256(covered).digest()[:16]

    return mock.patch.object(records, "_chain", unbound)


@contextmanager
def _no_chain() -> Generator[None]:
    def opened(data: bytes, journal: bytes) -> Record:
        record = open_record(data, journal)
        return record._replace(prev=_Equal(record.prev))

    with mock.patch("stepwell.view.open_record", opened), mock.patch("stepwell.remains.open_record", opened):
        yield


def _no_payload_digest() -> AbstractContextManager[object]:
    def unchecked(wire: list[Any], salt: bytes, kept: bytes) -> object:
        with mock.patch("stepwell.codecs.content.salted_digest", return_value=_Equal()):
            return decode(wire, salt, kept)

    return mock.patch("stepwell.reader.decode", unchecked)


def _no_trailer_crc() -> AbstractContextManager[object]:
    def unchecked(data: bytes, start: int = 0) -> int:
        return _EqualNumber(crc32(data, start))

    return mock.patch("stepwell.stores.log.zlib", SimpleNamespace(crc32=unchecked))


def _no_facts() -> AbstractContextManager[object]:
    facts: Any = vars(Record)["facts"]
    return mock.patch.object(Record, "facts", property(lambda record: _EqualFacts(*facts.fget(record))))


MUTANTS: Mapping[str, Callable[[], AbstractContextManager[object]]] = {
    "a record's digest is not checked": _no_record_digest,
    "the chain is not followed": _no_chain,
    "a payload's digest is not checked": _no_payload_digest,
    "a trailer's checksum is not checked": _no_trailer_crc,
    "records are not bound to their session": _no_identity,
    "headers are not compared with the events": _no_facts,
}
"""What a check that was left out would be like."""

CHECKS: tuple[Callable[[Path], None], ...] = (
    check_another_whole_journal,
    check_another_history,
    check_forged_facts,
    check_blobs,
    check_foreign,
    check_moved,
    check_a_bit_of_each_byte,
)
"""Each is a test above as well, which passes as things are. Those that are soon done come first."""


def caught(folder: Path) -> bool:
    """Whether any check fails as things are now."""
    for number, check in enumerate(CHECKS):
        try:
            check(folder / str(number))
        except (AssertionError, pytest.fail.Exception, stepwell.StepwellError):
            return True
    return False


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_check_that_is_left_out_is_missed(tmp_path: Path, mutant: str) -> None:
    with MUTANTS[mutant]():
        assert caught(tmp_path)
