"""Situations in which the S3 store is right or wrong in one step, each on the simulated bucket (dynamodb_service.py).

Each asserts what has to be; the names say it.
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ChecksumError, ConnectionClosedError, ReadTimeoutError

from stepwell import Client
from stepwell.blocking import run_sync as run
from stepwell.errors import (
    CorruptJournal,
    NotSupported,
    OutcomeUnknown,
    StaleStore,
    StepwellError,
    Throttled,
    Unavailable,
)
from stepwell.journal.record import ERASED
from stepwell.models import Data
from stepwell.stores.base import JournalId, ListingEntry, SlotTaken
from stepwell.stores.s3 import S3Store, _turned
from stepwell.stores.segments import parse
from stepwell.testing.simulated.aws import error
from stepwell.testing.stores.records import journal, noise, record, written
from tests.mutants.dynamodb_service import Service

HERE = journal("here")
NAME = "ab" * 32
KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
SHORT, LONG = 700, 100_000
READS = frozenset({"get_object", "head_object", "list_objects_v2"})


def _service(seed: int = 1, *, calm: bool = True) -> Service:
    service = Service(seed, calm=calm)
    service.endpoint = "https://s3.eu-central-1.amazonaws.com"
    return service


def _record(slot: int, text: str = "") -> bytes:
    return record(HERE, slot, noise(60, f"{slot} {text}"))


def _filled(store: S3Store, slots: int) -> list[bytes]:
    return run(written(store, HERE, *[noise(60, str(slot)) for slot in range(slots)]))


def _everything(store: S3Store, first: int = 0) -> list[bytes]:
    records: list[bytes] = []
    while more := run(store.read(HERE, first + len(records))):
        records += more
    return records


def _segments(service: Service) -> dict[int, str]:
    """The names of the journal's objects, by their first slot."""
    return {int(key[-10:]): key for key in sorted(service.s3.stored) if "/log/" in key}


def _held(service: Service) -> bytes:
    return b"".join([parse(service.s3.stored[key].body).frames for key in _segments(service).values()])


def _where_segments_begin() -> list[int]:
    service = _service()
    _filled(service.s3_store(), 12)
    return list(_segments(service))


def _once(service: Service, operation: str, do: Callable[[], object], *, after: bool = False) -> None:
    """Let something happen ahead of the next call of an operation, or behind it."""

    def then(called: str, arguments: dict[str, Any]) -> None:
        if called == operation:
            hook(_nothing)
            do()

    def hook(call: Callable[[str, dict[str, Any]], None]) -> None:
        if after:
            service.after = call
        else:
            service.before = call

    hook(then)


def _nothing(operation: str, arguments: dict[str, Any]) -> None:
    pass


def _raising(told: Exception) -> Callable[[], None]:
    def do() -> None:
        raise told

    return do


def _refused_again() -> Exception:
    return error("PreconditionFailed", 412)


class Killed(Exception):
    """The process is no more."""


@contextmanager
def _killed_behind(service: Service, operations: int) -> Generator[None]:
    """Let the process die behind so many writes."""
    left = operations

    def before(operation: str, arguments: dict[str, Any]) -> None:
        nonlocal left
        left -= operation not in READS
        if left < 0:
            raise Killed

    service.before = before
    with suppress(Killed):
        yield
    service.before = _nothing


# Writing


def a_slot_is_written_once() -> None:
    """Whatever the length of the segments that each writer begins, and though each knows the last one."""
    for sizes in ((SHORT, SHORT), (SHORT, LONG), (LONG, SHORT), (1, SHORT)):
        service = _service()
        stores = [service.s3_store(segment_bytes=size) for size in sizes]
        records: list[bytes] = []
        for slot in range(12):
            one, other = stores[:: 1 if slot % 3 else -1]
            records.append(_record(slot))
            assert run(one.append(HERE, slot, records[slot])) is None
            assert run(other.append(HERE, slot, _record(slot, "another"))) == SlotTaken(records[slot])
            assert run(other.head(HERE)) == records[slot]
        assert _everything(service.s3_store()) == records
        held = [parse(service.s3.stored[key].body) for key in _segments(service).values()]
        assert [segment.first for segment in held] == list(_segments(service))
        assert all(segment.is_closed for segment in held[:-1])


