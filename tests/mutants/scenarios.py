"""Situations that chance brings about too rarely: a writer that is frozen while its session is reclaimed, and its kin.

Each returns what is wrong, or None. The store has one condition per slot and looks at no other, as a table does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import shake_128

from stepwell import Client
from stepwell.blocking import run_sync
from stepwell.errors import OutcomeUnknown, PermissionDenied, StepwellError
from stepwell.models import Data
from stepwell.stores.base import JournalId, ListingEntry, SlotTaken
from tests.unit.worlds import LOST_REPLY, LOST_REQUEST, FakeClock, Fate, UnluckyStore, World

DAY, LONG = 86_400, 30 * 3600


class SlottedStore(UnluckyStore):
    """An append needs its own slot to be free, and nothing else. *before* happens once, ahead of the next append.

    *ahead* happens once, ahead of the next call about a listing or a key. As many puts of blobs as are *unanswered* are
    on their way until they are carried out from *late*.
    """

    def __init__(self) -> None:
        super().__init__()
        self.before: Callable[[], object] | None = None
        self.ahead: dict[str, Callable[[], object]] = {}
        self.unanswered = 0
        self.late: list[Callable[[], object]] = []
        self._wild: dict[tuple[JournalId, int], bytes] = {}

    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        happens, self.before = self.before, None
        if happens:
            happens()
        if slot and slot > len(self._journals.get(journal, [])) + self._first.get(journal, 0):
            self.sent.clear()
            self._wild[journal, slot] = record
            return None
        return await super().append(journal, slot, record)

    async def put_blob(self, journal: JournalId, name: str, data: bytes) -> None:
        if len(self.late) < self.unanswered:
            self.late.append(lambda: run_sync(self.put_blob(journal, name, data)))
            raise OutcomeUnknown("no answer")
        await super().put_blob(journal, name, data)

    async def put_entry(self, listing: str, entry: ListingEntry) -> None:
        if happens := self.ahead.pop(listing, None):
            happens()
        await super().put_entry(listing, entry)

    async def swap_key(self, tenant: str, key: str, session: bytes | None, *, expected: bytes | None) -> bytes | None:
        if happens := self.ahead.pop(key, None):
            happens()
        return await super().swap_key(tenant, key, session, expected=expected)

    async def read(self, journal: JournalId, first: int, last: int | None = None) -> Sequence[bytes]:
        wild = self._wild.get((journal, first))
        return await super().read(journal, first, last) if wild is None else [wild]


def _world(*stopped: str) -> tuple[SlottedStore, World]:
    """A store and clients, whose clocks of these names stand still."""
    store = SlottedStore()
    return store, World(store, FakeClock(*stopped))


def _begun(client: Client) -> tuple[str, str]:
    session = client.create_session().session_id
    return session, client.create_invocation(session).invocation_id


def _reclaimed(world: World, session: str, theirs: World | None = None) -> Callable[[], object]:
    """Delete a session and reclaim it, which takes more than a day; by others, whose clocks may be their own."""

    def happen() -> None:
        others = theirs or world
        others.clock.now = world.clock.now
        other = others.client()
        other.delete_session(session, end=True)
        other.gc()
        others.clock.pass_seconds(LONG)
        world.clock.now = others.clock.now
        if others.store.server_time is not None:
            others.store.server_time = others.clock.now
        other.gc()

    return happen


def frozen_before_an_append(*stopped: str) -> str | None:
    """The session is reclaimed between the decision and the write."""
    store, world = _world(*stopped)
    writer = world.client()
    session, invocation = _begun(writer)
    store.before = _reclaimed(world, session, World(store, FakeClock()))
    return _acknowledged(lambda: writer.put_invocation_step(session, invocation, "late"))


def frozen_while_the_wall_clock_stood_still() -> str | None:
    """As a machine's that is set back while it sleeps."""
    return frozen_before_an_append("wall")


def frozen_while_the_boot_clock_stood_still() -> str | None:
    """As a virtual machine's that is suspended."""
    return frozen_before_an_append("boot")


def frozen_while_only_the_store_told_the_time() -> str | None:
    """Both clocks of the machine stand still."""
    store, world = _world("wall", "boot")
    writer = world.client()
    store.server_time = world.clock.now
    session, invocation = _begun(writer)
    reclaim = _reclaimed(world, session, World(store, FakeClock()))

    def happen() -> None:
        reclaim()
        store.server_time = world.clock.now

    store.before = happen
    return _acknowledged(lambda: writer.put_invocation_step(session, invocation, "late"))


def frozen_behind_a_failed_condition() -> str | None:
    """The session is reclaimed while the news of a lost race is on its way; the next slot is free then."""
    store, world = _world()
    writer = world.client()
    session, invocation = _begun(writer)
    writer.put_invocation_step(session, invocation, "first")
    other = world.client()
    reclaim = _reclaimed(world, session)
    store.before = lambda: other.put_invocation_step(session, invocation, "theirs")
    store.fates = [Fate(), Fate(meanwhile=reclaim)]
    return _acknowledged(lambda: writer.put_invocation_step(session, invocation, "late"))


def _acknowledged(put: Callable[[], object]) -> str | None:
    try:
        put()
    except StepwellError:
        return None
    return "a write to a session that was reclaimed is acknowledged"


