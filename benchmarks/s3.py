"""What sessions in S3 cost: requests, bytes and dollars of an append and of a restore, two managers of Strands beside.

    python -m benchmarks.s3 [--quick] [--json]

All of them talk to moto in this process, through clients of boto3; requests and bodies are counted as botocore sends
and gets them. Dollars are those of us-east-1, S3 Standard: $5 for a million PUT, COPY, POST and LIST, $0.40 for a
million GET and HEAD; deleting is free. Everything is counted, nothing timed.

A message has 600 characters of these docs. A session grows message by message; once it has so many

    append         by a client or manager that knows the session
    restore        by a new one; ours by the session's key, and without it

    S3SessionManager          `append_message`, `sync_agent`: an object for each message
    SnapshotSessionManager    `sync_agent`, on its S3 storage: all messages, in one object that is written again

The latter saves after an invocation, so that a turn of two messages costs it one append, and the others two. Peers come
with `pip install --group bench`; `make bench` has them in an environment of their own.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from typing import Any, Protocol

import boto3

import stepwell
from benchmarks.table import Row, Table, Target, options

BUCKET, REGION, KEY = "benchmark", "us-east-1", "session"
CHARACTERS = 600
STEPS, STEP_BYTES = 1000, 1024
APPENDS = (1, 50, 200, 1000)
RESTORES = (10, 100, 1000)
QUICK_MOST = 200
RESTORE_MOST = {100: 4, 1000: 12}
"""Requests by key."""
STORED_MOST = 1.3
COLD_MOST = 6
"""The first segment, a list, the last one, at most two between it and the last index snapshot, the append."""
SEGMENT_BYTES, RECORD_BYTES = 128 * 1024, 16 * 1024
"""A record that carries a run of the index is the largest."""

COLUMNS = (
    "PUT",
    "LIST",
    "GET",
    "requests",
    "KB sent",
    "KB received",
    "$ per million",
    "objects",
    "KB stored",
    "x payload",
)
_KINDS = {
    "PutObject": "PUT",
    "CopyObject": "PUT",
    "ListObjectsV2": "LIST",
    "GetObject": "GET",
    "HeadObject": "GET",
    "DeleteObject": "DELETE",
    "DeleteObjects": "DELETE",
}
_DOLLARS = {"PUT": 5e-6, "LIST": 5e-6, "GET": 0.4e-6, "DELETE": 0.0}


@dataclass(frozen=True, slots=True)
class Cost:
    """What requests took. Bytes are those of the bodies."""

    operations: tuple[str, ...] = ()
    sent: int = 0
    received: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.operations + other.operations, self.sent + other.sent, self.received + other.received)

    @property
    def requests(self) -> int:
        """How many."""
        return len(self.operations)

    @property
    def kinds(self) -> Counter[str]:
        """How many of each kind that has a price."""
        return Counter(_KINDS[operation] for operation in self.operations)

    @property
    def dollars(self) -> float:
        """Storage and transfer apart."""
        return sum(_DOLLARS[kind] * count for kind, count in self.kinds.items())


class Meter:
    """A boto3 session whose clients are answered by moto; *calls* are their requests to S3."""

    def __init__(self) -> None:
        self.calls: list[Cost] = []
        self.session: Any = boto3.Session("benchmark", "benchmark", region_name=REGION)
        self.session.events.register("before-send.s3", self._sent)
        self.session.events.register("response-received.s3", self._received)
        self.client: Any = self.session.client("s3")

    def _sent(self, event_name: str, request: Any, **_: Any) -> None:
        self.calls.append(Cost((event_name.rpartition(".")[2],), _size(request.headers)))

    def _received(self, response_dict: Any, **_: Any) -> None:
        if response_dict is not None:
            self.calls.append(Cost((), 0, int(response_dict["headers"].get("content-length", 0))))

    def cost(self, act: Callable[[], object]) -> Cost:
        """What it takes."""
        self.calls.clear()
        act()
        return sum(self.calls, Cost())

    def stored(self, prefix: str) -> tuple[int, int]:
        """Objects and bytes whose names begin so."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        sizes = [found["Size"] for page in pages for found in page.get("Contents", ())]
        return len(sizes), sum(sizes)


def _size(headers: Any) -> int:
    """Of a body, without what frames its parts where it is sent in parts."""
    told = headers.get("X-Amz-Decoded-Content-Length") or headers.get("Content-Length") or 0
    return int(told)


@contextmanager
def metered() -> Generator[Meter]:
    """An empty bucket."""
    moto: Any = import_module("moto")
    with moto.mock_aws():
        meter = Meter()
        meter.client.create_bucket(Bucket=BUCKET)
        yield meter


