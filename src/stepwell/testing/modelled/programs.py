"""What programs are made of: each operation with what the reference expects of it. Arguments are small numbers."""

from __future__ import annotations

from collections.abc import Awaitable
from copy import deepcopy
from datetime import datetime, timedelta
from hashlib import shake_128
from typing import Any

from stepwell.client import AsyncClient
from stepwell.errors import AlreadyExists, NotFound, Unavailable
from stepwell.models import Content, Data, Image, Invocation, InvocationStep, NewStep, Position, Session, blocks
from stepwell.models import Redacted as RedactedBlock
from stepwell.testing.bench import attempt, collected
from stepwell.testing.modelled import reference
from stepwell.testing.modelled.faulty import FAULTS, LOST
from stepwell.testing.modelled.reference import Kept, Mark, Refusal, Step, place_of
from stepwell.testing.modelled.world import Handle, World, same

KEYS = ("one", "two", "three")
CONTENTS: tuple[Content, ...] = (
    "a",
    ["b", "c"],
    Data(data=shake_128(b"large").digest(1500)),
    ["a", Data(data=b"small"), Data(data=shake_128(b"larger").digest(5000))],
    Image(format="png", data=b"png"),
    "long " * 1000,
)
GIVEN_TIME = datetime(2030, 1, 1)  # noqa: DTZ001
JUMP = timedelta(minutes=10)
"""Clocks jump by multiples of it."""
HOURS_FROZEN = (7, 30)
DAY = timedelta(hours=25, minutes=10)
FOR_A_WHILE = timedelta(hours=3, minutes=5)


def id_of(number: int) -> str:
    """One of a few ids that callers choose."""
    return f"00000000-0000-4000-8000-{number:012}"


