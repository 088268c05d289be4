"""Each limit lets its own value pass and refuses one more: the error names field and limit, nothing is written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from stepwell.client import AsyncClient
from stepwell.errors import InvalidRequest, LimitExceeded
from stepwell.limits import Limits
from stepwell.models import Data, Image, Text
from stepwell.testing.bench import Clients, all_refused, collected, refused

BEDROCK = Limits.bedrock()
_ID = "00000000-0000-0000-0000-000000000000"


async def _begun(clients: Clients) -> tuple[AsyncClient, str]:
    client = clients.open(limits=BEDROCK)
    session = (await client.create_session()).session_id
    await client.create_invocation(session, invocation_id=_ID)
    return client, session


async def _holds(
    clients: Clients, field: str, limit: str, write: Callable[[AsyncClient, str, int], Awaitable[object]]
) -> None:
    """*write* with the limit's value passes; with one more it is refused and leaves the session as it was."""
    client, session = await _begun(clients)
    most = getattr(BEDROCK, limit)
    await write(client, session, most)
    before = await client.get_session(session)
    error = await refused(LimitExceeded, write(client, session, most + 1))
    assert str(error).startswith(f"{field}:")
    assert f"{limit} is {most}" in str(error)
    assert await client.get_session(session) == before


async def metadata_have_so_many_entries(clients: Clients) -> None:
    """50."""
    await _holds(
        clients,
        "metadata",
        "metadata_entries",
        lambda c, s, n: c.update_session(s, {str(at): "x" for at in range(n)}),
    )


async def a_metadata_key_has_so_many_characters(clients: Clients) -> None:
    """100, whatever they take in bytes."""
    await _holds(
        clients,
        "metadata key",
        "metadata_key_characters",
        lambda c, s, n: c.update_session(s, {"\N{ROCKET}" * n: "x"}),
    )


async def a_metadata_value_has_so_many_characters(clients: Clients) -> None:
    """5000."""
    await _holds(
        clients,
        "metadata value",
        "metadata_value_characters",
        lambda c, s, n: c.update_session(s, {"x": "\N{ROCKET}" * n}),
    )


async def a_session_has_so_many_tags(clients: Clients) -> None:
    """200, those that are there already included."""
    await _holds(clients, "tags", "tag_entries", lambda c, s, n: c.tag_resource(s, {str(at): "x" for at in range(n)}))
    client, session = await _begun(clients)
    await client.tag_resource(session, {str(at): "x" for at in range(BEDROCK.tag_entries or 0)})
    await client.tag_resource(session, {"0": "another value"})
    await refused(LimitExceeded, client.tag_resource(session, {"one more": "x"}))
    assert len(await client.list_tags_for_resource(session)) == BEDROCK.tag_entries


async def a_tag_key_has_so_many_characters(clients: Clients) -> None:
    """128."""
    await _holds(clients, "tags key", "tag_key_characters", lambda c, s, n: c.tag_resource(s, {"k" * n: "x"}))


async def a_tag_value_has_so_many_characters(clients: Clients) -> None:
    """256."""
    await _holds(clients, "tags value", "tag_value_characters", lambda c, s, n: c.tag_resource(s, {"k": "x" * n}))


async def tags_have_certain_characters_where_they_are_restricted(clients: Clients) -> None:
    """Letters, digits, spaces and ``. _ : / = + @ -``; without the limit, any."""
    client, session = await _begun(clients)
    assert BEDROCK.tag_characters_restricted
    await client.tag_resource(session, {"aZ0 ._:/=+@-": "aZ0 ._:/=+@-"})
    for character in ("\u00e9", "#", "\0", "\N{ROCKET}", "\u0660"):
        for tags in ({character: "x"}, {"x": character}):
            assert str(await refused(InvalidRequest, client.tag_resource(session, tags))).startswith("tags:")
            free = clients.open()
            await free.create_session(tags=tags)
    assert await client.list_tags_for_resource(session) == {"aZ0 ._:/=+@-": "aZ0 ._:/=+@-"}


