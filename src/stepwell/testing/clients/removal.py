"""Taking away parts of a session: a step's content, an old history; and reclaiming what nobody can reach."""

from __future__ import annotations

from datetime import timedelta
from hashlib import shake_128

from stepwell.client import AsyncClient
from stepwell.errors import AlreadyExists, NotFound, StaleStore
from stepwell.limits import Limits
from stepwell.models import Content, Data, Position, Redacted, Text
from stepwell.testing.bench import Clients, all_refused, collected, refused
from stepwell.testing.clients.invocations import ANY_UUIDS
from stepwell.testing.clients.operations import session_with_a_step

_MORE_THAN_A_DAY = timedelta(hours=25)
_LARGE = Data(data=shake_128(b"large").digest(300_000))


async def _reclaimed(clients: Clients, client: AsyncClient) -> None:
    """Two runs of `gc`, a day apart."""
    await client.gc()
    clients.clock.advance(_MORE_THAN_A_DAY)
    await client.gc()


async def a_redacted_step_keeps_its_place_and_loses_its_content(clients: Clients) -> None:
    """Inline and large blocks alike, for every reader; steps beside it, also of the same append, keep theirs."""
    client, other = clients.open(), clients.open()
    written = await session_with_a_step(client)
    content: Content = ["secret", _LARGE, "more " * 2000]
    put = await client.put_invocation_steps(written.session, written.invocation, ["before", content, "after"])
    done = await client.redact(
        written.session, written.invocation, put[1].invocation_step_id, reason="asked for", approver="dora"
    )
    assert (done.blocks, done.invocation_step_id) == (3, put[1].invocation_step_id)
    for each in (client, other, clients.open()):
        steps = await collected(each.steps, written.session)
        assert [step.text for step in steps] == ["said", "before", "", "after"]
        assert steps[2].content == (Redacted(), Redacted(), Redacted())
        assert steps[2].position == put[1].position
        assert steps[2].invocation_step_time == put[1].invocation_step_time
        found = await each.get_invocation_step(written.session, written.invocation, put[1].invocation_step_id)
        assert found == steps[2]
    await client.redact(written.session, written.invocation, put[1].invocation_step_id, reason="again")
    await other.put_invocation_step(written.session, written.invocation, "and on")
    assert [step.text for step in await collected(client.steps, written.session)][-1] == "and on"


async def a_redacted_step_is_taken_for_none_that_is_put_again(clients: Clients) -> None:
    """Its id stays taken, also for the content that it had."""
    client = clients.open()
    written = await session_with_a_step(client)
    await client.put_invocation_step(written.session, written.invocation, "x", invocation_step_id=ANY_UUIDS[0])
    await client.redact(written.session, written.invocation, ANY_UUIDS[0], reason="asked for")
    again = client.put_invocation_step(written.session, written.invocation, "x", invocation_step_id=ANY_UUIDS[0])
    assert "redacted" in str(await refused(AlreadyExists, again))
    await all_refused(
        NotFound,
        client.redact(written.session, written.invocation, ANY_UUIDS[1], reason="nobody's"),
        client.redact(ANY_UUIDS[0], written.invocation, written.step, reason="nobody's"),
    )


async def a_fork_of_a_redacted_session_has_no_more_than_it(clients: Clients) -> None:
    """What was forked before is a copy of its own, and named as what remains."""
    client = clients.open()
    written = await session_with_a_step(client)
    large = await client.put_invocation_step(written.session, written.invocation, _LARGE)
    earlier = (await client.fork(written.session)).session_id
    await client.end_session(written.session)
    await client.redact(written.session, written.invocation, written.step, reason="asked for")
    done = await client.redact(written.session, written.invocation, large.invocation_step_id, reason="asked for")
    assert any("forks" in where for where in done.remains)
    later = (await client.fork(written.session)).session_id
    assert [step.content for step in await collected(client.steps, later)] == [(Redacted(),), (Redacted(),)]
    assert [step.content for step in await collected(client.steps, earlier)] == [(Text(text="said"),), (_LARGE,)]


async def a_trimmed_session_begins_at_a_position(clients: Clients) -> None:
    """Older steps are gone at once, the later ones as they were; a trim to what is gone already changes nothing."""
    client, other = clients.open(), clients.open()
    written = await session_with_a_step(client, key="k", metadata={"m": "1"}, tags={"t": "1"})
    steps = [await client.put_invocation_step(written.session, written.invocation, f"{at}") for at in range(20)]
    shown = await other.trim(written.session, before=steps[15].position, reason="old")
    assert (shown.key, shown.metadata, shown.tags) == ("k", {"m": "1"}, {"t": "1"})
    for _ in range(2):
        for each in (client, other, clients.open()):
            assert await collected(each.steps, written.session) == steps[15:]
            assert await collected(each.steps, written.session, reverse=True) == steps[:14:-1]
            assert len((await each.list_invocation_steps(written.session, max_results=100)).items) == len(steps) - 15
            await refused(NotFound, each.get_invocation_step(written.session, written.invocation, written.step))
            last = await each.put_invocation_step(written.session, written.invocation, "more")
            assert (await collected(each.steps, written.session, after=steps[19].position))[-1] == last
            steps_now = await collected(each.steps, written.session)
            await each.trim(written.session, before=steps[3].position)
            assert await collected(each.steps, written.session) == steps_now
            await each.trim(written.session, before=steps[15].position)
            steps[20:] = steps_now[5:]
        await _reclaimed(clients, client)
    assert [s.session_id for s in await collected(client.sessions)] == [written.session]


