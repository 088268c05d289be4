"""Clients on one store, and the reference beside them: every call is made, and its answer compared.

A call is compared after it is over, for what happened while its client was frozen comes before it. Where its client was
told `OutcomeUnknown`, `resolve` has to say what the store knows: whether the append came to be. Where its client was
killed, what is there is read by somebody else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

from stepwell.client import AsyncClient
from stepwell.errors import NotFound, OutcomeUnknown, SessionExpired, StepwellError, Unavailable
from stepwell.ids import uuid_text
from stepwell.limits import Limits
from stepwell.models import Page, Session
from stepwell.stores.base import JournalId
from stepwell.sync import Client
from stepwell.testing.bench import Colour, FakeClock, OpenStore, attempt, collected
from stepwell.testing.lifted import Lifted
from stepwell.testing.modelled.faulty import FaultyStore, Killed, QuickLoop, QuickThreads
from stepwell.testing.modelled.reference import Caller, Kept, Mark, Reference, Refusal, Step

T = TypeVar("T")

TENANT = "programs"
SHORT_LIVED = Limits(idle_timeout=timedelta(minutes=65), retention=timedelta(days=2, minutes=5))
"""No multiple of the ten minutes that clocks jump by: nothing is decided by the milliseconds that calls take."""
LIMITS = (Limits.none(), SHORT_LIVED)
CLOSE = timedelta(seconds=30)
"""How far apart two looks at the clock may be that belong to one call."""
MORE = 1000


@dataclass(slots=True)
class Connection:
    """A client with a store handle of its own: a process."""

    client: AsyncClient
    store: FaultyStore
    clock: FakeClock
    limits: Limits


@dataclass(slots=True)
class Handle:
    """One of a connection's handles, and the leases that it took."""

    name: str
    client: AsyncClient
    connection: Connection
    leases: dict[str, int] = field(default_factory=dict[str, int])

    def caller(self, session_id: str, if_head: Mark | None = None) -> Caller:
        """Who writes."""
        return Caller(writer=self.name, epoch=self.leases.get(session_id), if_head=if_head)


