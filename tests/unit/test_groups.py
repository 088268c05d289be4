"""Writes that wait together leave together, and each caller hears of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from random import Random
from typing import Any

import pytest

from stepwell import (
    AlreadyExists,
    AsyncClient,
    Fenced,
    HeadMoved,
    InvocationStep,
    LimitExceeded,
    Limits,
    NewStep,
    NotSupported,
    OutcomeUnknown,
    SessionEnded,
    StepwellError,
)
from stepwell.journal.events import Indexed
from stepwell.journal.record import Record, identity, open_record
from stepwell.stores.base import JournalId, SlotTaken
from stepwell.stores.memory import MemoryStore
from tests.unit.worlds import LOST_REPLY, Fate, QuickAsyncTasks, UnluckyStore, World, fresh_uuid


class GatedStore(UnluckyStore):
    """Memory, whose appends wait at a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()

    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        await self.gate.wait()
        return await super().append(journal, slot, record)

    def last_record(self) -> Record:
        journal, records = next(iter(self._journals.items()))
        return open_record(records[-1], identity(journal.tenant, journal.session))


Begun = tuple[GatedStore, AsyncClient, str, str]


async def begun(limits: Limits | None = None) -> Begun:
    store = GatedStore()
    client = AsyncClient.from_store(lambda ports: store, limits=limits, tasks=QuickAsyncTasks())
    session = (await client.create_session()).session_id
    invocation = (await client.create_invocation(session)).invocation_id
    return store, client, session, invocation


async def together(store: GatedStore, *calls: Coroutine[Any, Any, Any]) -> list[Any]:
    """Start *calls*, the first held at the gate, so that the others queue behind it."""
    store.gate.clear()
    tasks: list[asyncio.Task[Any]] = []
    for call in calls:
        tasks.append(asyncio.ensure_future(call))
        await asyncio.sleep(0.001)
    store.gate.set()
    return list(await asyncio.gather(*tasks, return_exceptions=True))


async def texts(client: AsyncClient, session: str) -> list[str]:
    return [step.text async for step in client.steps(session)]


def test_writes_that_pile_up_share_a_record() -> None:
    async def scenario() -> None:
        store, client, session, invocation = await begun()
        puts = (client.put_invocation_step(session, invocation, f"{i}") for i in range(10))
        steps = await together(store, *puts)
        assert sorted({step.slot for step in steps}) == [2, 3]
        assert len({step.position for step in steps}) == 10
        assert await texts(client, session) == [f"{i}" for i in range(10)]

    asyncio.run(scenario())


def test_each_event_of_a_record_is_decided_against_those_before_it() -> None:
    async def scenario() -> None:
        store, client, session, invocation = await begun()
        new = fresh_uuid()
        held, created, again, step, ended, late = await together(
            store,
            client.put_invocation_step(session, invocation, "held"),
            client.create_invocation(session, invocation_id=new),
            client.create_invocation(session, invocation_id=new),
            client.put_invocation_step(session, new, "in the new one"),
            client.end_session(session),
            client.put_invocation_step(session, invocation, "too late"),
        )
        assert held.slot == 2
        assert created.position == "3.0"
        assert isinstance(again, AlreadyExists)
        assert isinstance(step, InvocationStep)
        assert ended.session_status == "ENDED"
        assert isinstance(late, SessionEnded)
        assert await texts(client, session) == ["held", "in the new one"]

    asyncio.run(scenario())


def test_the_same_step_twice_at_once_is_written_once() -> None:
    async def scenario() -> None:
        store, client, session, invocation = await begun()
        new = fresh_uuid()
        put = [client.put_invocation_step(session, invocation, "same", invocation_step_id=new) for _ in range(5)]
        steps = await together(store, *put)
        assert len({step.position for step in steps}) == 1
        assert await texts(client, session) == ["same"]

    asyncio.run(scenario())


def test_an_unknown_outcome_gives_each_caller_a_token_of_its_own() -> None:
    async def scenario() -> None:
        store, client, session, invocation = await begun()
        store.fates = [Fate()]
        store.always = LOST_REPLY
        calls = (client.put_invocation_step(session, invocation, f"{i}") for i in range(3))
        first, *others = await together(store, *calls)
        store.always = Fate()
        assert isinstance(first, InvocationStep)
        assert all(isinstance(other, OutcomeUnknown) for other in others)
        assert len({other.token for other in others}) == 2
        settled = [await client.resolve(other.token) for other in others]
        assert [resolution.position for resolution in settled] == ["3.0", "3.1"]

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_a_cancelled_leader_still_writes_for_those_who_wait() -> None:
    async def scenario() -> None:
        store, client, session, invocation = await begun()
        store.gate.clear()
        leader = asyncio.ensure_future(client.put_invocation_step(session, invocation, "cancelled"))
        await asyncio.sleep(0.01)
        follower = asyncio.ensure_future(client.put_invocation_step(session, invocation, "waits"))
        await asyncio.sleep(0.01)
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        store.gate.set()
        assert (await follower).text == "waits"
        assert await texts(client, session) == ["cancelled", "waits"]
        await client.aclose()

    asyncio.run(scenario())


