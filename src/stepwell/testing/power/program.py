"""A random program of client operations. Every draw comes from its seed.

Each operation says first what it is about to do, then does it, then is acknowledged: whoever cuts the program short
finds in `told` what was promised by then.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from stepwell.client import AsyncClient
from stepwell.errors import OutcomeUnknown, Unavailable
from stepwell.io.blocking import BlockingTasks
from stepwell.io.ports import Ports
from stepwell.journal_backend import JournalBackend
from stepwell.limits import Limits
from stepwell.models import Content, Data, NewStep, blocks
from stepwell.stores.file import FileStore
from stepwell.sync import Client
from stepwell.testing.bench import FakeClock
from stepwell.testing.disk import SimulatedDisk
from stepwell.testing.power.expected import Known, Step, Told, found, secrets_of
from stepwell.testing.power.watched import Watched

ROOT = "/store"
TENANT = "power"
INLINE_BYTES = 2048
"""Above this a payload is a blob here: as on a real store, only sooner."""
KEYS = ("a", "b", "c", "d")
FAILING_SHARE = 0.25
"""Of the appends: one of their system calls fails."""
WEIGHTS_LEAST = (2, 6, 2, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1)
"""In the order of the operations: without sessions and steps there is nothing to do, and what takes them is rare."""
CLONES_SHARE = 0.4
"""Of the disks: they can clone files."""
LARGE_SHARES = (0.1, 0.5)
"""Of what is put, and of what is redacted: it is a blob. Each program has one of these."""


class DiskClient(AsyncClient):
    """A client whose files are on a simulated disk, and whose ids are drawn by *chance*."""

    def __init__(self, disk: SimulatedDisk, clock: FakeClock, chance: random.Random) -> None:
        ports = Ports(clock, BlockingTasks(), disk, chance.randbytes)
        limits = replace(Limits.none(), retention=timedelta(days=900))
        store = FileStore(ROOT, ports)
        store.inline_bytes = INLINE_BYTES
        self.watched = Watched(store)
        self._attach(JournalBackend(self.watched, ports, tenant=TENANT, limits=limits), limits, ports)


def client_on(disk: SimulatedDisk, clock: FakeClock, chance: random.Random) -> Client:
    """A new client on a disk."""
    return Client.over(DiskClient(disk, clock, chance))


class Program:
    """One program: its disk, its client, and what that was told."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.disk = SimulatedDisk(clones=self.chance.random() < CLONES_SHARE)
        self.clock = FakeClock()
        self.told = Told()
        driven = DiskClient(self.disk, self.clock, self.chance)
        self.watched, self.client = driven.watched, Client.over(driven)
        self._large_share = self.chance.choice(LARGE_SHARES)
        self._operations: Sequence[Callable[[], None]] = (
            self._create,
            self._put,
            self._put_batch,
            self._tag,
            self._redact,
            self._trim,
            self._end,
            self._fork,
            self._delete,
            self._hide,
            self._undelete,
            self._extend,
            self._reclaim,
        )
        # Each program does some of them often and others never: that finds more than doing a little of everything.
        often = [self.chance.choice((0, 1, 4)) for _ in self._operations]
        self._weights = list(map(max, often, WEIGHTS_LEAST))

    def run(self, operations: int, acknowledged: Callable[[], None]) -> None:
        """Do so many; *acknowledged* is called after each."""
        self._create()
        for _ in range(operations):
            acknowledged()
            [operation] = self.chance.choices(self._operations, self._weights)
            operation()
        acknowledged()

    # Which session

    def _any(self, *, active: bool = False, hidden: bool = False, steps: bool = False) -> int | None:
        chosen = [
            number
            for number, known in enumerate(self.told.sessions)
            if known.presence == ("hidden" if hidden else "here")
            and not (active and known.status != "ACTIVE")
            and not (steps and not known.steps)
        ]
        if steps and self.chance.random() < self._large_share:
            chosen = [n for n in chosen if any(map(_is_large, self.told.sessions[n].steps))] or chosen
        return self.chance.choice(chosen) if chosen else None

    def _begin(self, doing: str, number: int, known: Known) -> None:
        self.told.doing, self.told.pending = doing, (number, known)

    # Operations

    def _create(self) -> None:
        free = [key for key in KEYS if all(k.key != key or k.presence == "gone" for k in self.told.sessions)]
        if not free:
            return
        number, key = len(self.told.sessions), self.chance.choice(free)
        tags = {"made": str(number)}
        self._begin("create_session", number, Known(key, tags=tags))
        session = self.client.create_session(key=key, tags=tags)
        self._begin("", number, Known(key, session.session_id, tags=tags, expires_at=session.expires_at))
        self.told.acknowledge()

    def _put(self) -> None:
        self._put_some(1)

    def _put_batch(self) -> None:
        self._put_some(self.chance.randint(2, 5))

    def _put_some(self, count: int) -> None:
        number = self._any(active=True)
        if number is None:
            self._create()
            return
        known = self.told.sessions[number]
        invocations = sorted({step.invocation for step in known.steps}) or [self._id()]
        invocation = self.chance.choice(invocations) if self.chance.random() < 0.7 else self._id()
        steps = [NewStep(content=self._content(), invocation_step_id=self._id()) for _ in range(count)]
        wanted = [Step(invocation, step.invocation_step_id or "", blocks(step.content)) for step in steps]
        self._begin("put_invocation_steps", number, replace(known, steps=(*known.steps, *wanted)))
        if self.chance.random() < FAILING_SHARE:
            self._fail_after(self.chance.randint(0, 3))
        try:
            put = self.client.put_invocation_steps(known.session_id, invocation, steps, create_invocation=True)
        except (Unavailable, OutcomeUnknown) as error:
            self.disk.failing = None
            self._failed(number, known, error)
            return
        self.disk.failing = None
        self._begin("", number, replace(known, steps=(*known.steps, *map(Step.of, put))))
        self.told.acknowledge()

    def _fail_after(self, calls: int) -> None:
        """Let a system call fail, after so many that succeed."""
        left = calls

        def fails(_call: str) -> random.Random | None:
            nonlocal left
            left -= 1
            return self.chance if left == -1 else None

        self.disk.failing = fails

    def _failed(self, number: int, known: Known, error: Unavailable | OutcomeUnknown) -> None:
        """An append failed. Unless nobody knows what became of it, nothing was written."""
        if isinstance(error, OutcomeUnknown):
            now = found(self.client, known)
            pending = self.told.pending
            assert known.agrees(now) or (pending is not None and pending[1].agrees(now)), "neither there nor absent"
            self._begin("", number, now)
            self.told.acknowledge()
        self.told.pending = None

    def _end(self) -> None:
        number = self._any(active=True)
        if number is not None and self.chance.random() < 0.5:
            known = replace(self.told.sessions[number], status="ENDED")
            self._begin("end_session", number, known)
            self.client.end_session(known.session_id)
            self.told.acknowledge()

    def _tag(self) -> None:
        number = self._any()
        if number is not None:
            tag = {self.chance.choice("xyz"): str(self.chance.randrange(1000))}
            known = replace(self.told.sessions[number], tags={**self.told.sessions[number].tags, **tag})
            self._begin("tag_resource", number, known)
            self.client.tag_resource(known.session_id, tag)
            self.told.acknowledge()

    def _fork(self) -> None:
        origin = self._any(steps=self.chance.random() < 0.8)
        free = [key for key in KEYS if all(k.key != key or k.presence == "gone" for k in self.told.sessions)]
        if origin is None or not free:
            return
        known, number = self.told.sessions[origin], len(self.told.sessions)
        copied = tuple(step._replace(position=None) for step in known.steps)
        fork = Known(self.chance.choice(free), tags=known.tags, steps=copied)
        self._begin("fork", number, fork)
        session = self.client.fork(known.session_id, key=fork.key)
        steps = tuple(map(Step.of, self.client.steps(session.session_id)))
        now = replace(fork, session_id=session.session_id, expires_at=session.expires_at, steps=steps)
        assert fork.agrees(now), "a fork is not its origin's copy"
        self._begin("", number, now)
        self.told.acknowledge()

    def _delete(self) -> None:
        number = self._any(hidden=self.chance.random() < 0.3)
        if number is not None:
            known = replace(self.told.sessions[number], presence="gone")
            self._begin("delete_session", number, known)
            self.client.delete_session(known.session_id, end=True)
            self.told.acknowledge()
            self.told.dropped += known.steps

    def _hide(self) -> None:
        number = self._any()
        if number is not None:
            known = replace(self.told.sessions[number], presence="hidden", status="ENDED")
            self._begin("delete_session(purge_after)", number, known)
            self.client.delete_session(known.session_id, end=True, purge_after=timedelta(days=300))
            self.told.acknowledge()

    def _undelete(self) -> None:
        number = self._any(hidden=True)
        if number is not None:
            known = replace(self.told.sessions[number], presence="here")
            self._begin("undelete", number, known)
            self.client.undelete(known.session_id)
            self.told.acknowledge()

    def _redact(self) -> None:
        number = self._any(steps=True)
        if number is None:
            return
        known = self.told.sessions[number]
        fresh = [at for at, step in enumerate(known.steps) if step != step.redacted()]
        large = [at for at in fresh if _is_large(known.steps[at])]
        chosen = large if self.chance.random() < self._large_share else fresh
        at = self.chance.choice(chosen or range(len(known.steps)))  # one that is redacted already, at times
        step = known.steps[at]
        steps = (*known.steps[:at], step.redacted(), *known.steps[at + 1 :])
        secrets = [] if self._is_elsewhere(number, step) else secrets_of([step], self.disk)
        self._begin("redact", number, replace(known, steps=steps))
        self.client.redact(known.session_id, step.invocation, step.step, reason="asked for")
        self.told.acknowledge()
        self.told.secrets += secrets

    def _is_elsewhere(self, number: int, step: Step) -> bool:
        """Whether another session's files may hold this step's bytes: one is the fork of the other."""
        return step.step in self.told.named(but=number) or any(step.step == gone.step for gone in self.told.dropped)

    def _trim(self) -> None:
        number = self._any(steps=True)
        if number is None:
            return
        known = self.told.sessions[number]
        before = self.chance.choice([step for step in known.steps if step.slot > known.steps[0].slot] or known.steps)
        assert before.position is not None
        kept = tuple(step for step in known.steps if step.slot >= before.slot)
        self._begin("trim", number, replace(known, steps=kept))
        self.client.trim(known.session_id, before=before.position)
        self.told.acknowledge()
        self.told.dropped += [step for step in known.steps if step.slot < before.slot]

    def _extend(self) -> None:
        number = self._any()
        known = None if number is None else self.told.sessions[number]
        if number is None or known is None or known.expires_at is None:
            return
        until = known.expires_at + timedelta(days=self.chance.randint(1, 30))
        self._begin("extend_retention", number, replace(known, expires_at=until))
        self.client.extend_retention(known.session_id, until=until)
        self.told.acknowledge()

    def _reclaim(self) -> None:
        """Reclaim, and have something to reclaim more often than not."""
        match self.chance.randrange(5):
            case 0 | 1:
                self._trim()
            case 2 | 3:
                self._delete()
            case _:
                pass
        gone = self.told.reclaimable()
        secrets = secrets_of(gone, self.disk)
        self.told.doing = "gc"
        reclaim(self.client, self.clock)
        self.told.secrets += secrets
        self.told.dropped = [step for step in self.told.dropped if step not in gone]

    # What is put

    def _id(self) -> str:
        return str(UUID(bytes=self.chance.randbytes(16), version=4))

    def _content(self) -> Content:
        text = self.chance.randbytes(12).hex()
        if self.chance.random() < self._large_share:
            return self._data(self.chance.randint(INLINE_BYTES + 1, 2 * INLINE_BYTES))
        match self.chance.randrange(5):
            case 0:
                return [text, self._data(self.chance.randint(1, 900))]
            case 1 | 2:
                return self._data(self.chance.randint(1000, INLINE_BYTES))  # of several sectors
            case 3:
                return text + self.chance.choice(("\0", " ", "x")) * self.chance.randrange(1500)
            case _:
                return text

    def _data(self, size: int) -> Data:
        return Data(media_type="test/random", data=self.chance.randbytes(size))


def reclaim(client: Client, clock: FakeClock) -> None:
    """Remove what was marked, which takes a day."""
    client.gc()
    clock.advance(timedelta(hours=25))
    client.gc()


def _is_large(step: Step) -> bool:
    return any(isinstance(block, Data) and len(block.data) > INLINE_BYTES for block in step.content)
