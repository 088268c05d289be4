"""Lists come in pages, newest first; the token of a page is opaque and of no use for another list."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any

from stepwell.client import AsyncClient
from stepwell.errors import InvalidRequest
from stepwell.models import Page
from stepwell.paging import PAGE_DEFAULT, PAGE_MAX
from stepwell.testing.bench import Clients, all_refused, collected, refused

List = Callable[..., Awaitable[Page[Any]]]


async def _every_page(shown: List, size: int) -> list[Page[Any]]:
    pages = [await shown(max_results=size)]
    while (token := pages[-1].next_token) is not None:
        pages.append(await shown(max_results=size, next_token=token))
    return pages


async def _sessions(client: AsyncClient, many: int, **members: Any) -> list[str]:
    return [(await client.create_session(**members)).session_id for _ in range(many)]


async def _filled(client: AsyncClient, many: int) -> tuple[str, list[str], list[str]]:
    """A session with so many invocations of one step each: their ids, newest first."""
    session = (await client.create_session()).session_id
    invocations = [(await client.create_invocation(session)).invocation_id for _ in range(many)]
    steps = [(await client.put_invocation_step(session, id_, "said")).invocation_step_id for id_ in invocations]
    return session, invocations[::-1], steps[::-1]


async def sessions_are_listed_newest_first(clients: Clients) -> None:
    """By creation; what happens to them later changes nothing."""
    client = clients.open()
    made = await _sessions(client, 6)
    await client.update_session(made[0], {"changed": "last"})
    await client.end_session(made[2])
    listed = await clients.open().list_sessions()
    assert [shown.session_id for shown in listed.items] == made[::-1]
    assert listed.next_token is None


async def a_listed_session_is_as_its_last_change_left_it(clients: Clients) -> None:
    """Status, tags, key and times; steps do not change it."""
    client = clients.open()
    plain = await client.create_session()
    made = await client.create_session(key="k", tags={"a": "1"})
    await client.put_invocation_step(made.session_id, made.session_id, "said", create_invocation=True)
    changes: list[Callable[[], Awaitable[object]]] = [
        lambda: client.update_session(made.session_id, {"m": "1"}),
        lambda: client.tag_resource(made.session_id, {"b": "2"}),
        lambda: client.untag_resource(made.session_id, ["a"]),
        lambda: client.end_session(made.session_id),
        lambda: client.tag_resource(made.session_id, {"after": "the end"}),
    ]
    for change in changes:
        await change()
        session = await client.get_session(made.session_id)
        newest, oldest = (await clients.open().list_sessions()).items
        assert newest.model_dump() == {name: getattr(session, name, None) for name in newest.model_dump()}
        assert oldest.model_dump() == {name: getattr(plain, name, None) for name in oldest.model_dump()}


async def sessions_created_in_one_millisecond_are_listed_newest_first(clients: Clients) -> None:
    """By one client, one after the other: their times differ by less than an id can tell."""
    clients.clock.tick = timedelta(microseconds=1)
    client = clients.open()
    made = await _sessions(client, 12)
    assert [shown.session_id async for shown in client.sessions()] == made[::-1]


async def invocations_and_steps_are_listed_newest_first(clients: Clients) -> None:
    """By the order in which they were written, whatever their ids and times."""
    client = clients.open()
    session, invocations, steps = await _filled(client, 6)
    for each in (client, clients.open()):
        listed = (await each.list_invocations(session)).items
        assert [item.invocation_id for item in listed] == invocations
        listed_steps = (await each.list_invocation_steps(session)).items
        assert [item.invocation_step_id for item in listed_steps] == steps
        assert [item.invocation_id for item in listed_steps] == invocations


async def steps_of_one_invocation_are_listed_alone(clients: Clients) -> None:
    """Where an invocation is named."""
    client = clients.open()
    session, invocations, steps = await _filled(client, 4)
    more = await client.put_invocation_step(session, invocations[2], "more")
    listed = (await client.list_invocation_steps(session, invocations[2])).items
    assert [item.invocation_step_id for item in listed] == [more.invocation_step_id, steps[2]]


async def a_page_has_ten_items_unless_it_is_told(clients: Clients) -> None:
    """Bedrock's default."""
    client = clients.open()
    session, _, _ = await _filled(client, PAGE_DEFAULT + 1)
    await _sessions(client, PAGE_DEFAULT)
    for page in (
        await client.list_sessions(),
        await client.list_invocations(session),
        await client.list_invocation_steps(session),
    ):
        assert len(page.items) == PAGE_DEFAULT == 10
        assert page.next_token is not None


