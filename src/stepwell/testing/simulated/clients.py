"""What the clients of a schedule do: random calls on few sessions, keys, invocations and steps, so that they collide.

Mix       how often each operation is called
Client    an `AsyncClient` in a simulated process
Program   the calls of all clients, each recorded with what it was told
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from stepwell.client import AsyncClient
from stepwell.errors import NotFound, OutcomeUnknown, StepwellError
from stepwell.ids import uuid_bytes, uuid_text
from stepwell.io.files import Files
from stepwell.io.ports import Ports
from stepwell.io.retry import RetryPolicy
from stepwell.journal_backend import JournalBackend
from stepwell.limits import Limits
from stepwell.models import InvocationStep, NewStep, Position
from stepwell.stores.base import JournalId
from stepwell.testing.simulated.calls import Call
from stepwell.testing.simulated.faults import Line, Weather
from stepwell.testing.simulated.schedule import HOUR, SECOND, Killed, Process, Tasks, World
from stepwell.testing.simulated.stores import INLINE_BYTES, SimulatedStore, holds_some_of
from stepwell.views import moment

TENANT = "simulated"
KEYS = ("k1", "k2")
RETRIES = RetryPolicy(first_wait=0.0, attempts=3)
"""No jitter: tenacity takes that from the module `random`, which no seed of ours governs."""

_SOME: dict[str, float] = {"put_own_id": 3, "put_batch": 2, "put_if_head": 2, "get": 1, "create": 1, "open": 1}
_ALSO = {"create_invocation": 1, "update": 1, "sessions": 1}
_BOTH = _SOME | _ALSO
CALM = _BOTH | {"put": 10, "steps": 3, "lease": 1, "end": 0.3}
_TAKING_AWAY = {"delete": 2, "delete_softly": 2, "undelete": 2, "redact": 3, "trim": 3, "fork": 2, "extend": 1, "gc": 3}
_AGAIN = {"recreate": 3, "take_over": 3, "put_if_head": 3, "open": 2}
HOT = _BOTH | _TAKING_AWAY | _AGAIN | {"put": 6, "steps": 4, "lease": 1, "end": 1, "tag": 1, "resolve": 1}
MIXES: dict[str, dict[str, float]] = {"calm": CALM, "hot": HOT}


class Client(AsyncClient):
    """A client in a simulated process."""

    def __init__(self, process: Process, store: SimulatedStore, weather: Weather, limits: Limits) -> None:
        world = process.world
        ports = Ports(process, Tasks(process), Files(), world.random_bytes)
        opened = store.open(Line(process, weather))
        self._attach(JournalBackend(opened, ports, tenant=TENANT, limits=limits, retries=RETRIES), limits, ports)


@dataclass(slots=True)
class Handle:
    """A client's handle, and what its user remembers."""

    name: str
    client: AsyncClient
    seen: dict[str, Position] = field(default_factory=dict[str, Position])
    epochs: dict[str, int] = field(default_factory=dict[str, int])


