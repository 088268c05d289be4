"""What sessions in DynamoDB cost: requests, bytes, request units and dollars of an append and of a resume.

    python -m benchmarks.dynamodb [--quick] [--json]

A table in memory answers boto3 (local_dynamodb.py). Units are computed from the sizes of items by DynamoDB's published
rules; dollars are those of us-east-1 on demand, requests alone. Everything is counted, nothing timed.

A step is 1 KB: `random` is bytes that no compression shrinks, `prose` slices of these docs. Below 2 KB Stepwell
compresses nothing, so both are stored as they are. A session grows step by step; once it has so many

    append         the mean of the appends since the mark before, by a client that knows the session
    with a run     that of appends that also write the index of some two hundred steps, so that others start soon
    cold append    by a client that knows nothing of the session
    resume         such a client reads all steps; then again, by the session's key

The `DescribeTable` with which a client begins is free of charge; it is left out.

A turn of the chat is that of the peer's measurement: 100 characters asked, 500 answered, put one after the other. `new`
is a client that reads the whole session by its key before, as a stateless handler does. The peer's figures are quoted:
they were measured by the same rules on DynamoDB Local 3.3.0, not in this run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path

import stepwell
from benchmarks.local_dynamodb import Cost, MeteredTable, local_client
from benchmarks.table import Row, Table, Target, options
from stepwell.ids import uuid_bytes
from stepwell.journal.record import identity, open_record
from stepwell.stores.base import JournalId
from stepwell.stores.dynamodb_items import session_partition, slot_text

STEP_BYTES = 1024
MARKS = (1, 50, 200, 1000, 5000)
QUICK_MARKS = MARKS[:4]
CHAT_MARKS = (1, 50, 200)
ASKED, ANSWERED = 100, 500
KEY = "session"
MEGABYTE = 1 << 20
WARM_UNITS_MOST = 2
COLD_REQUESTS_MOST = 3
"""The head, what lies between it and the last index snapshot, the append."""

COLUMNS = ("requests", "KB sent", "KB received", "WRU", "RRU", "$ per million")
PEER = "langgraph-checkpoint-aws 1.2.6"
PEER_TURNS = {1: (13, 8.85, 13, 8.19), 50: (15, 187, 146, 92.1), 200: (15, 730, 553, 349)}
"""By the turn's number: requests, KB sent, write units, dollars per million."""

Block = stepwell.Data | stepwell.Text | str
Blocks = Callable[[], Block]


def random_block() -> Block:
    """A payload that no compression shrinks."""
    return stepwell.Data(data=os.urandom(STEP_BYTES))


def prose(size: int) -> Generator[str]:
    """Slices of ordinary English, so many characters each, again and again."""
    folder = Path(__file__).parents[1] / "docs"
    text = " ".join(" ".join(page.read_text().split()) for page in sorted(folder.glob("*.md")))
    for at in cycle(range(0, len(text) - size, size)):
        yield text[at : at + size]


def prose_blocks() -> Blocks:
    """Makes payloads of prose."""
    return partial(next, prose(STEP_BYTES))


class Place:
    """A session in a table in memory, and a client that knows it."""

    def __init__(self) -> None:
        self.table = MeteredTable()
        self._boto3 = local_client(self.table)
        self.writer = self._client()
        self.session = self.writer.create_session(key=KEY).session_id
        self.invocation = self.writer.create_invocation(self.session).invocation_id
        self.last = 1
        self._journal = JournalId("default", uuid_bytes("session", self.session))

    def _client(self) -> stepwell.Client:
        client = stepwell.Client("dynamodb://benchmark", boto3_client=self._boto3)
        client.ping()
        return client

    def append(self, block: Block, client: stepwell.Client | None = None) -> None:
        """Put a step; *last* is its slot."""
        self.last = (client or self.writer).put_invocation_step(self.session, self.invocation, block).slot

    def cost(self, act: Callable[[], object]) -> Cost:
        """What it takes."""
        self.table.calls.clear()
        act()
        return sum(self.table.calls, Cost())

    def new_cost(self, act: Callable[[stepwell.Client], object]) -> Cost:
        """What it takes a client that has seen the table and nothing else."""
        with self._client() as client:
            return self.cost(lambda: act(client))

    def has_run(self, slot: int) -> bool:
        """Whether a record carries a snapshot of the index."""
        data = self.table.items[session_partition(self._journal)][slot_text(slot)]["data"]["B"]
        return open_record(data, identity(*self._journal)).facts.snapshot_slot == slot

    def stored(self) -> int:
        """Bytes of the session's items."""
        return self.table.stored(session_partition(self._journal))


