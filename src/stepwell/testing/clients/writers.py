"""Several writers of one session: who must not pass unseen uses `if_head`, who must be alone takes a lease."""

from __future__ import annotations

from stepwell.client import AsyncClient
from stepwell.errors import Fenced, HeadMoved, NotFound, NotSupported, StaleStore
from stepwell.models import InvocationStep, Lease, Position
from stepwell.testing.bench import Clients, all_refused, attempt, collected, refused

WORKERS, INCREMENTS = 5, 10


async def _begun(client: AsyncClient) -> tuple[str, str]:
    session = (await client.create_session()).session_id
    return session, (await client.create_invocation(session)).invocation_id


async def _without_if_head(clients: Clients) -> bool:
    """Where `if_head` is missing it is refused, and nothing is written."""
    if clients.abilities.if_head:
        return False
    client = clients.open()
    session, invocation = await _begun(client)
    head = (await client.get_session(session)).head
    await refused(NotSupported, client.put_invocation_step(session, invocation, "said", if_head=head))
    await refused(NotSupported, client.put_invocation_steps(session, invocation, ["said"], if_head=head))
    assert await collected(client.steps, session) == []
    return True


async def _without_leases(clients: Clients) -> bool:
    """Where leases are missing they are refused, and writing goes on."""
    if clients.abilities.leases:
        return False
    client = clients.open()
    session, invocation = await _begun(client)
    await refused(NotSupported, client.lease(session))
    await client.put_invocation_step(session, invocation, "said")
    return True


async def clients_without_conditions_interleave(clients: Clients) -> None:
    """Neither is told of the other."""
    one, other = clients.open(), clients.open()
    session, invocation = await _begun(one)
    for at in range(6):
        await (one, other)[at % 2].put_invocation_step(session, invocation, str(at))
    assert [step.text async for step in one.steps(session)] == list("012345")


async def if_head_refuses_to_pass_what_another_handle_wrote(clients: Clients) -> None:
    """HeadMoved, for one step and for a batch; after reading on, it is accepted."""
    if await _without_if_head(clients):
        return
    client = clients.open()
    session, invocation = await _begun(client)
    for other in (client.handle(), clients.open()):
        head = (await client.get_session(session)).head
        theirs = await other.put_invocation_step(session, invocation, "theirs")
        await all_refused(
            HeadMoved,
            client.put_invocation_step(session, invocation, "mine", if_head=head),
            client.put_invocation_steps(session, invocation, ["mine", "too"], if_head=head),
        )
        (seen,) = await collected(client.steps, session, after=head)
        assert seen == theirs
        await client.put_invocation_step(session, invocation, "mine", if_head=seen.position)
    assert [step.text async for step in client.steps(session)] == ["theirs", "mine"] * 2


async def if_head_is_not_moved_by_the_handle_itself(clients: Clients) -> None:
    """Whoever writes alone goes on with the position that it began at."""
    if await _without_if_head(clients):
        return
    client = clients.open()
    session, invocation = await _begun(client)
    head = (await client.get_session(session)).head
    for at in range(5):
        await client.put_invocation_step(session, invocation, str(at), if_head=head)
    await client.update_session(session, {"mine": "too"})
    await client.put_invocation_steps(session, invocation, ["5", "6"], if_head=head)
    other = clients.open()
    await refused(HeadMoved, other.put_invocation_step(session, invocation, "other", if_head=head))
    assert [step.text async for step in client.steps(session)] == list("0123456")


async def if_head_sees_what_lies_below_the_handles_own_events(clients: Clients) -> None:
    """Writing without a condition hides nothing that another handle wrote before."""
    if await _without_if_head(clients):
        return
    client = clients.open()
    session, invocation = await _begun(client)
    for other in (client.handle(), clients.open()):
        head = (await client.get_session(session)).head
        await other.put_invocation_step(session, invocation, "theirs")
        mine = await client.put_invocation_step(session, invocation, "mine")
        await refused(HeadMoved, client.put_invocation_step(session, invocation, "more", if_head=head))
        await client.put_invocation_step(session, invocation, "more", if_head=mine.position)
    assert [step.text async for step in client.steps(session)] == ["theirs", "mine", "more"] * 2


async def if_head_is_moved_by_every_change_of_another(clients: Clients) -> None:
    """Metadata, tags, invocations and leases are events as well."""
    if await _without_if_head(clients):
        return
    client, other = clients.open(), clients.open()
    session, invocation = await _begun(client)
    for change in (
        lambda: other.update_session(session, {"theirs": "1"}),
        lambda: other.tag_resource(session, {"theirs": "1"}),
        lambda: other.create_invocation(session),
        lambda: other.put_invocation_step(session, invocation, "theirs"),
    ):
        head = (await client.get_session(session)).head
        await change()
        await refused(HeadMoved, client.put_invocation_step(session, invocation, "mine", if_head=head))
        head = (await client.get_session(session)).head
        await client.put_invocation_step(session, invocation, "mine", if_head=head)


