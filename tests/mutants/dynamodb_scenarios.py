"""Situations in which the DynamoDB store is right or wrong in one step, each on the simulated services (see there).

Each asserts what has to be; the names say it.
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ChecksumError, ConnectionClosedError, ReadTimeoutError

from stepwell import Client, Limits
from stepwell.blocking import run_sync as run
from stepwell.errors import CorruptJournal, NotFound, OutcomeUnknown, StepwellError, Throttled
from stepwell.journal.record import ERASED, identity, seal
from stepwell.journal.state import blank
from stepwell.stores.base import JournalId, ListingEntry, SlotTaken
from stepwell.stores.dynamodb import DynamoDBStore
from stepwell.stores.dynamodb_items import blobs_partition, session_partition
from stepwell.testing.simulated.aws import error
from stepwell.testing.stores.records import journal
from tests.mutants.dynamodb_service import Service

HOUR, SECOND = 3600 * 1_000_000, 1_000_000
HERE = journal("here")
NAME = "ab" * 32


def _record(service: Service, slot: int, *, expires_at: int = 0) -> bytes:
    facts = blank().facts._replace(expires_at=expires_at)
    sealed = seal(
        journal=identity(*HERE),
        slot=slot,
        time=service.clock.wall(),
        writer=bytes(8),
        token=service.world.random.randbytes(16),
        prev=bytes(16),
        facts=facts,
        entries=(),
    )
    return sealed.data + b"payload area"


def _filled(service: Service, slots: int, *, expires_at: int = 0) -> list[bytes]:
    store = service.store()
    records = [_record(service, slot, expires_at=expires_at) for slot in range(slots)]
    for slot, record in enumerate(records):
        assert run(store.append(HERE, slot, record)) is None
    return records


def _everything(store: DynamoDBStore) -> list[bytes]:
    records: list[bytes] = []
    while more := run(store.read(HERE, len(records))):
        records += more
    return records


def _items(service: Service) -> dict[str, dict[str, Any]]:
    return service.table.items[session_partition(HERE)]


class Killed(Exception):
    """The process is no more."""


@contextmanager
def _killed_behind(service: Service, operations: int) -> Generator[None]:
    """Let the process die behind so many writes."""
    left = operations

    def before(operation: str, arguments: dict[str, Any]) -> None:
        nonlocal left
        if operation not in ("query", "get_item", "describe_table", "list_objects_v2"):
            left -= 1
            if left < 0:
                raise Killed

    service.before = before
    with suppress(Killed):
        yield
    service.before = lambda operation, arguments: None


def _hours(hours: float) -> timedelta:
    return timedelta(hours=hours)


def _once_before(service: Service, operation: str, do: Callable[[], object]) -> None:
    """Let something happen ahead of the next call of an operation."""

    def before(called: str, arguments: dict[str, Any]) -> None:
        if called == operation:
            service.before = lambda operation, arguments: None
            do()

    service.before = before


# Writing


def what_gave_no_answer_is_unknown() -> None:
    """Applied or not, nobody can say."""
    service = Service()
    store = service.store()
    run(store.ping())
    silences = (
        error("InternalServerError", 500),
        ReadTimeoutError(endpoint_url="https://service.example"),
        ConnectionClosedError(endpoint_url="https://service.example"),
        ChecksumError(checksum_type="x-amz-crc32", expected_checksum="1", actual_checksum="2"),
    )
    for slot, silence in enumerate(silences):

        def after(operation: str, arguments: dict[str, Any], silence: Exception = silence) -> None:
            raise silence

        service.after = after
        with pytest.raises(OutcomeUnknown):
            run(store.append(HERE, slot, _record(service, slot)))


def a_slot_is_written_once() -> None:
    """Also where who loses is told nothing, as by older emulators."""
    service = Service()
    store, other = service.store(), service.store()
    for tells in (True, False):
        service.table.tells_winners = tells
        for slot in (0, 1) if tells else (2, 3):
            first, second = _record(service, slot), _record(service, slot)
            assert run(store.append(HERE, slot, first)) is None
            assert run(other.append(HERE, slot, second)) == SlotTaken(first if tells else None)
            assert _everything(other)[slot] == first


def reads_see_what_was_written() -> None:
    """At once, from every handle."""
    service = Service(calm=False)
    store, other = service.store(), service.store()
    for slot in range(20):
        record = _record(service, slot)
        run(store.append(HERE, slot, record))
        assert run(other.head(HERE)) == record
        assert run(other.read(HERE, slot, slot)) == [record]
        run(store.put_entry("acme", ListingEntry(bytes(16), slot, b"%d" % slot)))
        assert run(other.get_entry("acme", bytes(16))) == ListingEntry(bytes(16), slot, b"%d" % slot)
        assert [entry.version for entry in run(other.entries("acme", None, 10))] == [slot]
        run(store.swap_key("acme", f"key {slot}", bytes(16), expected=None))
        assert run(other.get_key("acme", f"key {slot}")) == bytes(16)


def the_time_of_replies_goes_on() -> None:
    """An older reply changes nothing."""
    service = Service()
    store = service.store()
    run(store.ping())
    told = store.server_time
    service.dated_back = _hours(1)
    run(store.ping())
    assert (told or 0) > 0
    assert (store.server_time or 0) >= (told or 0)


def a_query_is_read_to_its_end() -> None:
    """Whatever the size of its pages."""
    service = Service()
    service.table.short_pages = True
    records, store = _filled(service, 12), service.store()
    assert _everything(store) == records
    run(store.put_blob(HERE, NAME, bytes(range(256)) * 2))
    assert run(store.get_blob(HERE, NAME)) == bytes(range(256)) * 2
    for at in range(8):
        run(store.put_entry("acme", ListingEntry(bytes([at]) * 16, 1, b"data")))
    assert len(run(store.entries("acme", None, 8))) == 8
    run(store.remove(HERE, 9))
    assert sorted(_items(service)) == ["0000000009", "0000000010", "0000000011", "~"]


# Erasing and removing


def two_erasures_add_up() -> None:
    """The second is done while the first is under way."""
    service = Service()
    record = _filled(service, 1)[0]
    at = len(record) - 8
    _once_before(service, "update_item", lambda: run(service.store().erase(HERE, 0, [(at, 2)])))
    run(service.store().erase(HERE, 0, [(at + 4, 2)]))
    assert _everything(service.store()) == [
        record[:at] + ERASED * 2 + record[at + 2 : at + 4] + ERASED * 2 + record[-2:]
    ]
    _once_before(service, "update_item", lambda: run(service.store().erase(HERE, 0, [(at + 2, 1)])))
    run(service.store().erase(HERE, 0, [(at + 3, 1)]))
    assert _everything(service.store()) == [record[:at] + ERASED * 6 + record[-2:]]


def an_erasure_leaves_the_rest_of_the_item() -> None:
    """Its time to live, and what the index has."""
    service = Service()
    record = _filled(service, 2, expires_at=service.clock.wall() + HOUR)[0]
    before = {sort: {**item} for sort, item in _items(service).items()}
    for slot in (0, 1):
        run(service.store().erase(HERE, slot, [(len(record) - 4, 2)]))
    assert {sort: {**item, "data": 0, "erasures": 0} for sort, item in _items(service).items()} == {
        sort: {**item, "data": 0, "erasures": 0} for sort, item in before.items()
    }


def an_erasure_brings_nothing_back() -> None:
    """Slot 0 is trimmed while it is under way."""
    service = Service()
    record = _filled(service, 3)[0]
    _once_before(service, "update_item", lambda: run(service.store().remove(HERE, 2)))
    with suppress(StepwellError):
        run(service.store().erase(HERE, 0, [(len(record) - 4, 2)]))
    assert "data" not in _items(service)["~"]


def what_is_left_of_a_removal_is_found() -> None:
    """It is interrupted behind any of its writes: nobody sees the journal, and `gc` finds it until all is gone."""
    for writes in range(1, 8):
        for size, objects in ((0, False), (100, False), (100, True)):
            service = Service()
            store = service.store(objects=objects)
            _filled(service, 30)
            if size:
                run(store.put_blob(HERE, NAME, bytes(size)))
            with _killed_behind(service, writes):
                run(store.remove(HERE))
            assert run(store.head(HERE)) is None
            assert not run(store.read(HERE, 0))
            assert run(store.journals(HERE.tenant, None, 10)) == ([HERE.session] if _left(service) else [])
            run(store.remove(HERE))
            assert not _left(service)


def _left(service: Service) -> bool:
    return any((_items(service), _blob_items(service), service.s3.objects))


def _blob_items(service: Service) -> dict[str, dict[str, Any]]:
    return service.table.items[blobs_partition(HERE)]


def a_removal_takes_all() -> None:
    """Though each batch leaves some of it undone."""
    service = Service(calm=False)
    _filled(service, 60)
    store = service.store()
    for _ in range(100):
        with suppress(Throttled):
            run(store.remove(HERE))
            break
    assert not _items(service)


def a_chunk_that_arrives_late_is_found() -> None:
    """Its blob was put again, and removed, meanwhile."""
    service = Service()
    store = service.store()
    late: list[dict[str, Any]] = []
    service.before = lambda operation, arguments: late.append(arguments) if operation == "put_item" else None
    run(store.put_blob(HERE, NAME, bytes(200)))
    run(store.remove_blob(HERE, NAME))
    assert not _blob_items(service)
    service.table.apply("put_item", late[-1], calm=True)
    assert run(store.journals(HERE.tenant, None, 10)) == [HERE.session]
    assert run(store.blobs(HERE)) == [NAME]
    run(store.remove(HERE))
    assert not _blob_items(service)


def a_put_that_arrives_late_brings_nothing_back() -> None:
    """Its blob was put again, and blanked, meanwhile, by one who found all of it, or lacked a chunk."""
    for objects, missing in ((True, -1), *((False, at) for at in range(-1, 5))):
        service = Service()
        store = service.store(objects=objects)
        late = _sent_by_a_put(service, store)
        _blob_items(service).pop(f"{NAME}/{missing:04d}", None)
        run(store.blank_blob(HERE, NAME))
        for operation, arguments in late:
            (service.s3 if objects else service.table).apply(operation, arguments, calm=True)
        assert not _holds_bytes(service)
        assert set(run(store.blobs(HERE))) == {NAME}


def a_put_behind_a_blank_blob_leaves_nothing() -> None:
    """Also where nothing told how many chunks it would have, and the service tells nothing of what it found."""
    for objects in (True, False):
        for tells in (True, False):
            service = Service()
            service.table.tells_winners = tells
            store = service.store(objects=objects)
            run(store.blank_blob(HERE, NAME))
            run(store.put_blob(HERE, NAME, bytes(200)))
            assert not _holds_bytes(service)


def a_blob_from_before_the_bucket_is_blanked() -> None:
    """Where it lies; nor can it be put there again."""
    service = Service()
    before, store = service.store(), service.store(objects=True)
    run(before.put_blob(HERE, NAME, bytes(200)))
    run(store.blank_blob(HERE, NAME))
    run(before.put_blob(HERE, NAME, bytes(200)))
    assert not _holds_bytes(service)
    for each in (before, store):
        with pytest.raises(CorruptJournal):
            run(each.get_blob(HERE, NAME))


def a_blank_blob_is_not_copied() -> None:
    """Nor is anything left where it was to be; a copy that was made before is whole."""
    there = journal("there")
    for objects in (True, False):
        service = Service()
        store = service.store(objects=objects)
        run(store.put_blob(HERE, NAME, bytes(200)))
        run(store.copy_blob(HERE, NAME, there))
        run(store.blank_blob(HERE, NAME))
        assert run(store.get_blob(there, NAME)) == bytes(200)
        run(store.remove_blob(there, NAME))
        with pytest.raises(CorruptJournal):
            run(store.copy_blob(HERE, NAME, there))
        assert not run(store.blobs(there))


def _sent_by_a_put(service: Service, store: DynamoDBStore) -> list[tuple[str, dict[str, Any]]]:
    sent: list[tuple[str, dict[str, Any]]] = []

    def note(operation: str, arguments: dict[str, Any]) -> None:
        if operation in ("put_item", "put_object"):
            sent.append((operation, arguments))

    service.before = note
    run(store.put_blob(HERE, NAME, bytes(200)))
    service.before = lambda operation, arguments: None
    return sent


def _holds_bytes(service: Service) -> bool:
    return any(item.get("data") for item in _blob_items(service).values()) or any(service.s3.objects.values())


def a_blob_is_whole_or_gone() -> None:
    """A chunk of it is missing."""
    for missing in range(5):
        service = Service()
        store = service.store()
        run(store.put_blob(HERE, NAME, bytes(200)))
        del _blob_items(service)[f"{NAME}/{missing:04d}"]
        with pytest.raises(CorruptJournal):
            run(store.get_blob(HERE, NAME))


def all_sessions_of_a_bucket_are_found() -> None:
    """And all of a session's objects, whatever the size of a page."""
    service = Service()
    store = service.store(objects=True)
    journals = [JournalId("acme", bytes([at + 1]) * 16) for at in range(12)]
    for at, here in enumerate(journals):
        for blob in range(at):
            run(store.put_blob(here, f"{blob:064x}", b"data"))
        assert sorted(run(store.blobs(here))) == [f"{blob:064x}" for blob in range(at)]
    found: list[bytes] = []
    while more := run(store.journals("acme", found[-1] if found else None, 5)):
        found += more
    assert found == [here.session for here in journals[1:]]
    with pytest.raises(CorruptJournal):
        run(store.get_blob(journals[0], NAME))


