"""`steps` reads a history in any order and part; `tail` follows it."""

from __future__ import annotations

from stepwell.client import AsyncClient
from stepwell.errors import InvalidRequest, NotFound, StaleStore
from stepwell.models import InvocationStep, Position
from stepwell.testing.bench import Clients, all_refused, collected, refused

_STEPS = 60


async def _history(client: AsyncClient, key: str | None = None) -> tuple[str, list[str], list[InvocationStep]]:
    """A session of two invocations, whose steps take turns, some in batches."""
    session = (await client.create_session(key=key)).session_id
    invocations = [(await client.create_invocation(session)).invocation_id for _ in range(2)]
    put: list[InvocationStep] = []
    while len(put) < _STEPS:
        at = len(put)
        batch = [f"step {at + more}" for more in range(1 + at % 3)]
        put += await client.put_invocation_steps(session, invocations[at % 2], batch)
    return session, invocations, put


async def steps_come_oldest_first_with_their_content(clients: Clients) -> None:
    """All of them, by id or by key."""
    client = clients.open()
    session, _, put = await _history(client, "history")
    for each in (client, clients.open()):
        assert await collected(each.steps, session) == put
        assert await collected(each.steps, key="history") == put


async def steps_in_reverse_come_newest_first(clients: Clients) -> None:
    """The same ones."""
    client = clients.open()
    session, _, put = await _history(client)
    assert await collected(clients.open().steps, session, reverse=True) == put[::-1]


async def steps_behind_a_position_are_those_after_it(clients: Clients) -> None:
    """Whichever position, in either order; behind the head there are none."""
    client = clients.open()
    session, _, put = await _history(client)
    for at in (0, 1, 2, 3, 30, len(put) - 2, len(put) - 1):
        after = put[at].position
        assert await collected(client.steps, session, after=after) == put[at + 1 :]
        assert await collected(client.steps, session, after=after, reverse=True) == put[:at:-1]
    head = (await client.get_session(session)).head
    assert await collected(client.steps, session, after=head) == []


async def a_limit_ends_the_reading(clients: Clients) -> None:
    """At most so many, from where it begins; none is a limit too."""
    client = clients.open()
    session, _, put = await _history(client)
    for limit in (0, 1, 2, 17, len(put), len(put) + 1):
        assert await collected(client.steps, session, limit=limit) == put[:limit]
        assert await collected(client.steps, session, limit=limit, reverse=True) == put[::-1][:limit]
    found = await collected(client.steps, session, after=put[4].position, limit=3)
    assert found == put[5:8]


async def steps_of_one_invocation_leave_out_the_others(clients: Clients) -> None:
    """In every order and part."""
    client = clients.open()
    session, invocations, put = await _history(client)
    for invocation in invocations:
        own = [step for step in put if step.invocation_id == invocation]
        assert await collected(client.steps, session, invocation_id=invocation) == own
        assert await collected(client.steps, session, invocation_id=invocation, reverse=True) == own[::-1]
        part = await collected(client.steps, session, invocation_id=invocation, after=own[2].position, limit=4)
        assert part == own[3:7]


async def the_positions_of_a_history_follow_its_order(clients: Clients) -> None:
    """The head is that of the newest event; slots never go back."""
    client = clients.open()
    session, _, put = await _history(client)
    assert (await client.get_session(session)).head == put[-1].position
    assert [step.slot for step in put] == sorted(step.slot for step in put)
    assert len({step.position for step in put}) == len(put)


async def a_reading_goes_as_far_as_the_history_went_when_it_began(clients: Clients) -> None:
    """What is written meanwhile does not keep it going."""
    client, writer = clients.open(), clients.open()
    session, invocations, put = await _history(client)
    found: list[InvocationStep] = []
    async for step in client.steps(session):
        found.append(step)
        await writer.put_invocation_step(session, invocations[0], "meanwhile")
    assert found == put


