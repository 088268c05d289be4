"""Steps are put one by one or in batches, under ids of the caller's choice or ours, and read back by them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

from stepwell.client import AsyncClient
from stepwell.errors import AlreadyExists, InvalidRequest, LimitExceeded, NotFound, SessionEnded
from stepwell.models import Content, Data, Image, InvocationStep, NewStep, Text
from stepwell.testing.bench import Clients, attempt, collected, refused
from stepwell.testing.clients.invocations import ANY_UUIDS

STEP, OTHER_STEP, THIRD_STEP = ANY_UUIDS[1], ANY_UUIDS[0], ANY_UUIDS[3]
NOON = datetime(2031, 5, 4, 12, tzinfo=UTC)


async def _begun(client: AsyncClient) -> tuple[str, str]:
    session = (await client.create_session()).session_id
    return session, (await client.create_invocation(session)).invocation_id


async def _texts(client: AsyncClient, session: str) -> list[str]:
    return [step.text async for step in client.steps(session)]


async def a_step_reads_back_as_it_was_put(clients: Clients) -> None:
    """By its ids, in lists and in the history, through any client."""
    client = clients.open()
    session, invocation = await _begun(client)
    put = await client.put_invocation_step(session, invocation, ["p99 is 4 s", Data(data=b"\x00\x01")])
    assert (put.session_id, put.invocation_id) == (session, invocation)
    assert put.content == (Text(text="p99 is 4 s"), Data(data=b"\x00\x01"))
    for each in (client, clients.open()):
        assert await each.get_invocation_step(session, invocation, put.invocation_step_id) == put
        assert await collected(each.steps, session) == [put]
        (listed,) = (await each.list_invocation_steps(session)).items
        assert listed.model_dump() == {name: getattr(put, name) for name in listed.model_dump()}


async def a_lone_string_or_block_is_a_step_of_one_block(clients: Clients) -> None:
    """And a sequence is one of several, strings and blocks mixed."""
    client = clients.open()
    session, invocation = await _begun(client)
    image = Image(format="png", data=b"\x89PNG")
    for content, blocks in (
        ("a text", (Text(text="a text"),)),
        (Text(text="a block"), (Text(text="a block"),)),
        (image, (image,)),
        (["two", "texts"], (Text(text="two"), Text(text="texts"))),
        (("a tuple", image), (Text(text="a tuple"), image)),
    ):
        put = await client.put_invocation_step(session, invocation, content)
        found = await client.get_invocation_step(session, invocation, put.invocation_step_id)
        assert found.content == put.content == blocks


async def a_step_is_found_in_its_own_invocation_only(clients: Clients) -> None:
    """NotFound elsewhere; the same id may be used there for another step."""
    client = clients.open()
    session, invocation = await _begun(client)
    other = (await client.create_invocation(session)).invocation_id
    await client.put_invocation_step(session, invocation, "here", invocation_step_id=STEP)
    await refused(NotFound, client.get_invocation_step(session, other, STEP))
    await refused(NotFound, client.get_invocation_step(session, invocation, OTHER_STEP))
    await client.put_invocation_step(session, other, "there", invocation_step_id=STEP)
    assert (await client.get_invocation_step(session, invocation, STEP)).text == "here"
    assert (await client.get_invocation_step(session, other, STEP)).text == "there"


async def a_step_can_have_any_lowercase_uuid(clients: Clients) -> None:
    """Of any version or none; order is that of writing."""
    client = clients.open()
    session, invocation = await _begun(client)
    for step in reversed(ANY_UUIDS):
        put = await client.put_invocation_step(session, invocation, step, invocation_step_id=step)
        assert put.invocation_step_id == step
    assert await _texts(client, session) == list(reversed(ANY_UUIDS))


async def the_same_step_again_is_a_success_and_writes_nothing(clients: Clients) -> None:
    """The step as it was first written is returned, its time and position included."""
    client = clients.open()
    session, invocation = await _begun(client)
    content: Content = ["said", Image(format="png", data=b"\x89PNG"), Data(media_type="a/b", data=b"\x00" * 600)]
    first = await client.put_invocation_step(session, invocation, content, invocation_step_id=STEP)
    head = (await client.get_session(session)).head
    for each in (client, clients.open()):
        again = await each.put_invocation_step(session, invocation, content, invocation_step_id=STEP)
        assert again == first
        timed = await each.put_invocation_step(
            session,
            invocation,
            content,
            invocation_step_id=STEP,
            invocation_step_time=first.invocation_step_time,
        )
        assert timed == first
    assert await collected(client.steps, session) == [first]
    assert (await client.get_session(session)).head == head


async def the_same_step_id_with_other_content_is_refused(clients: Clients) -> None:
    """AlreadyExists, whatever differs: text, kind, order, number, label or time; the first one stands."""
    client = clients.open()
    session, invocation = await _begun(client)
    content: list[Text | Data] = [Text(text="said"), Data(media_type="text/plain", data=b"said")]
    first = await client.put_invocation_step(session, invocation, content, invocation_step_id=STEP)
    others: tuple[Content, ...] = (
        "other",
        ["said"],
        [*content, "more"],
        [content[1], content[0]],
        [Text(text="said"), Data(media_type="text/html", data=b"said")],
        [Text(text="said"), Text(text="said")],
        [Text(text="said"), Data(media_type="text/plain", data=b"sad!")],
    )
    for each in (client, clients.open()):
        for other in others:
            call = each.put_invocation_step(session, invocation, other, invocation_step_id=STEP)
            await refused(AlreadyExists, call)
        call = each.put_invocation_step(
            session, invocation, content, invocation_step_id=STEP, invocation_step_time=NOON
        )
        await refused(AlreadyExists, call)
    assert await collected(client.steps, session) == [first]


async def an_image_of_another_format_is_other_content(clients: Clients) -> None:
    """And so is a pointer to one."""
    client = clients.open()
    session, invocation = await _begun(client)
    png, jpeg = Image(format="png", data=b"image"), Image(format="jpeg", data=b"image")
    there, elsewhere = (Image(format="png", s3_uri=f"s3://bucket/{name}") for name in ("a", "b"))
    await client.put_invocation_step(session, invocation, png, invocation_step_id=STEP)
    await client.put_invocation_step(session, invocation, there, invocation_step_id=OTHER_STEP)
    for step, image in ((STEP, jpeg), (STEP, there), (OTHER_STEP, elsewhere), (OTHER_STEP, png)):
        call = client.put_invocation_step(session, invocation, image, invocation_step_id=step)
        await refused(AlreadyExists, call)


async def one_of_many_writes_a_step_id(clients: Clients) -> None:
    """With the same content all succeed and one wrote; with others, one succeeds."""
    several = [clients.open() for _ in range(6)]
    session, invocation = await _begun(several[0])
    same = await clients.race(
        [c.put_invocation_step(session, invocation, "same", invocation_step_id=STEP) for c in several]
    )
    assert len({step.position for step in same}) == 1
    different = await clients.race(
        [
            attempt(c.put_invocation_step(session, invocation, str(at), invocation_step_id=OTHER_STEP))
            for at, c in enumerate(several)
        ]
    )
    (winner,) = (answer for answer in different if isinstance(answer, InvocationStep))
    assert [type(answer) for answer in different if answer is not winner] == [AlreadyExists] * 5
    assert await _texts(several[0], session) == ["same", winner.text]


async def a_step_keeps_the_time_it_is_given(clients: Clients) -> None:
    """In UTC, to the microsecond; a naive one is UTC. Order is that of writing, not of time."""
    client = clients.open()
    session, invocation = await _begun(client)
    east = timezone(timedelta(hours=5, minutes=30))
    times = (
        (NOON + timedelta(microseconds=123_456), NOON + timedelta(microseconds=123_456)),
        (NOON.replace(tzinfo=None), NOON),
        (NOON.astimezone(east), NOON),
        (datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)),
        (datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC), datetime.max.replace(tzinfo=UTC)),
    )
    for given, kept in times:
        put = await client.put_invocation_step(session, invocation, "timed", invocation_step_time=given)
        assert put.invocation_step_time == kept
    found = [step.invocation_step_time async for step in client.steps(session)]
    assert found == [kept for _, kept in times]
    assert [time.tzinfo for time in found] == [UTC] * len(found)
    listed = (await client.list_invocation_steps(session)).items
    assert [item.invocation_step_time for item in listed] == list(reversed(found))


async def a_step_without_a_time_has_that_of_its_writing(clients: Clients) -> None:
    """By the client's clock, and never before the step before it."""
    client = clients.open()
    session, invocation = await _begun(client)
    times: list[datetime] = []
    for _ in range(4):
        before = clients.clock.now()
        put = await client.put_invocation_step(session, invocation, "now")
        assert before <= put.invocation_step_time <= clients.clock.now()
        times.append(put.invocation_step_time)
        clients.clock.advance(timedelta(minutes=1))
    clients.clock.advance(timedelta(minutes=-30))
    times.append((await client.put_invocation_step(session, invocation, "set back")).invocation_step_time)
    assert times == sorted(times)