def messages() -> Generator[str]:
    """Slices of ordinary English, again and again."""
    folder = Path(__file__).parents[1] / "docs"
    text = " ".join(" ".join(page.read_text().split()) for page in sorted(folder.glob("*.md")))
    text = text.encode("ascii", "replace").decode()
    for at in cycle(range(0, len(text) - CHARACTERS, CHARACTERS)):
        yield text[at : at + CHARACTERS]


class Kept(Protocol):
    """A conversation somewhere in the bucket."""

    name: str
    prefix: str

    def append(self, text: str, /) -> None:
        """One more message, by who knows the conversation."""
        ...

    def restore(self) -> int:
        """All of it, by somebody new; how many messages it has."""
        ...


class Ours:
    """A session with a key, below *prefix*."""

    name = "stepwell"

    def __init__(self, meter: Meter, prefix: str = "ours") -> None:
        self.prefix = f"{prefix}/"
        self._meter = meter
        self._url = f"s3://{BUCKET}/{prefix}?region={REGION}"
        self.writer = self.client()
        self.session = self.writer.create_session(key=KEY).session_id
        self.invocation = self.writer.create_invocation(self.session).invocation_id

    def client(self) -> stepwell.Client:
        """One that knows nothing yet."""
        return stepwell.Client(self._url, boto3_client=self._meter.client)

    def append(self, block: str | stepwell.Data, client: stepwell.Client | None = None) -> None:
        """See `Kept`; any block will do."""
        (client or self.writer).put_invocation_step(self.session, self.invocation, block)

    def restore(self) -> int:
        """See `Kept`; by its key."""
        with self.client() as client:
            return len(list(client.steps(key=KEY)))

    def restore_by_id(self) -> int:
        """By the session's id."""
        with self.client() as client:
            return len(list(client.steps(self.session)))

    def append_cold(self, block: str | stepwell.Data) -> None:
        """By somebody new."""
        with self.client() as client:
            self.append(block, client)


class Strands:
    """An agent's history, kept by one of Strands' managers."""

    def __init__(self, name: str, prefix: str, manager: Callable[[], Any]) -> None:
        self.name = name
        self.prefix = prefix
        self._manager = manager
        self._agent_class: Any = import_module("strands").Agent
        manners: Any = import_module("strands.agent.conversation_manager")
        self._null = manners.NullConversationManager
        self._manages, self._agent = self._opened()

    def _opened(self) -> tuple[Any, Any]:
        manager = self._manager()
        agent = self._agent_class(
            agent_id="agent", session_manager=manager, conversation_manager=self._null(), callback_handler=None
        )
        return manager, agent

    def append(self, text: str) -> None:
        """See `Kept`: what the manager does once a message is added."""
        role = "assistant" if len(self._agent.messages) % 2 else "user"
        message = {"role": role, "content": [{"text": text}]}
        self._agent.messages.append(message)
        self._manages.append_message(message, self._agent)
        self._manages.sync_agent(self._agent)

    def restore(self) -> int:
        """See `Kept`."""
        return len(self._opened()[1].messages)


def peers(meter: Meter) -> list[Kept]:
    """Those of Strands; none where it is not installed."""
    if find_spec("strands") is None:
        return []
    managers: Any = import_module("strands.session")
    storage: Any = import_module("strands.storage")

    def objects() -> Any:
        return managers.S3SessionManager("session", BUCKET, "objects", boto_session=meter.session)

    def snapshots() -> Any:
        kept = storage.S3Storage(BUCKET, prefix="snapshots/", boto_session=meter.session)
        return managers.SnapshotSessionManager("session", storage=kept)

    return [
        Strands("S3SessionManager", "objects/", objects),
        Strands("SnapshotSessionManager", "snapshots/", snapshots),
    ]


@dataclass(slots=True)
class Measured:
    """What one of them took, by the number of messages."""

    name: str
    appends: dict[int, list[Cost]] = field(default_factory=dict[int, list[Cost]])
    restores: dict[int, Cost] = field(default_factory=dict[int, Cost])
    stored: tuple[int, int] = (0, 0)
    payload: int = 0
    more: dict[str, Cost] = field(default_factory=dict[str, Cost])


def measure(meter: Meter, kept: Kept, appends: Sequence[int], restores: Sequence[int]) -> Measured:
    """Let a conversation grow, and look at it at each mark: appends are those since the mark before."""
    found, texts = Measured(kept.name), messages()
    for count in range(1, max(*appends, *restores) + 1):
        text = next(texts)
        found.payload += len(text)
        cost = meter.cost(lambda: kept.append(text))  # noqa: B023 -- called at once
        mark = next((mark for mark in appends if mark >= count), None)
        if mark is not None:
            found.appends.setdefault(mark, []).append(cost)
        if count in restores:
            restored = 0

            def restore() -> None:
                nonlocal restored
                restored = kept.restore()

            found.restores[count] = meter.cost(restore)
            assert restored == count, f"{kept.name}: {restored} messages instead of {count}"
            if isinstance(kept, Ours):
                found.more[f"restore of {count:,} by id"] = meter.cost(kept.restore_by_id)
    found.stored = meter.stored(kept.prefix)
    if isinstance(kept, Ours):
        found.more[f"cold append at {count:,}"] = meter.cost(lambda: kept.append_cold(text))
    return found