def what_gave_no_answer_is_unknown() -> None:
    """Applied or not, nobody can say."""
    service = _service()
    store = service.s3_store()
    silences = (
        error("InternalError", 500),
        ReadTimeoutError(endpoint_url="https://service.example"),
        ConnectionClosedError(endpoint_url="https://service.example"),
        ChecksumError(checksum_type="x-amz-crc32", expected_checksum="1", actual_checksum="2"),
    )
    for slot, silence in enumerate(silences):
        _once(service, "put_object", _raising(silence), after=True)
        with pytest.raises(OutcomeUnknown):
            run(store.append(HERE, slot, _record(slot)))


def what_wrote_nothing_is_told_so() -> None:
    """A conflict with a write under way says nothing of who wins: not that the slot is taken, or a blob put."""
    told = {"ConditionalRequestConflict": Unavailable, "OperationAborted": Unavailable, "SlowDown": Throttled}
    for code, kind in told.items():
        service = _service()
        store = service.s3_store()
        refusal = _raising(error(code, 503 if kind is Throttled else 409))
        for slot in range(6):
            _once(service, "put_object", refusal)
            with pytest.raises(kind):
                run(store.append(HERE, slot, _record(slot)))
            assert run(store.append(HERE, slot, _record(slot))) is None
        _once(service, "put_object", refusal)
        with pytest.raises(kind):
            run(store.put_blob(HERE, NAME, b"data"))
        run(store.put_blob(HERE, NAME, b"data"))
        _once(service, "put_object", refusal)
        with pytest.raises(kind):
            run(store.erase(HERE, 2, [(200, 4)]))
        assert _everything(store) == [_record(slot) for slot in range(6)]


def a_write_that_was_sent_again_is_found() -> None:
    """By the HTTP client: the reply to its second attempt says that the condition failed, in every kind of segment."""
    service = _service()
    store = service.s3_store()
    for slot in range(8):
        _once(service, "put_object", _raising(_refused_again()), after=True)
        assert run(store.append(HERE, slot, _record(slot))) == SlotTaken(_record(slot))
    assert _everything(service.s3_store()) == [_record(slot) for slot in range(8)]
    _once(service, "put_object", _raising(_refused_again()), after=True)
    run(store.put_blob(HERE, NAME, b"data"))
    assert run(store.get_blob(HERE, NAME)) == b"data"


def a_refusal_that_cannot_be_looked_into_is_unknown() -> None:
    """It may have been our own write: no error of the look is an answer."""
    hidden: tuple[Exception, ...] = (
        error("AccessDenied", 403),
        error("NoSuchBucket", 404),
        error("SlowDown", 503),
        error("InternalError", 500),
        ReadTimeoutError(endpoint_url="https://service.example"),
    )
    for told in hidden:
        service = _service()
        store = service.s3_store()
        for slot in range(6):
            _once(service, "put_object", _raising(_refused_again()), after=True)
            _once(service, "get_object", _raising(told))
            with pytest.raises(OutcomeUnknown):
                run(store.append(HERE, slot, _record(slot)))
            assert run(store.append(HERE, slot, _record(slot))) == SlotTaken(_record(slot))


def an_append_follows_a_redaction() -> None:
    """The version that it would extend is gone, and its slot is free; what was erased stays erased."""
    for first in (True, False):
        service = _service()
        store, other = service.s3_store(segment_bytes=LONG), service.s3_store()
        records = _filled(store, 3)

        spans = [(len(records[1]) - 8, 8)]

        def erase(other: S3Store = other, spans: list[tuple[int, int]] = spans) -> None:
            run(other.erase(HERE, 1, spans))

        if first:
            erase()
        else:
            _once(service, "put_object", erase)
        assert run(store.append(HERE, 3, _record(3))) is None
        records[1] = records[1][:-8] + ERASED * 8
        for reader in (store, other, service.s3_store()):
            assert _everything(reader) == [*records, _record(3)]