class Program:
    """See the module."""

    def __init__(self, world: World, mix: dict[str, float], store: SimulatedStore) -> None:
        self._world = world
        self._store = store
        self._random = world.random
        self._hot = mix is HOT
        # Each hot schedule leaves some operations out, and calls some more often, so that those meet.
        share = world.random.choice(_SHARES) if self._hot else 1.0
        self._names = [name for name in mix if name in _ALWAYS or world.random.random() < share]
        self._weights = [mix[name] * world.random.choice((1, 1, 4) if self._hot else (1,)) for name in self._names]
        if store.forgets and "extend" in self._names:
            self._weights[self._names.index("extend")] *= _EXTENDED
        self._gone: set[str] = set()
        self.sessions: list[str] = []
        self.invocations = [uuid_text(world.random.randbytes(16)) for _ in range(2)]
        self.own_steps = [uuid_text(world.random.randbytes(16)) for _ in range(3)]
        self.steps: list[tuple[str, str, str, str, Position]] = []
        """(session, invocation, step, text, position) of steps that somebody was told of."""
        self.tokens: list[tuple[str, Call]] = []

    # A handle's life

    async def run(self, handle: Handle, calls: int) -> None:
        """Make some calls, one after the other."""
        for number in range(calls):
            if number or self._random.random() < 1 / 2:
                await self._world.sleep(self._pause())
            (name,) = self._random.choices(self._names, self._weights)
            if not self.sessions and name not in ("create", "open", "gc", "sessions"):
                name = "create"
            await self._act(name, handle)

    async def collect(self, handle: Handle, runs: int) -> None:
        """Run gc about once a day."""
        for _ in range(runs):
            await self._world.sleep(int(HOUR * (8 + 18 * self._random.random())))
            await self._act("gc", handle)

    def _pause(self) -> int:
        chance = self._random.random()
        if self._hot and chance < _DAYS:
            return int(HOUR * (20 + 30 * self._random.random()))
        if self._hot and chance < _HOURS:
            return int(HOUR * 8 * self._random.random())
        return int(SECOND * self._random.random())

    def _session(self) -> str:
        """Mostly one that is there, mostly the latest."""
        chosen = self.sessions
        if self._random.random() < _THERE:
            chosen = [session for session in chosen if session not in self._gone] or chosen
        return chosen[-1] if self._random.random() < _LATEST else self._random.choice(chosen)

    async def _act(self, name: str, handle: Handle) -> None:
        act: Callable[[Handle], Awaitable[Call]] = getattr(self, f"_{name}")
        call = await act(handle)
        if isinstance(call.error, NotFound) and call.session is not None:
            self._gone.add(call.session)
        elif call.session is not None:
            self._gone.discard(call.session)
        token = call.error.token if isinstance(call.error, OutcomeUnknown) else ""
        if token:
            self.tokens.append((token, call))
        if call.operation == "put" and call.outcome in ("unknown", "cut") and self._random.random() < _RETRIED:
            steps = call.given["steps"]
            if all(step is not None for step in steps):  # its ids are its own: calling again is safe
                await self._put_these(handle, call.session or "", call.given["invocation"], steps, call.given["texts"])
        if token and self._random.random() < _RESOLVED:
            await self.resolve(handle, token, call)

    async def record(self, call: Call, asked: Coroutine[Any, Any, Any]) -> Call:
        """Make a call, and note what it was told."""
        world = self._world
        task = world.current
        assert task is not None
        former, task.call = task.call, call
        call.number = len(world.calls)
        world.steps += 1
        call.invoked, call.invoked_at = world.steps, world.now
        world.calls.append(call)
        if world.trace is not None:
            world.note(f">> {call}")
        try:
            call.value = await asked
            call.outcome = "done"
        except Killed:
            call.outcome = "cut"
            if task.process.dead:
                raise
        except OutcomeUnknown as error:
            call.outcome, call.error = "unknown", error
        except Exception as error:  # the checker says which were to be expected
            call.outcome, call.error = "refused", error
            if not isinstance(error, StepwellError):
                call.outcome = "unknown"
        finally:
            call.returned, call.told_at = world.steps, world.now
            call.latest = world.now + task.process.ahead
            task.call = former
        if world.trace is not None:
            world.note(f"<< {call}")
        return call

    # Calls

    def _call(self, handle: Handle, operation: str, session: str | None, **given: Any) -> Call:
        epoch = None if session is None else handle.epochs.get(session)
        return Call(len(self._world.calls), handle.name, operation, session, given | {"epoch": epoch})

    def _made(self, call: Call) -> Call:
        if call.outcome == "done":
            call.session = call.value.session_id
            if call.session not in self.sessions:
                self.sessions.append(call.value.session_id)
        return call

    async def _create(self, handle: Handle) -> Call:
        key = self._random.choice((None, None, *KEYS))
        return self._made(
            await self.record(self._call(handle, "create", None, key=key), handle.client.create_session(key=key))
        )

    async def _open(self, handle: Handle) -> Call:
        key = self._random.choice(KEYS)
        return self._made(
            await self.record(self._call(handle, "open", None, key=key), handle.client.open_session(key=key))
        )

    async def _fork(self, handle: Handle) -> Call:
        session, key = self._session(), self._random.choice((None, None, *KEYS))
        call = self._call(handle, "fork", None, key=key, origin=session)
        return self._made(await self.record(call, handle.client.fork(session, key=key)))

    async def _recreate(self, handle: Handle) -> Call:
        """Delete what a key names, and use the key again at once."""
        key = self._random.choice(KEYS)
        found = await self.find(handle, key)
        if found.outcome == "done":
            call = self._call(handle, "delete", found.value.session_id)
            await self.record(call, handle.client.delete_session(call.session or "", end=True, reason=call.reason))
        call = self._call(handle, "create", None, key=key)
        return self._made(await self.record(call, handle.client.create_session(key=key)))

    async def _take_over(self, handle: Handle) -> Call:
        """Take the lease of a session that somebody may hold, and write."""
        call = await self._lease(handle)
        if call.outcome != "done" or call.session is None:
            return call
        return await self._put_these(handle, call.session, self._invocation(), [None], [self._text()])

    async def _put(self, handle: Handle) -> Call:
        return await self._put_these(handle, self._session(), self._invocation(), [None], [self._text()])

    async def _put_batch(self, handle: Handle) -> Call:
        count = self._random.choice((2, 3))
        texts = [self._text() for _ in range(count)]
        return await self._put_these(handle, self._session(), self._invocation(), [None] * count, texts)

    async def _put_own_id(self, handle: Handle) -> Call:
        step = self._random.choice(self.own_steps)
        text = f"own-{step}" * self._random.choice((1, 1, 3))
        return await self._put_these(handle, self._session(), self._invocation(), [step], [text])

    async def _put_if_head(self, handle: Handle) -> Call:
        session = self._session()
        seen = handle.seen.get(session)
        return await self._put_these(handle, session, self._invocation(), [None], [self._text()], if_head=seen)

    def _invocation(self) -> str:
        return self._random.choice(self.invocations)

    def _text(self) -> str:
        """A text that nobody else puts, some of them so long that they become blobs."""
        size = 2 * INLINE_BYTES if self._random.random() < _BLOBS else 8
        return f"text {self._random.randbytes(size).hex()}"

    async def _put_these(
        self,
        handle: Handle,
        session: str,
        invocation: str,
        steps: list[str | None],
        texts: list[str],
        *,
        if_head: Position | None = None,
    ) -> Call:
        given = [NewStep(content=text, invocation_step_id=step) for step, text in zip(steps, texts, strict=True)]
        call = self._call(handle, "put", session, invocation=invocation, steps=steps, texts=texts, if_head=if_head)
        asked = handle.client.put_invocation_steps(session, invocation, given, create_invocation=True, if_head=if_head)
        await self.record(call, asked)
        if call.outcome == "done":
            put: tuple[InvocationStep, ...] = call.value
            handle.seen[session] = put[-1].position
            told = zip(put, texts, strict=True)
            self.steps += [(session, invocation, step.invocation_step_id, text, step.position) for step, text in told]
        return call

    async def _create_invocation(self, handle: Handle) -> Call:
        session = self._session()
        given = self._random.choice((None, uuid_text(self._random.randbytes(16))))
        asked = handle.client.create_invocation(session, invocation_id=given)
        return await self.record(self._call(handle, "create_invocation", session), asked)

    async def _update(self, handle: Handle) -> Call:
        session, value = self._session(), str(len(self._world.calls))
        asked = handle.client.update_session(session, {"n": value})
        return await self.record(self._call(handle, "update", session), asked)

    async def _tag(self, handle: Handle) -> Call:
        session, value = self._session(), str(len(self._world.calls))
        return await self.record(self._call(handle, "tag", session), handle.client.tag_resource(session, {"n": value}))

    async def _lease(self, handle: Handle) -> Call:
        session = self._session()
        call = await self.record(self._call(handle, "lease", session), handle.client.lease(session))
        if call.outcome == "done":
            handle.epochs[session] = call.value.epoch
        return call

    async def _end(self, handle: Handle) -> Call:
        session = self._session()
        return await self.record(self._call(handle, "end", session), handle.client.end_session(session))

    async def _delete(self, handle: Handle) -> Call:
        call = self._call(handle, "delete", self._session())
        asked = handle.client.delete_session(call.session or "", end=True, reason=call.reason)
        return await self.record(call, asked)

    async def _delete_softly(self, handle: Handle) -> Call:
        call = self._call(handle, "delete_softly", self._session())
        hours = self._random.choice((0.001, 1, 10, 30, 100))
        asked = handle.client.delete_session(
            call.session or "", end=True, purge_after=timedelta(hours=hours), reason=call.reason
        )
        return await self.record(call, asked)

    async def _undelete(self, handle: Handle) -> Call:
        call = self._call(handle, "undelete", self._session())
        return await self.record(call, handle.client.undelete(call.session or "", reason=call.reason))

    async def _redact(self, handle: Handle) -> Call:
        if not self.steps:
            return await self._put(handle)
        session, invocation, step, text, _ = self._random.choice(self.steps)
        call = self._call(handle, "redact", session, invocation=invocation, step=step)
        await self.record(call, handle.client.redact(session, invocation, step, reason=call.reason))
        if call.outcome == "done" and not text.startswith("own"):  # which others put as well
            journal = JournalId(TENANT, uuid_bytes("session", session))
            call.given["still there"] = holds_some_of(self._store.held(journal), text)
        return call

    async def _trim(self, handle: Handle) -> Call:
        if not self.steps:
            return await self._put(handle)
        session, *_, before = self._random.choice(self.steps)
        call = self._call(handle, "trim", session, before=before)
        return await self.record(call, handle.client.trim(session, before=before, reason=call.reason))

    async def _extend(self, handle: Handle) -> Call:
        until = self._world.now + self._random.choice((30, 60, 200)) * HOUR
        call = self._call(handle, "extend", self._session(), until=until)
        asked = handle.client.extend_retention(call.session or "", until=moment(until), reason=call.reason)
        return await self.record(call, asked)

    async def _gc(self, handle: Handle) -> Call:
        return await self.record(self._call(handle, "gc", None), handle.client.gc())

    async def _resolve(self, handle: Handle) -> Call:
        if not self.tokens:
            return await self._steps(handle)
        token, call = self._random.choice(self.tokens)
        return await self.resolve(handle, token, call)

    async def resolve(self, handle: Handle, token: str, of: Call) -> Call:
        """Ask what became of a call."""
        call = self._call(handle, "resolve", of.session, of=of.number)
        return await self.record(call, handle.client.resolve(token))

    async def _get(self, handle: Handle) -> Call:
        return await self.get(handle, self._session())

    async def get(self, handle: Handle, session: str) -> Call:
        """Read a session's description."""
        return await self.record(self._call(handle, "get", session), handle.client.get_session(session))

    async def _steps(self, handle: Handle) -> Call:
        return await self.read(handle, self._session())

    async def read(self, handle: Handle, session: str) -> Call:
        """Read a session's history."""

        async def asked() -> list[InvocationStep]:
            return [step async for step in handle.client.steps(session)]

        call = await self.record(self._call(handle, "steps", session), asked())
        if call.outcome == "done" and call.value:
            handle.seen[session] = call.value[-1].position
        return call

    async def find(self, handle: Handle, key: str) -> Call:
        """Look a key up."""
        return await self.record(self._call(handle, "find", None, key=key), handle.client.get_session(key=key))

    async def _sessions(self, handle: Handle) -> Call:
        return await self.listed(handle)

    async def listed(self, handle: Handle, *, deleted: bool = False) -> Call:
        """List the sessions."""

        async def asked() -> list[str]:
            return [summary.session_id async for summary in handle.client.sessions(deleted=deleted)]

        return await self.record(self._call(handle, "sessions", None, deleted=deleted), asked())


_DAYS, _HOURS = 0.12, 0.35
_ALWAYS, _SHARES = ("put", "steps", "create"), (0.2, 0.4, 0.6, 0.9)
_EXTENDED = 3
_THERE, _LATEST, _RETRIED, _RESOLVED, _BLOBS = 0.85, 0.7, 0.6, 0.6, 0.4


def shares(total: int, parts: int) -> list[int]:
    """*total* in *parts* of like size."""
    return [math.floor(total * (part + 1) / parts) - math.floor(total * part / parts) for part in range(parts)]