async def a_batch_is_one_write_in_the_order_given(clients: Clients) -> None:
    """Content and NewStep mixed; ids and times where they are given."""
    client = clients.open()
    session, invocation = await _begun(client)
    put = await client.put_invocation_steps(
        session,
        invocation,
        [
            "first",
            NewStep(content=(Text(text="second"),), invocation_step_id=STEP, invocation_step_time=NOON),
            ["third", Data(data=b"3")],
        ],
    )
    assert [step.text for step in put] == ["first", "second", "third"]
    assert len({step.slot for step in put}) == 1
    assert (put[1].invocation_step_id, put[1].invocation_step_time) == (STEP, NOON)
    assert await collected(clients.open().steps, session) == list(put)


async def a_batch_is_written_whole_or_not_at_all(clients: Clients) -> None:
    """Whatever is wrong with one of its steps, and wherever that stands."""
    client = clients.open()
    session, invocation = await _begun(client)
    await client.put_invocation_step(session, invocation, "there", invocation_step_id=STEP)
    taken = NewStep(content=(Text(text="other"),), invocation_step_id=STEP)
    new = NewStep(content=(Text(text="new"),), invocation_step_id=OTHER_STEP)
    there = NewStep(content=(Text(text="there"),), invocation_step_id=STEP)
    existing: tuple[Sequence[NewStep | Content], ...] = ([new, taken], [taken, new], [new, there], ["new", taken])
    for steps in existing:
        await refused(AlreadyExists, client.put_invocation_steps(session, invocation, steps))
    malformed: tuple[Sequence[NewStep | Content], ...] = (["new", ""], ["new", []], [new, new], [])
    for steps in malformed:
        await refused(InvalidRequest, client.put_invocation_steps(session, invocation, steps))
    await refused(LimitExceeded, client.put_invocation_steps(session, invocation, ["new"] * 251))
    assert await _texts(client, session) == ["there"]
    await refused(NotFound, client.get_invocation_step(session, invocation, OTHER_STEP))