def test_a_cancelled_caller_that_still_waited_writes_nothing() -> None:
    async def scenario() -> None:
        store, client, session, invocation = await begun()
        store.gate.clear()
        leader = asyncio.ensure_future(client.put_invocation_step(session, invocation, "leads"))
        await asyncio.sleep(0.01)
        waiting = asyncio.ensure_future(client.put_invocation_step(session, invocation, "cancelled"))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        store.gate.set()
        await leader
        assert await texts(client, session) == ["leads"]

    asyncio.run(scenario())


def test_an_event_with_if_head_shares_a_record_only_with_its_own_handle() -> None:
    async def scenario() -> None:
        store, client, session, invocation = await begun()
        head = (await client.get_session(session)).head
        other = client.handle()
        held, mine, also_mine, theirs = await together(
            store,
            client.put_invocation_step(session, invocation, "held"),
            client.put_invocation_step(session, invocation, "mine", if_head=head),
            client.put_invocation_step(session, invocation, "also mine"),
            other.put_invocation_step(session, invocation, "theirs"),
        )
        assert (held.slot, mine.slot, also_mine.slot, theirs.slot) == (2, 3, 3, 4)

    asyncio.run(scenario())


def test_a_handle_is_told_of_another_one_in_the_same_process() -> None:
    async def scenario() -> None:
        _, client, session, invocation = await begun()
        other = client.handle()
        seen = (await client.put_invocation_step(session, invocation, "mine")).position
        mine = await client.put_invocation_step(session, invocation, "mine again")
        assert (await client.put_invocation_step(session, invocation, "own events pass", if_head=seen)).slot == 4
        await other.put_invocation_step(session, invocation, "theirs")
        with pytest.raises(HeadMoved):
            await client.put_invocation_step(session, invocation, "unseen", if_head=mine.position)
        head = (await client.get_session(session)).head
        assert (await client.put_invocation_step(session, invocation, "seen", if_head=head)).slot == 6

    asyncio.run(scenario())


def test_a_lease_taken_over_fences_its_former_holder_and_nobody_else() -> None:
    async def scenario() -> None:
        _, client, session, invocation = await begun()
        other, plain = client.handle(), client.handle()
        assert (await client.lease(session)).epoch == 1
        assert (await client.put_invocation_step(session, invocation, "holder")).slot == 3
        assert (await other.lease(session)).epoch == 2
        for write in (
            client.put_invocation_step(session, invocation, "fenced"),
            client.create_invocation(session),
            client.end_session(session),
            client.update_session(session, {}),
        ):
            with pytest.raises(Fenced):
                await write
        await plain.put_invocation_step(session, invocation, "interleaves")
        assert (await client.lease(session)).epoch == 3
        await client.put_invocation_step(session, invocation, "again")
        assert await texts(client, session) == ["holder", "interleaves", "again"]

    asyncio.run(scenario())


def test_a_record_stays_within_its_bounds_however_much_piles_up() -> None:
    async def scenario() -> None:
        store, client, session, invocation = await begun()
        noise = "".join(chr(0x4E00 + (i * 7919) % 20000) for i in range(10_000))
        await together(store, *(client.put_invocation_step(session, invocation, noise + str(i)) for i in range(60)))
        assert max(len(sent.record) for sent in store.sent) <= 400_000
        assert len([1 async for _ in client.steps(session)]) == 60

    asyncio.run(scenario())


def test_a_limit_holds_within_a_group() -> None:
    async def scenario() -> None:
        store, client, session, invocation = await begun(Limits(steps_per_session=5))
        answers = await together(store, *(client.put_invocation_step(session, invocation, "x") for _ in range(9)))
        refused = [answer for answer in answers if isinstance(answer, LimitExceeded)]
        assert len(refused) == 4
        assert "steps_per_session" in str(refused[0])
        assert len(await texts(client, session)) == 5

    asyncio.run(scenario())


def test_lingering_shares_one_record_among_writers_that_come_soon() -> None:
    async def scenario() -> None:
        store = UnluckyStore()
        client = AsyncClient.from_store(lambda ports: store, linger=0.05)
        session = (await client.create_session()).session_id
        invocation = (await client.create_invocation(session)).invocation_id
        store.sent.clear()
        await asyncio.gather(*(client.put_invocation_step(session, invocation, "x") for _ in range(8)))
        assert len(store.sent) == 1

    asyncio.run(scenario())