async def invocations_stay_while_a_step_does(clients: Clients) -> None:
    """Or while they are newer than what was taken away; the newest always stays."""
    client = clients.open()
    session = (await client.create_session()).session_id
    gone = (await client.create_invocation(session)).invocation_id
    used = (await client.create_invocation(session)).invocation_id
    await client.put_invocation_step(session, gone, "gone")
    kept = await client.put_invocation_step(session, used, "kept")
    empty = (await client.create_invocation(session)).invocation_id
    created = {i.invocation_id: i.created_at for i in (await client.list_invocations(session)).items}
    await client.trim(session, before=kept.position)
    for each in (client, clients.open()):
        listed = (await each.list_invocations(session)).items
        assert {i.invocation_id: i.created_at for i in listed} == {i: created[i] for i in (used, empty)}
        await refused(NotFound, each.put_invocation_step(session, gone, "late"))
        await each.put_invocation_step(session, used, "on")
    last = await client.put_invocation_step(session, used, "last")
    newest = (await client.create_invocation(session)).invocation_id
    head = (await client.get_session(session)).head
    await client.trim(session, before=head)
    assert [i.invocation_id for i in (await clients.open().list_invocations(session)).items] == [newest]
    assert await collected(client.steps, session, after=last.position) == []


async def a_fork_of_a_trimmed_session_begins_where_that_does(clients: Clients) -> None:
    """With the invocations that are left, and from no position before."""
    client = clients.open()
    written = await session_with_a_step(client)
    kept = await client.put_invocation_step(written.session, written.invocation, "kept")
    await client.trim(written.session, before=kept.position)
    fork = (await client.fork(written.session)).session_id
    assert [step.text for step in await collected(client.steps, fork)] == ["kept"]
    theirs, ours = await client.list_invocations(written.session), await client.list_invocations(fork)
    assert [(i.invocation_id, i.created_at) for i in ours.items] == [
        (i.invocation_id, i.created_at) for i in theirs.items
    ]
    await client.put_invocation_step(fork, written.invocation, "on")
    await refused(NotFound, client.fork(written.session, at=Position("0.0")))
    await refused(StaleStore, client.trim(written.session, before=Position("1000.0")))


async def reclaiming_leaves_what_is_there_and_takes_what_is_gone(clients: Clients) -> None:
    """A dry run says so and does nothing; a first run purges and marks; one a day later gives the space back."""
    client = clients.open(limits=Limits(retention=timedelta(days=3)))
    stays = await session_with_a_step(clients.open(), key="stays")
    large = await client.put_invocation_step(stays.session, stays.invocation, _LARGE)
    deleted = (await session_with_a_step(clients.open(), key="deleted")).session
    await client.delete_session(deleted, end=True, reason="old")
    due = (await session_with_a_step(client, key="due")).session
    clients.clock.advance(timedelta(days=4))
    seen: list[int] = []
    purged = 0 if clients.abilities.forgets else 1
    dry = await client.gc(dry_run=True)
    assert (dry.dry_run, dry.sessions, dry.purged, dry.reclaimed) == (True, 3, purged, 0)
    first = await client.gc(on_progress=seen.append)
    assert (first.sessions, first.purged, first.reclaimed, first.pending) == (3, purged, 0, 2)
    assert seen == [1, 2, 3]
    clients.clock.advance(timedelta(hours=12))
    assert (await client.gc()).reclaimed == 0
    clients.clock.advance(timedelta(hours=13))
    assert (await client.gc(dry_run=True)).reclaimed == 1 + purged
    second = await clients.open().gc()
    assert (second.reclaimed, second.pending, second.skipped) == (1 + purged, 1 - purged, 0)
    clients.clock.advance(_MORE_THAN_A_DAY)
    assert (await client.gc()).reclaimed == 1 - purged
    third = await client.gc()
    assert (third.sessions, third.reclaimed) == (1, 0)
    assert [s.session_id for s in await collected(client.sessions)] == [stays.session]
    assert [step.content for step in await collected(client.steps, stays.session)][-1] == large.content
    await all_refused(NotFound, client.get_session(deleted), client.get_session(key="due"), client.get_session(due))
    assert (await client.create_session(key="due")).session_id != due


async def reclaiming_does_not_reach_another_tenant(clients: Clients) -> None:
    """Each runs its own."""
    client, other = clients.open(), clients.open(tenant="other")
    gone = (await session_with_a_step(client)).session
    await client.delete_session(gone, end=True)
    await _reclaimed(clients, other)
    assert (await client.gc()).pending == 1
    clients.clock.advance(_MORE_THAN_A_DAY)
    assert (await client.gc()).reclaimed == 1