async def the_same_batch_again_is_a_success_and_writes_nothing(clients: Clients) -> None:
    """Where each step has an id of its own."""
    client = clients.open()
    session, invocation = await _begun(client)
    batch = [
        NewStep(content=(Text(text=f"step {at}"),), invocation_step_id=step)
        for at, step in enumerate((STEP, OTHER_STEP, THIRD_STEP))
    ]
    first = await client.put_invocation_steps(session, invocation, batch)
    for each in (client, clients.open()):
        assert await each.put_invocation_steps(session, invocation, batch) == first
    assert await collected(client.steps, session) == list(first)


async def a_large_batch_is_one_write(clients: Clients) -> None:
    """250 steps."""
    client = clients.open()
    session, invocation = await _begun(client)
    texts = [f"step {at}" for at in range(250)]
    put = await client.put_invocation_steps(session, invocation, texts)
    assert [step.text for step in put] == texts
    assert await _texts(client, session) == texts


async def steps_of_many_writers_are_all_kept(clients: Clients) -> None:
    """Each writer's in its own order, every position once."""
    several = [clients.open() for _ in range(5)]
    session, invocation = await _begun(several[0])

    async def write(client: AsyncClient, name: str) -> list[InvocationStep]:
        return [await client.put_invocation_step(session, invocation, f"{name} {at}") for at in range(10)]

    put = await clients.race([write(client, f"writer {at}") for at, client in enumerate(several)])
    found = await collected(several[0].steps, session)
    assert len({step.position for step in found}) == 50
    for own in put:
        assert [step for step in found if step in own] == own


async def an_old_step_is_found_by_its_id(clients: Clients) -> None:
    """However many came after it, by a client that knows nothing yet."""
    client = clients.open()
    session, invocation = await _begun(client)
    first = await client.put_invocation_step(session, invocation, "first", invocation_step_id=STEP)
    made = await client.put_invocation_step(session, invocation, "made")
    for _ in range(10):
        await client.put_invocation_steps(session, invocation, ["more"] * 250)
    for each in (client, clients.open()):
        assert await each.get_invocation_step(session, invocation, STEP) == first
        assert await each.get_invocation_step(session, invocation, made.invocation_step_id) == made
        again = await each.put_invocation_step(session, invocation, "first", invocation_step_id=STEP)
        assert again == first
        other = each.put_invocation_step(session, invocation, "other", invocation_step_id=STEP)
        await refused(AlreadyExists, other)
        await refused(NotFound, each.get_invocation_step(session, invocation, OTHER_STEP))


async def the_same_step_again_is_a_success_even_after_the_end(clients: Clients) -> None:
    """Whoever did not hear that it was written may ask later; another step is refused."""
    client = clients.open()
    session, invocation = await _begun(client)
    first = await client.put_invocation_step(session, invocation, "said", invocation_step_id=STEP)
    await client.end_session(session)
    for each in (client, clients.open()):
        again = await each.put_invocation_step(session, invocation, "said", invocation_step_id=STEP)
        assert again == first
        other = each.put_invocation_step(session, invocation, "said", invocation_step_id=OTHER_STEP)
        await refused(SessionEnded, other)
    assert await collected(client.steps, session) == [first]
