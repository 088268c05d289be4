"""Invocations group the steps of a session."""

from __future__ import annotations

from stepwell.errors import AlreadyExists, NotFound
from stepwell.models import Invocation
from stepwell.testing.bench import Clients, all_refused, attempt, collected, refused

ANY_UUIDS = (
    "00000000-0000-0000-0000-000000000000",
    "f75c463a-a608-0629-401e-f4d270073c0c",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "0198c0de-0000-7000-8000-000000000000",
)
"""The nil one, an MD5 digest without a version (LangGraph's saver sends such), the greatest, and a UUIDv7."""


async def an_invocation_is_listed_as_it_was_created(clients: Clients) -> None:
    """With its id and time; the description is returned to its creator only."""
    client = clients.open()
    session = (await client.create_session()).session_id
    made = await client.create_invocation(session, description="latency alert")
    assert (made.session_id, made.description) == (session, "latency alert")
    (listed,) = (await clients.open().list_invocations(session)).items
    assert (listed.session_id, listed.invocation_id, listed.created_at) == (
        session,
        made.invocation_id,
        made.created_at,
    )
    assert (await client.create_invocation(session)).description is None


async def an_invocation_can_have_any_lowercase_uuid(clients: Clients) -> None:
    """Of any version or none."""
    client = clients.open()
    session = (await client.create_session()).session_id
    for invocation in ANY_UUIDS:
        made = await client.create_invocation(session, invocation_id=invocation)
        assert made.invocation_id == invocation
    listed = [item.invocation_id for item in (await client.list_invocations(session)).items]
    assert listed == list(reversed(ANY_UUIDS))


async def an_existing_invocation_is_refused(clients: Clients) -> None:
    """AlreadyExists, whoever made it and however long ago; it is there once."""
    client, other = clients.open(), clients.open()
    session = (await client.create_session()).session_id
    made = await client.create_invocation(session)
    for invocation in (made.invocation_id, *ANY_UUIDS):
        if invocation in ANY_UUIDS:
            await client.create_invocation(session, invocation_id=invocation)
        for each in (client, other):
            await refused(AlreadyExists, each.create_invocation(session, invocation_id=invocation))
    for _ in range(3):
        await client.put_invocation_steps(session, made.invocation_id, ["a step"] * 250)
    for each in (client, other, clients.open()):
        await refused(AlreadyExists, each.create_invocation(session, invocation_id=ANY_UUIDS[1]))
        assert len((await each.list_invocations(session)).items) == 1 + len(ANY_UUIDS)


async def one_of_many_creates_an_invocation(clients: Clients) -> None:
    """All others are told that it exists."""
    several = [clients.open() for _ in range(6)]
    session = (await several[0].create_session()).session_id
    answers = await clients.race(
        [attempt(client.create_invocation(session, invocation_id=ANY_UUIDS[1])) for client in several]
    )
    assert [type(answer) for answer in answers if not isinstance(answer, Invocation)] == [AlreadyExists] * 5
    assert len((await several[0].list_invocations(session)).items) == 1


async def the_same_invocation_id_in_two_sessions_is_two_invocations(clients: Clients) -> None:
    """Ids are unique within a session."""
    client = clients.open()
    one, other = (await client.create_session()).session_id, (await client.create_session()).session_id
    for session in (one, other):
        await client.create_invocation(session, invocation_id=ANY_UUIDS[0])
    await client.put_invocation_step(one, ANY_UUIDS[0], "in one")
    assert await collected(client.steps, other, invocation_id=ANY_UUIDS[0]) == []


async def an_unknown_invocation_is_not_found(clients: Clients) -> None:
    """By none of the operations that name one, and none of them makes it."""
    client = clients.open()
    session, nowhere = (await client.create_session()).session_id, ANY_UUIDS[3]
    await all_refused(
        NotFound,
        client.put_invocation_step(session, nowhere, "said"),
        client.put_invocation_steps(session, nowhere, ["said"]),
        client.get_invocation_step(session, nowhere, nowhere),
        client.list_invocation_steps(session, nowhere),
        collected(client.steps, session, invocation_id=nowhere),
        collected(client.steps, session, invocation_id=nowhere, reverse=True),
    )
    assert (await client.list_invocations(session)).items == ()


async def an_invocation_is_created_with_its_first_step_on_demand(clients: Clients) -> None:
    """In one write; one that is there is taken as it is."""
    client = clients.open()
    session, invocation = (await client.create_session()).session_id, ANY_UUIDS[0]
    for text in ("first", "second"):
        await client.put_invocation_step(session, invocation, text, create_invocation=True)
    await client.put_invocation_steps(session, ANY_UUIDS[1], ["third"], create_invocation=True)
    listed = [item.invocation_id for item in (await client.list_invocations(session)).items]
    assert listed == [ANY_UUIDS[1], invocation]
    assert [step.text async for step in client.steps(session)] == ["first", "second", "third"]


async def an_invocation_without_steps_has_none(clients: Clients) -> None:
    """It is there all the same."""
    client = clients.open()
    session = (await client.create_session()).session_id
    invocation = (await client.create_invocation(session)).invocation_id
    assert (await client.list_invocation_steps(session, invocation)).items == ()
    assert await collected(client.steps, session, invocation_id=invocation) == []
