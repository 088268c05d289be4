"""A small scenario for every public method of the client, on one small world of sessions.

World       what is there before: sessions by what is particular about them
SCENARIOS   by name; the name begins with the method's
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import shake_128
from typing import NamedTuple

from stepwell.client import AsyncClient
from stepwell.models import Data, NewStep, Position
from stepwell.testing.bench import collected
from stepwell.testing.clients.operations import Written, session_with_a_step

LARGE = Data(data=shake_128(b"large").digest(100_000))
"""Too large for a record: it is kept beside the journal."""
OTHER_LARGE = Data(data=shake_128(b"other").digest(100_000))
WARM = {"warm": "yes"}
"""Tags that every session has from the start, so that giving them again changes nothing but what a client knows."""
_WEEK, _DAY_LATER = timedelta(days=7), timedelta(hours=25)
_UUID = "0198c0de-0000-7000-8000-000000000000"
_FAR = datetime(2040, 1, 1, tzinfo=UTC)


class World(NamedTuple):
    """Sessions that are there."""

    kept: Written
    """ACTIVE, with the key "kept", a step and a large one; its first step is *step*."""
    large_step: str
    last: Position
    ended: str
    ended_invocation: str
    hidden: str
    """Deleted, and can be undeleted."""


async def build(client: AsyncClient) -> World:
    """Make one."""
    kept = await session_with_a_step(client, key="kept", metadata={"m": "1"}, tags=WARM)
    large = await client.put_invocation_step(kept.session, kept.invocation, ["large", LARGE])
    last = await client.put_invocation_step(kept.session, kept.invocation, "last")
    ended = await session_with_a_step(client, key="ended", tags=WARM)
    await client.end_session(ended.session)
    hidden = await session_with_a_step(client, key="hidden", tags=WARM)
    await client.delete_session(hidden.session, end=True, purge_after=_WEEK, reason="old")
    return World(kept, large.invocation_step_id, last.position, ended.session, ended.invocation, hidden.session)


async def warm_up(client: AsyncClient) -> None:
    """Let a client read and write what it may later read and write again."""
    for session in await collected(client.sessions):
        await client.tag_resource(session.session_id, WARM)
        await collected(client.steps, session.session_id)


@dataclass(frozen=True, slots=True)
class Scenario:
    """*call* is the one that meets faults. Of a *piecemeal* one, a part may be done: nobody but `gc` sees which."""

    call: Callable[[AsyncClient, World], Awaitable[object]]
    prepare: Callable[[AsyncClient, World], Awaitable[object]] | None = None
    later: timedelta = timedelta(0)
    reads: bool = False
    piecemeal: bool = False


async def _something_to_reclaim(client: AsyncClient, world: World) -> None:
    """A session that is gone, a history that was trimmed, a large step that was redacted; all seen once."""
    await client.trim(world.kept.session, before=world.last)
    await client.delete_session(world.ended)
    await client.gc()


async def _handle(client: AsyncClient, world: World) -> object:
    return await client.handle().put_invocation_step(world.kept.session, world.kept.invocation, "by another handle")


def _read(call: Callable[[AsyncClient, World], Awaitable[object]]) -> Scenario:
    return Scenario(call, reads=True)


SCENARIOS: dict[str, Scenario] = {
    "create_session": Scenario(lambda c, w: c.create_session(metadata={"m": "2"}, tags={"t": "2"})),
    "create_session, key": Scenario(lambda c, w: c.create_session(key="new")),
    "create_session, key that was free": Scenario(
        lambda c, w: c.create_session(key="ended"), lambda c, w: c.delete_session(w.ended)
    ),
    "open_session": Scenario(lambda c, w: c.open_session(key="new", tags={"t": "2"})),
    "open_session, there": _read(lambda c, w: c.open_session(key="kept")),
    "get_session": _read(lambda c, w: c.get_session(w.kept.session)),
    "get_session, key": _read(lambda c, w: c.get_session(key="ended")),
    "update_session": Scenario(lambda c, w: c.update_session(w.kept.session, {"m": "2"})),
    "end_session": Scenario(lambda c, w: c.end_session(w.kept.session)),
    "end_session, again": Scenario(lambda c, w: c.end_session(w.ended)),
    "delete_session": Scenario(lambda c, w: c.delete_session(w.ended, reason="old", approver="dora")),
    "delete_session, soft": Scenario(lambda c, w: c.delete_session(w.kept.session, end=True, purge_after=_WEEK)),
    "delete_session, hidden": Scenario(lambda c, w: c.delete_session(w.hidden)),
    "undelete": Scenario(lambda c, w: c.undelete(w.hidden, reason="again")),
    "extend_retention": Scenario(lambda c, w: c.extend_retention(w.kept.session, until=_FAR, reason="law")),
    "list_sessions": _read(lambda c, w: c.list_sessions()),
    "sessions": _read(lambda c, w: collected(c.sessions)),
    "sessions, deleted": _read(lambda c, w: collected(c.sessions, deleted=True)),
    "create_invocation": Scenario(lambda c, w: c.create_invocation(w.kept.session, description="new")),
    "list_invocations": _read(lambda c, w: c.list_invocations(w.kept.session)),
    "put_invocation_step": Scenario(lambda c, w: c.put_invocation_step(w.kept.session, w.kept.invocation, "new")),
    "put_invocation_step, id": Scenario(
        lambda c, w: c.put_invocation_step(w.kept.session, w.kept.invocation, "new", invocation_step_id=_UUID)
    ),
    "put_invocation_step, large": Scenario(
        lambda c, w: c.put_invocation_step(w.kept.session, w.kept.invocation, ["new", OTHER_LARGE])
    ),
    "put_invocation_step, new invocation": Scenario(
        lambda c, w: c.put_invocation_step(w.kept.session, _UUID, "new", create_invocation=True)
    ),
    "put_invocation_steps": Scenario(
        lambda c, w: c.put_invocation_steps(
            w.kept.session, w.kept.invocation, ["one", NewStep(content="two"), [OTHER_LARGE]]
        )
    ),
    "get_invocation_step": _read(lambda c, w: c.get_invocation_step(w.kept.session, w.kept.invocation, w.large_step)),
    "list_invocation_steps": _read(lambda c, w: c.list_invocation_steps(w.kept.session)),
    "steps": _read(lambda c, w: collected(c.steps, w.kept.session)),
    "tail": _read(lambda c, w: collected(c.tail, key="kept", timeout=0)),
    "tag_resource": Scenario(lambda c, w: c.tag_resource(w.ended, {"t": "2"})),
    "untag_resource": Scenario(lambda c, w: c.untag_resource(w.kept.session, ["warm"])),
    "list_tags_for_resource": _read(lambda c, w: c.list_tags_for_resource(w.kept.session)),
    "lease": Scenario(lambda c, w: c.lease(w.kept.session)),
    "fork": Scenario(lambda c, w: c.fork(w.kept.session, key="new")),
    "fork, at": Scenario(lambda c, w: c.fork(w.ended, at=Position("2.0"))),
    "redact": Scenario(lambda c, w: c.redact(w.kept.session, w.kept.invocation, w.kept.step, reason="asked for")),
    "redact, large": Scenario(
        lambda c, w: c.redact(w.kept.session, w.kept.invocation, w.large_step, reason="asked for")
    ),
    "trim": Scenario(lambda c, w: c.trim(w.kept.session, before=w.last, reason="old")),
    "audit_records": _read(lambda c, w: collected(c.audit_records)),
    "gc": Scenario(lambda c, w: c.gc(), piecemeal=True),
    "gc, due": Scenario(lambda c, w: c.gc(), later=timedelta(days=8), piecemeal=True),
    "gc, a day later": Scenario(lambda c, w: c.gc(), _something_to_reclaim, _DAY_LATER, piecemeal=True),
    "verify": _read(lambda c, w: c.verify(w.kept.session)),
    "salvage": Scenario(lambda c, w: c.salvage(w.kept.session, key="new")),
    "resolve": Scenario(lambda c, w: c.resolve(_no_such_write(w)), reads=True),
    "ping": _read(lambda c, w: c.ping()),
    "handle": Scenario(_handle),
    "aclose": _read(lambda c, w: c.aclose()),
}


def _no_such_write(world: World) -> str:
    """The token of a write that never reached the store."""
    from stepwell.ids import uuid_bytes
    from stepwell.outcomes import InDoubt, outcome_token

    return outcome_token(InDoubt("default", uuid_bytes("session_id", world.kept.session), 1, bytes(16)))


def method(name: str) -> str:
    """The client's method that a scenario is about."""
    return name.partition(",")[0]