def a_session_that_is_being_reclaimed_takes_no_append() -> None:
    """Its writer was frozen, and the run that reclaims it is killed behind any of its writes."""
    for writes in range(12):
        service = Service()
        client, other = _client(service), _client(service)
        session = client.create_session().session_id
        other.delete_session(session, end=True)
        other.gc()
        service.clock.advance(_hours(30))
        with _killed_behind(service, writes):
            other.gc()
        with suppress(StepwellError):
            client.put_invocation_step(session, session, "late", create_invocation=True)
            raise AssertionError("acknowledged in a session that was deleted")


def a_slot_that_a_batch_left_undone_is_no_head() -> None:
    """It is the one that a frozen writer knows; what lay behind it, the end of the session too, is removed."""
    service = Service()
    client, other = _client(service), _client(service)
    session = client.create_session().session_id
    client.put_invocation_step(session, session, "known", create_invocation=True)
    other.put_invocation_step(session, session, "not known")
    other.delete_session(session, end=True)
    other.gc()
    service.clock.advance(_hours(30))

    def before(operation: str, arguments: dict[str, Any]) -> None:
        if operation == "batch_write_item":
            raise Killed

    service.before = before
    with suppress(Killed):
        other.gc()
    service.before = lambda operation, arguments: None
    (slots,) = [items for items in service.table.items.values() if "0000000003" in items]
    del slots["0000000002"], slots["0000000003"]
    client.create_session()  # which tells it the time
    with pytest.raises(NotFound):
        client.put_invocation_step(session, session, "late")


