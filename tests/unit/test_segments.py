"""A segment: what is stored, and when the next one begins."""

from __future__ import annotations

from dataclasses import replace
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.errors import CorruptJournal, NotSupported
from stepwell.stores.segments import FORMAT, RECORDS_MAX_BYTES, Segment, begun, parse, remains
from stepwell.testing.stores.records import journal, noise, record

HERE = journal("segments")
RECORDS = [record(HERE, slot, noise(60 + 7 * slot, str(slot))) for slot in range(12)]
KEY = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def _filled(count: int, *, limit: int = 1 << 20, key_arn: str = "") -> Segment:
    segment = begun(0, RECORDS[0], limit=limit, key_arn=key_arn)
    for one in RECORDS[1:count]:
        segment = segment.grown(one)
    return segment


@pytest.mark.parametrize("key_arn", ["", KEY])
def test_what_is_stored_comes_back(key_arn: str) -> None:
    segment = _filled(5, limit=4711, key_arn=key_arn)
    assert parse(segment.data()) == segment
    assert segment.records() == RECORDS[:5]
    assert [segment.record(slot) for slot in (0, 4, 5)] == [RECORDS[0], RECORDS[4], None]


@given(
    limit=st.integers(1, 3000),
    count=st.integers(1, 12),
    changes=st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=6),
)
def test_whether_a_segment_is_closed_depends_on_what_was_ever_written_to_it(
    limit: int, count: int, changes: list[tuple[bool, int]]
) -> None:
    """Neither erasing nor removing opens a closed one or closes an open one, and nobody's options are asked."""
    segment = _filled(count, limit=limit)
    closed = sum(map(len, RECORDS[:count])) >= limit
    assert segment.is_closed is closed
    for erases, slot in changes:
        if not erases:
            segment = segment.without(slot)
        elif segment.first <= slot < segment.end:
            segment = segment.erased(slot, [(200, 8), (220, 4)])
        segment = parse(segment.data())
        assert segment.is_closed is closed
        assert segment.end == count


def test_what_is_erased_is_overwritten_where_it_lies_and_nothing_else() -> None:
    segment = _filled(5)
    size = len(RECORDS[2])
    erased = segment.erased(2, [(size - 20, 20)])
    assert erased.record(2) == RECORDS[2][:-20] + b"\xee" * 20
    assert [erased.record(slot) for slot in (0, 1, 3, 4)] == [RECORDS[slot] for slot in (0, 1, 3, 4)]
    assert erased.erased(2, [(size - 20, 20)]) == erased


@pytest.mark.parametrize(("below", "left"), [(0, range(5)), (3, range(3, 5)), (5, range(0)), (99, range(0))])
def test_what_is_removed_is_gone_and_the_slots_keep_their_numbers(below: int, left: range) -> None:
    segment = _filled(5).without(below)
    assert segment.records() == [RECORDS[slot] for slot in left]
    assert [segment.record(slot) for slot in left] == segment.records()
    assert segment.removed == sum(map(len, RECORDS[: min(below, 5)]))
    assert segment.without(below) == segment


PROSE = [record(HERE, slot, f"step {slot}: the p99 of checkout is {slot} s; ".encode() * 20) for slot in range(12)]


def _prose() -> Segment:
    """Long enough to be compressed."""
    segment = begun(0, PROSE[0], limit=1 << 20, key_arn=KEY)
    for one in PROSE[1:]:
        segment = segment.grown(one)
    return segment


def test_records_are_compressed_together_where_that_pays() -> None:
    segment = _prose()
    assert parse(segment.data()) == segment
    assert len(segment.data()) < len(segment.frames) / 3
    assert len(_filled(5).data()) > len(_filled(5).frames)


@pytest.mark.parametrize("segment", [_filled(3, key_arn=KEY), _prose()], ids=["as they are", "compressed"])
def test_every_cut_is_noticed(segment: Segment) -> None:
    data = segment.data()
    for end in range(len(data)):
        with pytest.raises(CorruptJournal):
            parse(data[:end])
    with pytest.raises(CorruptJournal):
        parse(data + b"x")


@pytest.mark.parametrize("claimed", [0, 1, 4_000_000, RECORDS_MAX_BYTES + 1, (1 << 32) - 1])
def test_a_segment_that_claims_another_size_is_refused_before_it_is_unpacked(claimed: int) -> None:
    """Even if somebody made its header right: no more is allocated than a segment may hold."""
    for segment in (_filled(3), _prose()):
        data = segment.data()
        begin = 36 + len(segment.key_arn)
        header = data[:28] + claimed.to_bytes(4, "big") + data[32:begin]
        with pytest.raises(CorruptJournal):
            parse(header + crc32(header).to_bytes(4, "big") + data[begin + 4 :])


def test_what_remains_of_a_compressed_one_is_all_or_nothing() -> None:
    data = _prose().data()
    assert [one.record for one in remains(data)] == PROSE
    damaged = data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]
    found = remains(damaged)
    assert found[0].fault
    assert not [one for one in found if one.record and one.record not in PROSE and not one.fault]


def test_every_bit_of_a_header_counts() -> None:
    data = _filled(2, key_arn=KEY).data()
    for bit in range(8 * (len(data) - len(RECORDS[0] + RECORDS[1]))):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptJournal):
            parse(bytes(flipped))


def test_a_segment_that_does_not_hold_what_it_says_is_refused_when_its_records_are_asked_for() -> None:
    segment = _filled(3)
    with pytest.raises(CorruptJournal, match="3 records instead of 4"):
        replace(segment, end=4).records()
    with pytest.raises(CorruptJournal, match="damaged behind slot 1"):
        replace(segment, frames=segment.frames[:-1]).records()
    with pytest.raises(CorruptJournal, match="damaged behind slot -1"):
        replace(segment, frames=b"x" + segment.frames).records()


def test_a_newer_format_asks_for_a_newer_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepwell.stores.segments.FORMAT", FORMAT + 1)
    data = _filled(1).data()
    monkeypatch.undo()
    with pytest.raises(NotSupported, match="upgrade stepwell"):
        parse(data)


def test_what_remains_of_a_whole_segment_are_its_records() -> None:
    found = remains(_filled(4).data())
    assert [(one.record, one.fault) for one in found] == [(data, "") for data in RECORDS[:4]]
    assert [one.place for one in found] == sorted({one.place for one in found})


def test_what_remains_of_a_damaged_one_are_the_records_that_are_whole() -> None:
    data = bytearray(_filled(4).data())
    begin = len(data) - sum(map(len, RECORDS[:4]))
    data[begin + len(RECORDS[0]) + 5] ^= 1  # in the header of slot 1
    found = remains(bytes(data))
    assert [one.record for one in found if not one.fault] == [RECORDS[0], RECORDS[2], RECORDS[3]]
    assert [one.fault for one in found if one.fault] == [f"no record in {len(RECORDS[1])} bytes"]
    data[6] ^= 1  # and in that of the segment
    assert next(one.fault for one in remains(bytes(data))) == "a segment's header is damaged"
    assert [one.record for one in remains(bytes(data)) if not one.fault] == [RECORDS[0], RECORDS[2], RECORDS[3]]
    assert [one.fault for one in remains(b"something else")] == ["a segment's header is damaged"]


def test_records_that_were_swapped_are_told() -> None:
    segment = replace(_filled(1), end=3, frames=RECORDS[0] + RECORDS[2] + RECORDS[1])
    assert [one.fault for one in remains(segment.data())] == ["", "slot 2 where 1 belongs", "slot 1 where 3 belongs"]
