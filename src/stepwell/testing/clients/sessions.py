"""Sessions are created, found, changed and deleted; a key names one of them at a time."""

from __future__ import annotations

from stepwell.errors import AlreadyExists, Conflict, InvalidRequest, NotFound, NotSupported
from stepwell.models import Session
from stepwell.testing.bench import Clients, all_refused, attempt, collected, refused

KMS_KEY = "arn:aws:kms:us-east-1:000000000000:key/00000000-0000-4000-8000-000000000000"


async def a_new_session_is_active_and_reads_back_as_it_was_created(clients: Clients) -> None:
    """With its key, metadata, tags and times."""
    client = clients.open()
    made = await client.create_session(key="INC-7", metadata={"incident": "7"}, tags={"team": "red"})
    assert made.session_status == "ACTIVE"
    assert (made.key, made.metadata, made.tags) == ("INC-7", {"incident": "7"}, {"team": "red"})
    assert made.created_at == made.last_updated_at <= made.last_activity_at
    assert made.session_arn.endswith(f":session/{made.session_id}")
    assert await client.get_session(made.session_id) == made
    assert await clients.open().get_session(made.session_id) == made


async def a_session_needs_no_members(clients: Clients) -> None:
    """Everything about it is optional."""
    client = clients.open()
    made = await client.create_session()
    assert (made.key, made.metadata, made.tags) == (None, {}, {})
    assert await client.get_session(made.session_id) == made


async def sessions_have_ids_of_their_own(clients: Clients) -> None:
    """However alike they are."""
    client = clients.open()
    made = [await client.create_session(metadata={"same": "same"}) for _ in range(5)]
    assert len({session.session_id for session in made}) == 5


async def a_session_is_found_by_its_id_its_arn_and_its_key(clients: Clients) -> None:
    """And it is the same one."""
    client = clients.open()
    made = await client.create_session(key="user-42")
    await client.create_session(key="user-43")
    assert await client.get_session(made.session_arn) == made
    assert await client.get_session(key="user-42") == made


async def a_session_is_asked_for_by_id_or_by_key(clients: Clients) -> None:
    """Not by both, not by neither."""
    client = clients.open()
    made = await client.create_session(key="user-42")
    await refused(InvalidRequest, client.get_session())
    await refused(InvalidRequest, client.get_session(made.session_id, key="user-42"))
    await refused(InvalidRequest, collected(client.steps))
    await refused(InvalidRequest, collected(client.tail, made.session_id, key="user-42"))


async def an_unknown_session_or_key_is_not_found(clients: Clients) -> None:
    """NotFound names the operation."""
    client = clients.open()
    by_id = client.get_session("0198c0de-0000-7000-8000-000000000000")
    errors = await all_refused(NotFound, by_id, client.get_session(key="nobody's"))
    assert [error.operation for error in errors] == ["get_session"] * 2


async def a_key_can_be_any_name(clients: Clients) -> None:
    """1 to 512 characters of any script, spaces and slashes included; each is another key."""
    client = clients.open()
    keys = [
        *("x", "X", "x" * 512, "user 42", "acme/thread/7", "a:b@c#d?e=f&g%h", "~", "'; drop table"),
        *("\u05e9\u05dc\u05d5\u05dd", "\N{ROCKET}" * 512, "\u00e9", "e\u0301", "...", "a..b"),
    ]
    made = {key: (await client.create_session(key=key)).session_id for key in keys}
    assert {key: (await client.get_session(key=key)).session_id for key in keys} == made
    assert len(set(made.values())) == len(keys)


async def a_taken_key_is_refused(clients: Clients) -> None:
    """The session that has it stays as it is, and no other one comes to be."""
    client = clients.open()
    made = await client.create_session(key="INC-7", metadata={"first": "yes"})
    for other in (client, clients.open()):
        error = await refused(AlreadyExists, other.create_session(key="INC-7", metadata={"first": "no"}))
        assert error.operation == "create_session"
    assert await client.get_session(key="INC-7") == made
    assert [shown.session_id async for shown in client.sessions()] == [made.session_id]


async def one_of_many_creates_a_session_by_key(clients: Clients) -> None:
    """All others are told that it exists; it is whole, and the only one."""
    several = [clients.open() for _ in range(8)]
    answers = await clients.race(
        [attempt(client.create_session(key="race", metadata={"by": str(at)})) for at, client in enumerate(several)]
    )
    (winner,) = (answer for answer in answers if isinstance(answer, Session))
    assert [type(answer) for answer in answers if answer is not winner] == [AlreadyExists] * 7
    for client in several:
        assert await client.get_session(key="race") == winner
    assert [shown.session_id async for shown in several[0].sessions()] == [winner.session_id]


async def open_session_creates_a_session_once(clients: Clients) -> None:
    """Metadata and tags are for a new one; the one that is there is returned as it is."""
    client = clients.open()
    made = await client.open_session(key="user-42", metadata={"n": "1"}, tags={"t": "1"})
    assert (made.metadata, made.tags, made.key) == ({"n": "1"}, {"t": "1"}, "user-42")
    assert await client.open_session(key="user-42", metadata={"n": "2"}, tags={"t": "2"}) == made
    await client.end_session(made.session_id)
    assert (await client.open_session(key="user-42")).session_status == "ENDED"


