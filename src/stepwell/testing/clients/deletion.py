"""Deleting for a while, bringing back, keeping longer; and who did so, which outlives the session."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from stepwell.errors import AlreadyExists, Conflict, InvalidRequest, LimitExceeded, NotFound
from stepwell.limits import Limits
from stepwell.testing.bench import Clients, all_refused, collected, refused
from stepwell.testing.clients.operations import ADDITIONS, END, FORK, READS, TAGS, session_with_a_step

_WEEK, _DAY = timedelta(days=7), timedelta(days=1)


async def a_session_deleted_for_a_while_is_hidden_and_comes_back_as_it_was(clients: Clients) -> None:
    """NotFound, with a hint, for every operation; listed only among the deleted."""
    client, other = clients.open(), clients.open()
    written = await session_with_a_step(client, key="k", metadata={"m": "1"}, tags={"t": "1"})
    before = await client.end_session(written.session)
    steps = await collected(client.steps, written.session)
    await client.delete_session(written.session, purge_after=_WEEK, reason="customer left", approver="dora")
    for group in (READS, TAGS, ADDITIONS, FORK, END):
        for call in group.values():
            assert "undelete" in str(await refused(NotFound, call(other, written)))
    await all_refused(NotFound, other.get_session(key="k"), other.delete_session(written.session, purge_after=_DAY))
    assert await collected(other.sessions) == []
    (hidden,) = await collected(other.sessions, deleted=True)
    assert hidden.session_id == written.session
    assert hidden.purge_after is not None
    assert timedelta(0) <= clients.clock.now() - (hidden.purge_after - _WEEK) < timedelta(hours=1)
    assert (await other.undelete(written.session)).model_dump(exclude={"head"}) == before.model_dump(exclude={"head"})
    assert await collected(other.steps, written.session) == steps
    assert (await client.get_session(key="k")).session_id == written.session
    assert await collected(client.sessions, deleted=True) == []
    assert [shown.purge_after for shown in await collected(client.sessions)] == [None]
    assert (await client.undelete(written.session)).session_id == written.session


async def an_active_session_is_deleted_for_a_while_only_when_asked_to_end_it(clients: Clients) -> None:
    """It comes back ended."""
    client = clients.open()
    written = await session_with_a_step(client)
    await refused(Conflict, client.delete_session(written.session, purge_after=_DAY))
    await client.delete_session(written.session, purge_after=_DAY, end=True)
    assert (await client.undelete(written.session)).session_status == "ENDED"


async def a_deleted_session_keeps_its_key_until_it_is_purged(clients: Clients) -> None:
    """Nobody else gets it while it could come back."""
    client, other = clients.open(), clients.open()
    session = (await client.create_session(key="k")).session_id
    await client.delete_session(session, end=True, purge_after=_DAY)
    errors = await all_refused(Conflict, other.create_session(key="k"), other.open_session(key="k"))
    assert [error.session_id for error in errors] == [session] * 2
    clients.clock.advance(_DAY)
    made = await other.open_session(key="k")
    assert made.session_id != session
    await refused(NotFound, client.undelete(session))
    await refused(AlreadyExists, client.create_session(key="k"))


async def a_deleted_session_can_be_deleted_for_good(clients: Clients) -> None:
    """Nothing brings it back then, and its key is free."""
    client = clients.open()
    session = (await client.create_session(key="k")).session_id
    await client.delete_session(session, end=True, purge_after=_DAY)
    await client.delete_session(session)
    await all_refused(NotFound, client.undelete(session), client.get_session(session), client.delete_session(session))
    assert await collected(client.sessions, deleted=True) == []
    assert (await client.create_session(key="k")).session_id != session


async def a_retention_is_extended_and_never_shortened(clients: Clients) -> None:
    """The time is shown; where none was set, none is made."""
    limits = Limits(retention=_DAY)
    client = clients.open(limits=limits)
    session = await client.create_session()
    assert session.expires_at == session.created_at + _DAY
    later = session.created_at + _WEEK
    assert (await client.extend_retention(session.session_id, until=later)).expires_at == later
    assert (await client.extend_retention(session.session_id, until=session.created_at)).expires_at == later
    for_ever = (await clients.open().create_session()).session_id
    assert (await client.extend_retention(for_ever, until=later)).expires_at is None
    clients.clock.advance(timedelta(days=6))
    assert {s.session_id for s in await collected(client.sessions)} == {session.session_id, for_ever}
    clients.clock.advance(_DAY)
    await refused(NotFound, client.extend_retention(session.session_id, until=later + _WEEK))
    assert [s.session_id for s in await collected(client.sessions)] == [for_ever]


async def audit_records_say_who_and_why_and_outlive_the_session(clients: Clients) -> None:
    """Of every operation that takes something away or brings it back, newest first; of one session or of all."""
    client = clients.open(limits=Limits(retention=timedelta(days=30)))
    written = await session_with_a_step(client)
    session, other = written.session, (await client.create_session()).session_id
    until = datetime(2040, 1, 1, tzinfo=UTC)
    why: list[Any] = [{"reason": f"reason {at}", "approver": f"person {at}"} for at in range(7)]
    last = await client.put_invocation_step(session, written.invocation, "last")
    await client.redact(session, written.invocation, written.step, **why[0])
    await client.trim(session, before=last.position, **why[1])
    await client.extend_retention(session, until=until, **why[2])
    await client.delete_session(session, end=True, purge_after=_DAY, **why[3])
    await client.undelete(session, **why[4])
    await client.delete_session(other, end=True, **why[5])
    await client.delete_session(session, **why[6])
    for _ in range(3):
        await client.gc()
        clients.clock.advance(timedelta(hours=25))
    assert [s.session_id for s in await collected(client.sessions)] == []
    told = await collected(clients.open().audit_records)
    assert [(r.operation, r.session_id) for r in told] == [
        ("purge", session),
        ("purge", other),
        *((name, session) for name in ("undelete", "delete", "extend_retention", "trim", "redact")),
    ]
    assert [{"reason": r.reason, "approver": r.approver} for r in reversed(told)] == [
        *why[:5],
        why[5],
        why[6],
    ]
    assert [r.time for r in told] == sorted((r.time for r in told), reverse=True)
    assert (told[-1].invocation_id, told[-1].invocation_step_id) == (written.invocation, written.step)
    assert (told[4].until, told[5].before is not None) == (until, True)
    assert await collected(client.audit_records, other) == [told[1]]
    assert await collected(clients.open(tenant="other").audit_records) == []


async def a_reason_has_a_length_that_is_named(clients: Clients) -> None:
    """And nothing is written where it is refused."""
    client = clients.open()
    session = (await client.create_session()).session_id
    error = await refused(LimitExceeded, client.delete_session(session, end=True, reason="x" * 1001))
    assert "WHY_MAX_CHARACTERS" in str(error)
    await all_refused(
        InvalidRequest,
        client.delete_session(session, end=True, purge_after=timedelta(0)),
        client.delete_session(session, end=True, approver="\ud800"),
    )
    assert (await client.get_session(session)).session_status == "ACTIVE"
    assert await collected(client.audit_records) == []
