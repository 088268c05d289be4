"""A write whose outcome is unknown is settled by its token, on every store, by whoever asks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, cast

import pytest

from stepwell.errors import InvalidRequest, NotFound, OutcomeUnknown
from stepwell.io.ports import Ports
from stepwell.stores.base import JournalId, JournalStore, SlotTaken
from stepwell.testing import COLOURS, Clients, Colour, OpenStore, attempt, clients_on, collected, refused

INVOCATION = "00000000-0000-0000-0000-000000000000"
LONGER_THAN_ANY_RETRY = timedelta(minutes=5)


class Doubtful:
    """A store that answers appends, while *doubt* says so, with OutcomeUnknown: they arrived, or they did not."""

    def __init__(self, store: JournalStore, wait: Callable[[timedelta], None]) -> None:
        self._store = store
        self._wait = wait
        self.arrives: bool | None = None
        self.lost: list[tuple[JournalId, int, bytes]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        if self.arrives is None:
            return await self._store.append(journal, slot, record)
        if self.arrives:
            await self._store.append(journal, slot, record)
        else:
            self.lost.append((journal, slot, record))
        self._wait(LONGER_THAN_ANY_RETRY)
        raise OutcomeUnknown("simulated")

    async def deliver(self) -> list[SlotTaken | None]:
        """What becomes of the lost requests if they arrive after all."""
        return [await self._store.append(*request) for request in self.lost]


class Doubts(Clients):
    """Clients on one store, and one whose appends can be left in doubt."""

    store: Doubtful

    def __init__(self, open_store: OpenStore, colour: Colour) -> None:
        super().__init__(clients_on(open_store, colour), colour)

        def open_doubtful(ports: Ports) -> JournalStore:
            self.store = Doubtful(open_store(ports), self.clock.advance)
            return cast(JournalStore, self.store)

        self.doubtful = clients_on(open_doubtful, colour)(tenant="conformance", limits=None, clock=self.clock)

    async def aclose(self) -> None:
        await self.doubtful.aclose()
        await super().aclose()


def run(case: Callable[[Doubts], Awaitable[None]], open_store: OpenStore, colour: Colour) -> None:
    async def check() -> None:
        doubts = Doubts(open_store, colour)
        try:
            await case(doubts)
        finally:
            await doubts.aclose()

    asyncio.run(check())


async def put_in_doubt(doubts: Doubts, *, arrives: bool) -> tuple[str, str]:
    """A session with a step "said", and one in doubt; the session and the token."""
    session = (await doubts.doubtful.create_session()).session_id
    await doubts.doubtful.put_invocation_step(session, INVOCATION, "said", create_invocation=True)
    doubts.store.arrives = arrives
    call = doubts.doubtful.put_invocation_step(session, INVOCATION, "in doubt")
    error = await refused(OutcomeUnknown, call)
    doubts.store.arrives = None
    assert (error.operation, error.session_id, error.retryable) == ("put_invocation_step", session, False)
    assert error.token not in f"{error} {error!r}"
    return session, error.token


@pytest.mark.parametrize("colour", COLOURS)
def test_a_write_in_doubt_that_arrived_is_committed(open_store: OpenStore, colour: Colour) -> None:
    async def case(doubts: Doubts) -> None:
        session, token = await put_in_doubt(doubts, arrives=True)
        for client in (doubts.open(), doubts.doubtful, doubts.open()):
            resolution = await client.resolve(token)
            *_, last = await collected(client.steps, session)
            assert (resolution.outcome, resolution.position) == ("committed", last.position)
            assert last.text == "in doubt"
        await doubts.doubtful.put_invocation_step(session, INVOCATION, "after")
        assert [step.text async for step in doubts.open().steps(session)] == ["said", "in doubt", "after"]

    run(case, open_store, colour)


@pytest.mark.parametrize("colour", COLOURS)
def test_a_write_in_doubt_that_is_called_absent_never_arrives(open_store: OpenStore, colour: Colour) -> None:
    async def case(doubts: Doubts) -> None:
        session, token = await put_in_doubt(doubts, arrives=False)
        for client in (doubts.open(), doubts.doubtful, doubts.open()):
            assert (await client.resolve(token)).outcome == "absent"
        assert [type(answer) for answer in await doubts.store.deliver()] == [SlotTaken] * len(doubts.store.lost)
        await doubts.doubtful.put_invocation_step(session, INVOCATION, "after")
        assert [step.text async for step in doubts.open().steps(session)] == ["said", "after"]

    run(case, open_store, colour)


@pytest.mark.parametrize("colour", COLOURS)
def test_a_token_is_settled_by_what_others_wrote_meanwhile(open_store: OpenStore, colour: Colour) -> None:
    async def case(doubts: Doubts) -> None:
        session, token = await put_in_doubt(doubts, arrives=False)
        await doubts.open().put_invocation_step(session, INVOCATION, "in doubt")
        assert (await doubts.open().resolve(token)).outcome == "absent"
        assert [step.text async for step in doubts.open().steps(session)] == ["said", "in doubt"]

    run(case, open_store, colour)


@pytest.mark.parametrize("colour", COLOURS)
def test_a_token_tells_another_tenant_nothing(open_store: OpenStore, colour: Colour) -> None:
    async def case(doubts: Doubts) -> None:
        _, token = await put_in_doubt(doubts, arrives=False)
        stranger = doubts.open(tenant="stranger")
        theirs = await refused(NotFound, stranger.resolve(token))
        nobodys = await refused(NotFound, stranger.get_session(INVOCATION))
        assert str(theirs) == str(nobodys)
        assert (await doubts.open().resolve(token)).outcome == "absent"

    run(case, open_store, colour)


@pytest.mark.parametrize("colour", COLOURS)
def test_a_token_that_was_damaged_settles_nothing(open_store: OpenStore, colour: Colour) -> None:
    """The answer "absent" is final: whoever believes it writes again."""

    async def case(doubts: Doubts) -> None:
        session, token = await put_in_doubt(doubts, arrives=True)
        client = doubts.open()
        changed = (token[:at] + ("B" if token[at] == "A" else "A") + token[at + 1 :] for at in range(len(token) - 1))
        for damaged in (*changed, token[:-4], token[4:], token + "AAAA", token[::-1]):
            assert isinstance(await attempt(client.resolve(damaged)), InvalidRequest | NotFound)
        assert (await client.resolve(token)).outcome == "committed"
        assert [step.text async for step in client.steps(session)] == ["said", "in doubt"]

    run(case, open_store, colour)


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("colour", COLOURS)
def test_a_step_with_an_id_is_put_again_without_asking(open_store: OpenStore, colour: Colour, arrives: bool) -> None:
    async def case(doubts: Doubts) -> None:
        session = (await doubts.doubtful.create_session()).session_id

        async def put() -> object:
            return await doubts.doubtful.put_invocation_step(
                session, INVOCATION, "once", invocation_step_id=INVOCATION, create_invocation=True
            )

        doubts.store.arrives = arrives
        assert isinstance(await attempt(put()), OutcomeUnknown)
        doubts.store.arrives = None
        again = await put()
        assert await collected(doubts.open().steps, session) == [again]

    run(case, open_store, colour)
