"""A fork is a new session with the history of another; from then on neither needs the other."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import shake_128

from stepwell.client import AsyncClient
from stepwell.errors import AlreadyExists, InvalidRequest, StaleStore
from stepwell.models import Data, Image, InvocationStep, NewStep, Position, Text
from stepwell.testing.bench import Clients, collected, refused
from stepwell.testing.clients.invocations import ANY_UUIDS

_NOON = datetime(2031, 5, 4, 12, tzinfo=UTC)
_OWN = {"session_id", "slot", "position"}
"""What a copied step has of its own."""


async def _history(client: AsyncClient) -> tuple[str, list[InvocationStep]]:
    """A session with metadata, tags, two invocations, and steps of every kind, large ones included."""
    made = await client.create_session(key="origin", metadata={"m": "1"}, tags={"t": "1"})
    session = made.session_id
    one = (await client.create_invocation(session, description="first")).invocation_id
    two = (await client.create_invocation(session, invocation_id=ANY_UUIDS[0])).invocation_id
    image = Image(format="png", data=shake_128(b"image").digest(300_000))
    timed = NewStep(content=(Text(text="timed"),), invocation_step_id=ANY_UUIDS[1], invocation_step_time=_NOON)
    put = [await client.put_invocation_step(session, one, "one")]
    put += await client.put_invocation_steps(session, two, ["two", timed])
    put += [await client.put_invocation_step(session, one, ["picture", image, Data(data=bytes(70_000))])]
    await client.tag_resource(session, {"u": "2"})
    put += await client.put_invocation_steps(session, one, [f"more {at}" for at in range(100)])
    return session, put


def _told(steps: list[InvocationStep]) -> list[dict[str, object]]:
    return [step.model_dump(exclude=_OWN) for step in steps]


async def a_fork_has_the_history_of_its_origin(clients: Clients) -> None:
    """Invocations and steps with ids, times and content, images included; metadata and tags; a key of its own."""
    client = clients.open()
    session, put = await _history(client)
    fork = await client.fork(session, key="copy")
    assert fork.session_id != session
    assert (fork.key, fork.session_status) == ("copy", "ACTIVE")
    assert (fork.metadata, fork.tags) == ({"m": "1"}, {"t": "1", "u": "2"})
    assert fork.created_at > put[-1].invocation_step_time
    for each in (client, clients.open()):
        assert await each.get_session(key="copy") == fork
        copied = await collected(each.steps, fork.session_id)
        assert _told(copied) == _told(put)
        assert {step.session_id for step in copied} == {fork.session_id}
        found = await each.get_invocation_step(fork.session_id, ANY_UUIDS[0], ANY_UUIDS[1])
        assert (found.text, found.invocation_step_time) == ("timed", _NOON)
        theirs, ours = await each.list_invocations(session), await each.list_invocations(fork.session_id)
        assert [(i.invocation_id, i.created_at) for i in ours.items] == [
            (i.invocation_id, i.created_at) for i in theirs.items
        ]
    assert await collected(client.steps, session) == put


async def a_fork_and_its_origin_go_their_own_ways(clients: Clients) -> None:
    """What is done to one is not done to the other."""
    client = clients.open()
    session, put = await _history(client)
    fork = (await client.fork(session)).session_id
    await client.put_invocation_step(fork, ANY_UUIDS[0], "in the fork")
    await client.put_invocation_step(session, ANY_UUIDS[0], "in the origin")
    await client.update_session(fork, {"m": "of the fork"})
    await client.end_session(session)
    assert [step.text for step in await collected(client.steps, fork)][-1] == "in the fork"
    assert [step.text for step in await collected(client.steps, session)][-1] == "in the origin"
    assert (await client.get_session(session)).metadata == {"m": "1"}
    assert (await client.get_session(fork)).session_status == "ACTIVE"
    assert len(await collected(client.steps, fork)) == len(put) + 1


async def a_fork_outlives_its_origin(clients: Clients) -> None:
    """Though that be deleted; a fork of the fork outlives both."""
    client = clients.open()
    session, put = await _history(client)
    fork = (await client.fork(session)).session_id
    await client.delete_session(session, end=True)
    again = (await client.fork(fork)).session_id
    assert _told(await collected(client.steps, fork)) == _told(put)
    await client.delete_session(fork, end=True)
    assert _told(await collected(clients.open().steps, again)) == _told(put)


async def an_ended_session_can_be_forked_and_gone_on_with(clients: Clients) -> None:
    """That is how one goes on after the end."""
    client = clients.open()
    session, put = await _history(client)
    await client.end_session(session)
    fork = await client.fork(session)
    assert fork.session_status == "ACTIVE"
    await client.put_invocation_step(fork.session_id, put[0].invocation_id, "gone on")
    assert len(await collected(client.steps, fork.session_id)) == len(put) + 1


async def a_fork_can_end_at_any_position(clients: Clients) -> None:
    """With what lies up to it, itself included; also in the middle of a batch."""
    client = clients.open()
    session, put = await _history(client)
    for at in (0, 1, 2, 3, 4, 50, len(put) - 1):
        fork = await client.fork(session, at=put[at].position)
        assert _told(await collected(client.steps, fork.session_id)) == _told(put[: at + 1])
        await client.put_invocation_step(fork.session_id, put[0].invocation_id, "another way")


async def a_fork_from_the_beginning_is_empty(clients: Clients) -> None:
    """Metadata and tags it has."""
    client = clients.open()
    made = await client.create_session(metadata={"m": "1"}, tags={"t": "1"})
    await client.put_invocation_step(made.session_id, ANY_UUIDS[0], "later", create_invocation=True)
    fork = await client.fork(made.session_id, at=made.head)
    assert await collected(client.steps, fork.session_id) == []
    assert (await client.list_invocations(fork.session_id)).items == ()
    assert (fork.metadata, fork.tags) == ({"m": "1"}, {"t": "1"})


async def a_fork_behind_the_end_is_refused(clients: Clients) -> None:
    """StaleStore: what was seen there is gone, or is another session's. No session comes to be."""
    client = clients.open()
    longer, put = await _history(client)
    session = (await client.create_session()).session_id
    await refused(StaleStore, client.fork(session, at=put[-1].position))
    assert str(await refused(InvalidRequest, client.fork(session, at=Position("none")))).startswith("at:")
    assert [shown.session_id async for shown in client.sessions()] == [session, longer]


async def a_fork_does_not_take_a_key_from_another_session(clients: Clients) -> None:
    """AlreadyExists, the origin's own key included; no session comes to be."""
    client = clients.open()
    session, _ = await _history(client)
    other = (await client.create_session(key="taken")).session_id
    for key in ("taken", "origin"):
        await refused(AlreadyExists, client.fork(session, key=key))
    assert [shown.session_id async for shown in client.sessions()] == [other, session]


async def a_forked_step_put_again_is_known(clients: Clients) -> None:
    """Its id belongs to the copy as it did to the origin."""
    client = clients.open()
    session, put = await _history(client)
    fork = (await client.fork(session)).session_id
    head = (await client.get_session(fork)).head
    again = await client.put_invocation_step(
        fork, ANY_UUIDS[0], "timed", invocation_step_id=ANY_UUIDS[1], invocation_step_time=_NOON
    )
    assert _told([again]) == _told([put[2]])
    other = client.put_invocation_step(fork, ANY_UUIDS[0], "other", invocation_step_id=ANY_UUIDS[1])
    await refused(AlreadyExists, other)
    await refused(AlreadyExists, client.create_invocation(fork, invocation_id=ANY_UUIDS[0]))
    assert (await client.get_session(fork)).head == head