class World:
    """The processes, and what they believe."""

    def __init__(self, open_store: OpenStore, colour: Colour) -> None:
        self._open_store = open_store
        self._colour: Colour = colour
        self.reference = Reference()
        self.clock, self.lagging = FakeClock(), FakeClock()
        self._opened: list[AsyncClient] = []
        self._names = 0
        self.handles: list[Handle] = []
        self.calls: int = 0
        self._to_mend: list[str] = []
        """Sessions of which a refusal settled that they are gone: lists may show them until somebody reads them."""
        self._begun: dict[str, Handle] = {}
        """Sessions whose creator was killed, and who that was."""
        for clock, limits in ((self.clock, LIMITS[0]), (self.clock, LIMITS[1]), (self.lagging, LIMITS[0])):
            self.handles.append(self.process(clock, limits))
        self.handles.insert(1, self._handle(self.handles[0].connection, self.handles[0].client.handle()))

    # Processes

    def process(self, clock: FakeClock, limits: Limits) -> Handle:
        """A new process."""
        stores: list[FaultyStore] = []

        def open_store(ports: Any) -> FaultyStore:
            stores.append(FaultyStore(self._open_store(ports), clock, self._appended))
            return stores[-1]

        tasks = QuickLoop(clock) if self._colour == "async" else QuickThreads(clock)
        client = AsyncClient.from_store(open_store, tenant=TENANT, limits=limits, clock=clock, tasks=tasks)
        if self._colour == "sync":
            client = cast(AsyncClient, Lifted(Client.over(client)))
        self._opened.append(client)
        return self._handle(Connection(client, stores[0], clock, limits), client)

    def _appended(self, journal: JournalId, time: datetime) -> None:
        """Any record moves its session's time on, also one that says nothing: of a resolve, or of gc.

        To one that is over by its writer's clock, all that is appended is that it is.
        """
        kept = self.reference.sessions.get(uuid_text(journal.session))
        if kept is None:
            return
        if kept.gone(time) and not kept.purged:
            kept.purged = True
            self._to_mend.append(kept.session_id)
        kept.time = max(kept.time, time)

    def _handle(self, connection: Connection, client: AsyncClient) -> Handle:
        self._names += 1
        return Handle(f"handle {self._names}", client, connection)

    async def replace(self, who: Handle, *, closed: bool) -> None:
        """A process ends, with all of its handles, and another one takes its place."""
        if closed:
            await who.connection.client.aclose()
        fresh = self.process(who.connection.clock, who.connection.limits)
        for at, handle in enumerate(self.handles):
            if handle.connection is who.connection:
                self.handles[at] = self._handle(fresh.connection, fresh.client.handle())

    async def adopt_begun(self, who: Handle) -> None:
        """What was begun by somebody who was killed comes to be if *who*, who reclaims, finished it, key included."""
        judge = self.another(who)
        listed = {shown.session_id for shown in await collected(judge.client.sessions)}
        for session_id in listed & self._begun.keys():
            creator = self._begun.pop(session_id)
            made = await judge.client.get_session(session_id)
            now = who.connection.clock.now()
            self.reference.add(Kept.of(made, creator.connection.limits.idle_timeout, creator.name, now))

    def another(self, who: Handle) -> Handle:
        """A process that just began, with the same clock and without caches."""
        return self.process(who.connection.clock, Limits.none())

    async def aclose(self) -> None:
        """The end of all of them."""
        for client in self._opened:
            await client.aclose()

    # Writing

    async def write(
        self,
        who: Handle,
        call: Callable[[], Coroutine[Any, Any, T]],
        refused: Callable[[datetime], Refusal],
        happened: Callable[[T, datetime], Awaitable[None] | None],
        found: Callable[[AsyncClient, str], Awaitable[T]],
        *,
        kept: Kept | None = None,
        taken_back: bool = False,
    ) -> T | None:
        """Make a call that writes, compare, and let the reference follow.

        *refused* says why it should be, at a time; *happened* tells the reference, which is given the call's result and
        its time; *found* reads that result where its caller was not given it, from the session of this id. What was cut
        short is finished by `resolve`, or *taken_back*.
        """
        self.calls += 1
        store = who.connection.store
        store.begin(who.connection.clock.now())
        result: T | None
        try:
            answer = await attempt(call())
        except Killed:
            return await self._killed(who, refused, happened, found, kept)
        times = (store.decided, who.connection.clock.now())
        expected = {refused(time) for time in times}
        if isinstance(answer, OutcomeUnknown):
            return await self._resolved(who, answer, refused, happened, found, kept, taken_back=taken_back)
        if isinstance(answer, StepwellError):
            if isinstance(answer, Unavailable) and store.struck == "frozen":
                return None
            if type(answer) not in expected:
                raise AssertionError(f"refused with {answer!r}, expected {_names(expected)}") from answer
            await self._settle_refusal(who, kept, type(answer))
            return None
        assert None in expected, f"not refused: expected {_names(expected)}"
        result = answer
        await _done(happened(result, times[0]))
        return result

    async def _settle_refusal(self, who: Handle, kept: Kept | None, why: Refusal) -> None:
        """Let the reference know what a refusal settled for all clocks: what may not have been written, now is."""
        if kept is None or why not in (NotFound, SessionExpired):
            return
        if kept.gone(who.connection.clock.now()):
            why = NotFound  # even if it only was expired when that was decided
        elif why is NotFound:
            return
        again = self.another(who).client.update_session(kept.session_id, {})
        answer = await attempt(again)
        assert type(answer) is why, f"refused, and then {answer!r}, expected {why.__name__}"
        await attempt(self.another(who).client.get_session(kept.session_id))  # which makes lists true again
        kept.refused(why, who.connection.clock.now())

    async def _killed(
        self,
        who: Handle,
        refused: Callable[[datetime], Refusal],
        happened: Callable[[T, datetime], Awaitable[None] | None],
        found: Callable[[AsyncClient, str], Awaitable[T]],
        kept: Kept | None,
    ) -> T | None:
        store = who.connection.store
        await self.replace(who, closed=False)
        if not store.written:
            return None
        if why := refused(store.decided):
            await self._settle_refusal(who, kept, why)
            return None
        if kept is None:
            self._begun[store.struck_session] = who
            return None  # nobody knows of it
        judge = self.another(who)
        result = await found(judge.client, kept.session_id)
        await _done(happened(result, store.decided))
        await judge.client.gc()  # what was interrupted is finished
        return result

    async def _resolved(
        self,
        who: Handle,
        unknown: OutcomeUnknown,
        refused: Callable[[datetime], Refusal],
        happened: Callable[[T, datetime], Awaitable[None] | None],
        found: Callable[[AsyncClient, str], Awaitable[T]],
        kept: Kept | None,
        *,
        taken_back: bool,
    ) -> T | None:
        store = who.connection.store
        decided = store.decided
        assert store.struck is not None, f"nothing was wrong, and yet: {unknown!r}"
        judge = self.another(who)
        why = refused(decided)
        trimmed = kept is not None and store.struck_slot < kept.base  # meanwhile, by others: nobody can tell any more
        committed = bool(store.written) and why is None and not taken_back and not trimmed
        resolution = await attempt(judge.client.resolve(unknown.token))
        if why is not None:
            if not isinstance(resolution, NotFound):
                assert not isinstance(resolution, StepwellError), f"resolve: {resolution!r}"
                assert resolution.outcome != "committed", "a call that should be refused was committed"
            await self._settle_refusal(who, kept, why)
            return None
        over = isinstance(resolution, NotFound) and store.struck == "frozen"  # while its client was frozen
        if isinstance(resolution, StepwellError) and not over:
            raise AssertionError(f"resolve: {resolution!r}") from resolution
        expected = "committed" if committed else "unknown" if trimmed else "absent"
        if not isinstance(resolution, StepwellError):
            assert resolution.outcome == expected, f"resolve says {resolution.outcome}, expected {expected}"
        if not committed:
            return None
        assert unknown.session_id is not None
        result = await attempt(found(judge.client, unknown.session_id))
        if isinstance(result, NotFound) and over and kept is not None:
            await attempt(judge.client.untag_resource(kept.session_id, ["any"]))  # so that all clocks agree
            kept.purged = True
            return None
        if isinstance(result, StepwellError):
            raise AssertionError(f"resolved, and not found: {result!r}") from result
        await _done(happened(result, decided))
        return result

    # Reading

    async def check(self, who: Handle, kept: Kept) -> None:
        """Read everything of a session, and compare."""
        self.calls += 1
        client, now = who.client, who.connection.clock.now()
        found = await attempt(client.get_session(kept.session_id))
        if not kept.visible(now):
            assert isinstance(found, NotFound), f"{kept.session_id} should not be found: {found!r}"
            for call in (collected(client.steps, kept.session_id), client.list_invocations(kept.session_id)):
                assert isinstance(await attempt(cast(Awaitable[object], call)), NotFound), "found in part"
            return
        if isinstance(found, StepwellError):
            raise AssertionError(f"{kept.session_id} should be found: {found!r}") from found
        self._compare(kept, found, now)
        steps = await collected(client.steps, kept.session_id)
        same("steps", [Step.of(step) for step in steps], kept.steps)
        backwards = await collected(client.steps, kept.session_id, reverse=True)
        same("steps, newest first", backwards[::-1], steps)
        listed = await client.list_invocations(kept.session_id, max_results=MORE)
        same(
            "invocations",
            {shown.invocation_id: shown.created_at for shown in listed.items},
            {key: at.created_at for key, at in kept.invocations.items()},
        )

    @staticmethod
    def _compare(kept: Kept, found: Session, now: datetime) -> None:
        same("status", found.session_status, kept.status(now))
        same("key", found.key, kept.key)
        same("metadata", dict(found.metadata), kept.metadata)
        same("tags", dict(found.tags or {}), kept.tags)
        same("created_at", found.created_at, kept.created_at)
        same("expires_at", found.expires_at, kept.expires_at)
        assert abs(found.last_activity_at - kept.activity) < CLOSE, (
            f"last_activity_at: {found.last_activity_at}, expected about {kept.activity}"
        )

    async def check_lists(self, who: Handle, page_size: int) -> None:
        """Lists of sessions, whole and in pages, and what keys name."""
        self.calls += 1
        while self._to_mend:
            await attempt(self.another(who).client.get_session(self._to_mend.pop()))
        client, now = who.client, who.connection.clock.now()
        for deleted in (False, True):
            shown = await collected(client.sessions, deleted=deleted)
            same(
                f"sessions, deleted={deleted}",
                [(s.session_id, s.key, dict(s.tags or {}), s.purge_after is not None) for s in shown],
                [(k.session_id, k.key, k.tags, deleted) for k in self.reference.listed(now, deleted=deleted)],
            )
            for summary in shown:
                kept = self.reference.sessions[summary.session_id]
                assert (summary.session_status == "ENDED") == kept.ended, f"listed as {summary.session_status}"
        paged = [s.session_id async for s in pages(client.list_sessions, page_size)]
        same("pages of sessions", paged, [k.session_id for k in self.reference.listed(now, deleted=False)])
        for key in self.reference.keys:
            owner = self.reference.named(key)
            assert owner is not None
            named = await attempt(client.get_session(key=key))
            expected = owner.session_id if owner.visible(now) else NotFound
            same(f"key {key!r}", named.session_id if isinstance(named, Session) else type(named), expected)

    async def check_parts(self, who: Handle, kept: Kept, number: int) -> None:
        """Pages, positions and limits of a session's steps."""
        self.calls += 1
        client = who.client
        if not kept.visible(who.connection.clock.now()):
            return
        size = 1 + number % 7
        listed = [s.invocation_step_id async for s in pages(client.list_invocation_steps, size, kept.session_id)]
        same("pages of steps", listed, [s.invocation_step_id for s in reversed(kept.steps)])
        listed = [i.invocation_id async for i in pages(client.list_invocations, size, kept.session_id)]
        assert sorted(listed) == sorted(kept.invocations), "pages of invocations"
        if not kept.steps:
            return
        step = kept.steps[number % len(kept.steps)]
        behind = [s for s in kept.steps if s.place > step.place]
        found = await collected(client.steps, kept.session_id, after=step.position, limit=size)
        same("steps behind a position", [Step.of(s) for s in found], behind[:size])
        own = [s for s in kept.steps if s.invocation_id == step.invocation_id]
        found = await collected(client.steps, kept.session_id, invocation_id=step.invocation_id, reverse=True)
        same("steps of an invocation", [Step.of(s) for s in found], own[::-1])
        one = await client.get_invocation_step(kept.session_id, step.invocation_id, step.invocation_step_id)
        same("one step", Step.of(one), step)

    async def check_audit(self, who: Handle, kept: Kept) -> None:
        """What was told of a session, apart from what its own end tells."""
        self.calls += 1
        told = await collected(who.client.audit_records, kept.session_id)
        by_callers = [(record.operation, record.reason) for record in told if record.reason in REASONS]
        same("audit records", sorted(by_callers), sorted(cast(list[Any], kept.audited)))

    async def check_all(self) -> None:
        """A process that just began reads everything; nothing is damaged."""
        who = self.process(self.clock, Limits.none())
        await self.check_lists(who, 3)
        for kept in self.reference.sessions.values():
            await self.check(who, kept)
            await self.check_audit(who, kept)
            if kept.visible(who.connection.clock.now()):
                await self.check_parts(who, kept, len(kept.steps) // 2)
                verification = await who.client.verify(kept.session_id)
                assert verification.intact, f"verify: {verification.faults}"
                same("steps that verify counts", verification.steps, len(kept.steps))
        await self.check_lists(who, 2)


REASONS = ("tidy", "asked for")


async def pages(list_page: Callable[..., Awaitable[Page[Any]]], size: int, *args: str) -> AsyncIterator[Any]:
    """All items of a list, page by page."""
    token: str | None = None
    while True:
        page = await list_page(*args, max_results=size, next_token=token)
        assert len(page.items) <= size
        for item in page.items:
            yield item
        if (token := page.next_token) is None:
            return


def same(what: str, found: object, expected: object) -> None:
    """Compare, and say what differs."""
    if found != expected:
        raise AssertionError(f"{what}: {found!r}, expected {expected!r}")


async def _done(following: Awaitable[None] | None) -> None:
    if following is not None:
        await following


def _names(refusals: set[Refusal]) -> str:
    return " or ".join("success" if each is None else each.__name__ for each in refusals)