def _client(service: Service) -> Client:
    return Client.from_store(service.store, tenant="acme", clock=service.clock)


# Time to live


def an_expired_session_is_whole_for_a_day() -> None:
    """Who saw it alive is still reading."""
    service = Service()
    records = _filled(service, 4, expires_at=service.clock.wall() + 10 * HOUR)
    service.table.ttl_pace = 1.0
    service.clock.advance(_hours(33))
    assert run(service.store().head(HERE)) == records[-1]
    assert _everything(service.store()) == records


def what_is_past_its_time_to_live_is_gone() -> None:
    """Whatever DynamoDB has removed of it, and has not."""
    for left in range(16):
        service = Service()
        records = _filled(service, 4, expires_at=service.clock.wall() + HOUR)
        service.clock.advance(_hours(26))
        for at, sort in enumerate(sorted(_items(service))):
            if not left & 1 << at:
                del _items(service)[sort]
        store = service.store()
        assert run(store.head(HERE)) is None
        assert not any(run(store.read(HERE, slot)) for slot in range(len(records)))


def what_is_kept_stays() -> None:
    """All of it until then, whatever the size of a page; a shorter time changes nothing, however late it comes."""
    service = Service()
    service.table.short_pages = True
    began = service.clock.wall()
    records, store = _filled(service, 8, expires_at=began + 10 * HOUR), service.store()
    run(store.keep(HERE, began + 200 * HOUR))
    records.append(_record(service, 8, expires_at=began + 200 * HOUR))
    run(store.append(HERE, 8, records[-1]))
    run(store.keep(HERE, began + 60 * HOUR))
    service.table.ttl_pace = 1.0
    service.clock.advance(_hours(190))
    assert run(service.store().head(HERE)) == records[-1]
    assert _everything(service.store()) == records