def a_slot_behind_a_gap_is_refused() -> None:
    """Also where the gap came to be after the last look: the journal was removed, and servers differ."""
    for seed in range(8):
        service = _service(seed)
        store = service.s3_store(segment_bytes=LONG)
        _filled(store, 3)
        with pytest.raises(StaleStore):
            run(store.append(HERE, 5, _record(5)))
        run(service.s3_store().remove(HERE))
        with pytest.raises(StaleStore):
            run(store.append(HERE, 3, _record(3)))
        assert not service.s3.stored


# Reading


def reads_see_what_was_written() -> None:
    """At once, from every handle, whatever it remembers."""
    service = _service(calm=False)
    store, other = service.s3_store(), service.s3_store()
    for slot in range(12):
        run(store.append(HERE, slot, _record(slot)))
        assert run(other.head(HERE)) == _record(slot)
        assert run(other.read(HERE, slot, slot)) == [_record(slot)]
        run(store.put_entry("acme", ListingEntry(bytes(16), slot, b"%d" % slot)))
        assert run(other.get_entry("acme", bytes(16))) == ListingEntry(bytes(16), slot, b"%d" % slot)
        run(store.swap_key("acme", f"key {slot}", bytes(16), expected=None))
        assert run(other.get_key("acme", f"key {slot}")) == bytes(16)


def what_was_erased_is_read_no_more() -> None:
    """A head may hand on what it has read, once."""
    for size in (SHORT, LONG):
        service = _service()
        store, other = service.s3_store(segment_bytes=size), service.s3_store()
        records = _filled(other, 6)
        run(store.head(HERE))
        assert _everything(store)[:6] == records
        run(store.head(HERE))
        assert run(store.read(HERE, 5, 5)) == records[5:]
        run(other.erase(HERE, 5, [(len(records[5]) - 8, 8)]))
        erased = records[5][:-8] + ERASED * 8
        assert run(store.read(HERE, 5, 5)) == [erased]
        assert run(store.head(HERE)) == erased
        fresh = service.s3_store()
        assert run(fresh.head(HERE)) == erased
        assert run(fresh.read(HERE, 0, 0)) == records[:1]
        run(other.erase(HERE, 0, [(len(records[0]) - 8, 8)]))
        assert run(fresh.read(HERE, 0, 0)) == [records[0][:-8] + ERASED * 8]


def all_pages_of_a_list_are_read() -> None:
    """Whatever their size."""
    service = _service(calm=False)
    records = _filled(service.s3_store(), 40)
    store = service.s3_store()
    assert run(store.head(HERE)) == records[-1]
    assert _everything(store) == records
    assert [remain.record for remain in run(store.remains(HERE, 0))] == records
    for at in range(12):
        run(store.put_blob(HERE, f"{at:064x}", b"data"))
    assert sorted(run(store.blobs(HERE))) == [f"{at:064x}" for at in range(12)]
    others = [JournalId("acme", bytes([at + 1]) * 16) for at in range(12)]
    for other in others:
        run(store.put_blob(other, NAME, b"data"))
    assert run(store.journals("acme", None, 100)) == sorted([*[other.session for other in others], HERE.session])
    run(store.remove(HERE))
    assert not [key for key in service.s3.stored if HERE.session.hex() in key.replace("-", "")]


