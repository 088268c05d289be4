"""Every operation that writes, with what it needs beforehand; and what all of a tenant's sessions look like afterwards.

Write      an operation: `prepare` by the client that will run it, then `run`
portrait   all that can be read, and all that is stored, without what differs from one run to the next
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from pydantic import BaseModel

from stepwell.client import AsyncClient
from stepwell.errors import NotFound
from stepwell.models import Data, NewStep
from stepwell.testing import FakeClock, collected
from tests.aws.moto import BUCKET, Service, client

INVOCATION = "11111111-1111-4111-8111-111111111111"
STEP = "22222222-2222-4222-8222-222222222222"
OTHER_STEP = "33333333-3333-4333-8333-333333333333"
KEY = "INC-7"
KEPT, HIDDEN, WEEK = timedelta(days=30), timedelta(days=1), timedelta(days=7)
LATER = datetime.fromisoformat("2032-01-01T00:00:00Z")
FOR_OBJECTS = [Data(data=os.urandom(40_000)) for _ in range(2)]
FOR_CHUNKS, CHUNK_BYTES = [Data(data=os.urandom(140_000))], 60_000
"""What no record holds makes three chunks."""

World: TypeAlias = dict[str, Any]
Prepare: TypeAlias = Callable[[AsyncClient, FakeClock], Awaitable[World]]
Run: TypeAlias = Callable[[AsyncClient, World], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Write:
    """See the module. *objects*: payloads go to S3, else they are chunks."""

    name: str
    prepare: Prepare
    run: Run
    objects: bool = True

    def __repr__(self) -> str:
        return self.name

    @property
    def options(self) -> dict[str, Any]:
        """Of a store that it runs on."""
        return {"blobs": self.objects, "chunk_bytes": CHUNK_BYTES}


async def nothing(client: AsyncClient, clock: FakeClock) -> World:
    return {}


def session(content: Any = "said", **members: Any) -> Prepare:
    """A session with one step."""

    async def prepare(client: AsyncClient, clock: FakeClock) -> World:
        made = await client.create_session(**members)
        first = await client.put_invocation_step(
            made.session_id, INVOCATION, content, invocation_step_id=STEP, create_invocation=True
        )
        return {"session": made.session_id, "first": first}

    return prepare


async def with_two_steps(client: AsyncClient, clock: FakeClock) -> World:
    world = await session()(client, clock)
    world["second"] = await client.put_invocation_step(
        world["session"], INVOCATION, "said again", invocation_step_id=OTHER_STEP
    )
    return world


async def deleted(client: AsyncClient, clock: FakeClock) -> World:
    world = await session(key=KEY)(client, clock)
    await client.delete_session(world["session"], end=True)
    return world


async def hidden(client: AsyncClient, clock: FakeClock) -> World:
    world = await session(key=KEY)(client, clock)
    await client.delete_session(world["session"], end=True, purge_after=HIDDEN)
    return world


def seen_by_gc(prepare: Prepare) -> Prepare:
    """What gc saw for the first time long ago."""

    async def later(client: AsyncClient, clock: FakeClock) -> World:
        world = await prepare(client, clock)
        await client.gc()
        clock.advance(WEEK)
        return world

    return later


def deleted_with(content: Any) -> Prepare:
    async def prepare(client: AsyncClient, clock: FakeClock) -> World:
        world = await session(content, key=KEY)(client, clock)
        await client.delete_session(world["session"], end=True)
        return world

    return prepare


async def trimmed(client: AsyncClient, clock: FakeClock) -> World:
    world = await session(FOR_OBJECTS)(client, clock)
    second = await client.put_invocation_step(world["session"], INVOCATION, "said again")
    await client.trim(world["session"], before=second.position)
    return world


def put(content: Any, **members: Any) -> Run:
    return lambda c, w: c.put_invocation_step(w["session"], INVOCATION, content, **members)


def put_many(*steps: Any, **members: Any) -> Run:
    return lambda c, w: c.put_invocation_steps(w["session"], INVOCATION, steps, **members)


def redact(c: AsyncClient, w: World) -> Awaitable[Any]:
    return c.redact(w["session"], INVOCATION, STEP, reason="asked for")


WRITES: tuple[Write, ...] = (
    Write("create_session", nothing, lambda c, w: c.create_session(metadata={"a": "b"}, tags={"c": "d"})),
    Write("create_session with a key", nothing, lambda c, w: c.create_session(key=KEY)),
    Write("create_session with a key of a session that is gone", deleted, lambda c, w: c.create_session(key=KEY)),
    Write("create_session with a retention", nothing, lambda c, w: c.create_session(key=KEY, retention=KEPT)),
    Write("open_session", nothing, lambda c, w: c.open_session(key=KEY)),
    Write("create_invocation", session(), lambda c, w: c.create_invocation(w["session"], description="why")),
    Write(
        "create_invocation with an id",
        session(),
        lambda c, w: c.create_invocation(w["session"], invocation_id=OTHER_STEP),
    ),
    Write("put_invocation_step", session(), put("more")),
    Write("put_invocation_step with an id", session(), put("more", invocation_step_id=OTHER_STEP)),
    Write("put_invocation_step in objects", session(), put(FOR_OBJECTS)),
    Write("put_invocation_step in objects, with an id", session(), put(FOR_OBJECTS, invocation_step_id=OTHER_STEP)),
    Write("put_invocation_step in chunks", session(), put(FOR_CHUNKS), objects=False),
    Write(
        "put_invocation_step in chunks, with an id",
        session(),
        put(FOR_CHUNKS, invocation_step_id=OTHER_STEP),
        objects=False,
    ),
    Write("put_invocation_steps", session(), put_many("more", "yet")),
    Write(
        "put_invocation_steps with ids and an invocation",
        lambda c, k: _empty(c),
        put_many(
            NewStep(content="more", invocation_step_id=STEP),
            NewStep(content=FOR_OBJECTS, invocation_step_id=OTHER_STEP),
            create_invocation=True,
        ),
    ),
    Write("update_session", session(), lambda c, w: c.update_session(w["session"], {"a": "b"})),
    Write("tag_resource", session(), lambda c, w: c.tag_resource(w["session"], {"a": "b"})),
    Write("untag_resource", session(tags={"a": "b"}), lambda c, w: c.untag_resource(w["session"], ["a"])),
    Write("end_session", session(), lambda c, w: c.end_session(w["session"])),
    Write("delete_session", session(key=KEY), lambda c, w: c.delete_session(w["session"], end=True)),
    Write(
        "delete_session for a while",
        session(key=KEY),
        lambda c, w: c.delete_session(w["session"], end=True, purge_after=HIDDEN),
    ),
    Write("undelete", hidden, lambda c, w: c.undelete(w["session"])),
    Write("extend_retention", session(retention=KEPT), lambda c, w: c.extend_retention(w["session"], until=LATER)),
    Write("redact", session(), redact),
    Write("redact of objects", session(FOR_OBJECTS), redact),
    Write("redact of chunks", session(FOR_CHUNKS), redact, objects=False),
    Write("trim", with_two_steps, lambda c, w: c.trim(w["session"], before=w["second"].position)),
    Write("fork", session(), lambda c, w: c.fork(w["session"], key=KEY)),
    Write("fork of objects", session(FOR_OBJECTS), lambda c, w: c.fork(w["session"], key=KEY)),
    Write("fork of chunks", session(FOR_CHUNKS), lambda c, w: c.fork(w["session"]), objects=False),
    Write("salvage", session(), lambda c, w: c.salvage(w["session"])),
    Write("lease", session(), lambda c, w: c.lease(w["session"])),
    Write("gc of a session", seen_by_gc(deleted_with(FOR_OBJECTS)), lambda c, w: c.gc()),
    Write("gc of a session with chunks", seen_by_gc(deleted_with(FOR_CHUNKS)), lambda c, w: c.gc(), objects=False),
    Write("gc of what was trimmed", seen_by_gc(trimmed), lambda c, w: c.gc()),
    Write("gc that sees it for the first time", trimmed, lambda c, w: c.gc()),
)


async def _empty(client: AsyncClient) -> World:
    return {"session": (await client.create_session()).session_id}


# What it looks like afterwards


async def portrait(
    client: AsyncClient, service: Service, tenant: str, besides: Container[str] = frozenset()
) -> tuple[Any, Any]:
    """What a new client reads, and what lies in table and bucket.

    Equal portraits: equal but for ids, times, and members *besides*.
    """
    same = Names(besides)
    listed = await collected(client.sessions)
    gone = [summary async for summary in client.sessions(deleted=True)]
    told: list[Any] = [listed, gone]
    for summary in listed:
        session_id = summary.session_id
        told += [await client.get_session(session_id), await collected(client.steps, session_id)]
    told.append(await collected(client.audit_records))
    try:
        told.append((await client.get_session(key=KEY)).session_id)
    except NotFound:
        told.append(None)
    return same.of(told), stored(service, tenant, same)


def stored(service: Service, tenant: str, same: Names | None = None) -> Any:
    """What lies in the table and the bucket of a tenant: keys and sizes."""
    names = same or Names()
    lying = Counter(
        (
            names.of(f"{item['pk']['S']} {item['sk']['S']}".replace(tenant, "T")),
            len(item.get("data", {}).get("B", b"")) if "/list" not in item["pk"]["S"] else None,
            *sorted(item.keys() - {"pk", "sk", "data"}),
        )
        for item in service.items_of(tenant)
    )
    found = client("s3").list_objects_v2(Bucket=BUCKET, Prefix=f"some/where/{tenant}/").get("Contents", [])
    return lying, Counter((names.of(one["Key"].replace(tenant, "T")), one["Size"]) for one in found)


PLACES = frozenset({"head", "position", "slot"})
"""What a record more that says nothing, as one that settles what was in doubt, moves on."""


class Names:
    """Replaces ids by the order in which they came up, and leaves out times and the members *besides*."""

    _id = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
    _hash = re.compile(r"[0-9a-f]{32,}")

    def __init__(self, besides: Container[str] = frozenset()) -> None:
        self._known: dict[str, str] = {}
        self._besides = besides

    def of(self, value: Any) -> Any:
        match value:
            case BaseModel():
                return type(value).__name__, self.of(dict(value))
            case dict():
                members: dict[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
                return {name: self.of(held) for name, held in members.items() if name not in self._besides}
            case list() | tuple():
                items: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType]
                return [self.of(item) for item in items]
            case datetime():
                return "a time"
            case str():
                return self._hash.sub("a hash", self._id.sub(lambda found: self._named(found[0]), value))
            case _:
                return value

    def _named(self, session_id: str) -> str:
        return self._known.setdefault(session_id, f"id {len(self._known)}")