async def pages_show_everything_once(clients: Clients) -> None:
    """Whatever their size; the last one has no token, though it be full."""
    client = clients.open()
    session, invocations, steps = await _filled(client, 12)
    sessions = [*(await _sessions(client, 11))[::-1], session]

    lists: tuple[tuple[List, str, list[str]], ...] = (
        (client.list_sessions, "session_id", sessions),
        (partial(client.list_invocations, session), "invocation_id", invocations),
        (partial(client.list_invocation_steps, session), "invocation_step_id", steps),
    )
    for shown, id_, every in lists:
        for size in (1, 5, 6, 11, 12, 13):
            pages = await _every_page(shown, size)
            assert [getattr(item, id_) for page in pages for item in page.items] == every
            assert [len(page.items) for page in pages[:-1]] == [size] * (len(pages) - 1)
            assert len(pages[-1].items) > 0


async def steps_of_one_invocation_come_in_pages_as_well(clients: Clients) -> None:
    """Others between them do not show, and do not count."""
    client = clients.open()
    session, invocations, _ = await _filled(client, 2)
    own: list[str] = []
    for at in range(30):
        put = await client.put_invocation_steps(session, invocations[at % 2], ["a", "b", "c"])
        own += [step.invocation_step_id for step in put if at % 2]

    shown = partial(client.list_invocation_steps, session, invocations[1])
    for size in (1, 7, 50):
        pages = await _every_page(shown, size)
        found = [item.invocation_step_id for page in pages for item in page.items]
        assert found[:-1] == own[::-1]
        assert len(found) == len(own) + 1


async def a_page_has_at_most_a_thousand_items(clients: Clients) -> None:
    """And as many if it is asked for them."""
    client = clients.open()
    session = (await client.create_session()).session_id
    invocation = (await client.create_invocation(session)).invocation_id
    for _ in range(5):
        await client.put_invocation_steps(session, invocation, ["said"] * 201)
    first = await client.list_invocation_steps(session, max_results=PAGE_MAX)
    assert len(first.items) == PAGE_MAX == 1000
    rest = await client.list_invocation_steps(session, next_token=first.next_token)
    assert (len(rest.items), rest.next_token) == (5, None)


async def a_page_of_another_size_is_refused(clients: Clients) -> None:
    """1 to 1000 are allowed."""
    client = clients.open()
    session, _, _ = await _filled(client, 1)
    for size in (0, -1, PAGE_MAX + 1):
        errors = await all_refused(
            InvalidRequest,
            client.list_sessions(max_results=size),
            client.list_invocations(session, max_results=size),
            client.list_invocation_steps(session, max_results=size),
        )
        assert {str(error).partition(":")[0] for error in errors} == {"max_results"}


async def a_token_is_refused_in_any_other_list(clients: Clients) -> None:
    """Of another kind, session, invocation or tenant; and so is anything else that it is not."""
    client, stranger = clients.open(), clients.open(tenant="somebody-else")
    session, invocations, _ = await _filled(client, 3)
    other, _, _ = await _filled(client, 3)
    await _filled(stranger, 3)
    lists: tuple[List, ...] = (
        client.list_sessions,
        stranger.list_sessions,
        partial(client.list_invocations, session),
        partial(client.list_invocations, other),
        partial(client.list_invocation_steps, session),
        partial(client.list_invocation_steps, other),
        partial(client.list_invocation_steps, session, invocations[0]),
    )
    await client.put_invocation_step(session, invocations[0], "one more")
    await _sessions(stranger, 1)
    tokens = [(await shown(max_results=1)).next_token for shown in lists]
    assert None not in tokens
    for at, shown in enumerate(lists):
        for of, token in enumerate(tokens):
            if at == of:
                assert len((await shown(max_results=1, next_token=token)).items) == 1
            else:
                await refused(InvalidRequest, shown(max_results=1, next_token=token))
        good = tokens[at] or ""
        garbled = (good[:-4], good[:-1], good + "AAAA", good[:-4] + good[-4:].swapcase(), good[::-1])
        for bad in (*garbled, "", " ", "A", "garbage", "\u00e9", "A" * 5_000):
            error = await refused(InvalidRequest, shown(max_results=1, next_token=bad))
            assert str(error).startswith("next_token:")