def a_list_is_newest_first() -> None:
    """And goes on where it was left."""
    service = _service(calm=False)
    store = service.s3_store()
    ids = [bytes([at + 1]) * 16 for at in range(9)]
    for at, session in enumerate(ids):
        run(store.put_entry("acme", ListingEntry(session, 1, b"%d" % at)))
    found: list[bytes] = []
    while more := run(store.entries("acme", found[-1] if found else None, 4)):
        found += [entry.session for entry in more]
    assert found == ids[::-1]


def a_list_skips_nothing() -> None:
    """An entry is removed between the list and the look at it, whatever the size of the pages."""
    ids = [bytes([at + 1]) * 16 for at in range(9)]
    for seed, gone in enumerate(ids * 4):
        service = _service(seed)
        store = service.s3_store()
        for session in ids:
            run(store.put_entry("acme", ListingEntry(session, 1, b"data")))

        (key,) = [key for key in service.s3.stored if key.endswith(_turned(gone).hex())]

        def before(operation: str, arguments: dict[str, Any], service: Service = service, key: str = key) -> None:
            if operation == "get_object" and arguments["Key"] == key:
                service.s3.stored.pop(key, None)

        service.before = before
        found = [entry.session for entry in run(store.entries("acme", None, 4))]
        assert found == [session for session in ids[::-1] if session != gone][:4]


def a_segment_that_was_cut_is_corrupt() -> None:
    """At whatever place, the end of a record too."""
    service = _service()
    records = _filled(service.s3_store(segment_bytes=LONG), 4)
    (key,) = _segments(service).values()
    whole = service.s3.stored[key]
    for cut in (1, len(records[3]) - 1, len(records[3]), len(records[3]) + 1, len(records[3] + records[2])):
        service.s3.stored[key] = whole._replace(body=whole.body[:-cut])
        store = service.s3_store()
        append = partial(store.append, HERE, 3, _record(3, "another"))
        for call in (partial(store.head, HERE), partial(store.read, HERE, 0), append):
            with pytest.raises(CorruptJournal):
                run(call())


def nothing_behind_a_gap_is_read() -> None:
    """A segment is missing: the first, one between, the last."""
    begins = _where_segments_begin()
    for at, gone in enumerate(begins):
        service = _service()
        records = _filled(service.s3_store(), 12)
        del service.s3.stored[_segments(service)[gone]]
        store = service.s3_store()
        assert _everything(store) == records[:gone]
        if not gone:
            assert run(store.head(HERE)) is None
            assert not run(store.read(HERE, begins[at + 1]))


# Erasing and removing


def a_segment_that_is_closed_stays_closed() -> None:
    """Whatever is erased in it, or removed from it: the next record has one place to go."""
    begins = _where_segments_begin()
    changes: list[Callable[[S3Store, Sequence[bytes]], object]] = [
        lambda store, records: [run(store.erase(HERE, slot, [(200, 60)])) for slot in range(len(records))],
        lambda store, records: run(store.remove(HERE, len(records) - 1)),
    ]
    for slots in range(begins[1], begins[-1]):
        for change in changes:
            service = _service()
            knows, store = service.s3_store(), service.s3_store()
            records = _filled(knows, slots)
            change(store, records)
            last = run(service.s3_store().head(HERE))
            assert last is not None
            assert last[:150] == records[-1][:150]
            if slots in begins:
                assert run(knows.append(HERE, slots, _record(slots))) is None
            assert run(service.s3_store().append(HERE, slots, _record(slots, "b"))) in (
                None,
                SlotTaken(_record(slots)),
            )
            assert run(service.s3_store().head(HERE)) == _record(slots, "" if slots in begins else "b")
            assert set(_segments(service)) <= set(begins)


def two_erasures_add_up() -> None:
    """The second is done while the first is under way."""
    service = _service()
    first = _filled(service.s3_store(), 1)[0]
    at = len(first) - 8
    _once(service, "put_object", lambda: run(service.s3_store().erase(HERE, 0, [(at, 2)])))
    run(service.s3_store().erase(HERE, 0, [(at + 4, 2)]))
    expected = first[:at] + ERASED * 2 + first[at + 2 : at + 4] + ERASED * 2 + first[-2:]
    assert _everything(service.s3_store()) == [expected]