async def a_reading_can_be_left_early(clients: Clients) -> None:
    """The client goes on working."""
    client = clients.open()
    session, invocations, put = await _history(client)
    async for step in client.steps(session):
        assert step == put[0]
        break
    await client.put_invocation_step(session, invocations[0], "the last")
    assert [step.text async for step in client.steps(session, reverse=True, limit=1)] == ["the last"]


async def a_session_without_steps_has_none(clients: Clients) -> None:
    """In every order."""
    client = clients.open()
    session = (await client.create_session()).session_id
    assert await collected(client.steps, session) == []
    assert await collected(client.steps, session, reverse=True) == []
    assert await collected(client.tail, session, timeout=0) == []


async def a_position_that_is_none_is_refused(clients: Clients) -> None:
    """InvalidRequest names the argument."""
    client = clients.open()
    session, _, _ = await _history(client)
    for text in ("", "1", "1.", ".1", "a.b", "-1.0", "1.1.1", "1.0 ", "\u0661.\u0660", "9" * 1000 + ".0"):
        errors = await all_refused(
            InvalidRequest,
            collected(client.steps, session, after=Position(text)),
            collected(client.tail, session, after=Position(text), timeout=0),
        )
        assert [error.operation for error in errors] == ["steps", "tail"]
        assert {str(error).partition(":")[0] for error in errors} == {"after"}


async def reading_on_behind_the_end_is_refused(clients: Clients) -> None:
    """StaleStore: what was seen there is gone, or is another session's."""
    client = clients.open()
    _, _, longer = await _history(client)
    session = (await client.create_session()).session_id
    await all_refused(
        StaleStore,
        collected(client.steps, session, after=longer[-1].position),
        collected(client.steps, session, after=longer[-1].position, reverse=True),
        collected(client.tail, session, after=longer[-1].position, timeout=0),
    )


async def tail_ends_with_its_session(clients: Clients) -> None:
    """After all that was written, however it was ended."""
    client = clients.open()
    session, _, put = await _history(client)
    await client.end_session(session)
    for each in (client, clients.open()):
        assert await collected(each.tail, session) == put


async def tail_gives_up_when_nothing_new_comes(clients: Clients) -> None:
    """After *timeout* seconds; all that is there comes first."""
    client = clients.open()
    session, _, put = await _history(client, "followed")
    assert await collected(client.tail, session, timeout=0) == put
    assert await collected(client.tail, key="followed", timeout=0.05) == put


async def tail_goes_on_behind_a_position(clients: Clients) -> None:
    """Whoever was cut off comes back with the last position that it saw: nothing is missed, nothing comes twice."""
    client = clients.open()
    session, invocations, put = await _history(client)
    seen: list[InvocationStep] = []
    async for step in client.tail(session):
        seen.append(step)
        if len(seen) == 20:
            break
    put += await client.put_invocation_steps(session, invocations[0], ["while away", "and more"])
    await client.end_session(session)
    seen += await collected(clients.open().tail, session, after=seen[-1].position)
    assert seen == put


async def tail_shows_what_another_client_writes(clients: Clients) -> None:
    """As it comes, until the session is ended."""
    reader, writer = clients.open(), clients.open()
    session, invocations, put = await _history(writer)

    async def write() -> list[InvocationStep]:
        more: list[InvocationStep] = []
        for text in ("one", "two", "three"):
            more.append(await writer.put_invocation_step(session, invocations[0], text))
            await collected(writer.tail, session, after=more[-1].position, timeout=0.03)
        await writer.end_session(session)
        return more

    seen, more = await clients.race([collected(reader.tail, session), write()])
    assert seen == [*put, *more]


async def tail_of_a_session_that_is_deleted_says_so(clients: Clients) -> None:
    """NotFound, when it looks again."""
    client = clients.open()
    session, _, put = await _history(client)

    async def follow() -> None:
        seen = 0
        async for _ in client.tail(session):
            seen += 1
            if seen == len(put):
                await client.delete_session(session, end=True)

    await refused(NotFound, follow())
