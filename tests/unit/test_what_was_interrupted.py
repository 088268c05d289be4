"""What calls leave that were interrupted or overtaken, and who goes on from there: creations, forks, lists, gc."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from stepwell import Client, Data, Limits, NotFound, OutcomeUnknown, PermissionDenied
from stepwell.blocking import run_sync
from stepwell.gc import FAILURES_MAX
from stepwell.ids import uuid_bytes, uuid_text
from stepwell.models import GcReport
from stepwell.stores.base import JournalId, ListingEntry
from stepwell.testing.stores.records import noise
from tests.unit.worlds import LOST_REQUEST, Fate, UnluckyStore, World, fresh_uuid

HOUR, DAY = 3600.0, 24 * 3600.0
TENANT = "default"
KEY = "INC-7"
LARGE = Data(data=noise(300_000))


class Killed(BaseException):
    """The process ends here; nothing that it would still do is done."""


class PlannedStore(UnluckyStore):
    """Other calls than appends are unlucky too: what is planned for one happens before it.

    A plan is for a call by its name, and what it is about: a list, a key, or a session's id.
    """

    def __init__(self) -> None:
        super().__init__()
        self.planned: dict[tuple[str, str], Callable[[], object]] = {}

    def plan_once(self, call: str, about: str, happens: Callable[[], object]) -> None:
        def first() -> None:
            del self.planned[call, about]
            happens()

        self.planned[call, about] = first

    def _meet(self, call: str, about: str) -> None:
        if planned := self.planned.get((call, about)):
            planned()

    async def head(self, journal: JournalId) -> bytes | None:
        self._meet("read", uuid_text(journal.session))
        return await super().head(journal)

    async def read(self, journal: JournalId, first: int, last: int | None = None) -> Sequence[bytes]:
        self._meet("read", uuid_text(journal.session))
        return await super().read(journal, first, last)

    async def erase(self, journal: JournalId, slot: int, spans: Sequence[tuple[int, int]]) -> None:
        self._meet("erase", uuid_text(journal.session))
        await super().erase(journal, slot, spans)

    async def put_entry(self, listing: str, entry: ListingEntry) -> None:
        self._meet("put_entry", listing)
        await super().put_entry(listing, entry)

    async def swap_key(self, tenant: str, key: str, session: bytes | None, *, expected: bytes | None) -> bytes | None:
        self._meet("swap_key", key)
        return await super().swap_key(tenant, key, session, expected=expected)

    def dies(self) -> None:
        """Whoever calls is killed, now and in every append from now on."""
        self.always = Fate(applied=False, meanwhile=killed)
        raise Killed

    def heal(self) -> None:
        """From now on all goes well."""
        self.planned, self.fates, self.always = {}, [], Fate()


def killed() -> None:
    raise Killed


def denied() -> None:
    raise PermissionDenied("as it was planned")


@pytest.fixture
def store() -> PlannedStore:
    return PlannedStore()


@pytest.fixture
def world(store: PlannedStore) -> World:
    return World(store)


def begun(world: World) -> tuple[Client, str, str]:
    client = world.client()
    session = client.create_session().session_id
    return client, session, client.create_invocation(session).invocation_id


def listed(client: Client) -> list[str]:
    return [shown.session_id for deleted in (False, True) for shown in client.sessions(deleted=deleted)]


def youngest(store: PlannedStore) -> str:
    return uuid_text(store.all_journals()[-1].session)


def journal_of(session: str) -> JournalId:
    return JournalId(TENANT, uuid_bytes("session_id", session))


def collected(world: World, runs: int) -> list[GcReport]:
    """What gc tells that is run once a day."""
    reports: list[GcReport] = []
    for _ in range(runs):
        reports.append(world.client().gc())
        world.clock.pass_seconds(DAY)
    return reports


# Creations and forks


def test_a_fork_that_somebody_wrote_to_is_finished_and_keeps_what_was_written(
    world: World, store: PlannedStore
) -> None:
    client, session, invocation = begun(world)
    client.put_invocation_step(session, invocation, "copied")
    other = world.client()

    def written_to() -> None:
        [step] = other.steps(key=KEY)
        other.put_invocation_step(step.session_id, invocation, "acknowledged")
        denied()

    store.plan_once("put_entry", TENANT, written_to)
    with pytest.raises(OutcomeUnknown) as unknown:
        client.fork(session, key=KEY)

    assert client.resolve(unknown.value.token).outcome == "committed"
    assert [step.text for step in other.steps(key=KEY)] == ["copied", "acknowledged"]
    assert unknown.value.session_id in listed(other)


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("forked", [False, True], ids=["created", "forked"])
def test_a_session_that_is_in_no_list_is_put_there_by_gc(
    world: World, store: PlannedStore, forked: bool, key: str | None
) -> None:
    client, session, _ = begun(world)
    store.planned["put_entry", TENANT] = store.dies
    with pytest.raises(Killed):
        _ = client.fork(session, key=key) if forked else client.create_session(key=key)
    store.heal()
    other, unlisted = world.client(), youngest(store)
    acknowledged = other.create_invocation(unlisted, invocation_id=fresh_uuid()).invocation_id
    assert unlisted not in listed(other)

    reports = collected(world, 3)

    assert [(report.purged, report.reclaimed) for report in reports] == [(0, 0)] * 3
    assert [report.finished for report in reports] == [0, 1, 0]
    assert unlisted in listed(other)
    assert acknowledged in [shown.invocation_id for shown in other.list_invocations(unlisted).items]


def test_an_acknowledged_fork_whose_entry_was_lost_is_listed_again(world: World, store: PlannedStore) -> None:
    client, session, _ = begun(world)
    fork = client.fork(session).session_id
    run_sync(store.remove_entry(TENANT, uuid_bytes("session_id", fork)))
    collected(world, 3)
    assert fork in listed(client)


def forked_by_halves(world: World, store: PlannedStore, copies: int, fate: Fate) -> tuple[BaseException, str]:
    """What a fork raises that meets *fate* once it has written so many records beside the first; and its id."""
    client, session, invocation = begun(world)
    for _ in range(3):
        client.put_invocation_steps(session, invocation, ["x"] * 100)
    store.fates, store.always = [Fate()] * (1 + copies), fate
    with pytest.raises((Killed, OutcomeUnknown)) as raised:
        client.fork(session, key=KEY)
    store.heal()
    return raised.value, youngest(store)


def found_by_nobody(client: Client, session: str) -> bool:
    calls: list[Callable[[], object]] = [
        lambda: client.get_session(session),
        lambda: client.get_session(key=KEY),
        lambda: list(client.steps(session)),
        lambda: client.create_invocation(session),
        lambda: client.fork(session),
        lambda: client.tag_resource(session, {"a": "b"}),
        lambda: client.delete_session(session, end=True, purge_after=timedelta(days=1)),
        lambda: client.undelete(session),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            call()
    return session not in listed(client)


@pytest.mark.parametrize("copies", [0, 1])
def test_a_fork_that_is_not_whole_is_found_by_nobody_and_purged_by_gc(
    world: World, store: PlannedStore, copies: int
) -> None:
    _, fork = forked_by_halves(world, store, copies, Fate(applied=False, meanwhile=killed))
    assert found_by_nobody(world.client(), fork)

    collected(world, 2)
    assert found_by_nobody(world.client(), fork)

    collected(world, 2)
    assert journal_of(fork) not in store.all_journals()
    assert world.client().create_session(key=KEY).key == KEY


@pytest.mark.parametrize("copies", [0, 1])
def test_a_fork_that_is_not_whole_is_absent(world: World, store: PlannedStore, copies: int) -> None:
    unknown, fork = forked_by_halves(world, store, copies, LOST_REQUEST)
    assert isinstance(unknown, OutcomeUnknown)
    assert unknown.session_id == fork
    assert [world.client().resolve(unknown.token).outcome for _ in range(2)] == ["absent", "absent"]
    assert found_by_nobody(world.client(), fork)


@pytest.mark.parametrize("forked", [False, True], ids=["created", "forked"])
def test_a_session_whose_key_was_taken_by_somebody_else_meanwhile_is_absent(
    world: World, store: PlannedStore, forked: bool
) -> None:
    client, session, _ = begun(world)

    def cut_off() -> None:
        store.always = LOST_REQUEST
        denied()

    store.plan_once("swap_key", KEY, cut_off)
    with pytest.raises(OutcomeUnknown) as unknown:
        _ = client.fork(session, key=KEY) if forked else client.create_session(key=KEY)
    store.heal()
    theirs = world.client().create_session(key=KEY).session_id

    assert [world.client().resolve(unknown.value.token).outcome for _ in range(2)] == ["absent", "absent"]
    assert client.get_session(key=KEY).session_id == theirs
    with pytest.raises(NotFound):
        client.get_session(unknown.value.session_id)


# Lists


def test_a_session_that_is_deleted_by_its_key_while_it_is_being_listed_is_in_no_list(
    world: World, store: PlannedStore
) -> None:
    def deleted() -> None:
        session = run_sync(store.get_key(TENANT, KEY))
        assert session is not None
        world.client().delete_session(uuid_text(session), end=True)

    store.plan_once("put_entry", TENANT, deleted)
    client = world.client()
    client.create_session(key=KEY)
    assert listed(client) == []


@pytest.mark.parametrize("deleted", [True, False], ids=["undeleted", "kept for longer"])
def test_a_reader_whose_clock_is_fast_takes_no_living_session_out_of_the_lists(world: World, deleted: bool) -> None:
    hour = timedelta(hours=1)
    client = world.client(Limits(retention=None if deleted else hour))
    session = client.create_session().session_id
    until = client.get_session(session).created_at + 300 * hour
    if deleted:
        client.delete_session(session, end=True, purge_after=hour)
    ahead = World(world.store)
    ahead.clock.pass_seconds(2 * HOUR)
    for seen in (lambda: ahead.client().get_session(session), lambda: list(ahead.client().steps(session))):
        with pytest.raises(NotFound):
            seen()

    assert listed(client) == [session]
    _ = client.undelete(session) if deleted else client.extend_retention(session, until=until)
    client.gc()
    assert [shown.session_id for shown in client.sessions()] == [session]


# Runs of gc


def test_a_session_that_cannot_be_read_keeps_gc_from_no_other(world: World, store: PlannedStore) -> None:
    client = world.client()
    sessions = [client.create_session().session_id for _ in range(3)]
    for session in sessions:
        client.delete_session(session, end=True, purge_after=timedelta(hours=1))
    world.clock.pass_seconds(2 * HOUR)
    store.planned["read", sessions[0]] = denied

    with pytest.raises(PermissionDenied):
        world.client().gc()

    purged = {told.session_id for told in client.audit_records() if told.operation == "purge"}
    assert purged == set(sessions[1:])
    store.heal()
    assert world.client().gc().purged == 1


def test_a_run_ends_when_one_session_after_another_cannot_be_read(world: World, store: PlannedStore) -> None:
    tried: list[str] = []

    def refused(session: str) -> Callable[[], None]:
        def refuse() -> None:
            tried.append(session)
            denied()

        return refuse

    for _ in range(FAILURES_MAX + 2):
        session = world.client().create_session().session_id
        store.planned["read", session] = refused(session)
    with pytest.raises(PermissionDenied):
        world.client().gc()
    assert len(set(tried)) == FAILURES_MAX


def test_sessions_that_cannot_be_read_here_and_there_do_not_end_a_run(world: World, store: PlannedStore) -> None:
    sessions = sorted(world.client().create_session().session_id for _ in range(2 * FAILURES_MAX + 1))
    for session in sessions[::2]:
        store.planned["read", session] = denied
    seen: list[int] = []
    with pytest.raises(PermissionDenied):
        world.client().gc(on_progress=seen.append)
    assert seen[-1] == len(sessions)