def an_erasure_brings_nothing_back() -> None:
    """Its slot is trimmed, or another behind it is written, while it is under way."""
    service = _service()
    records = _filled(service.s3_store(segment_bytes=LONG), 3)
    _once(service, "put_object", lambda: run(service.s3_store().remove(HERE, 2)))
    with pytest.raises(StaleStore):
        run(service.s3_store().erase(HERE, 0, [(200, 4)]))
    assert _everything(service.s3_store(), 2) == records[2:]
    _once(service, "put_object", lambda: run(service.s3_store().append(HERE, 3, _record(3))))
    run(service.s3_store().erase(HERE, 2, [(len(records[2]) - 4, 4)]))
    assert _everything(service.s3_store(), 2) == [records[2][:-4] + ERASED * 4, _record(3)]


def a_trim_leaves_the_rest() -> None:
    """Below each slot, interrupted or not; the journal is there, goes on, and can be trimmed again."""
    for below in range(1, 12):
        for writes in range(5):
            service = _service()
            store, other = service.s3_store(), service.s3_store()
            records = _filled(store, 12)
            run(other.head(HERE))
            with _killed_behind(service, writes):
                run(store.remove(HERE, below))
            for reader in (store, other, service.s3_store()):
                assert run(reader.head(HERE)) == records[-1]
                assert _everything(reader, below) == records[below:]
            run(other.remove(HERE, below))
            assert not any(run(service.s3_store().read(HERE, slot)) for slot in range(below))
            held = _held(service)
            assert [one in held for one in records] == [slot >= below for slot in range(12)]
            assert run(other.append(HERE, 12, _record(12))) is None
            assert run(service.s3_store().head(HERE)) == _record(12)


def what_is_left_of_a_removal_is_found() -> None:
    """It is interrupted behind any of its writes: nobody sees the journal, and a list names it until all is gone."""
    for writes in range(1, 4):
        service = _service()
        store = service.s3_store()
        _filled(store, 12)
        run(store.put_blob(HERE, NAME, bytes(100)))
        with _killed_behind(service, writes):
            run(store.remove(HERE))
        for reader in (store, service.s3_store()):
            assert run(reader.head(HERE)) is None
            assert not run(reader.read(HERE, 0))
        assert run(store.journals(HERE.tenant, None, 10)) == ([HERE.session] if service.s3.stored else [])
        run(store.remove(HERE))
        assert not service.s3.stored


def a_removal_under_way_leaves_no_older_head() -> None:
    """It takes what lies behind the first segment, or some of it, while that was read, and others are being listed."""
    begins = _where_segments_begin()
    for left in ([], begins[1:2], begins[1:-1]):
        for pages in range(1, 4):
            service = _service()
            store = service.s3_store()
            _filled(service.s3_store(), 12)
            behind = pages

            def before(operation: str, arguments: dict[str, Any], service: Service = service, left: Any = left) -> None:
                nonlocal behind
                behind -= operation == "list_objects_v2"
                if not behind:
                    for name, key in _segments(service).items():
                        if name not in left:
                            del service.s3.stored[key]

            service.before = before
            if run(store.head(HERE)) == _record(11):
                assert behind > 0
                continue
            assert not run(store.read(HERE, 1))
            for slot in begins[1:]:
                with pytest.raises(StaleStore):
                    run(store.append(HERE, slot, _record(slot, "late")))
            assert list(_segments(service)) == left