def row(name: str, costs: Sequence[Cost], target: Target | None = None) -> Row:
    """The mean of some costs."""
    total, count = sum(costs, Cost()), len(costs)
    values = {kind: total.kinds[kind] / count for kind in ("PUT", "LIST", "GET")} | {
        "requests": total.requests / count,
        "KB sent": total.sent / count / 1e3,
        "KB received": total.received / count / 1e3,
        "$ per million": total.dollars / count * 1e6,
    }
    return Row(name, values, target)


def ratio(name: str, ours: Cost, theirs: Cost) -> Row:
    """How many times as much the others take."""
    values = {
        "requests": theirs.requests / ours.requests,
        "KB sent": theirs.sent / ours.sent if ours.sent else 0.0,
        "KB received": theirs.received / ours.received if ours.received else 0.0,
        "$ per million": theirs.dollars / ours.dollars,
    }
    return Row(name, {column: value for column, value in values.items() if value})


def is_small(cost: Cost) -> bool:
    """Whether an append was one PUT of at most a segment and a record."""
    return cost.operations == ("PutObject",) and cost.sent <= SEGMENT_BYTES + RECORD_BYTES


def rows(ours: Measured, others: Sequence[Measured]) -> list[Row]:
    """Ours first, then the others' with their ratios."""
    shown: list[Row] = []
    for mark in sorted(ours.appends):
        costs = ours.appends[mark]
        warm = Target("1 PUT of a segment and a record", met=all(map(is_small, costs)))
        shown.append(row(f"append, up to {mark:,}: {ours.name}", costs, warm))
        for other in others:
            shown.append(row(f"append, up to {mark:,}: {other.name}", other.appends[mark]))
            shown.append(ratio("  x stepwell", sum(costs, Cost()), sum(other.appends[mark], Cost())))
    for mark, cost in ours.restores.items():
        most = RESTORE_MOST.get(mark)
        target = None if most is None else Target(f"<= {most} requests", met=cost.requests <= most)
        shown.append(row(f"restore of {mark:,}, by key: {ours.name}", [cost], target))
        for other in others:
            shown.append(row(f"restore of {mark:,}: {other.name}", [other.restores[mark]]))
            shown.append(ratio("  x stepwell", cost, other.restores[mark]))
    for name, cost in ours.more.items():
        target = Target(f"<= {COLD_MOST} requests", met=cost.requests <= COLD_MOST) if "cold" in name else None
        shown.append(row(f"{name}: {ours.name}", [cost], target))
    return shown


def stored_steps(meter: Meter, steps: int) -> Row:
    """What so many steps take that no compression shrinks, before anything is reclaimed."""
    ours = Ours(meter, "steps")
    for _ in range(steps):
        ours.append(stepwell.Data(data=os.urandom(STEP_BYTES)))
    values = _stored(meter.stored(ours.prefix), steps * STEP_BYTES)
    target = Target(f"<= {STORED_MOST} x payload", met=values["x payload"] <= STORED_MOST)
    return Row(f"stored, {steps:,} steps of {STEP_BYTES} random B: {ours.name}", values, target)


def stored_messages(found: Measured) -> Row:
    """What a conversation takes in the end."""
    values = _stored(found.stored, found.payload)
    target = Target(f"<= {STORED_MOST} x payload", met=values["x payload"] <= STORED_MOST)
    return Row(f"stored, all messages: {found.name}", values, target if found.name == "stepwell" else None)


def _stored(stored: tuple[int, int], payload: int) -> dict[str, float]:
    objects, size = stored
    return {"objects": objects, "KB stored": size / 1e3, "x payload": size / payload}


def main() -> None:
    """Run it."""
    asked = options(__doc__)
    appends = [mark for mark in APPENDS if not asked.quick or mark <= QUICK_MOST]
    restores = [mark for mark in RESTORES if not asked.quick or mark <= QUICK_MOST]
    with metered() as meter:
        found = [measure(meter, kept, appends, restores) for kept in (Ours(meter), *peers(meter))]
        steps = stored_steps(meter, STEPS)
    if len(found) == 1:
        print("strands-agents is not installed, so there are no peers: pip install --group bench", file=sys.stderr)
    shown = [*rows(found[0], found[1:]), steps, *map(stored_messages, found)]
    Table(f"S3: messages of {CHARACTERS} characters", COLUMNS, shown).show(as_json=asked.as_json)


if __name__ == "__main__":
    main()
