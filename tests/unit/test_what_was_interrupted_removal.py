"""What is left where a removal was interrupted or overtaken, and where others meet one: erased bytes, audit, blobs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import count, takewhile
from pathlib import Path

import ormsgpack
import pytest

from stepwell import AsyncClient, Client, CorruptJournal, Data, HeadMoved, Limits, NotFound, OutcomeUnknown, Redacted
from stepwell.blocking import run_sync
from stepwell.errors import SessionEnded, Unavailable
from stepwell.io.files import Files
from stepwell.io.ports import Ports
from stepwell.models import Block
from stepwell.stores.base import JournalId, JournalStore, ListingEntry, Remain
from stepwell.stores.file import FileStore
from stepwell.testing.stores.records import noise
from tests.unit import test_file_erasure as erasure
from tests.unit.test_what_was_interrupted import (
    DAY,
    HOUR,
    KEY,
    TENANT,
    PlannedStore,
    begun,
    denied,
    found_by_nobody,
    journal_of,
    listed,
    youngest,
)
from tests.unit.worlds import FakeClock, Fate, QuickTasks, World, fresh_uuid

AUDIT = f"~audit/{TENANT}"
SECRET = noise(300, "secret")
SMALL, LARGE = Data(data=SECRET), Data(data=SECRET + noise(300_000))


@pytest.fixture
def store() -> PlannedStore:
    return PlannedStore()


@pytest.fixture
def world(store: PlannedStore) -> World:
    return World(store)


def holds_secret(store: PlannedStore, session: str) -> bool:
    """Whether anything that is stored of a session holds what is to be erased."""
    journal = journal_of(session)
    records = store.raw_records(store.all_journals().index(journal))
    return any(SECRET in data for data in [*records, *store.raw_blobs(journal)])


def operations(client: Client) -> list[str]:
    return [told.operation for told in client.audit_records()]


def redacted_by_halves(world: World, store: PlannedStore, payload: Block, call: str) -> tuple[str, OutcomeUnknown]:
    """A session with a step whose redaction was interrupted before *call*, and the error."""
    client, session, invocation = begun(world)
    step = client.put_invocation_step(session, invocation, payload).invocation_step_id
    store.planned[call, AUDIT if call == "put_entry" else session] = denied
    with pytest.raises(OutcomeUnknown) as unknown:
        client.redact(session, invocation, step, reason="asked for")
    store.heal()
    return session, unknown.value


# Redactions


@pytest.mark.parametrize("payload", [SMALL, LARGE], ids=["small", "large"])
def test_a_fork_holds_nothing_of_what_was_still_to_be_erased(world: World, store: PlannedStore, payload: Block) -> None:
    session, unknown = redacted_by_halves(world, store, payload, "erase")
    assert holds_secret(store, session)
    client = world.client()

    fork = client.fork(session).session_id

    assert not holds_secret(store, fork)
    assert [step.content for step in client.steps(fork)] == [(Redacted(),)]
    assert client.verify(fork).faults == ()
    assert client.resolve(unknown.token).outcome == "committed"
    assert not holds_secret(store, session)


@pytest.mark.parametrize("records", [1, 2])
@pytest.mark.parametrize("payload", [SMALL, LARGE], ids=["small", "large"])
def test_a_fork_fails_and_leaves_nothing_where_a_step_is_redacted_meanwhile(
    world: World, store: PlannedStore, payload: Block, records: int
) -> None:
    client, session, invocation = begun(world)
    step = client.put_invocation_step(session, invocation, payload).invocation_step_id
    other = world.client()
    redact = Fate(meanwhile=lambda: other.redact(session, invocation, step, reason="asked for"))
    store.fates = [*[Fate()] * (records - 1), redact]

    with pytest.raises(Unavailable) as again:
        client.fork(session, key=KEY)

    assert again.value.retryable
    assert found_by_nobody(other, youngest(store))
    assert listed(client) == [session]
    assert not holds_secret(store, client.fork(session, key=KEY).session_id)


@pytest.mark.parametrize("gc", [False, True], ids=["resolve", "gc"])
def test_what_cannot_be_noted_is_erased_nevertheless_and_noted_later(
    world: World, store: PlannedStore, gc: bool
) -> None:
    session, unknown = redacted_by_halves(world, store, LARGE, "put_entry")
    assert not holds_secret(store, session)
    client = world.client()
    assert operations(client) == []

    _ = client.gc() if gc else client.resolve(unknown.token)

    assert [(told.operation, told.reason) for told in client.audit_records(session)] == [("redact", "asked for")]


def test_a_dry_run_counts_a_redaction_that_is_not_finished(world: World, store: PlannedStore) -> None:
    session, _ = redacted_by_halves(world, store, SMALL, "erase")
    assert world.client().gc(dry_run=True).finished == 1
    assert holds_secret(store, session)
    assert [world.client().gc().finished for _ in range(2)] == [1, 0]
    assert not holds_secret(store, session)


@pytest.mark.parametrize("payload", [SMALL, LARGE], ids=["small", "large"])
def test_a_redaction_that_was_interrupted_and_overtaken_by_a_trim_is_finished(
    world: World, store: PlannedStore, payload: Block
) -> None:
    session, _ = redacted_by_halves(world, store, payload, "erase")
    client = world.client()
    invocation = client.create_invocation(session).invocation_id
    client.trim(session, before=client.put_invocation_step(session, invocation, "kept").position)

    client.gc()

    assert not holds_secret(store, session)
    assert operations(client) == ["trim", "redact"]


def test_the_note_of_an_erasure_holds_nothing_of_what_stays(tmp_path: Path) -> None:
    before, after = noise(400, "another step"), noise(400, "a third one")
    [record] = erasure.filled(tmp_path, before + SECRET + after)
    start = record.index(SECRET)
    files = erasure.KilledFiles(lambda call, name: (call, name) == ("unlink", "redo"))
    with pytest.raises(erasure.Killed):
        run_sync(erasure.opened(tmp_path, files).erase(erasure.HERE, 0, [(start, len(SECRET))]))

    redo = (erasure.log_in(tmp_path).parent / "redo").read_bytes()
    pieces = [kept[at : at + 4] for kept in (before, after) for at in range(len(kept) - 3)]
    assert [piece for piece in pieces if piece in redo] == []
    [read] = erasure.read_anew(tmp_path)
    assert (before in read, SECRET in read, after in read) == (True, False, True)


# Audit records


def undone(client: Client, session: str) -> None:
    client.undelete(session)


def tagged(client: Client, session: str) -> None:
    client.undelete(session)
    client.tag_resource(session, {"a": "b"})


def ended(client: Client, session: str) -> None:
    client.undelete(session)
    client.end_session(session)


@pytest.mark.parametrize("gone_on", [undone, tagged, ended])
def test_a_deletion_that_was_interrupted_is_noted_whatever_followed_it(
    world: World, store: PlannedStore, gone_on: Callable[[Client, str], None]
) -> None:
    client = world.client(Limits(idle_timeout=timedelta(hours=1)))
    session = client.create_session().session_id
    world.clock.pass_seconds(2 * HOUR)
    store.planned["put_entry", AUDIT] = denied
    with pytest.raises(OutcomeUnknown):
        client.delete_session(session, purge_after=timedelta(days=30), reason="secret", approver="mallory")
    store.heal()
    gone_on(client, session)

    world.client().gc()

    told = [(record.operation, record.approver) for record in client.audit_records()]
    assert told == [("undelete", ""), ("delete", "mallory")]


def three_deleted(client: Client, clock: FakeClock) -> list[str]:
    sessions = [client.create_session().session_id for _ in range(3)]
    for session in sessions:
        client.delete_session(session, end=True)
        clock.pass_seconds(1)
    return sessions


def read_until_damage(client: Client) -> list[str]:
    read: list[str] = []
    with pytest.raises(CorruptJournal):
        read.extend(told.session_id for told in client.audit_records())
    return read


@pytest.mark.parametrize(
    "data",
    [b"", b"damaged", ormsgpack.packb(None), ormsgpack.packb(["purge"])],
    ids=["empty", "no msgpack", "no list", "too short"],
)
def test_a_damaged_audit_record_hides_no_other(world: World, store: PlannedStore, data: bytes) -> None:
    client = world.client()
    first, _, last = three_deleted(client, world.clock)
    _, damaged, _ = run_sync(store.entries(AUDIT, None, 10))
    run_sync(store.put_entry(AUDIT, ListingEntry(damaged.session, damaged.version, data)))
    assert read_until_damage(client) == [last, first]


def test_an_audit_record_whose_file_is_damaged_hides_no_other(tmp_path: Path) -> None:
    clock = FakeClock()
    with Client(f"file:{tmp_path}", clock=clock) as client:
        first, _, last = three_deleted(client, clock)
        entries = [
            path for path in (tmp_path / "entries").rglob("*") if path.is_file() and b"purge" in path.read_bytes()
        ]
        _, damaged, _ = sorted(entries)
        data = bytearray(damaged.read_bytes())
        data[-1] ^= 1
        damaged.write_bytes(data)
        assert read_until_damage(client) == [last, first]


def test_an_undelete_that_a_deletion_for_good_overtakes_is_not_in_doubt(world: World, store: PlannedStore) -> None:
    client = world.client()
    session = client.create_session().session_id
    client.delete_session(session, end=True, purge_after=timedelta(hours=1))
    store.plan_once("put_entry", AUDIT, lambda: world.client().delete_session(session))

    assert client.undelete(session).session_id == session

    with pytest.raises(NotFound):
        client.get_session(session)
    assert listed(client) == []
    assert operations(client) == ["purge", "undelete", "delete"]


# Blobs


def test_a_large_payload_that_is_refused_leaves_no_blob(world: World, store: PlannedStore) -> None:
    client, session, invocation = begun(world)
    passed = client.create_invocation(session).position
    world.client().end_session(session)
    with pytest.raises(SessionEnded):
        client.put_invocation_step(session, invocation, LARGE)
    with pytest.raises(HeadMoved):
        client.put_invocation_step(session, invocation, LARGE, if_head=passed)
    assert run_sync(store.blobs(journal_of(session))) == []


def test_a_large_payload_that_is_put_again_leaves_one_blob(world: World, store: PlannedStore) -> None:
    client, session, invocation = begun(world)
    step = fresh_uuid()
    for _ in range(2):
        client.put_invocation_step(session, invocation, LARGE, invocation_step_id=step)
    assert len(run_sync(store.blobs(journal_of(session)))) == 1
    assert client.get_invocation_step(session, invocation, step).content == (LARGE,)


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_what_is_told_of_a_missing_blob_names_neither_it_nor_the_call_that_wrote_it(tmp_path: Path, kind: str) -> None:
    store: JournalStore = PlannedStore() if kind == "memory" else erasure.opened(tmp_path)
    client = over(FakeClock(), lambda ports: store)
    session = client.create_session().session_id
    invocation = client.create_invocation(session).invocation_id
    step = client.put_invocation_step(session, invocation, LARGE).invocation_step_id
    [name] = run_sync(store.blobs(journal_of(session)))
    run_sync(store.remove_blob(journal_of(session), name))

    reads: list[Callable[[], object]] = [
        lambda: client.fork(session),
        lambda: client.get_invocation_step(session, invocation, step),
        lambda: list(client.steps(session)),
    ]
    told = [fault.reason for fault in client.verify(session).faults]
    for read in reads:
        with pytest.raises(CorruptJournal) as missing:
            read()
        error: BaseException | None = missing.value
        while error is not None:
            told.append(str(error))
            error = error.__cause__
    assert len(told) >= 4
    assert [text for text in told for part in (name[:16], name[32:48]) if part in text] == []


# Salvage and verify beside a gc


class OvertakenStore(FileStore):
    """Something happens before a look at what remains: the one of the number *at*."""

    def __init__(self, path: str, ports: Ports, at: int, happens: Callable[[], object]) -> None:
        super().__init__(path, ports)
        self.looks, self._at, self._happens = 0, at, happens

    async def remains(self, journal: JournalId, place: int) -> Sequence[Remain]:
        self.looks += 1
        if self.looks == self._at:
            self._happens()
        return await super().remains(journal, place)


def over(clock: FakeClock, opened: Callable[[Ports], JournalStore]) -> Client:
    return Client.over(AsyncClient.from_store(opened, clock=clock, tasks=QuickTasks(clock)))


def verified(client: Client, session: str) -> tuple[int, int]:
    found = client.verify(session)
    return found.steps, len(found.faults)


def salvaged(client: Client, session: str) -> tuple[int, int]:
    found = client.salvage(session)
    return found.steps, len(found.faults)


@pytest.mark.parametrize(("steps", "trimmed"), [(24, 3), (45, 20)], ids=["in one read", "in several"])
@pytest.mark.parametrize("what", [verified, salvaged])
def test_what_looks_at_a_history_that_gc_shortens_sees_all_that_is_left_or_is_to_be_called_again(
    tmp_path: Path, what: Callable[[Client, str], tuple[int, int]], steps: int, trimmed: int
) -> None:
    clock = FakeClock()
    with over(clock, lambda ports: FileStore(str(tmp_path / "before"), ports)) as client:
        session = client.create_session().session_id
        invocation = client.create_invocation(session).invocation_id
        payloads = [Data(data=noise(60_000, str(n))) for n in range(steps)]
        every = [client.put_invocation_step(session, invocation, payload) for payload in payloads]
        client.trim(session, before=every[trimmed].position)
        client.gc()
    clock.pass_seconds(DAY)

    def overtaken(at: int) -> tuple[bool, bool]:
        """Whether there was a look of that number, and whether it was to be called again."""
        root = str(shutil.copytree(tmp_path / "before", tmp_path / str(at)))
        again = False
        with over(clock, lambda ports: FileStore(root, ports)) as other:
            store = OvertakenStore(root, Ports(clock, QuickTasks(clock), Files(), os.urandom), at, other.gc)
            with over(clock, lambda ports: store) as client:
                try:
                    found = what(client, session)
                except Unavailable as error:
                    again = "again" in str(error) and error.retryable
                    found = what(client, session)
        shutil.rmtree(root)
        assert found == (steps - trimmed, 0)
        return store.looks >= at, again

    met = list(takewhile(lambda happened: happened[0], map(overtaken, count(1))))
    assert any(again for _, again in met)