def a_session_that_is_being_reclaimed_takes_no_append() -> None:
    """Its writer was frozen, and the run that reclaims it is killed behind any of its writes."""
    for texts in range(6):
        for writes in range(12):
            service = _service()
            client, other = (Client.from_store(service.s3_store, tenant="acme", clock=service.clock) for _ in range(2))
            session = client.create_session().session_id
            for text in range(texts):
                client.put_invocation_step(session, session, f"text {text}", create_invocation=True)
            other.delete_session(session, end=True)
            other.gc()
            service.clock.advance(timedelta(hours=30))
            with _killed_behind(service, writes):
                other.gc()
            with suppress(StepwellError):
                client.put_invocation_step(session, session, "late", create_invocation=True)
                raise AssertionError("acknowledged in a session that was deleted")


def what_a_removal_left_is_told() -> None:
    """S3 answers for each object of several."""
    for seed in range(8):
        service = _service(seed, calm=False)
        service.s3.leaves = 0.8
        store = service.s3_store()
        records = _filled(store, 12)
        _until_it_is_done(partial(store.remove, HERE, 11))
        held = _held(service)
        assert [one in held for one in records] == [False] * 11 + [True]
        _until_it_is_done(partial(store.remove, HERE))
        assert not service.s3.stored


def _until_it_is_done(call: Callable[[], Coroutine[Any, Any, None]]) -> None:
    for _ in range(1000):
        with suppress(Throttled, OutcomeUnknown):
            run(call())
            return
    raise AssertionError("it never is")


# Blobs, keys, entries


def a_blank_blob_is_none() -> None:
    """Not read, not copied, not put again, however late a put arrives; one that is removed is gone."""
    service = _service()
    store, there = service.s3_store(), journal("there")
    sent: list[dict[str, Any]] = []
    service.before = lambda operation, arguments: sent.append(arguments) if operation == "put_object" else None
    run(store.put_blob(HERE, NAME, b"data"))
    service.before = _nothing
    run(store.copy_blob(HERE, NAME, there))
    run(store.blank_blob(HERE, NAME))
    run(store.put_blob(HERE, NAME, b"data"))
    service.s3.apply("put_object", sent[0], calm=True)
    with pytest.raises(CorruptJournal):
        run(store.get_blob(HERE, NAME))
    assert run(store.get_blob(there, NAME)) == b"data"
    run(store.remove_blob(there, NAME))
    with pytest.raises(CorruptJournal):
        run(store.get_blob(there, NAME))
    with pytest.raises(CorruptJournal):
        run(store.copy_blob(HERE, NAME, there))
    assert not run(store.blobs(there))
    assert run(store.blobs(HERE)) == [NAME]
    run(store.put_blob(there, NAME, b"data"))
    assert run(store.get_blob(there, NAME)) == b"data"


def an_older_entry_replaces_no_newer_one() -> None:
    """Nor does one that was written between a look and a write."""
    service = _service()
    store, other, session = service.s3_store(), service.s3_store(), bytes(16)
    for version in (3, 2):
        run(store.put_entry("acme", ListingEntry(session, version, b"%d" % version)))
    assert run(store.get_entry("acme", session)) == ListingEntry(session, 3, b"3")
    _once(service, "put_object", lambda: run(other.put_entry("acme", ListingEntry(session, 7, b"7"))))
    run(store.put_entry("acme", ListingEntry(session, 5, b"5")))
    assert run(store.get_entry("acme", session)) == ListingEntry(session, 7, b"7")
    run(store.remove_entry("acme", session))
    _once(service, "put_object", lambda: run(other.put_entry("acme", ListingEntry(session, 9, b"9"))))
    run(store.put_entry("acme", ListingEntry(session, 8, b"8")))
    assert run(store.get_entry("acme", session)) == ListingEntry(session, 9, b"9")