async def a_token_serves_another_client_of_the_same_tenant(clients: Clients) -> None:
    """And pages of another size."""
    client = clients.open()
    made = await _sessions(client, 5)
    first = await client.list_sessions(max_results=2)
    rest = await clients.open().list_sessions(max_results=100, next_token=first.next_token)
    assert [shown.session_id for shown in (*first.items, *rest.items)] == made[::-1]


async def what_is_written_meanwhile_moves_no_page(clients: Clients) -> None:
    """Pages go on behind the last item that was shown; what was deleted is no longer there."""
    client = clients.open()
    made = await _sessions(client, 6)
    session, _, steps = await _filled(client, 6)
    first = await client.list_sessions(max_results=3)
    first_steps = await client.list_invocation_steps(session, max_results=3)
    await _sessions(client, 2)
    await client.delete_session(made[1], end=True)
    await client.delete_session(first.items[-1].session_id, end=True)
    await client.put_invocation_step(session, first_steps.items[0].invocation_id, "meanwhile")
    rest = await client.list_sessions(next_token=first.next_token)
    assert [shown.session_id for shown in rest.items] == [made[3], made[2], made[0]]
    rest_steps = await client.list_invocation_steps(session, next_token=first_steps.next_token)
    assert [item.invocation_step_id for item in rest_steps.items] == steps[3:]


async def sessions_shows_all_for_which_everything_given_holds(clients: Clients) -> None:
    """Status, tags, the beginning of the key and the time of creation."""
    client = clients.open()
    red = await client.create_session(key="team/red", tags={"team": "red", "level": "1"})
    blue = await client.create_session(key="team/blue", tags={"team": "blue", "level": "1"})
    plain = await client.create_session()
    late = await client.create_session(key="late", tags={"team": "red"})
    await client.end_session(blue.session_id)
    filters: tuple[tuple[dict[str, Any], list[Any]], ...] = (
        ({}, [late, plain, blue, red]),
        ({"status": "ENDED"}, [blue]),
        ({"status": "ACTIVE"}, [late, plain, red]),
        ({"status": "EXPIRED"}, []),
        ({"tags": {"team": "red"}}, [late, red]),
        ({"tags": {"level": "1", "team": "red"}}, [red]),
        ({"tags": {"team": "re"}}, []),
        ({"key_prefix": "team/"}, [blue, red]),
        ({"key_prefix": "TEAM/"}, []),
        ({"created_after": blue.created_at}, [late, plain]),
        ({"created_after": plain.created_at, "tags": {"team": "red"}}, [late]),
        ({"status": "ENDED", "key_prefix": "team/", "tags": {"level": "1"}}, [blue]),
    )
    for chosen, wanted in filters:
        found = [shown.session_id async for shown in clients.open().sessions(**chosen)]
        assert found == [session.session_id for session in wanted]


async def sessions_shows_as_many_as_there_are(clients: Clients) -> None:
    """Over more pages than one; it can be left early."""
    client = clients.open()
    made = await _sessions(client, 130)
    assert [shown.session_id async for shown in client.sessions()] == made[::-1]
    async for shown in client.sessions():
        assert shown.session_id == made[-1]
        break
    assert len(await collected(client.sessions)) == 130


async def deleted_sessions_do_not_hide_older_ones(clients: Clients) -> None:
    """However many there are."""
    client = clients.open()
    kept = (await client.create_session(tags={"kept": "yes"})).session_id
    for session in await _sessions(client, 60):
        await client.delete_session(session, end=True)
    assert [shown.session_id async for shown in client.sessions()] == [kept]
    assert [shown.session_id async for shown in client.sessions(tags={"kept": "yes"})] == [kept]
    pages = await _every_page(client.list_sessions, 1)
    assert [shown.session_id for page in pages for shown in page.items] == [kept]