def test_snapshots_come_as_slots_pass_and_ids_are_found_across_them() -> None:
    world = World()
    client = world.client()
    session = client.create_session().session_id
    invocations = [client.create_invocation(session).invocation_id for _ in range(3)]
    ids = [fresh_uuid() for _ in range(1200)]
    for i, step in enumerate(ids):
        client.put_invocation_step(session, invocations[i % 3], f"{i}", invocation_step_id=step)
    records = world.store.records()
    snapshots = [r.slot for r in records if any(e and isinstance(e.event, Indexed) for e in r.entries)]
    assert [later - earlier for earlier, later in zip([0, *snapshots], snapshots, strict=False)] == [256] * 4

    cold = world.client()
    for i in (0, 1, 255, 256, 600, 1199):
        assert cold.get_invocation_step(session, invocations[i % 3], ids[i]).text == f"{i}"
        assert cold.put_invocation_step(session, invocations[i % 3], f"{i}", invocation_step_id=ids[i]).text == f"{i}"
        with pytest.raises(AlreadyExists):
            cold.put_invocation_step(session, invocations[i % 3], "other", invocation_step_id=ids[i])
    assert len(list(cold.steps(session))) == 1200
    assert [i.invocation_id for i in cold.list_invocations(session).items] == invocations[::-1]


def test_threads_of_one_client_write_in_one_order() -> None:
    client = World().client()
    session = client.create_session().session_id
    invocation = client.create_invocation(session).invocation_id
    failures: list[StepwellError] = []

    def write(name: int) -> None:
        try:
            for i in range(50):
                client.put_invocation_step(session, invocation, f"{name}:{i}")
        except StepwellError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    found = [step.text for step in client.steps(session)]
    assert sorted(found) == sorted(f"{name}:{i}" for name in range(8) for i in range(50))
    for name in range(8):
        assert [t for t in found if t.startswith(f"{name}:")] == [f"{name}:{i}" for i in range(50)]


def test_a_named_memory_store_is_shared_and_a_nameless_one_is_not() -> None:
    assert isinstance(MemoryStore(), MemoryStore)
    from stepwell import Client

    shared = Client("memory:test-groups")
    session = shared.create_session().session_id
    assert Client("memory:test-groups").get_session(session).session_id == session
    assert list(Client("memory:").sessions()) == []


def test_a_storm_of_cancellations_leaves_nobody_waiting(tmp_path: Path) -> None:
    """Whoever was appointed to lead, and cancelled before it began, hands over."""

    async def scenario() -> None:
        chance = Random(7)
        async with AsyncClient(f"file:{tmp_path / 's'}") as client:
            session = (await client.create_session()).session_id
            invocation = (await client.create_invocation(session)).invocation_id

            async def writer() -> None:
                for _ in range(60):
                    put = asyncio.ensure_future(client.put_invocation_step(session, invocation, "x"))
                    for _ in range(chance.randrange(12)):
                        await asyncio.sleep(0)
                    if chance.random() < 0.3:
                        await asyncio.sleep(chance.random() / 300)
                    put.cancel()
                    await asyncio.gather(put, return_exceptions=True)

            await asyncio.gather(*(writer() for _ in range(8)))
            assert (await client.put_invocation_step(session, invocation, "after the storm")).text == "after the storm"

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_a_batch_of_steps_that_lie_far_apart_is_recognised() -> None:
    client = World().client()
    session = client.create_session().session_id
    invocation = client.create_invocation(session).invocation_id
    steps = [NewStep(content=f"{i}", invocation_step_id=fresh_uuid()) for i in range(200)]
    for step in steps:
        client.put_invocation_steps(session, invocation, [step])
    again = client.put_invocation_steps(session, invocation, steps)
    assert [step.text for step in again] == [f"{i}" for i in range(200)]
    assert len(list(client.steps(session))) == 200


def test_large_attributes_do_not_crowd_out_those_who_share_their_record() -> None:
    async def scenario() -> None:
        store, client, session, invocation = await begun()
        await client.update_session(session, {f"{i}": "x" * 10_000 for i in range(28)})
        answers = await together(
            store,
            client.put_invocation_step(session, invocation, "held"),
            client.tag_resource(session, {"t": "1"}),
            client.tag_resource(session, {"t": "2"}),
            client.put_invocation_step(session, invocation, "innocent"),
        )
        assert [type(answer) for answer in answers] == [InvocationStep, type(None), type(None), InvocationStep]

    asyncio.run(scenario())


def test_a_writer_that_meets_a_newer_event_writes_nothing_behind_it() -> None:
    world = World()
    client = world.client()
    session = client.create_session().session_id
    invocation = client.create_invocation(session).invocation_id
    world.store.add_newer_event()
    for _ in range(3):
        with pytest.raises(NotSupported, match="newer version"):
            client.put_invocation_step(session, invocation, "behind it")
    assert len(world.store.raw_records()) == 3


def test_each_call_hears_of_the_session_as_it_left_it_whatever_follows_in_the_same_record() -> None:
    async def play() -> None:
        store, client, session, invocation = await begun()
        _, first, second, ended, deleted = await together(
            store,
            client.put_invocation_step(session, invocation, "held"),
            client.update_session(session, {"n": "1"}),
            client.update_session(session, {"n": "2"}),
            client.end_session(session),
            client.delete_session(session, end=True),
        )
        assert len(store.last_record().entries) == 4
        assert [dict(told.metadata) for told in (first, second, ended)] == [{"n": "1"}, {"n": "2"}, {"n": "2"}]
        assert [told.session_status for told in (first, second, ended)] == ["ACTIVE", "ACTIVE", "ENDED"]
        assert deleted is None

    asyncio.run(play())
