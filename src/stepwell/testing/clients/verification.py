"""Verifying a session and salvaging it, where nothing is damaged: no fault is invented, and nothing is left out."""

from __future__ import annotations

from datetime import timedelta
from hashlib import shake_128

from stepwell.client import AsyncClient
from stepwell.errors import AlreadyExists, InvalidRequest, NotFound
from stepwell.limits import Limits
from stepwell.models import Data, InvocationStep, InvocationSummary
from stepwell.testing.bench import Clients, all_refused, collected, refused
from stepwell.testing.clients.invocations import ANY_UUIDS
from stepwell.testing.clients.operations import session_with_a_step

_LARGE = Data(data=shake_128(b"large").digest(300_000))


async def _history(client: AsyncClient, session: str) -> tuple[list[InvocationSummary], list[tuple[object, ...]]]:
    """Invocations and steps, with all that a copy keeps of them."""
    invocations = (await client.list_invocations(session, max_results=1000)).items
    steps: list[InvocationStep] = await collected(client.steps, session)
    return (
        [each.model_copy(update={"session_id": ""}) for each in reversed(invocations)],
        [(s.invocation_id, s.invocation_step_id, s.invocation_step_time, s.content) for s in steps],
    )


async def an_intact_session_has_no_faults(clients: Clients) -> None:
    """Whatever was done to it; each step is counted, and each blob that is left."""
    client = clients.open()
    written = await session_with_a_step(client)
    for number in range(300):
        await client.put_invocation_step(written.session, written.invocation, f"step {number}")
    large = [await client.put_invocation_step(written.session, written.invocation, _LARGE) for _ in range(2)]
    found = await client.verify(written.session)
    assert (found.intact, found.unfinished, found.steps, found.blobs) == (True, False, 303, 2)
    await client.redact(written.session, written.invocation, large[0].invocation_step_id, reason="asked for")
    await client.trim(written.session, before=large[0].position)
    await client.end_session(written.session)
    for _ in range(2):  # before the space of what was trimmed is reclaimed, and behind it
        seen: list[int] = []
        again = await clients.open().verify(written.session, on_progress=seen.append)
        assert (again.intact, again.unfinished, again.steps, again.blobs) == (True, False, 2, 1)
        assert seen == sorted(set(seen))
        assert len(seen) >= again.records
        await client.gc()
        clients.clock.advance(timedelta(hours=25))
        await client.gc()
    salvaged = await client.salvage(written.session)
    assert await _history(client, salvaged.session.session_id) == await _history(client, written.session)


async def a_salvaged_session_is_a_copy_that_stands_by_itself(clients: Clients) -> None:
    """Of one that is whole it has everything; the old one stays as it was."""
    client = clients.open(limits=Limits(idle_timeout=timedelta(hours=1)))
    written = await session_with_a_step(client)
    await client.tag_resource(written.session, {"team": "search"})
    await client.create_invocation(written.session, description="to follow")
    await client.put_invocation_steps(written.session, written.invocation, ["one", _LARGE, "two"])
    before = await client.get_session(written.session)
    copied: list[int] = []
    salvaged = await client.salvage(written.session, key="salvaged", on_progress=copied.append)
    new = salvaged.session
    assert (salvaged.steps, salvaged.faults, copied[-1]) == (4, (), 4)
    assert (new.session_status, new.key, new.metadata, new.tags) == ("ACTIVE", "salvaged", before.metadata, before.tags)
    assert await _history(client, new.session_id) == await _history(client, written.session)
    assert await client.get_session(written.session) == before
    assert (await client.verify(new.session_id)).intact
    await client.delete_session(written.session, end=True)
    await client.put_invocation_step(new.session_id, written.invocation, "and on")
    assert [step.text for step in await collected(client.steps, new.session_id)] == ["said", "one", "", "two", "and on"]
    assert new.session_id in [each.session_id for each in await collected(client.sessions)]


async def what_is_not_there_is_neither_verified_nor_salvaged(clients: Clients) -> None:
    """No such session, one that is deleted, for good or for a while, and another tenant's."""
    client = clients.open()
    gone, hidden = await session_with_a_step(client), await session_with_a_step(client)
    await client.delete_session(gone.session, end=True)
    await client.delete_session(hidden.session, end=True, purge_after=timedelta(days=1))
    theirs = await session_with_a_step(clients.open(tenant="another"))
    for session in (ANY_UUIDS[0], gone.session, hidden.session, theirs.session):
        await all_refused(NotFound, client.verify(session), client.salvage(session))
    await refused(InvalidRequest, client.verify("no id"))


async def a_key_that_is_taken_is_not_given_to_what_is_salvaged(clients: Clients) -> None:
    """And no session is left behind."""
    client = clients.open()
    written = await session_with_a_step(client)
    await client.create_session(key="taken")
    before = await collected(client.sessions)
    await refused(AlreadyExists, client.salvage(written.session, key="taken"))
    assert await collected(client.sessions) == before