def a_shorter_time_that_comes_late_changes_nothing() -> None:
    """It was decided before the longer one."""
    service = Service()
    began = service.clock.wall()
    _filled(service, 2, expires_at=began + 10 * HOUR)
    _once_before(service, "update_item", lambda: run(service.store().keep(HERE, began + 200 * HOUR)))
    run(service.store().keep(HERE, began + 60 * HOUR))
    assert {int(item["ttl"]["N"]) for item in _items(service).values()} == {-(-began // SECOND) + 224 * 3600}


def a_session_is_never_there_in_parts() -> None:
    """Whoever asked for a longer retention stood still, until some of it was kept and some was gone."""
    for gone in ("0000000001", "0000000002", "0000000003", "~"):
        service = Service()
        limits = Limits(retention=_hours(10))
        client = Client.from_store(service.store, tenant="acme", clock=service.clock, limits=limits)
        session = client.create_session().session_id
        for text in ("one", "two", "three"):
            client.put_invocation_step(session, session, text, create_invocation=True)
        (slots,) = [items for items in service.table.items.values() if "~" in items]

        def stand_still(slots: dict[str, Any] = slots, service: Service = service, gone: str = gone) -> None:
            service.clock.advance(_hours(40))
            del slots[gone]

        _once_before(service, "update_item", stand_still)
        until = service.clock.now() + _hours(200)
        with pytest.raises(NotFound):
            client.extend_retention(session, until=until, reason="asked for")
        other = _client(service)
        with pytest.raises(NotFound):
            other.get_session(session)
        with pytest.raises(NotFound):
            list(other.steps(session))
        with pytest.raises(NotFound):
            other.put_invocation_step(session, session, "late")


def what_is_left_of_an_expired_session_is_collected() -> None:
    """It was purged for its key, some of it was to be kept for longer, and the rest is gone."""
    service = Service()
    limits = Limits(retention=_hours(10))
    client = Client.from_store(service.store, tenant="acme", clock=service.clock, limits=limits)
    session = client.create_session(key="k").session_id
    client.put_invocation_step(session, session, "one", create_invocation=True)
    (slots,) = [items for items in service.table.items.values() if "~" in items]
    _once_before(service, "update_item", _die)
    with suppress(Killed):
        client.extend_retention(session, until=service.clock.now() + _hours(200), reason="asked for")
    slots["~"] = {**slots["~"], "ttl": slots["0000000002"]["ttl"]}
    service.clock.advance(_hours(11))
    other = _client(service)
    other.create_session(key="k")
    service.clock.advance(_hours(30))
    del slots["0000000001"]
    for _ in range(3):
        other.gc()
        service.clock.advance(_hours(25))
    assert not slots


def _die() -> None:
    raise Killed


SCENARIOS: tuple[Callable[[], None], ...] = (
    what_gave_no_answer_is_unknown,
    a_slot_is_written_once,
    reads_see_what_was_written,
    the_time_of_replies_goes_on,
    a_query_is_read_to_its_end,
    two_erasures_add_up,
    an_erasure_leaves_the_rest_of_the_item,
    an_erasure_brings_nothing_back,
    what_is_left_of_a_removal_is_found,
    a_removal_takes_all,
    a_chunk_that_arrives_late_is_found,
    a_put_that_arrives_late_brings_nothing_back,
    a_put_behind_a_blank_blob_leaves_nothing,
    a_blob_from_before_the_bucket_is_blanked,
    a_blank_blob_is_not_copied,
    a_blob_is_whole_or_gone,
    all_sessions_of_a_bucket_are_found,
    a_session_that_is_being_reclaimed_takes_no_append,
    a_slot_that_a_batch_left_undone_is_no_head,
    an_expired_session_is_whole_for_a_day,
    what_is_past_its_time_to_live_is_gone,
    what_is_kept_stays,
    a_shorter_time_that_comes_late_changes_nothing,
    a_session_is_never_there_in_parts,
    what_is_left_of_an_expired_session_is_collected,
)