@dataclass(slots=True)
class Mark:
    """What was measured until a session had so many *steps*; *stored* are the bytes of its items then."""

    steps: int
    appends: list[Cost] = field(default_factory=list[Cost])
    with_run: list[Cost] = field(default_factory=list[Cost])
    cold: Cost = field(default_factory=Cost)
    resume: Cost = field(default_factory=Cost)
    by_key: Cost = field(default_factory=Cost)
    stored: int = 0

    def resume_requests_most(self) -> int:
        """A page for each MB, and the head."""
        return -(-self.stored // MEGABYTE) + 1


def measure(marks: Sequence[int], block: Blocks) -> Generator[Mark]:
    """Let a session grow step by step, and measure at each mark."""
    place, steps = Place(), 0
    for mark in map(Mark, marks):
        for _ in range(mark.steps - steps):
            cost = place.cost(lambda: place.append(block()))
            (mark.with_run if place.has_run(place.last) else mark.appends).append(cost)
        mark.stored = place.stored()
        mark.resume = place.new_cost(lambda client: list(client.steps(place.session)))
        mark.by_key = place.new_cost(lambda client: list(client.steps(key=KEY)))
        mark.cold = place.new_cost(lambda client: place.append(block(), client))
        yield mark
        place.append(block())  # the writer learns of the other one's
        steps = mark.steps + 2


def chat(marks: Sequence[int]) -> Generator[tuple[int, Cost, Cost]]:
    """The turns with these numbers: by a client that knows the session, and by a new one."""
    place, asked, answered = Place(), prose(ASKED), prose(ANSWERED)

    def turn(client: stepwell.Client | None = None) -> None:
        if client is not None:
            list(client.steps(key=KEY))
        place.append(next(asked), client)
        place.append(next(answered), client)

    turns = 0
    for mark in marks:
        while turns < mark - 1:
            turn()
            turns += 1
        yield mark, place.cost(turn), place.new_cost(turn)
        place.append(next(asked))  # the writer learns of the other one's
        turns += 2


def row(name: str, costs: Sequence[Cost], target: Target | None = None) -> Row:
    """The mean of some costs."""
    total, count = sum(costs, Cost()), len(costs)
    values = {
        "requests": total.requests / count,
        "KB sent": total.sent / count / 1e3,
        "KB received": total.received / count / 1e3,
        "WRU": total.written / count,
        "RRU": total.read / count,
        "$ per million": total.dollars / count * 1e6,
    }
    return Row(name, values, target)


def is_flat(appends: Sequence[Cost]) -> bool:
    """Whether each took one request, and a unit or two."""
    return all(cost.requests == 1 and 1 <= cost.written <= WARM_UNITS_MOST for cost in appends)


def rows(kind: str, marks: Sequence[Mark]) -> list[Row]:
    """The figures of one kind of payload."""
    shown: list[Row] = []
    for mark in marks:
        name = f"{kind}, {mark.steps:,}"
        target = Target(f"1 request, 1 to {WARM_UNITS_MOST} WRU", met=is_flat(mark.appends))
        shown.append(row(f"{name}: append", mark.appends, target))
        if mark.with_run:
            part = f"{len(mark.with_run)} of {len(mark.with_run) + len(mark.appends)}"
            shown.append(row(f"{name}: append with a run ({part})", mark.with_run))
        cold = Target(f"<= {COLD_REQUESTS_MOST} requests", met=mark.cold.requests <= COLD_REQUESTS_MOST)
        shown.append(row(f"{name}: cold append", [mark.cold], cold))
        most = mark.resume_requests_most()
        for how, cost, limit in (("resume", mark.resume, most), ("resume by key", mark.by_key, most + 1)):
            shown.append(row(f"{name}: {how}", [cost], Target(f"<= {limit} requests", met=cost.requests <= limit)))
    return [*shown, row(f"{kind}: every append, mean", [cost for m in marks for cost in (*m.appends, *m.with_run)])]


def chat_rows() -> list[Row]:
    """Turns of a chat, the peer's beside ours."""
    shown: list[Row] = []
    for number, known, new in chat(CHAT_MARKS):
        shown += [row(f"chat, turn {number}", [known]), row(f"chat, turn {number}, new", [new])]
        requests, sent, written, dollars = PEER_TURNS[number]
        quoted = {"requests": requests, "KB sent": sent, "WRU": written, "$ per million": dollars}
        shown.append(Row(f"chat, turn {number}, quoted: {PEER}", quoted))
    return shown


def main() -> None:
    """Run it."""
    asked = options(__doc__)
    marks = QUICK_MARKS if asked.quick else MARKS
    found = [
        *rows("random", list(measure(marks, random_block))),
        *rows("prose", list(measure(marks, prose_blocks()))),
        *chat_rows(),
    ]
    Table(f"DynamoDB: steps of {STEP_BYTES} B, by published rules", COLUMNS, found).show(as_json=asked.as_json)


if __name__ == "__main__":
    main()
