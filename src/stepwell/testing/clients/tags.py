"""Tags are kept on a session: added, replaced and removed one by one, whatever its status."""

from __future__ import annotations

from stepwell.client import AsyncClient
from stepwell.errors import InvalidRequest
from stepwell.testing.bench import Clients, all_refused


async def tags_are_added_to_those_that_are_there(clients: Clients) -> None:
    """One that is there gets the new value."""
    client = clients.open()
    made = await client.create_session(tags={"a": "1", "b": "2"})
    await client.tag_resource(made.session_arn, {"b": "3", "c": ""})
    for each in (client, clients.open()):
        assert await each.list_tags_for_resource(made.session_arn) == {"a": "1", "b": "3", "c": ""}
        assert (await each.get_session(made.session_id)).tags == {"a": "1", "b": "3", "c": ""}


async def tags_are_removed_by_their_keys(clients: Clients) -> None:
    """Those that are not there are passed over."""
    client = clients.open()
    made = await client.create_session(tags={"a": "1", "b": "2", "c": "3"})
    await client.untag_resource(made.session_arn, ["a", "c", "never there"])
    assert await clients.open().list_tags_for_resource(made.session_arn) == {"b": "2"}
    await client.untag_resource(made.session_arn, ["b"])
    assert await client.list_tags_for_resource(made.session_arn) == {}


async def tagging_changes_nothing_else(clients: Clients) -> None:
    """Metadata and status stay, and it is no activity; the session was updated."""
    client = clients.open()
    made = await client.create_session(key="k", metadata={"m": "1"})
    await client.tag_resource(made.session_id, {"a": "1"})
    tagged = await client.get_session(made.session_id)
    assert (tagged.metadata, tagged.session_status, tagged.key) == ({"m": "1"}, "ACTIVE", "k")
    assert tagged.last_activity_at == made.last_activity_at
    assert tagged.last_updated_at > made.last_updated_at


async def an_ended_session_can_be_tagged(clients: Clients) -> None:
    """It stays ended."""
    client = clients.open()
    made = await client.create_session(tags={"a": "1"})
    await client.end_session(made.session_id)
    await client.tag_resource(made.session_id, {"b": "2"})
    await client.untag_resource(made.session_id, ["a"])
    session = await client.get_session(made.session_id)
    assert (session.tags, session.session_status) == ({"b": "2"}, "ENDED")


async def metadata_and_tags_do_not_mix(clients: Clients) -> None:
    """The same key in both is two things."""
    client = clients.open()
    made = await client.create_session(metadata={"same": "metadata"}, tags={"same": "tag"})
    await client.update_session(made.session_id, {"same": "changed"})
    await client.tag_resource(made.session_id, {"same": "retagged"})
    session = await client.get_session(made.session_id)
    assert (session.metadata, session.tags) == ({"same": "changed"}, {"same": "retagged"})


async def taggers_that_run_at_once_lose_no_tag(clients: Clients) -> None:
    """Each adds its own."""
    several = [clients.open() for _ in range(6)]
    session = (await several[0].create_session()).session_id

    async def tag(client: AsyncClient, name: str) -> None:
        for at in range(5):
            await client.tag_resource(session, {f"{name}.{at}": name})

    await clients.race([tag(client, f"tagger {at}") for at, client in enumerate(several)])
    wanted = {f"tagger {by}.{at}": f"tagger {by}" for by in range(6) for at in range(5)}
    assert await several[0].list_tags_for_resource(session) == wanted
    (listed,) = (await several[0].list_sessions()).items
    assert listed.tags == wanted


async def a_tagging_without_tags_is_refused(clients: Clients) -> None:
    """InvalidRequest names the argument."""
    client = clients.open()
    session = (await client.create_session(tags={"a": "1"})).session_id
    errors = await all_refused(
        InvalidRequest,
        client.tag_resource(session, {}),
        client.tag_resource(session, {"": "1"}),
        client.untag_resource(session, []),
        client.untag_resource(session, "a"),
    )
    assert [str(error).partition(":")[0] for error in errors] == ["tags", "tags", "tag_keys", "tag_keys"]
    assert await client.list_tags_for_resource(session) == {"a": "1"}