def listed_while_it_is_taken_back() -> str | None:
    """A session that was begun and not finished is finished just when `gc` takes it back."""
    store, world = _world()
    client, collector = world.client(), world.client()
    store.always = LOST_REPLY
    try:
        client.create_session()
    except OutcomeUnknown as error:
        token, session = error.token, error.session_id
    except StepwellError as error:
        return f"what may have been written was told as a failure: {error}"
    else:
        return "an unknown outcome was told as a success"
    store.always = Fate()
    collector.gc()
    world.clock.pass_seconds(LONG)
    told: list[str] = []
    store.before = lambda: told.append(client.resolve(token).outcome)
    collector.gc()
    try:
        assert session is not None
        client.get_session(session)
    except StepwellError:
        return None if told != ["committed"] else "a session that was told to be there was taken back"
    return None


def blob_put_long_before_its_record() -> str | None:
    """A writer is frozen between its blob and its record, and `gc` finds the blob left over."""
    store, world = _world()
    writer = world.client()
    session, invocation = _begun(writer)

    def collected() -> None:
        other = world.client()
        other.gc()
        world.clock.pass_seconds(LONG)
        other.gc()

    store.before = collected
    try:
        writer.put_invocation_step(session, invocation, Data(data=shake_128(b"large").digest(300_000)))
    except StepwellError:
        return None
    try:
        list(world.client().steps(session))
    except StepwellError as error:
        return f"an acknowledged step cannot be read: {error}"
    return None


def redacted_with_a_blob() -> str | None:
    """A large payload is gone from the store when its redaction is acknowledged."""
    store, world = _world()
    client = world.client()
    session, invocation = _begun(client)
    step = client.put_invocation_step(session, invocation, Data(data=shake_128(b"large").digest(300_000)))
    client.redact(session, invocation, step.invocation_step_id, reason="asked for")
    (journal,) = store.all_journals()
    return "a redacted payload is still there" if any(store.raw_blobs(journal)) else None


def uploaded_behind_its_redaction() -> str | None:
    """A large payload is sent again, for no answer came, then redacted; only now what was sent first arrives."""
    store, world = _world()
    store.unanswered = 1
    client = world.client()
    session, invocation = _begun(client)
    step = client.put_invocation_step(session, invocation, Data(data=shake_128(b"large").digest(300_000)))
    client.redact(session, invocation, step.invocation_step_id, reason="asked for")
    (late,) = store.late
    late()
    (journal,) = store.all_journals()
    if any(store.raw_blobs(journal)):
        return "a redacted payload is back"
    for _ in range(2):
        client.gc()
        world.clock.pass_seconds(LONG)
    return "what a redaction left is not reclaimed" if run_sync(store.blobs(journal)) else None


def lost_on_its_way() -> str | None:
    """A write that never arrived is found to be absent, and cannot arrive later."""
    store, world = _world()
    client = world.client()
    session, invocation = _begun(client)
    store.always = LOST_REQUEST
    try:
        client.put_invocation_step(session, invocation, "lost")
    except OutcomeUnknown as error:
        token = error.token
    except StepwellError as error:
        return f"what may have been written was told as a failure: {error}"
    else:
        return "what was lost was told as a success"
    store.always = Fate()
    outcome = client.resolve(token).outcome
    late = run_sync(store.append(store.all_journals()[0], store.sent[-1].slot, b"late"))
    return None if outcome == "absent" and isinstance(late, SlotTaken) else "it is absent, and arrives all the same"


def _fail() -> None:
    raise PermissionDenied("as it was planned")


def used_before_it_is_listed() -> str | None:
    """A session has its key, and another client writes to it, when its creator fails."""
    store, world = _world()
    client, other = world.client(), world.client()

    def happen() -> None:
        session = other.open_session(key="k").session_id
        other.put_invocation_step(session, session, "acknowledged", create_invocation=True)
        _fail()

    store.ahead["default"] = happen
    try:
        client.create_session(key="k")
    except OutcomeUnknown as error:
        client.resolve(error.token)
    except StepwellError as error:
        return f"what is there was told as a failure: {error}"
    try:
        return None if list(other.steps(key="k")) else "an acknowledged step is gone"
    except StepwellError:
        return "a session that was written to was taken back"


def frozen_before_its_key() -> str | None:
    """A creator is frozen ahead of its key, until somebody else had the key, and has it no more."""
    store, world = _world()

    def happen() -> None:
        other = world.client()
        session = other.create_session(key="k").session_id
        for at in range(4):
            if at == 2:
                other.delete_session(session, end=True)
            other.gc()
            world.clock.pass_seconds(LONG)
            other.gc()

    store.ahead["k"] = happen
    try:
        session = world.client().create_session(key="k").session_id
    except StepwellError:
        return None
    try:
        world.client().get_session(session)
    except StepwellError:
        return "a session was acknowledged that was taken back before"
    return None


def interrupted_before_it_was_noted() -> str | None:
    """A deletion fails when it is about to be noted; the next run of gc notes it."""
    store, world = _world()
    client = world.client()
    session, _ = _begun(client)
    store.ahead["~audit/default"] = _fail
    try:
        client.delete_session(session, end=True, reason="asked for")
    except OutcomeUnknown:
        client.gc()
    return None if [record.reason for record in client.audit_records()] == ["asked for"] else "a deletion is not noted"


SCENARIOS = (
    used_before_it_is_listed,
    frozen_before_its_key,
    interrupted_before_it_was_noted,
    redacted_with_a_blob,
    uploaded_behind_its_redaction,
    lost_on_its_way,
    frozen_before_an_append,
    frozen_while_the_wall_clock_stood_still,
    frozen_while_the_boot_clock_stood_still,
    frozen_while_only_the_store_told_the_time,
    frozen_behind_a_failed_condition,
    listed_while_it_is_taken_back,
    blob_put_long_before_its_record,
)