async def a_description_has_so_many_characters(clients: Clients) -> None:
    """200."""
    await _holds(
        clients,
        "description",
        "description_characters",
        lambda c, s, n: c.create_invocation(s, description="\N{ROCKET}" * n),
    )


async def a_step_has_so_many_images(clients: Clients) -> None:
    """20, pointers included."""
    images = [Image(format="png", data=b"x"), Image(format="png", s3_uri="s3://bucket/x")] * 11
    await _holds(
        clients,
        "content",
        "images_per_step",
        lambda c, s, n: c.put_invocation_step(s, _ID, ["text", *images[:n]]),
    )


async def a_step_has_so_many_blocks_of_data(clients: Clients) -> None:
    """0: Bedrock's own service has none."""
    datas = [Data(data=b"x")]
    await _holds(
        clients,
        "content",
        "data_blocks_per_step",
        lambda c, s, n: c.put_invocation_step(s, _ID, ["text", *datas[:n]]),
    )


async def an_image_has_so_many_bytes(clients: Clients) -> None:
    """3.75 MB."""
    await _holds(
        clients,
        "content.image",
        "image_bytes",
        lambda c, s, n: c.put_invocation_step(s, _ID, Image(format="png", data=b"x" * n)),
    )


async def a_step_has_so_many_bytes(clients: Clients) -> None:
    """50 MB, of text and images together, as they are before compression."""
    text = Text(text="\N{ROCKET}" * 1_000_000)
    await _holds(
        clients,
        "content",
        "step_bytes",
        lambda c, s, n: c.put_invocation_step(s, _ID, [text, Image(format="png", data=b"x"), "x" * (n - 4_000_001)]),
    )


async def a_session_has_so_many_steps(clients: Clients) -> None:
    """1000 over all invocations; a batch that does not fit whole is refused whole."""
    client, session = await _begun(clients)
    other = (await client.create_invocation(session)).invocation_id
    for at in range(4):
        await client.put_invocation_steps(session, (_ID, other)[at % 2], ["said"] * 249)
    for steps in (["said"] * 5, ["said"] * 4, ["said"]):
        call = client.put_invocation_steps(session, _ID, steps)
        if len(steps) == 4:
            assert len(await call) == 4
        else:
            error = await refused(LimitExceeded, call)
            assert "the limit steps_per_session, 1000" in str(error)
    assert len(await collected(client.steps, session)) == BEDROCK.steps_per_session == 1000


async def limits_hold_for_whatever_creates_a_session(clients: Clients) -> None:
    """Metadata and tags that a session begins with."""
    client = clients.open(limits=BEDROCK)
    await all_refused(
        LimitExceeded,
        client.create_session(metadata={"k" * 101: "x"}),
        client.create_session(tags={"k" * 129: "x"}),
        client.open_session(key="new", metadata={"k": "x" * 5_001}),
        client.open_session(key="new", tags={"k": "x" * 257}),
    )
    assert await collected(client.sessions) == []


async def a_client_without_limits_passes_all_of_them(clients: Clients) -> None:
    """Only what the model forbids is refused."""
    client = clients.open(limits=Limits.none())
    many = {f"{at} " + "k" * 130: "v" * 300 for at in range(201)}
    made = await client.create_session(metadata=many, tags=many)
    assert (made.metadata, made.tags) == (many, many)
    invocation = await client.create_invocation(made.session_id, description="d" * 10_000)
    images = [Image(format="png", data=b"x" * 10) for _ in range(21)]
    await client.put_invocation_step(made.session_id, invocation.invocation_id, images)
    for _ in range(5):
        await client.put_invocation_steps(made.session_id, invocation.invocation_id, ["said"] * 201)
    assert len(await collected(client.steps, made.session_id)) == 1006
