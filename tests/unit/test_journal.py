"""Records, the fold and the index, without any I/O."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.errors import CorruptJournal, NotSupported
from stepwell.journal.events import (
    OCTETS,
    TEXT,
    Attributes,
    AttributesSet,
    Barrier,
    BlockRef,
    Copied,
    Created,
    Deleted,
    Ended,
    Entry,
    Event,
    Expired,
    Extended,
    Extending,
    Indexed,
    InvocationCreated,
    Leased,
    Payload,
    Place,
    Purged,
    Redacted,
    StepPut,
    Trimmed,
    Undeleted,
    Why,
)
from stepwell.journal.index import RUN_MAX_ENTRIES, Index, Lookup
from stepwell.journal.index import Created as At
from stepwell.journal.record import (
    HEADER_SIZE,
    Facts,
    Record,
    Sealed,
    Status,
    has_zero_run,
    identity,
    mask,
    open_record,
    salted_digest,
    seal,
    stored_steps,
)
from stepwell.journal.state import SessionState, blank, resume

JOURNAL = identity("default", bytes(range(16)))
TOKEN, WRITER = b"t" * 16, b"writer00"
ATTRIBUTES = Attributes(bytes(range(16)), 1, 1, "key", None, {"a": "b"}, {"t": "u"})

ids = st.binary(min_size=16, max_size=16)
times = st.integers(0, 2**62)
texts = st.text(max_size=30)
whys = st.builds(Why, texts, texts, st.integers(0, 2**31))
places = st.builds(Place, st.integers(0, 2**31), st.integers(0, 255))
maps = st.dictionaries(texts, texts, max_size=4)
attributes = st.builds(
    Attributes,
    ids,
    times,
    times,
    st.none() | texts,
    st.none() | texts,
    maps,
    maps,
    st.none() | st.tuples(ids, st.integers(0, 2**31), st.integers(0, 2**31)),
)


@st.composite
def steps(draw: st.DrawFn) -> StepPut:
    raws = draw(st.lists(st.binary(max_size=60), min_size=1, max_size=3))
    salts = [draw(ids) for _ in raws]
    refs = tuple(
        BlockRef(OCTETS, 0, len(raw), salted_digest(raw, salt), len(raw)) for raw, salt in zip(raws, salts, strict=True)
    )
    payloads = tuple(Payload(salt, raw) for raw, salt in zip(raws, salts, strict=True))
    return StepPut(draw(ids), draw(ids), draw(st.none() | times), refs, payloads)


events = st.one_of(
    steps(),
    st.builds(InvocationCreated, ids, st.none() | texts, st.none() | times),
    st.builds(Created, attributes, st.integers(0, 2**31), times),
    st.builds(AttributesSet, attributes, st.booleans()),
    st.builds(Ended, attributes),
    st.builds(Leased, st.integers(1, 2**31)),
    st.sampled_from([Expired(), Purged(), Barrier(), Copied()]),
    st.builds(Purged, whys),
    st.builds(Deleted, attributes, times, whys),
    st.builds(Undeleted, attributes, whys),
    st.builds(Redacted, places, ids, ids, whys),
    st.builds(Trimmed, attributes, st.integers(1, 2**31), whys),
    st.builds(Extending, times),
    st.builds(Extended, attributes, times, whys),
)


FACTS = Facts(Status.ACTIVE, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)


def sealed(entries: list[Entry], slot: int = 0, prev: bytes = bytes(16), facts: Facts | None = None) -> Sealed:
    return seal(
        journal=JOURNAL,
        slot=slot,
        time=1000 + slot,
        writer=entries[0].writer,
        token=entries[0].token,
        prev=prev,
        facts=facts or FACTS,
        entries=entries,
    )


@given(st.lists(st.builds(Entry, events, st.just(WRITER) | st.binary(min_size=8, max_size=8), ids), min_size=1))
def test_what_is_sealed_is_what_is_opened(entries: list[Entry]) -> None:
    data, digest = sealed(entries)
    record = open_record(data, JOURNAL)
    assert list(record.entries) == entries
    assert (record.digest, record.token, record.size) == (digest, entries[0].token, len(data))
    assert record.facts == FACTS


def a_step(text: bytes = b"hello", step: bytes = b"s" * 16, invocation: bytes = b"i" * 16) -> StepPut:
    ref = BlockRef(TEXT, 0, len(text), salted_digest(text, b"x" * 16), len(text))
    return StepPut(invocation, step, None, (ref,), (Payload(b"x" * 16, text),))


def test_every_flipped_bit_of_header_and_body_is_found() -> None:
    data, _ = sealed([Entry(Created(ATTRIBUTES, 0, 0), WRITER, TOKEN), Entry(a_step(b""), WRITER, TOKEN)])
    covered = len(data) - 16
    for bit in range(8 * covered):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises((CorruptJournal, NotSupported)):
            open_record(bytes(damaged), JOURNAL)


def test_every_truncation_is_found() -> None:
    data, _ = sealed([Entry(a_step(), WRITER, TOKEN)])
    for size in range(len(data)):
        with pytest.raises(CorruptJournal):
            open_record(data[:size], JOURNAL)


def test_a_record_verifies_in_no_other_session_or_tenant() -> None:
    data, _ = sealed([Entry(a_step(), WRITER, TOKEN)])
    for other in (identity("default", bytes(16)), identity("other", bytes(range(16)))):
        with pytest.raises(CorruptJournal):
            open_record(data, other)


def test_an_erased_payload_leaves_the_chain_whole() -> None:
    data, digest = sealed([Entry(a_step(b"secret"), WRITER, TOKEN)])
    erased = data[: -len(b"secret") - 16] + b"\xee" * 22
    assert open_record(erased, JOURNAL).digest == digest


@given(st.integers(1, 2000), ids)
def test_zeros_are_hidden_and_found_again(size: int, seed: bytes) -> None:
    assert mask(mask(bytes(size), seed), seed) == bytes(size)
    assert not has_zero_run(mask(bytes(size), seed))


def test_a_body_of_zeros_is_stored_without_them() -> None:
    zeros = replace(ATTRIBUTES, metadata={"k": "\0" * 3000})
    data, _ = sealed([Entry(Created(zeros, 0, 0), WRITER, TOKEN)])
    assert not has_zero_run(data)
    entry = open_record(data, JOURNAL).entries[0]
    assert entry is not None
    assert entry.event == Created(zeros, 0, 0)


def test_an_event_that_may_be_passed_over_is_and_another_is_refused() -> None:
    import ormsgpack

    def with_code(code: int) -> bytes:
        data, _ = sealed([Entry(Barrier(), WRITER, TOKEN)])
        body = ormsgpack.packb([[code, None, None]])
        old = ormsgpack.packb([[9, None, None]])
        assert len(body) in (len(old), len(old) + 1)
        return reseal(data, body)

    assert open_record(with_code(100), JOURNAL).entries == (None,)
    with pytest.raises(NotSupported, match="newer version"):
        _ = open_record(with_code(40), JOURNAL).entries
    with pytest.raises(NotSupported, match="newer version"):
        stored_steps(open_record(with_code(40), JOURNAL))
    assert stored_steps(open_record(with_code(100), JOURNAL)) == []


def reseal(data: bytes, body: bytes) -> bytes:
    """*data* with another body, its sizes, checksum and digest made right."""
    import struct
    import zlib
    from hashlib import sha256

    fields = bytearray(data[: HEADER_SIZE - 4])
    struct.pack_into(">I", fields, 4, len(body))
    covered = bytes(fields) + struct.pack(">I", zlib.crc32(fields)) + body
    return covered + sha256(JOURNAL + covered).digest()[:16]


class History:
    """Builds records the way a writer does."""

    def __init__(self) -> None:
        self.state: SessionState = blank()
        self.records: list[Record] = []

    def add(self, *events: Event, writer: bytes = WRITER) -> Record:
        draft = self.state.copy()
        draft.slot += 1
        entries = [Entry(event, writer, TOKEN) for event in events]
        for at, entry in enumerate(entries):
            draft.apply(entry, Place(draft.slot, at), 1000 + draft.slot)
        data, digest = sealed(entries, draft.slot, self.state.digest, draft.facts)
        draft.digest, draft.time = digest, 1000 + draft.slot
        self.state = draft
        self.records.append(open_record(data, JOURNAL))
        return self.records[-1]


def begun() -> History:
    history = History()
    history.add(Created(ATTRIBUTES, 0, 0))
    history.add(InvocationCreated(b"i" * 16, None))
    return history


def test_the_fold_of_what_was_written_is_what_the_writer_had() -> None:
    history = begun()
    history.add(a_step())
    history.add(Leased(1), AttributesSet(replace(ATTRIBUTES, metadata={"new": "one"}), activity=True))
    history.add(Ended(ATTRIBUTES))
    state = resume(history.records[0])
    for record in history.records[1:]:
        state.advance(record)
    assert state.facts == history.state.facts
    assert state.facts == Facts(Status.ENDED, 0, 0, 4, 1004, 0, 0, 1, 1, 1, 0, 0, 0, 0)
    assert (state.slot, state.digest) == (4, history.state.digest)


def test_a_fold_can_begin_at_a_snapshot() -> None:
    history = begun()
    history.add(a_step())
    snapshot = history.state.index.sealed(WRITER, Place(2, 0), Place(-1, -1))
    assert isinstance(snapshot, Indexed)
    history.add(snapshot)
    history.add(a_step(step=b"r" * 16))
    state = resume(history.records[3])
    state.advance(history.records[4])
    assert state.index.has_invocation(b"i" * 16) is True
    assert state.index.slots_of_step(b"i" * 16, b"s" * 16) == (2,)
    assert state.index.slots_of_step(b"i" * 16, b"r" * 16) == (4,)
    assert state.attributes is None
    state.learn(history.records[0])
    assert state.attributes == ATTRIBUTES


def test_a_record_out_of_order_is_refused() -> None:
    history = begun()
    for text in (b"a", b"b"):
        history.add(a_step(text, step=text * 16))
    for order in ([0, 2], [0, 1, 3], [0, 1, 1]):
        state = resume(history.records[order[0]])
        *before, last = order[1:]
        for slot in before:
            state.advance(history.records[slot])
        with pytest.raises(CorruptJournal):
            state.advance(history.records[last])


def test_a_header_that_contradicts_its_events_is_refused() -> None:
    history = begun()
    entry = Entry(a_step(), WRITER, TOKEN)
    lying = history.state.facts._replace(steps=7)
    data, _ = sealed([entry], 2, history.state.digest, lying)
    with pytest.raises(CorruptJournal, match="contradicts"):
        history.state.advance(open_record(data, JOURNAL))


def test_a_fold_cannot_begin_in_the_middle() -> None:
    with pytest.raises(CorruptJournal, match="index snapshot"):
        resume(begun().records[1])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 400)), max_size=600), st.integers(5, 60))
def test_the_index_finds_what_a_dictionary_would(puts: list[tuple[int, int]], interval: int) -> None:
    index, expected = Index(), dict[tuple[bytes, bytes], list[int]]()
    archive: dict[int, Indexed] = {}
    slot = 0
    for invocation_number, step_number in puts:
        slot += 1
        invocation, step = invocation_number.to_bytes(16, "big"), step_number.to_bytes(16, "big")
        if index_has(index, invocation, archive) is False:
            index.recent.add_invocation(invocation, At(slot, slot))
        index.add_step(invocation, step, slot)
        expected.setdefault((invocation, step), []).append(slot)
        if slot % interval == 0:
            slot += 1
            archive[slot] = snapshot_of(index, archive)
            index.restart(archive[slot], slot)
    for (invocation, step), slots in expected.items():
        found = index.slots_of_step(invocation, step)
        while isinstance(found, Lookup):
            learn(index, found, archive)
            found = index.slots_of_step(invocation, step)
        assert set(found) <= set(slots)
        assert found
        assert index_has(index, invocation, archive) is True
    assert index_has(index, b"\xff" * 16, archive) is False


def learn(index: Index, lookup: Lookup, archive: dict[int, Indexed]) -> None:
    for slot in lookup.slots:
        index.learn(slot, archive[slot])


def index_has(index: Index, invocation: bytes, archive: dict[int, Indexed]) -> bool:
    answer = index.has_invocation(invocation)
    while isinstance(answer, Lookup):
        learn(index, answer, archive)
        answer = index.has_invocation(invocation)
    return answer


def snapshot_of(index: Index, archive: dict[int, Indexed]) -> Indexed:
    snapshot = index.sealed(WRITER, Place(0, 0), Place(0, 0))
    while isinstance(snapshot, Lookup):
        learn(index, snapshot, archive)
        snapshot = index.sealed(WRITER, Place(0, 0), Place(0, 0))
    return snapshot


def test_what_the_index_writes_grows_with_the_logarithm_and_no_run_is_too_large() -> None:
    index, archive, written = Index(), dict[int, Indexed](), 0
    for slot in range(1, 20_001):
        index.add_step(b"i" * 16, slot.to_bytes(16, "big"), slot)
        if slot % 256 == 0:
            archive[slot] = snapshot_of(index, archive)
            written += len(archive[slot].run)
            index.restart(archive[slot], slot)
    assert max(len(snapshot.run) for snapshot in archive.values()) <= 12 * RUN_MAX_ENTRIES
    assert written <= 12 * 20_000 * 5  # log2(4096 / 256) merges, and the first writing
    assert len(index.runs) <= 20_000 // RUN_MAX_ENTRIES + 5
    assert set(index.loaded) <= {ref.slot for ref in index.runs}


def test_time_ordered_ids_need_no_run_to_be_read() -> None:
    index, archive = Index(), dict[int, Indexed]()
    for slot in range(1, 5001):
        assert index.slots_of_step(b"i" * 16, slot.to_bytes(16, "big")) == ()
        index.add_step(b"i" * 16, slot.to_bytes(16, "big"), slot)
        if slot % 256 == 0:
            archive[slot] = snapshot_of(index, archive)
            index.restart(archive[slot], slot)
            index.loaded = {}