async def if_head_behind_the_end_is_refused(clients: Clients) -> None:
    """StaleStore: it was seen, and is gone, or is another session's. Nothing is written."""
    if await _without_if_head(clients):
        return
    client = clients.open()
    (longer, there), (session, invocation) = await _begun(client), await _begun(client)
    last = await client.put_invocation_step(longer, there, "said")
    await refused(StaleStore, client.put_invocation_step(session, invocation, "said", if_head=last.position))
    assert await collected(client.steps, session) == []


async def reading_does_not_move_the_head(clients: Clients) -> None:
    """Nor does a write that was refused, or that was done before."""
    client, other = clients.open(), clients.open()
    session, invocation = await _begun(client)
    put = await client.put_invocation_step(session, invocation, "said", invocation_step_id=invocation)
    head = (await client.get_session(session)).head
    assert head == put.position
    await other.get_session(session)
    await collected(other.steps, session)
    await other.put_invocation_step(session, invocation, "said", invocation_step_id=invocation)
    await refused(NotFound, other.put_invocation_step(session, session, "no such invocation"))
    assert (await client.get_session(session)).head == head


async def five_workers_count_to_fifty(clients: Clients) -> None:
    """The last step is read, incremented and written behind it by five at once, ten times each: none is lost."""
    if await _without_if_head(clients):
        return
    workers = [clients.open() for _ in range(WORKERS)]
    session, invocation = await _begun(workers[0])
    await workers[0].put_invocation_step(session, invocation, "0")

    async def increment(client: AsyncClient) -> None:
        for _ in range(INCREMENTS):
            done = False
            while not done:
                (last,) = await collected(client.steps, session, reverse=True, limit=1)
                put = await attempt(_write(client, str(int(last.text) + 1), last.position))
                assert isinstance(put, InvocationStep | HeadMoved)
                done = isinstance(put, InvocationStep)

    async def _write(client: AsyncClient, text: str, head: Position) -> InvocationStep:
        return await client.put_invocation_step(session, invocation, text, if_head=head)

    await clients.race([increment(worker.handle()) for worker in workers])
    counted = [int(step.text) async for step in workers[0].steps(session)]
    assert counted == list(range(WORKERS * INCREMENTS + 1))


async def a_lease_fences_whoever_held_it_before(clients: Clients) -> None:
    """Fenced, in everything that writes, until it is taken again."""
    if await _without_leases(clients):
        return
    one = clients.open()
    for other in (one.handle(), clients.open()):
        session, invocation = await _begun(one)
        first = await one.lease(session)
        await one.put_invocation_step(session, invocation, "one's")
        second = await other.lease(session)
        assert second.epoch > first.epoch
        await all_refused(
            Fenced,
            one.put_invocation_step(session, invocation, "too late"),
            one.put_invocation_steps(session, invocation, ["too late"]),
            one.create_invocation(session),
            one.update_session(session, {"too": "late"}),
            one.tag_resource(session, {"too": "late"}),
            one.untag_resource(session, ["too"]),
            one.end_session(session),
            one.delete_session(session, end=True),
        )
        await other.put_invocation_step(session, invocation, "other's")
        assert [step.text async for step in one.steps(session)] == ["one's", "other's"]
        third = await one.lease(session)
        assert third.epoch > second.epoch
        await one.put_invocation_step(session, invocation, "one's again")
        await refused(Fenced, other.put_invocation_step(session, invocation, "too late"))


async def a_lease_does_not_concern_who_never_took_one(clients: Clients) -> None:
    """Such handles interleave."""
    if await _without_leases(clients):
        return
    holder, plain = clients.open(), clients.open()
    session, invocation = await _begun(holder)
    await holder.lease(session)
    await plain.put_invocation_step(session, invocation, "plain")
    await holder.handle().put_invocation_step(session, invocation, "another handle")
    await holder.put_invocation_step(session, invocation, "holder")
    assert [step.text async for step in plain.steps(session)] == ["plain", "another handle", "holder"]


async def a_lease_is_for_one_session(clients: Clients) -> None:
    """Others are written as before."""
    if await _without_leases(clients):
        return
    one, other = clients.open(), clients.open()
    (leased, _), (free, invocation) = await _begun(one), await _begun(one)
    await one.lease(leased)
    await one.lease(free)
    await other.lease(leased)
    await one.put_invocation_step(free, invocation, "not fenced here")
    await refused(Fenced, one.end_session(leased))


async def one_of_many_holds_the_lease(clients: Clients) -> None:
    """All get epochs of their own; the greatest may write, and no other."""
    if await _without_leases(clients):
        return
    several = [clients.open() for _ in range(6)]
    session, invocation = await _begun(several[0])
    leases: list[Lease] = await clients.race([client.lease(session) for client in several])
    assert len({lease.epoch for lease in leases}) == len(several)
    newest = max(lease.epoch for lease in leases)
    for client, lease in zip(several, leases, strict=True):
        answer = await attempt(client.put_invocation_step(session, invocation, str(lease.epoch)))
        assert type(answer) is (InvocationStep if lease.epoch == newest else Fenced)
    assert [step.text async for step in several[0].steps(session)] == [str(newest)]