def a_key_is_given_to_one() -> None:
    """To a new one, by one who expects nothing; to another, by one who expects what it names."""
    service = _service()
    store, other = service.s3_store(), service.s3_store()
    one, two, three = (bytes([at]) * 16 for at in range(1, 4))

    def swap(store: S3Store, session: bytes | None, expected: bytes | None) -> bytes | None:
        return run(store.swap_key("acme", "k", session, expected=expected))

    _once(service, "put_object", lambda: swap(other, two, None))
    assert swap(store, one, None) == two
    assert swap(store, one, three) == two
    _once(service, "put_object", lambda: swap(other, three, two))
    assert swap(store, one, two) == three
    assert run(store.get_key("acme", "k")) == three
    assert swap(store, None, three) == three
    assert run(store.get_key("acme", "k")) is None
    _once(service, "put_object", lambda: swap(other, two, None), after=False)
    assert swap(store, one, None) == two
    assert run(other.get_key("acme", "k")) == two


# The bucket


def everything_of_a_session_has_its_key() -> None:
    """Each of its segments, whoever begins it, and its blobs, blank ones too, and after a redaction and a trim."""
    service = _service()
    client, other = (Client.from_store(service.s3_store, tenant="acme", clock=service.clock) for _ in range(2))
    session = client.create_session(encryption_key_arn=KEY).session_id
    invocation = client.create_invocation(session).invocation_id
    for at in range(8):
        (client, other)[at % 2].put_invocation_step(session, invocation, f"step {at}")
    big = other.put_invocation_step(session, invocation, Data(data=noise(40_000)))
    client.redact(session, invocation, big.invocation_step_id, reason="asked for")
    client.put_invocation_step(session, invocation, Data(data=noise(40_000, "more")))
    here = {key: found.key_arn for key, found in service.s3.stored.items() if "/sessions/" in key}
    assert len([key for key in here if "/log/" in key]) > 2
    assert len([key for key in here if "/blobs/" in key]) == 2
    assert set(here.values()) == {KEY}


def a_server_that_ignores_conditions_is_refused() -> None:
    """One of them, or both; one that heeds them is not."""
    for ignored in (("IfMatch",), ("IfNoneMatch",), ("IfMatch", "IfNoneMatch"), ()):
        service = Service()

        def before(operation: str, arguments: dict[str, Any], ignored: tuple[str, ...] = ignored) -> None:
            for name in ignored:
                if operation == "put_object":
                    arguments.pop(name, None)

        service.before = before
        store = service.s3_store()
        for call in (partial(store.append, HERE, 0, _record(0)), partial(store.put_blob, HERE, NAME, b"data")):
            if ignored:
                with pytest.raises(NotSupported):
                    run(call())
            else:
                run(call())


def the_time_of_replies_goes_on() -> None:
    """An older reply changes nothing."""
    service = _service()
    store = service.s3_store()
    run(store.ping())
    told = store.server_time
    service.dated_back = timedelta(hours=1)
    run(store.ping())
    assert (told or 0) > 0
    assert (store.server_time or 0) >= (told or 0)


SCENARIOS: tuple[Callable[[], None], ...] = (
    a_slot_is_written_once,
    what_gave_no_answer_is_unknown,
    what_wrote_nothing_is_told_so,
    a_write_that_was_sent_again_is_found,
    a_refusal_that_cannot_be_looked_into_is_unknown,
    an_append_follows_a_redaction,
    a_slot_behind_a_gap_is_refused,
    reads_see_what_was_written,
    what_was_erased_is_read_no_more,
    all_pages_of_a_list_are_read,
    a_list_is_newest_first,
    a_list_skips_nothing,
    a_segment_that_was_cut_is_corrupt,
    nothing_behind_a_gap_is_read,
    a_segment_that_is_closed_stays_closed,
    two_erasures_add_up,
    an_erasure_brings_nothing_back,
    a_trim_leaves_the_rest,
    what_is_left_of_a_removal_is_found,
    a_removal_under_way_leaves_no_older_head,
    a_session_that_is_being_reclaimed_takes_no_append,
    what_a_removal_left_is_told,
    a_blank_blob_is_none,
    an_older_entry_replaces_no_newer_one,
    a_key_is_given_to_one,
    everything_of_a_session_has_its_key,
    a_server_that_ignores_conditions_is_refused,
    the_time_of_replies_goes_on,
)
