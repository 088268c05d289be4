"""The rules of a session, one by one: what is decided, what a fold refuses, where ids lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import ormsgpack
import pytest

from stepwell import errors
from stepwell.journal import decide as d
from stepwell.journal import events as e
from stepwell.journal.events import Barrier, Entry, Place, Purged, RunRef, StepPut, Why
from stepwell.journal.index import INTERVAL_BYTES, INTERVAL_ENTRIES, INTERVAL_SLOTS, Created, Index, Lookup, Run
from stepwell.journal.record import HEADER_SIZE, Record, Status, areas_of, frame_size, open_record, stored_steps
from stepwell.journal.state import SessionState, blank, check_behind, resume
from tests.unit.test_journal import ATTRIBUTES, JOURNAL, TOKEN, WRITER, History, a_step, begun, reseal, sealed

NOW, OTHER, TOP = 1_000_000_000, b"writer01", b"\xff" * 16
V, K, N = (name * 16 for name in (b"i", b"k", b"n"))  # invocations
A, B, C, D, E, F = (name * 16 for name in (b"a", b"b", b"c", b"d", b"e", b"f"))  # steps
WHY, LINKED = Why("wrong", "Ann"), Why("wrong", "Ann", 7)
UPDATED = replace(ATTRIBUTES, updated_at=NOW)
Answer = tuple[object, ...] | None


def a_state(*, slot: int = 9, attributes: e.Attributes | None = ATTRIBUTES, **facts: Any) -> SessionState:
    state = blank()
    state.slot, state.attributes = slot, attributes
    state.facts = state.facts._replace(**{"attributes_slot": 4, "audited_slot": 7, **facts})
    return state


def drafted(history: History, *read: int) -> SessionState:
    draft = history.state.copy()
    draft.slot += 1
    for slot in read:
        draft.learn(history.records[slot])
    return draft


def told(decision: d.Decision | None) -> Answer:
    """A decision as a tuple. A refusal says why, in a sentence that goes on from whoever shows it."""
    match decision:
        case d.Refuse(error, grounds):
            assert not str(error)[0].isupper()
            return type(error), *grounds
        case d.Append(appended, tokens):
            assert tokens == ()
            return "append", *appended
        case d.Done(places):
            return "done", *places
        case Lookup(slots):
            return "lookup", *slots
        case None:
            return None


def change(attributes: e.Attributes) -> tuple[Mapping[str, str], Mapping[str, str]]:
    return {**attributes.metadata, "new": "1"}, {**attributes.tags, "new": "2"}


def too_much(attributes: e.Attributes) -> tuple[Mapping[str, str], Mapping[str, str]]:
    raise errors.LimitExceeded("too much")


def put(*steps: StepPut, made_ids: bool = False, create: bool = False, most: int | None = None) -> d.Decide:
    def same(stored: StepPut, wanted: StepPut) -> bool:
        return stored.payloads[-1].stored == wanted.payloads[-1].stored

    return d.put_steps(steps, made_ids=made_ids, create_invocation=create, most=most, same=same)


GONE, EXPIRED = (errors.NotFound,), (errors.NotFound, Purged(d.RETENTION_ENDED._replace(earlier=7)))
PURGE_DUE = errors.NotFound, Purged(d.PURGE_DUE._replace(earlier=7))


def test_who_sees_a_session() -> None:
    def seen(hidden_too: bool = False, begun_too: bool = False, **facts: Any) -> Answer:
        state, caller = a_state(**facts), d.Caller(WRITER, hidden_too=hidden_too, begins=begun_too)
        answer = told(d.visible(state.facts, NOW, hidden_too=hidden_too, begun_too=begun_too))
        assert told(d.admit(state, NOW, caller)) == answer
        return answer

    assert seen() is seen(status=Status.BEGUN, begun_too=True) is seen(expires_at=NOW + 1) is None
    assert seen(status=Status.PURGED, hidden_too=True, begun_too=True) == GONE
    assert (
        told(d.visible(a_state(status=Status.BEGUN).facts, NOW)) == seen(status=Status.BEGUN, hidden_too=True) == GONE
    )
    assert seen(expires_at=1) == seen(expires_at=NOW, hidden_too=True) == EXPIRED
    assert seen(purge_after=NOW + 1, hidden_too=True) is None
    assert told(d.visible(a_state(purge_after=NOW + 1).facts, NOW)) == seen(purge_after=NOW + 1) == GONE
    assert seen(purge_after=1) == seen(purge_after=NOW, hidden_too=True) == PURGE_DUE


def test_a_caller_whose_lease_or_position_was_passed_is_refused() -> None:
    state = a_state(epoch=3)
    state.tail_writer, state.tail, state.other_last = WRITER, Place(8, 1), Place(8, 0)
    for caller, expected in (
        (d.Caller(OTHER, 2), (errors.Fenced,)),
        (d.Caller(OTHER, 3), None),
        (d.Caller(OTHER, if_head=Place(9, 0)), (errors.StaleStore,)),
        (d.Caller(OTHER, if_head=Place(8, 1)), None),
        (d.Caller(OTHER, if_head=Place(8, 0)), (errors.HeadMoved,)),
        (d.Caller(WRITER, if_head=Place(8, 0)), None),
        (d.Caller(WRITER, if_head=Place(7, 5)), (errors.HeadMoved,)),
    ):
        assert told(d.admit(state, NOW, caller)) == expected, caller


def test_only_an_active_session_is_added_to() -> None:
    idle: dict[str, Any] = {"idle_seconds": 2, "last_activity": NOW - 2_000_000}
    cases: list[tuple[dict[str, Any], Answer]] = [
        ({}, None),
        ({"status": Status.ENDED}, (errors.SessionEnded,)),
        ({"status": Status.EXPIRED}, (errors.SessionExpired,)),
        (idle, (errors.SessionExpired, e.Expired())),
        ({**idle, "last_activity": NOW - 1_999_999}, None),
    ]
    for facts, expected in cases:
        changed, created = d.set_attributes(change, activity=True), d.create_invocation(V, "x", made_id=True)
        for decide in (put(a_step(), create=True), changed, created, d.lease):
            answer = told(decide(a_state(**facts), NOW))
            assert answer is not None
            assert answer[0] == "append" if expected is None else answer == expected


def test_what_is_decided() -> None:
    def decided(decide: d.Decide, **facts: Any) -> Answer:
        return told(decide(a_state(**facts), NOW))

    purged, extended = ("append", Purged(LINKED)), ("append", e.Extended(ATTRIBUTES, 50, LINKED))
    ended, idle = Status.ENDED, {"idle_seconds": 1}
    whole = e.AttributesSet(replace(UPDATED, metadata={"a": "b", "new": "1"}, tags={"t": "u", "new": "2"}), True)
    assert decided(d.end) == decided(d.end, status=Status.EXPIRED) == ("append", e.Ended(UPDATED))
    assert decided(d.end, status=ended) == (errors.SessionEnded,)
    for hidden in (0, 5):
        assert decided(d.delete(WHY, end=False, hidden=hidden)) == (errors.Conflict,)
    assert decided(d.delete(WHY, end=False), status=ended) == decided(d.delete(WHY, end=False), **idle) == purged
    assert decided(d.delete(WHY, end=False), purge_after=NOW + 1) == decided(d.delete(WHY, end=True)) == purged
    both = e.Ended(UPDATED), e.Deleted(UPDATED, NOW + 1, LINKED)
    assert decided(d.delete(WHY, end=True, hidden=1)) == ("append", *both)
    deleted = "append", e.Deleted(ATTRIBUTES, NOW + 5, LINKED)
    for facts in ({"status": ended}, idle):
        assert decided(d.delete(WHY, end=True, hidden=5), **facts) == deleted
    assert decided(d.undelete(WHY)) == ("done",)
    assert decided(d.undelete(WHY), purge_after=1) == ("append", e.Undeleted(ATTRIBUTES, LINKED))
    assert decided(d.set_attributes(change, activity=True)) == ("append", whole)
    only_tags = d.set_attributes(change, activity=False)
    assert decided(only_tags, status=ended) == ("append", replace(whole, activity=False))
    assert decided(d.set_attributes(too_much, activity=True)) == (errors.LimitExceeded,)
    assert decided(d.create_invocation(V, "x", made_id=False)) == ("append", e.InvocationCreated(V, "x"))
    for at in (0, 1, 49, 50, 51):
        later = at in (1, 49)
        assert decided(d.extend(50, WHY), expires_at=at) == (extended if later else ("done",))
        extending = ("append", e.Extending(50)) if later else ("done",)
        assert decided(d.begin_extending(50), expires_at=at) == extending
    assert decided(d.lease, epoch=3) == ("append", e.Leased(4))
    assert decided(d.purge) == decided(d.purge_unchanged(8)) == ("append", Purged())
    assert decided(d.purge_unchanged(7)) == decided(d.purge_unchanged(9)) == decided(d.barrier(8)) == ("done",)
    assert decided(d.touch, status=ended) == decided(d.barrier(9)) == ("append", e.Barrier())
    assert decided(d.barrier(1), slot=1) == ("append", e.Barrier())
    assert decided(d.barrier(0), slot=0) == ("append", Purged())
    assert decided(d.barrier(10)) == (errors.StaleStore,)
    assert decided(d.trim(3, WHY, 8, ()), base=3) == ("done",)
    assert decided(d.trim(3, WHY, 8, ()), base=2) == ("append", e.Trimmed(ATTRIBUTES, 3, LINKED))
    assert decided(d.trim(3, WHY, 6, ())) == ("lookup", 7, 8)
    assert decided(d.trim(8, WHY, 5, ())) == ("lookup", 8)


def test_what_was_not_read_yet_is_asked_for() -> None:
    hidden, changed = d.delete(WHY, end=True, hidden=5), d.set_attributes(change, activity=False)
    for decide in (d.end, hidden, changed, d.undelete(WHY), d.extend(50, WHY), d.trim(3, WHY, 8, ())):
        assert told(decide(a_state(attributes=None), NOW)) == ("lookup", 4)
    state = a_state()
    state.index.runs = (RunRef(2, 1, 1, TOP, TOP), RunRef(3, 1, 1, TOP, TOP))
    lookups = put(a_step()), d.create_invocation(V, None, made_id=False), d.redact(V, A, WHY, print)
    for decide in (*lookups, d.trim(1, WHY, 8, ())):
        assert told(decide(state, NOW)) == ("lookup", 2, 3)
    assert told(d.create_invocation(V, None, made_id=True)(state, NOW)) == ("append", e.InvocationCreated(V, None))
    state.index.add_step(V, A, 8)
    assert told(put(a_step(step=A))(state, NOW)) == ("lookup", 8)
    assert told(put(a_step(step=B), made_ids=True)(state, NOW)) == ("append", a_step(step=B))


def test_steps_are_known_by_their_ids_and_compared_by_time_and_content() -> None:
    history, gone = begun(), e.Payload(b"\xee" * 16, b"\xee" * 5)
    one, two, three, new = a_step(b"one", A), a_step(b"two", B), a_step(b"three", C), a_step(step=F)
    history.add(one, two)
    history.add(three._replace(time=5))
    half = (gone, *a_step().payloads)
    history.add(
        a_step(step=D)._replace(payloads=(gone,)), a_step(step=E)._replace(payloads=half, blocks=a_step().blocks * 2)
    )
    elsewhere = new._replace(invocation=N)
    for decide, expected in (
        (put(two, one), ("done", Place(2, 1), Place(2, 0))),
        (put(one._replace(time=1002), three), ("done", Place(2, 0), Place(3, 0))),
        (put(three._replace(time=5)), ("done", Place(3, 0))),
        (put(a_step(step=E)), ("done", Place(4, 1))),
        (put(new, most=6), ("append", new)),
        (put(new, new, most=6), (errors.LimitExceeded,)),
        (put(elsewhere), (errors.NotFound,)),
        (put(elsewhere, create=True), ("append", e.InvocationCreated(N, None), elsewhere)),
        (d.create_invocation(V, None, made_id=False), (errors.AlreadyExists,)),
        (d.redact(V, B, WHY, print), ("append", e.Redacted(Place(2, 1), V, B, WHY))),
        (d.redact(V, D, WHY, print), ("done", Place(4, 0))),
        (d.redact(V, F, WHY, print), (errors.NotFound,)),
    ):
        assert told(decide(drafted(history, 2, 3, 4), NOW)) == expected
    others = (one._replace(time=1),), (three._replace(time=1003),), (a_step(b"1", A),), (one, new), (a_step(step=D),)
    for steps in others:
        assert told(put(*steps)(drafted(history, 2, 3, 4), NOW)) == (errors.AlreadyExists,)
    assert told(put(three, one)(drafted(history), NOW)) == ("lookup", 2, 3)


def test_a_trim_keeps_the_invocations_that_are_in_use_up_to_a_limit() -> None:
    history = begun()
    history.add(a_step(step=A))
    for invocation, step in ((K, a_step(step=B, invocation=K)), (N, a_step(step=C))):
        history.add(e.InvocationCreated(invocation, None))
        history.add(step)
    every = ((N, 5, 1005), (K, 3, 1003), (V, 1, 1001))
    for base, seen, used, read, left in (
        (6, 6, (V,), (), N + V),  # the newest always stays
        (4, 6, (), (2,), N),  # what was read for another reason counts for nothing
        (3, 6, (), (), N + K),
        (4, 5, (), (6,), N + V),
        (4, 3, (), (4, 5, 6), N + K + V),
    ):
        draft = drafted(history, *read)
        for kept in (left, left + K):
            trimmed = e.Trimmed(ATTRIBUTES, base, WHY, tuple(member for member in every if member[0] in kept))
            assert told(d.trim(base, WHY, seen, used)(draft, NOW)) == ("append", trimmed)
            draft.index.add_step(K, N, draft.slot)
    state = a_state()
    for number in range(d.TRIM_MAX_INVOCATIONS):
        state.index.recent.add_invocation(number.to_bytes(16, "big"), Created(5, number))
    assert isinstance(d.trim(5, WHY, 8, ())(state, NOW), d.Append)
    state.index.recent.add_invocation(TOP, Created(5, 0))
    assert told(d.trim(5, WHY, 8, ())(state, NOW)) == (errors.LimitExceeded,)


def test_when_a_snapshot_is_due() -> None:
    for slot, snapshot, trimmed, size, entries, due in (
        (INTERVAL_SLOTS + 9, 10, 0, 0, 0, False),
        (INTERVAL_SLOTS + 10, 10, 0, 0, 0, True),
        (0, 0, 0, 0, 0, False),
        (1, 0, 1, 0, 0, True),
        (2, 0, 1, 0, 0, False),
        (9, 0, 0, INTERVAL_BYTES - 1, INTERVAL_ENTRIES - 1, False),
        (9, 0, 0, INTERVAL_BYTES, 0, True),
        (9, 0, 0, 0, INTERVAL_ENTRIES, True),
    ):
        state = a_state(slot=slot, snapshot_slot=snapshot, trimmed_slot=trimmed)
        for number in range(entries):
            state.index.add_step(V, number.to_bytes(16, "big"), 1)
            state.index = state.index.draft() if number == entries // 2 else state.index
        state.bytes_since_snapshot = size // 2
        assert state.snapshot_due(size - size // 2) is due


def test_a_record_follows_by_slot_digest_and_time_or_is_refused() -> None:
    history = begun()
    record = history.add(e.Barrier())
    state = resume(history.records[0])
    state.advance(history.records[1])
    told_otherwise = record._replace(fields=(*record.fields[:7], 1, *record.fields[8:]))
    for wrong in (record._replace(slot=3), record._replace(prev=bytes(16)), record._replace(time=1000), told_otherwise):
        with pytest.raises(errors.CorruptJournal, match=r"^the (record|header) in slot") as refused:
            state.copy().advance(wrong)
        assert refused.value.slot == wrong.slot
    state.advance(record._replace(time=1001))
    for it in (state, state.copy()):
        assert (it.slot, it.time, it.digest) == (2, 1001, record.digest)
    assert state.bytes_since_snapshot == sum(each.size for each in history.records)
    check_behind(Place(2, 9), 2)
    with pytest.raises(errors.StaleStore, match=r"^the position"):
        check_behind(Place(3, 0), 2)


def test_a_fork_is_begun_until_its_history_is_copied() -> None:
    history = History()
    history.add(e.Created(replace(ATTRIBUTES, origin=(N, 3, 0)), 0, 0))
    history.add(e.Copied())
    assert [record.facts.status for record in history.records] == [Status.BEGUN, Status.ACTIVE]


def test_a_fold_from_a_trim_knows_what_the_writer_knew() -> None:
    history = begun()
    history.add(a_step(invocation=K), a_step(step=A), writer=OTHER)
    draft = drafted(history)
    trimmed = e.Trimmed(replace(ATTRIBUTES, tags={}), 2, WHY, ((K, 1, 1001), (V, 1, 1001)))
    draft.apply(e.Entry(trimmed, WRITER, TOKEN), Place(3, 0), 1003)
    assert (draft.facts.base, draft.facts.trimmed_slot, draft.facts.audited_slot) == (2, 3, 3)
    snapshot = draft.index.sealed(draft.tail_writer, draft.tail, draft.other_last)
    assert isinstance(snapshot, e.Indexed)
    resumed = resume(history.add(trimmed, snapshot))
    for name in ("slot", "digest", "time", "facts", "attributes", "tail_writer", "tail", "other_last"):
        assert getattr(resumed, name) == getattr(history.state, name), name
    assert (resumed.index.base, list(resumed.index.active)) == (2, [K, V])
    history.add(e.AttributesSet(ATTRIBUTES, activity=False), e.Extending(9), e.Extending(8))
    assert (history.state.facts.last_activity, history.state.facts.keep_until) == (1002, 9)
    with pytest.raises(errors.CorruptJournal, match=r"^slot 4") as refused:
        resume(history.records[4])
    assert refused.value.slot == 4
    cold = replace(history.state, attributes=None, index=Index(runs=resumed.index.runs))
    cold.learn(history.records[3])
    assert (cold.attributes, cold.index.slots_of_step(V, A)) == (None, (2,))


def test_a_draft_changes_nothing_below_until_it_is_settled() -> None:
    index = Index()
    for invocation in (K, V, K):
        index.add_step(invocation, A, 1)
    index.recent.add_invocation(K, Created(1, 1))
    weight, draft = index.weight(), index.draft().draft()
    draft.add_step(V, A, 2)
    assert (list(index.active), list(draft.flat().active)) == ([V, K], [K, V])
    assert (index.slots_of_step(V, A), draft.slots_of_step(V, A)) == ((1,), (1, 2))
    assert draft.settled() is index
    assert (index.slots_of_step(V, A), list(index.active)) == ((1, 2), [K, V])
    assert (index.recent_entries(), index.recent.last_step, index.recent.last_invocation) == (3, A, K)
    index.recent.add_invocation(N, Created(3, 3))
    assert index.weight() > weight


def test_the_attributes_of_all_events_are_counted() -> None:
    one = e.attribute_bytes([e.Ended(ATTRIBUTES)])
    assert e.attribute_bytes([e.Barrier(), a_step()]) == 0
    assert e.attribute_bytes([e.Ended(ATTRIBUTES), e.Barrier(), e.Created(ATTRIBUTES, 0, 0)]) == 2 * one > 0


def test_merged_runs_keep_the_greatest_ids_of_both() -> None:
    older, newer = Run(), Run()
    for run, invocation, step, slot in ((older, N, C, 1), (newer, V, A, 2)):
        run.add_step(invocation, step, slot)
        run.add_invocation(invocation, Created(slot, slot))
    for both in (newer.merged(older), older.merged(newer)):
        assert (both.last_step, both.last_invocation, both.entries()) == (C, N, 4)
        assert both.above(2) == replace(newer, last_step=C, last_invocation=N)


def test_only_runs_that_can_hold_an_id_are_read() -> None:
    index = Index(runs=(RunRef(3, 0, 1, TOP, K), RunRef(4, 1, 0, B, TOP), RunRef(5, 2, 2, A, V)))
    assert (index.has_invocation(V), index.has_invocation(K)) == (Lookup((3, 5)), Lookup((3,)))
    assert (index.slots_of_step(V, A), index.slots_of_step(V, B)) == (Lookup((4, 5)), Lookup((4,)))
    assert (index.has_invocation(N), index.slots_of_step(V, C)) == (False, ())
    step = Run()
    step.add_step(V, B, 2)
    for slot, run in ((3, Run({}, {K: Created(2, 8), N: Created(1, 9)})), (4, step), (5, Run({}, {V: Created(2, 7)}))):
        made = Index(run).sealed(WRITER, Place(0, 0), Place(0, 0))
        assert isinstance(made, e.Indexed)
        index.learn(slot, made)
    assert index.invocations() == [(K, Created(2, 8)), (V, Created(2, 7)), (N, Created(1, 9))]
    for base, has in ((2, True), (3, False)):
        index.base = base
        assert (index.has_invocation(K), index.slots_of_step(V, B)) == (has, (2,) if has else ())


def test_where_payloads_lie() -> None:
    blob = a_step()._replace(blocks=(a_step().blocks[0]._replace(codec=e.BLOB),), payloads=(e.Payload(b"z" * 16, b""),))
    steps = blob, a_step(b"one"), a_step(b"two")._replace(payloads=(e.Payload(b"y" * 16, b"two"),))
    data, _ = sealed([e.Entry(event, WRITER, TOKEN) for event in (*steps, e.Barrier())])
    record = open_record(data, JOURNAL)
    for at, step in enumerate(steps):
        assert [data[offset : offset + size] for offset, size in areas_of(record, at)] == [b"".join(step.payloads[0])]
    assert areas_of(record, 3) == []
    assert [(at, blobs) for at, _, _, blobs in stored_steps(record)] == [(0, 1), (1, 0), (2, 0)]


def entries(record: Record) -> object:
    return record.entries


def test_what_is_damaged_or_without_form_is_refused_by_its_slot() -> None:
    data, _ = sealed([e.Entry(a_step(), WRITER, TOKEN)], 5)
    assert [frame_size(b"..." + data[:size], 3) for size in (HEADER_SIZE, HEADER_SIZE - 1)] == [len(data), None]
    for at in range(HEADER_SIZE):
        damaged = data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
        assert frame_size(damaged, 0) is None
        with pytest.raises(errors.CorruptJournal, match=r"^(not a record|a record's header|the record in)") as refused:
            open_record(damaged, JOURNAL)
        assert refused.value.slot == (None if at < 3 else int.from_bytes(damaged[12:16], "big"))
    for body in ([[4, None, None]], [[4, None, None, V + A, None, [[0]]]], [7]):
        record = open_record(
            reseal(sealed([e.Entry(e.Barrier(), WRITER, TOKEN)], 5)[0], ormsgpack.packb(body)), JOURNAL
        )
        for read in (stored_steps, entries):
            with pytest.raises(errors.CorruptJournal, match=r"^the record in slot 5 has no valid form") as refused:
                read(record)
            assert refused.value.slot == 5


def test_a_body_that_is_no_msgpack_is_refused_with_its_slot() -> None:
    data, _ = sealed([Entry(Barrier(), WRITER, TOKEN)], 5)
    with pytest.raises(errors.CorruptJournal, match="slot 5 has no valid form") as refused:
        open_record(reseal(data, b"\xc1"), JOURNAL)
    assert refused.value.slot == 5