async def everybody_who_opens_a_session_gets_the_same(clients: Clients) -> None:
    """However many do at once."""
    several = [clients.open() for _ in range(8)]
    opened = await clients.race([client.open_session(key="shared") for client in several])
    assert len({session.session_id for session in opened}) == 1
    assert len(await collected(several[0].sessions)) == 1


async def update_session_replaces_the_metadata(clients: Clients) -> None:
    """All of them, with nothing kept; tags, key and times of creation stay."""
    client = clients.open()
    made = await client.create_session(key="k", metadata={"a": "1", "b": "2"}, tags={"t": "1"})
    changed = await client.update_session(made.session_id, {"b": "3", "c": ""})
    assert changed.metadata == {"b": "3", "c": ""}
    assert (changed.tags, changed.key, changed.created_at) == (made.tags, "k", made.created_at)
    assert changed.last_updated_at > made.last_updated_at
    assert changed.last_activity_at > made.last_activity_at
    assert await clients.open().get_session(made.session_id) == changed
    assert (await client.update_session(made.session_id, {})).metadata == {}
    assert (await client.get_session(made.session_id)).metadata == {}


async def a_change_is_seen_through_every_client_at_once(clients: Clients) -> None:
    """A client that has looked before does not answer from memory."""
    writer, reader = clients.open(), clients.open()
    made = await writer.create_session()
    for text in ("one", "two", "three"):
        await writer.update_session(made.session_id, {"text": text})
        assert (await reader.get_session(made.session_id)).metadata == {"text": text}
        await reader.update_session(made.session_id, {"text": text + " back"})
        assert (await writer.get_session(made.session_id)).metadata == {"text": text + " back"}


async def a_change_behind_large_ones_is_seen(clients: Clients) -> None:
    """However large the changes before it were, a client that has looked before sees the last."""
    writer, reader = clients.open(), clients.open()
    made = await writer.create_session()
    for size in (150_000, 170_000, 190_000, 295_000):
        await writer.update_session(made.session_id, {"large": "x" * 295_000})
        await reader.get_session(made.session_id)
        for length in (295_000, size, 295_000):
            await writer.update_session(made.session_id, {"large": "y" * length})
        last = await writer.update_session(made.session_id, {"large": "the last", "size": str(size)})
        assert await reader.get_session(made.session_id) == last


async def end_session_ends_it_for_good(clients: Clients) -> None:
    """It is ENDED for everybody; ending it again is a success and changes nothing."""
    client = clients.open()
    made = await client.create_session(metadata={"a": "1"}, tags={"t": "1"})
    ended = await client.end_session(made.session_id)
    assert (ended.session_id, ended.session_status) == (made.session_id, "ENDED")
    assert (ended.metadata, ended.tags) == ({"a": "1"}, {"t": "1"})
    for other in (client, clients.open()):
        assert await other.end_session(made.session_id) == ended
        assert await other.get_session(made.session_id) == ended


async def an_active_session_is_not_deleted_by_mistake(clients: Clients) -> None:
    """Conflict, and it goes on as before; `end=True` deletes it at once."""
    client = clients.open()
    made = await client.create_session(key="k")
    await refused(Conflict, client.delete_session(made.session_id))
    assert await client.get_session(key="k") == made
    await client.delete_session(made.session_id, end=True)
    await refused(NotFound, client.get_session(made.session_id))


async def a_deleted_session_is_gone(clients: Clients) -> None:
    """By id and by key, from lists, for everybody; deleting it again finds nothing."""
    client, other = clients.open(), clients.open()
    made = await client.create_session(key="k")
    await other.get_session(made.session_id)
    await client.end_session(made.session_id)
    await client.delete_session(made.session_id)
    for each in (client, other):
        await refused(NotFound, each.get_session(made.session_id))
        await refused(NotFound, each.get_session(key="k"))
        await refused(NotFound, each.delete_session(made.session_id))
        assert await collected(each.sessions) == []


async def a_key_is_free_again_once_its_session_is_deleted(clients: Clients) -> None:
    """At once, as often as one likes; the new session has nothing of the former ones."""
    client, other = clients.open(), clients.open()
    former: list[str] = []
    for at in range(4):
        maker = (client, other)[at % 2]
        made = await maker.create_session(key="again", metadata={"life": str(at)})
        assert made.session_id not in former
        await maker.put_invocation_step(made.session_id, made.session_id, f"life {at}", create_invocation=True)
        assert [step.text async for step in other.steps(key="again")] == [f"life {at}"]
        former.append(made.session_id)
        await client.delete_session(made.session_id, end=True)
    for session_id in former:
        await refused(NotFound, client.get_session(session_id))
    assert (await client.open_session(key="again", metadata={"life": "last"})).metadata == {"life": "last"}


async def an_encryption_key_is_kept_or_refused(clients: Clients) -> None:
    """Never ignored: a backend that cannot honour it says so and makes no session."""
    client = clients.open()
    if clients.abilities.encryption_keys:
        made = await client.create_session(encryption_key_arn=KMS_KEY)
        assert (await client.get_session(made.session_id)).encryption_key_arn == KMS_KEY
        return
    await refused(NotSupported, client.create_session(key="k", encryption_key_arn=KMS_KEY))
    await refused(NotFound, client.get_session(key="k"))
    assert await collected(client.sessions) == []