class Programs(World):
    """The operations."""

    def pick(self, which: int) -> Kept | None:
        """One of the sessions, if there is any; the newest first."""
        every = list(self.reference.sessions.values())
        return every[-1 - which % len(every)] if every else None

    @staticmethod
    def mark(kept: Kept, number: int) -> Mark | None:
        """A position that was seen, or none."""
        return kept.marks[-number] if 0 < number <= len(kept.marks) else None

    # Sessions

    async def create(self, who: Handle, key: str | None, *, opened: bool = False) -> None:
        """create_session, or open_session where *opened*."""
        held = None if key is None else self.reference.named(key)
        now = who.connection.clock.now()
        if opened and held is not None and held.visible(now):
            same("open_session", (await who.client.open_session(key=key or "")).session_id, held.session_id)
            return
        metadata, tags = {"by": who.name}, {"made": "1"}

        def call() -> Any:
            if opened:
                return who.client.open_session(key=key or "", metadata=metadata, tags=tags)
            return who.client.create_session(key=key, metadata=metadata, tags=tags)

        def happened(made: Session, time: datetime) -> None:
            same("metadata and tags", (dict(made.metadata), made.tags), (metadata, tags))
            self.reference.add(Kept.of(made, who.connection.limits.idle_timeout, who.name, time))

        await self.write(who, call, lambda now: self._takes(who, key, now), happened, _get)

    def _takes(self, who: Handle, key: str | None, now: datetime) -> Refusal:
        """Whether a new session may have a key: its former one is purged first, and that may be cut short."""
        store, former = who.connection.store, None if key is None else self.reference.named(key)
        if former and store.struck in LOST and store.struck_session == former.session_id:
            return Unavailable
        return self.reference.takes(key, now)

    async def update(self, who: Handle, kept: Kept, number: int) -> None:
        """update_session."""
        metadata = {"m": str(number)} if number else {}

        def happened(changed: Session, time: datetime) -> None:
            kept.metadata = metadata
            kept.wrote(who.name, time, changed.head, active=True)

        await self.write(
            who,
            lambda: who.client.update_session(kept.session_id, metadata),
            lambda now: kept.adds(who.caller(kept.session_id), now),
            happened,
            _get,
            kept=kept,
        )

    async def tag(self, who: Handle, kept: Kept, number: int) -> None:
        """tag_resource and untag_resource."""
        name = f"t{number % 3}"

        async def call() -> None:
            if number % 2:
                await who.client.untag_resource(kept.session_id, [name])
            else:
                await who.client.tag_resource(kept.session_id, {name: str(number)})

        def happened(done: None, time: datetime) -> None:
            if number % 2:
                kept.tags.pop(name, None)
            else:
                kept.tags[name] = str(number)
            kept.wrote(who.name, time)

        await self.write(
            who, call, lambda now: kept.admits(who.caller(kept.session_id), now), happened, _nothing, kept=kept
        )

    async def end(self, who: Handle, kept: Kept) -> None:
        """end_session; ending it again is a success."""

        def happened(ended: Session, time: datetime) -> None:
            same("status", ended.session_status, "ENDED")
            if not kept.ended:
                kept.ended = True
                kept.wrote(who.name, time, ended.head, active=True)

        await self.write(
            who,
            lambda: who.client.end_session(kept.session_id),
            lambda now: kept.admits(who.caller(kept.session_id), now),
            happened,
            _get,
            kept=kept,
        )

    async def delete(self, who: Handle, kept: Kept, *, end: bool, for_a_while: bool, reason: str = "tidy") -> None:
        """delete_session."""
        until = FOR_A_WHILE if for_a_while else None

        def happened(done: None, time: datetime) -> None:
            if for_a_while:
                active = kept.status(time) == "ACTIVE"
                kept.ended = kept.ended or active
                kept.wrote(who.name, time, events=1 + active, active=active)
                kept.purge_after = kept.time + FOR_A_WHILE
            else:
                kept.purged = True
            kept.audited.append(("delete" if for_a_while else "purge", reason))

        await self.write(
            who,
            lambda: who.client.delete_session(kept.session_id, end=end, purge_after=until, reason=reason),
            lambda now: kept.deletes(who.caller(kept.session_id), now, end=end, for_a_while=for_a_while),
            happened,
            _nothing,
            kept=kept,
        )

    async def undelete(self, who: Handle, kept: Kept) -> None:
        """undelete."""

        def happened(back: Session, time: datetime) -> None:
            if kept.purge_after:
                kept.purge_after = None
                kept.wrote(who.name, time, back.head)
                kept.audited.append(("undelete", "asked for"))

        await self.write(
            who,
            lambda: who.client.undelete(kept.session_id, reason="asked for"),
            lambda now: kept.admits(who.caller(kept.session_id), now, hidden_too=True),
            happened,
            _get,
            kept=kept,
        )

    async def extend(self, who: Handle, kept: Kept, days: int) -> None:
        """extend_retention: two records, of which a fault strikes the first, that by itself extends nothing.

        Nor does the end of a retention that is found in its place: a client that is cut off there is told to try again.
        """
        store = who.connection.store
        until = who.connection.clock.now() + timedelta(days=days, minutes=5)
        longer = kept.expires_at is not None and kept.expires_at < until

        async def call() -> Session:
            try:
                return await who.client.extend_retention(kept.session_id, until=until, reason="asked for")
            except Unavailable:
                if store.written:
                    kept.wrote(who.name, store.decided)
                raise

        def refused(now: datetime) -> Refusal:
            return Unavailable if store.struck in LOST else kept.admits(who.caller(kept.session_id), now)

        def happened(shown: Session, time: datetime) -> None:
            if longer and store.struck == "killed behind":
                kept.wrote(who.name, time, shown.head)
            elif longer:
                kept.expires_at = until
                kept.wrote(who.name, time, shown.head, events=2)
                kept.audited.append(("extend_retention", "asked for"))
            same("expires_at", shown.expires_at, kept.expires_at)

        await self.write(who, call, refused, happened, _get, kept=kept)

    async def fork(self, who: Handle, kept: Kept, key: str | None, number: int) -> None:
        """fork, whole or at a position."""
        mark = self.mark(kept, number)
        at = None if mark is None else mark.position
        copied, store, began = deepcopy(kept), who.connection.store, who.connection.clock.now()

        def refused(now: datetime) -> Refusal:
            if taken := self._takes(who, key, now):
                return taken
            # It reads before it appends: what others do to its origin while it is frozen there need not stop it.
            read_before = store.struck == "frozen" and now == store.decided
            origin, time = (copied, began) if read_before else (kept, now)
            if not origin.visible(time):
                return NotFound
            return NotFound if at is not None and place_of(at)[0] < origin.base else None

        async def happened(made: Session, time: datetime) -> None:
            new = Kept.of(made, who.connection.limits.idle_timeout, who.name, time)
            same("metadata and tags", (dict(made.metadata), made.tags), (copied.metadata, copied.tags))
            self.reference.add(new)
            await self._adopt(self.another(who), copied, new, at)
            new.writers = [who.name] * 2
            new.marks = [Mark(made.head, 2)]

        await self.write(
            who, lambda: who.client.fork(kept.session_id, at=at, key=key), refused, happened, _get, taken_back=True
        )

    @staticmethod
    async def _adopt(judge: Handle, old: Kept, new: Kept, at: Position | None) -> None:
        """Compare a fork with what it is of, and take over where its steps lie."""
        wanted = [step for step in old.steps if at is None or step.place <= place_of(at)]
        new.steps = [Step.of(step) for step in await collected(judge.client.steps, new.session_id)]
        same("steps of the fork", list(map(_copied, new.steps)), list(map(_copied, wanted)))
        listed = (await judge.client.list_invocations(new.session_id, max_results=1000)).items
        created = {shown.invocation_id: shown.created_at for shown in listed}
        same("times of invocations", created, {key: old.invocations[key].created_at for key in created})
        least = {step.invocation_id for step in wanted}
        least |= {k for k, i in old.invocations.items() if i.place and (at is None or i.place <= place_of(at))}
        assert least <= set(created), "the fork lost an invocation"
        new.invocations = {key: reference.Invocation(time, None) for key, time in created.items()}

    # Invocations and steps

    async def invoke(self, who: Handle, kept: Kept, number: int) -> None:
        """create_invocation; with an id of the caller's unless *number* is 0."""
        given = id_of(number) if number else None

        def refused(now: datetime) -> Refusal:
            return kept.adds(who.caller(kept.session_id), now) or (AlreadyExists if given in kept.invocations else None)

        def happened(made: Invocation, time: datetime) -> None:
            kept.invocations[made.invocation_id] = reference.Invocation(made.created_at, place_of(made.position))
            kept.wrote(who.name, time, made.position, active=True)

        async def found(client: AsyncClient, session_id: str) -> Invocation:
            listed = (await client.list_invocations(session_id, max_results=1000)).items
            (new,) = [shown for shown in listed if shown.invocation_id not in kept.invocations]
            head = (await client.get_session(session_id)).head
            return Invocation(**new.model_dump(), position=head)

        await self.write(
            who,
            lambda: who.client.create_invocation(kept.session_id, invocation_id=given),
            refused,
            happened,
            found,
            kept=kept,
        )

    async def put(
        self,
        who: Handle,
        kept: Kept,
        invocation: int,
        step: int,
        content: int,
        *,
        count: int = 1,
        create: bool = True,
        timed: bool = False,
        mark: int = 0,
    ) -> None:
        """put_invocation_step, or put_invocation_steps of *count*; with an id of the caller's unless *step* is 0."""
        invocation_id = self._invocation(kept, invocation)
        time = GIVEN_TIME.replace(tzinfo=who.connection.clock.now().tzinfo) if timed else None
        given: list[tuple[str | None, Content, datetime | None]] = [
            (id_of(step + at) if step else None, CONTENTS[(content + at) % len(CONTENTS)], time) for at in range(count)
        ]
        wanted: list[Any] = [(step_id, blocks(content), time) for step_id, content, time in given]
        if_head = self.mark(kept, mark)
        behind = None if if_head is None else if_head.position

        async def call() -> tuple[InvocationStep, ...]:
            if count == 1:
                step_id, content, time = given[0]
                put = await who.client.put_invocation_step(
                    kept.session_id,
                    invocation_id,
                    content,
                    invocation_step_id=step_id,
                    invocation_step_time=time,
                    create_invocation=create,
                    if_head=behind,
                )
                return (put,)
            steps = [
                NewStep(content=content, invocation_step_id=step_id, invocation_step_time=time)
                for step_id, content, time in given
            ]
            return await who.client.put_invocation_steps(
                kept.session_id, invocation_id, steps, create_invocation=create, if_head=behind
            )

        def refused(now: datetime) -> Refusal:
            caller = who.caller(kept.session_id, if_head)
            return kept.puts(caller, now, invocation_id, wanted, create=create)

        def happened(put: tuple[InvocationStep, ...], now: datetime) -> None:
            same("content", [step.content for step in put], [each for _, each, _ in wanted])
            steps = [Step.of(each) for each in put]
            old = [kept.find(invocation_id, step_id) for step_id, _, _ in given]
            if all(old):
                same("steps that were there", steps, old)
            else:
                kept.put(who.name, now, steps)

        async def found(client: AsyncClient, session_id: str) -> tuple[InvocationStep, ...]:
            steps = await collected(client.steps, session_id)
            return tuple(steps[len(kept.steps) :] or [s for s in steps if s.invocation_step_id == given[0][0]])

        await self.write(who, call, refused, happened, found, kept=kept)
        if invocation_id in kept.invocations and kept.visible(who.connection.clock.now()):
            await self._date(who, kept, invocation_id)

    async def _date(self, who: Handle, kept: Kept, invocation_id: str) -> None:
        """Take over when a put created its invocation, once it is known."""
        known = kept.invocations[invocation_id]
        if known.exact:
            return
        listed = await self.another(who).client.list_invocations(kept.session_id, max_results=1000)
        (created,) = [shown.created_at for shown in listed.items if shown.invocation_id == invocation_id]
        known.created_at, known.exact = created, True

    @staticmethod
    def _invocation(kept: Kept, number: int) -> str:
        """One of the session's, or one that it may not have."""
        if number < 3 or not kept.invocations:
            return id_of(1 + number)
        every = list(kept.invocations)
        return every[-1 - number % len(every)]

    async def lease(self, who: Handle, kept: Kept) -> None:
        """lease."""

        def refused(now: datetime) -> Refusal:
            plain = who.caller(kept.session_id)
            plain.epoch = None
            return kept.adds(plain, now)

        def happened(taken: Any, time: datetime) -> None:
            kept.epoch += 1
            if taken is not None:
                same("epoch", taken.epoch, kept.epoch)
                who.leases[kept.session_id] = taken.epoch
            kept.wrote(who.name, time, active=True)

        async def call() -> Any:
            return await who.client.lease(kept.session_id)

        await self.write(who, call, refused, happened, _nothing, kept=kept)

    async def contend(self, first: Handle, second: Handle, kept: Kept, *, leased: bool) -> None:
        """Two write in turn; the first goes on where it was: with the lease that it took, or behind what it put."""
        for who in (first, second):
            if leased:
                await self.lease(who, kept)
            else:
                await self.put(who, kept, 0, 0, 0)
        await self.put(first, kept, 0, 0, 0, mark=0 if leased else 2)

    async def redact(self, who: Handle, kept: Kept, number: int) -> None:
        """redact."""
        step = kept.steps[number % len(kept.steps)] if kept.steps else None
        ids = (step.invocation_id, step.invocation_step_id) if step else (id_of(1), id_of(1))

        def refused(now: datetime) -> Refusal:
            return kept.admits(who.caller(kept.session_id), now) or (None if kept.find(*ids) else NotFound)

        def happened(done: Any, time: datetime) -> None:
            erased = kept.find(*ids)
            assert erased is not None
            if not erased.redacted:
                erased.content = tuple(RedactedBlock() for _ in erased.content)
                kept.wrote(who.name, time)
                kept.audited.append(("redact", "asked for"))
            if done is not None:
                same("blocks", done.blocks, len(erased.content))

        async def call() -> Any:
            return await who.client.redact(kept.session_id, *ids, reason="asked for")

        await self.write(who, call, refused, happened, _nothing, kept=kept)

    async def trim(self, who: Handle, kept: Kept, number: int) -> None:
        """trim, before one of its steps."""
        if not kept.steps:
            return
        before = kept.steps[-1 - number % len(kept.steps)].position

        async def happened(shown: Session, time: datetime) -> None:
            if place_of(before)[0] <= kept.base:
                return
            least, most = kept.trim(place_of(before))
            kept.wrote(who.name, time, shown.head)
            kept.audited.append(("trim", "tidy"))
            listed = await self.another(who).client.list_invocations(kept.session_id, max_results=1000)
            stay = {shown.invocation_id for shown in listed.items}
            assert least <= stay <= most, "trim: the invocations that stay"
            assert stay or not most, "trim: the newest invocation stays"
            kept.invocations = {key: at for key, at in kept.invocations.items() if key in stay}

        await self.write(
            who,
            lambda: who.client.trim(kept.session_id, before=before, reason="tidy"),
            lambda now: kept.admits(who.caller(kept.session_id), now),
            happened,
            _get,
            kept=kept,
        )

    # The rest

    async def collect(self, who: Handle, *, twice: bool) -> None:
        """gc, once or two times with a day between."""
        self.calls += 1
        for run in range(1 + twice):
            if run:
                self.sleep(DAY, lagging_too=True)
            who.connection.store.fault = None
            who.connection.store.begin(who.connection.clock.now())
            for kept in self.reference.sessions.values():
                if kept.gone(who.connection.clock.now()):
                    kept.purged = True
            report = await who.client.gc()
            assert not report.skipped, "gc: a session is damaged"
            await self.adopt_begun(who)

    def sleep(self, time: timedelta, *, lagging_too: bool) -> None:
        """Time passes, for a process that was frozen perhaps not."""
        self.clock.advance(time)
        if lagging_too:
            self.lagging.advance(time)

    def arm(self, who: Handle, fault: int, others: int, which: int) -> None:
        """Something will happen to the handle's next append."""
        store = who.connection.store
        store.fault = FAULTS[fault % len(FAULTS)]

        async def meanwhile() -> None:
            store.meanwhile = None
            self.sleep(timedelta(hours=HOURS_FROZEN[others % 2]), lagging_too=bool(others & 2))
            await self._others(who, which, others >> 2)

        store.meanwhile = meanwhile

    def _others(self, who: Handle, which: int, doing: int) -> Awaitable[None]:
        """What other processes do while one is frozen."""
        other = next(handle for handle in self.handles if handle.connection is not who.connection)
        other.connection.store.fault = None
        return self._script(other, self.pick(which), doing)

    async def _script(self, other: Handle, kept: Kept | None, doing: int) -> None:
        store = other.connection.store
        if kept is None:
            return
        if doing & 1:
            await self.put(other, kept, 0, 0, 0)
        if doing & 2:
            await self.delete(other, kept, end=True, for_a_while=False)
        if doing & 4:
            await self.trim(other, kept, 0)
        if doing & 6:
            await self.collect(other, twice=doing & 1 == 1)
        store.fault = None


def _copied(step: Step) -> tuple[object, ...]:
    return step.invocation_id, step.invocation_step_id, step.time, step.content


async def _get(client: AsyncClient, session_id: str) -> Session:
    return await client.get_session(session_id)


async def _nothing(client: AsyncClient, session_id: str) -> Any:
    """A call without a result; reading makes lists true again."""
    await attempt(client.get_session(session_id))
