"""The state machine: what a session allows while it is ACTIVE, EXPIRED, ENDED and gone; and when it expires.

Bedrock user guide, sessions: an ended session can be read, not added to; an ACTIVE one is not deleted. Where the guide
is silent: an EXPIRED session refuses what an ended one refuses, and can still be ended; tags can always be changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from stepwell.client import AsyncClient
from stepwell.errors import Conflict, InvalidRequest, NotFound, SessionEnded, SessionExpired, StepwellError
from stepwell.limits import Limits
from stepwell.testing.bench import Clients, collected, refused
from stepwell.testing.clients.operations import (
    ADDITIONS,
    DELETION,
    END,
    FORK,
    LEASE,
    READS,
    TAGS,
    Operation,
    Written,
    session_with_a_step,
)

IDLE, RETENTION = timedelta(hours=1), timedelta(days=2)
TIMED = Limits(idle_timeout=IDLE, retention=RETENTION)
_MOMENT = timedelta(seconds=5)


async def _allows(client: AsyncClient, written: Written, *operations: Mapping[str, Operation]) -> None:
    for group in operations:
        for call in group.values():
            await call(client, written)


async def _refuses(
    kind: type[StepwellError], client: AsyncClient, written: Written, *operations: Mapping[str, Operation]
) -> None:
    for group in operations:
        for name, call in group.items():
            assert (await refused(kind, call(client, written))).operation == name


def _leases(clients: Clients) -> Mapping[str, Operation]:
    return LEASE if clients.abilities.leases else {}


async def an_active_session_allows_everything_but_deletion(clients: Clients) -> None:
    """Conflict for that."""
    client = clients.open()
    written = await session_with_a_step(client)
    await _allows(client, written, READS, TAGS, ADDITIONS, FORK, _leases(clients))
    await _refuses(Conflict, client, written, DELETION)
    await _allows(client, written, END)


async def an_ended_session_can_be_read_tagged_and_forked_but_not_added_to(clients: Clients) -> None:
    """SessionEnded, and what was refused is nowhere."""
    client, other = clients.open(), clients.open()
    written = await session_with_a_step(client)
    await other.get_session(written.session)
    await client.end_session(written.session)
    for each in (client, other):
        await _refuses(SessionEnded, each, written, ADDITIONS, _leases(clients))
        await _allows(each, written, READS, TAGS, FORK, END)
        assert [step.text async for step in each.steps(written.session)] == ["said"]
        assert len((await each.list_invocations(written.session)).items) == 1
    await _allows(client, written, DELETION)


async def an_expired_session_can_be_read_tagged_and_forked_but_not_added_to(clients: Clients) -> None:
    """SessionExpired, and what was refused is nowhere; it can be deleted."""
    client, other = clients.open(limits=TIMED), clients.open()
    written = await session_with_a_step(client)
    clients.clock.advance(IDLE + _MOMENT)
    for each in (client, other):
        assert (await each.get_session(written.session)).session_status == "EXPIRED"
        await _refuses(SessionExpired, each, written, ADDITIONS, _leases(clients))
        await _allows(each, written, READS, TAGS, FORK)
        assert (await each.get_session(written.session)).session_status == "EXPIRED"
        assert [step.text async for step in each.steps(written.session)] == ["said"]
    await _allows(client, written, DELETION)
    await refused(NotFound, other.get_session(written.session))


async def an_expired_session_can_be_ended_or_deleted_though_nobody_noticed(clients: Clients) -> None:
    """Neither needs to be told of the expiry first; an ended one says ENDED from then on."""
    client, other = clients.open(limits=TIMED), clients.open()
    to_end, to_delete = await session_with_a_step(client), await session_with_a_step(client)
    clients.clock.advance(IDLE + _MOMENT)
    assert (await other.end_session(to_end.session)).session_status == "ENDED"
    await _refuses(SessionEnded, client, to_end, ADDITIONS)
    await other.delete_session(to_delete.session)
    await refused(NotFound, client.get_session(to_delete.session))


async def an_expiry_that_somebody_was_told_of_stands(clients: Clients) -> None:
    """Also for whoever has a slower clock."""
    client, other = clients.open(limits=TIMED), clients.open()
    written = await session_with_a_step(client)
    clients.clock.advance(IDLE + _MOMENT)
    await _refuses(SessionExpired, client, written, ADDITIONS)
    clients.clock.advance(-IDLE)
    for each in (client, other):
        assert (await each.get_session(written.session)).session_status == "EXPIRED"
        await _refuses(SessionExpired, each, written, ADDITIONS)


async def a_deleted_session_is_not_found_by_any_operation(clients: Clients) -> None:
    """As if it had never been, through a client that knew it as well."""
    client, other = clients.open(), clients.open()
    written = await session_with_a_step(client)
    await _allows(other, written, READS)
    await client.delete_session(written.session, end=True)
    for each in (client, other):
        await _refuses(NotFound, each, written, READS, TAGS, ADDITIONS, FORK, _leases(clients), END, DELETION)


async def a_session_that_never_was_is_not_found_by_any_operation(clients: Clients) -> None:
    """And no operation makes it."""
    client = clients.open()
    nowhere = Written(*("00000000-0000-0000-0000-00000000000" + digit for digit in "123"))
    for _ in range(2):
        await _refuses(NotFound, client, nowhere, READS, TAGS, ADDITIONS, FORK, _leases(clients), END, DELETION)
    assert await collected(client.sessions) == []


async def a_session_expires_when_nothing_was_written_for_the_idle_time(clients: Clients) -> None:
    """Not a moment before; for every client, whatever limits it has."""
    client, other = clients.open(limits=TIMED), clients.open(limits=Limits.none())
    written = await session_with_a_step(client)
    clients.clock.advance(IDLE - _MOMENT)
    for each in (client, other):
        assert (await each.get_session(written.session)).session_status == "ACTIVE"
    clients.clock.advance(2 * _MOMENT)
    for each in (other, client):
        assert (await each.get_session(written.session)).session_status == "EXPIRED"


async def writing_keeps_a_session_from_expiring(clients: Clients) -> None:
    """Steps, invocations and metadata count; each starts the idle time anew."""
    client = clients.open(limits=TIMED)
    written = await session_with_a_step(client)
    for operation in ADDITIONS.values():
        clients.clock.advance(IDLE - _MOMENT)
        await operation(client, written)
        session = await client.get_session(written.session)
        assert session.session_status == "ACTIVE"
        assert abs(session.last_activity_at - clients.clock.now()) < _MOMENT


async def reading_and_tagging_do_not_keep_a_session_from_expiring(clients: Clients) -> None:
    """Only what is written into it does; a tag is written onto it."""
    client = clients.open(limits=TIMED)
    written = await session_with_a_step(client)
    before = await client.get_session(written.session)
    clients.clock.advance(IDLE - _MOMENT)
    await _allows(client, written, READS, TAGS)
    assert (await client.get_session(written.session)).last_activity_at == before.last_activity_at
    clients.clock.advance(2 * _MOMENT)
    assert (await client.get_session(written.session)).session_status == "EXPIRED"


async def an_expired_session_is_listed_as_expired_once_somebody_was_told(clients: Clients) -> None:
    """Lists follow what was found out."""
    client = clients.open(limits=TIMED)
    read, refused_one = await session_with_a_step(client), await session_with_a_step(client)
    clients.clock.advance(IDLE + _MOMENT)
    await client.get_session(read.session)
    await _refuses(SessionExpired, client, refused_one, ADDITIONS)
    listed = await clients.open().list_sessions()
    assert {shown.session_id: shown.session_status for shown in listed.items} == {
        read.session: "EXPIRED",
        refused_one.session: "EXPIRED",
    }
    expired = [shown.session_id async for shown in client.sessions(status="EXPIRED")]
    assert expired == [refused_one.session, read.session]


async def a_session_is_gone_after_its_retention(clients: Clients) -> None:
    """Whatever its status, however active it was; its key is free again."""
    client, other = clients.open(limits=TIMED), clients.open()
    active, ended = await session_with_a_step(client, key="active"), await session_with_a_step(client)
    await client.end_session(ended.session)
    while (await client.get_session(active.session)).created_at + RETENTION > clients.clock.now() + IDLE:
        clients.clock.advance(IDLE - _MOMENT)
        await client.update_session(active.session, {"still": "here"})
    assert (await other.get_session(ended.session)).session_status == "ENDED"
    clients.clock.advance(IDLE + _MOMENT)
    for each in (client, other):
        for written in (active, ended):
            await _refuses(NotFound, each, written, READS, TAGS, ADDITIONS, FORK, _leases(clients), END, DELETION)
        assert await collected(each.sessions) == []
    await refused(NotFound, client.get_session(key="active"))
    again = await client.create_session(key="active")
    assert again.session_id != active.session


async def a_session_is_there_until_its_retention_is_over(clients: Clients) -> None:
    """Counted from its creation, not a moment less."""
    client, other = clients.open(limits=TIMED), clients.open()
    made = await client.create_session(key="kept")
    clients.clock.advance(made.created_at + RETENTION - _MOMENT - clients.clock.now())
    for each in (client, other):
        assert (await each.get_session(key="kept")).session_status == "EXPIRED"
        assert [shown.session_id async for shown in each.sessions()] == [made.session_id]
    clients.clock.advance(2 * _MOMENT)
    for each in (other, client):
        await refused(NotFound, each.get_session(made.session_id))
        assert await collected(each.sessions) == []


async def a_session_may_have_a_retention_of_its_own(clients: Clients) -> None:
    """Shorter or longer than what its client's limits say, for every client; to open it again changes nothing."""
    client, other = clients.open(limits=TIMED), clients.open()
    shorter = await client.create_session(retention=RETENTION / 2)
    longer = await client.open_session(key="longer", retention=2 * RETENTION)
    alone = await other.create_session(retention=RETENTION)
    assert await client.open_session(key="longer", retention=RETENTION / 2) == longer
    for ends, gone, left in (
        (RETENTION / 2, shorter, {longer.session_id, alone.session_id}),
        (RETENTION, alone, {longer.session_id}),
        (2 * RETENTION, longer, set[str]()),
    ):
        clients.clock.advance(gone.created_at + ends - _MOMENT - clients.clock.now())
        assert (await other.get_session(gone.session_id)).session_id == gone.session_id
        clients.clock.advance(2 * _MOMENT)
        for each in (client, other):
            await refused(NotFound, each.get_session(gone.session_id))
            assert {shown.session_id for shown in await collected(each.sessions)} == left


async def a_retention_out_of_bounds_is_refused(clients: Clients) -> None:
    """InvalidRequest, and no session is made; what the bounds are is said."""
    client = clients.open()
    wrong: list[Any] = [timedelta(0), -RETENTION, timedelta(days=40_000), 3600, "30d"]
    for retention in wrong:
        for made in (
            client.create_session(key="k", retention=retention),
            client.open_session(key="k", retention=retention),
        ):
            assert "retention: a timedelta of 1 second to 36525 days" in str(await refused(InvalidRequest, made))
    await refused(NotFound, client.get_session(key="k"))
    assert await collected(client.sessions) == []


async def a_session_made_without_limits_never_expires(clients: Clients) -> None:
    """The times are those of its creation: a client with limits changes nothing about it."""
    client = clients.open()
    written = await session_with_a_step(client)
    clients.clock.advance(timedelta(days=10_000))
    for each in (client, clients.open(limits=TIMED)):
        assert (await each.get_session(written.session)).session_status == "ACTIVE"
        await _allows(each, written, ADDITIONS)
