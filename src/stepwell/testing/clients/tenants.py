"""Another tenant's sessions look as if they did not exist."""

from __future__ import annotations

from stepwell.errors import InvalidRequest, NotFound
from stepwell.testing.bench import Clients, all_refused, collected, refused
from stepwell.testing.clients.operations import (
    ADDITIONS,
    DELETION,
    END,
    FORK,
    LEASE,
    READS,
    TAGS,
    Written,
    session_with_a_step,
)

STRANGER = "stranger"
_NOWHERE = Written(*("00000000-0000-7000-8000-00000000000" + digit for digit in "123"))


async def another_tenant_is_told_of_a_session_what_it_is_told_of_none(clients: Clients) -> None:
    """By every operation the same error, word for word; and nothing happens to the session."""
    client, stranger = clients.open(), clients.open(tenant=STRANGER)
    written = await session_with_a_step(client, key="mine", tags={"a": "1"})
    before = await client.get_session(written.session)
    operations = READS | TAGS | ADDITIONS | FORK | END | DELETION | (LEASE if clients.abilities.leases else {})
    for call in operations.values():
        theirs = await refused(NotFound, call(stranger, written))
        nobodys = await refused(NotFound, call(stranger, _NOWHERE))
        assert _told(theirs, written) == _told(nobodys, _NOWHERE)
    assert await client.get_session(written.session) == before


def _told(error: NotFound, asked: Written) -> tuple[str, dict[str, object]]:
    """What an error says, the ids that were asked for under names of their own."""
    names: dict[str, object] = dict(zip(asked, Written._fields, strict=True))
    return str(error), {attribute: names.get(value, value) for attribute, value in vars(error).items()}


async def another_tenant_does_not_see_a_key(clients: Clients) -> None:
    """Word for word as if nobody had it."""
    client, stranger = clients.open(), clients.open(tenant=STRANGER)
    await session_with_a_step(client, key="mine")
    mine, nobodys = [
        await all_refused(
            NotFound,
            stranger.get_session(key=key),
            collected(stranger.steps, key=key),
            collected(stranger.tail, key=key),
        )
        for key in ("mine", "nobody's")
    ]
    assert [(str(error), vars(error)) for error in mine] == [(str(error), vars(error)) for error in nobodys]


async def lists_show_a_tenant_its_own_sessions(clients: Clients) -> None:
    """And no others."""
    client, stranger = clients.open(), clients.open(tenant=STRANGER)
    mine, theirs = await client.create_session(), await stranger.create_session()
    for each, own in ((client, mine), (stranger, theirs)):
        assert [item.session_id for item in (await each.list_sessions()).items] == [own.session_id]
        assert [item.session_id async for item in each.sessions()] == [own.session_id]


async def tenants_use_the_same_key_for_sessions_of_their_own(clients: Clients) -> None:
    """What one does with it does not concern the other."""
    client, stranger = clients.open(), clients.open(tenant=STRANGER)
    mine = await client.create_session(key="shared")
    theirs = await stranger.create_session(key="shared")
    assert mine.session_id != theirs.session_id
    await client.delete_session(mine.session_id, end=True)
    assert await stranger.get_session(key="shared") == theirs
    await refused(NotFound, client.get_session(key="shared"))


async def a_position_or_page_of_another_tenant_opens_nothing(clients: Clients) -> None:
    """What one was given serves nobody else."""
    client, stranger = clients.open(), clients.open(tenant=STRANGER)
    written = await session_with_a_step(client)
    await client.put_invocation_step(written.session, written.invocation, "more")
    await client.create_session()
    page = await client.list_invocation_steps(written.session, max_results=1)
    call = stranger.list_invocation_steps(written.session, next_token=page.next_token)
    await refused(InvalidRequest, call)
    sessions = await client.list_sessions(max_results=1)
    await refused(InvalidRequest, stranger.list_sessions(next_token=sessions.next_token))
