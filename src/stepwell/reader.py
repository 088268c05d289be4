"""Reading a journal's history: in order or newest first, verified along the chain, payloads decoded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from stepwell.codecs.content import blob_name, decode
from stepwell.errors import CorruptJournal, StepwellError
from stepwell.ids import uuid_text
from stepwell.io.ports import Ports
from stepwell.journal.decide import visible
from stepwell.journal.events import BLOB, Place, block_from_wire
from stepwell.journal.record import DIGEST_SIZE, Record, StoredStep, is_erased, stored_steps
from stepwell.lane import Lane
from stepwell.models import InvocationStep, InvocationStepSummary, stored
from stepwell.stores.base import JournalStore
from stepwell.view import Chain
from stepwell.views import moment

WINDOW_FIRST_SLOTS, WINDOW_MAX_SLOTS = 16, 512
"""Reading backwards, so many slots at once; twice as many each time."""
BLOBS_AT_ONCE = 8


class Reader:
    """Reads what a lane's journal holds."""

    def __init__(self, store: JournalStore, ports: Ports) -> None:
        self._store = store
        self._ports = ports

    async def visible_head(self, lane: Lane) -> Record:
        """The head of a session that is there.

        Raises:
            NotFound: it is not.
        """
        head = await lane.head()
        if refusal := visible(head.facts, self._ports.clock.wall()):
            raise refusal.error
        return head

    async def forwards(self, lane: Lane, first: int, head: Record) -> AsyncIterator[Iterator[Record]]:
        """The records from slot *first* to *head*, as many at once as a read returns, the chain verified.

        They are opened one by one as they are needed: use up each batch before the next.
        """
        chain = Chain(first, bytes(DIGEST_SIZE) if first == 0 else None)
        while chain.slot <= head.slot:
            raw = await lane.stored(chain.slot, head.slot)
            if not raw:
                raise await lane.gap(chain.slot)
            yield lane.opened(raw, chain)
        if chain.digest not in (None, head.digest):
            raise CorruptJournal(f"slot {head.slot} changed while it was read", slot=head.slot)

    async def backwards(self, lane: Lane, last: int, least: int, head: Record) -> AsyncIterator[Iterator[Record]]:
        """The records from slot *last* down to *least*, the newest first, the chain verified."""
        window = WINDOW_FIRST_SLOTS
        prev: bytes | None = head.digest if last == head.slot else None
        while last >= least:
            first = max(least, last - window + 1)
            records = [record for found in await self._span(lane, first, last) for record in found]
            records.reverse()
            for record in records:
                if prev not in (None, record.digest):
                    raise CorruptJournal(f"slot {record.slot + 1} does not follow slot {record.slot}", slot=record.slot)
                prev = record.prev
            yield iter(records)
            last, window = first - 1, min(2 * window, WINDOW_MAX_SLOTS)

    async def _span(self, lane: Lane, first: int, last: int) -> list[list[Record]]:
        spans: list[list[Record]] = []
        while first <= last:
            records = await lane.read(first, last)
            if not records:
                raise await lane.gap(first)
            spans.append(records)
            first = records[-1].slot + 1
        return spans

    async def step(self, lane: Lane, record: Record, at: int) -> InvocationStep:
        """The step in a record's *at*-th entry, payloads included.

        Raises:
            CorruptJournal: a payload is not what was written.
        """
        for found in stored_steps(record):
            if found[0] == at:
                return await self.fetched(lane, record, found)
        raise CorruptJournal(f"slot {record.slot} holds no such step", slot=record.slot)

    async def fetched(self, lane: Lane, record: Record, found: StoredStep) -> InvocationStep:
        """One of a record's steps, its blobs fetched.

        Raises:
            CorruptJournal: a payload is not what was written.
        """
        at, wire, blocks, _ = found
        kept_apart = [bool(block[1] & BLOB) and not is_erased(salt) for block, salt, _ in blocks]
        names = [
            blob_name(wire[2] or record.token, block_from_wire(block))
            for (block, _, _), apart in zip(blocks, kept_apart, strict=True)
            if apart
        ]
        calls = [self._store.get_blob(lane.journal, name) for name in names]
        try:
            fetched = iter(await self._ports.tasks.gather(calls, width=BLOBS_AT_ONCE))
        except CorruptJournal as missing:
            return await self._redacted_meanwhile(lane, record, found, missing)
        whole = [
            (block, salt, next(fetched) if apart else kept)
            for (block, salt, kept), apart in zip(blocks, kept_apart, strict=True)
        ]
        return _decoded(uuid_text(lane.journal.session), record, (at, wire, whole, 0))

    async def _redacted_meanwhile(
        self, lane: Lane, record: Record, found: StoredStep, missing: CorruptJournal
    ) -> InvocationStep:
        """The step as it is now, if its blob is missing because it was redacted since its record was read."""
        for again in await lane.read(record.slot, record.slot):
            for step in stored_steps(again):
                if step[0] == found[0] and step[2] != found[2]:
                    return await self.fetched(lane, again, step)
        raise CorruptJournal(f"slot {record.slot}: {missing}", slot=record.slot) from missing

    async def steps(
        self, lane: Lane, records: Iterable[Record], wanted: Wanted, *, reverse: bool
    ) -> AsyncIterator[list[InvocationStep]]:
        """The wanted steps of some records, in batches: one that needs blobs comes alone, for it may be large."""
        session_id = uuid_text(lane.journal.session)
        batch: list[InvocationStep] = []
        everything = wanted == Wanted()
        for record in records:
            found = stored_steps(record) if everything else wanted.of(record)
            for step in reversed(found) if reverse else found:
                if step[3]:
                    yield batch
                    yield [await self.fetched(lane, record, step)]
                    batch = []
                else:
                    batch.append(_decoded(session_id, record, step))
        yield batch


_START = Place(-1, -1)


class Wanted(NamedTuple):
    """Which steps: of one invocation or of all, behind one place and before another."""

    invocation: bytes | None = None
    after: Place = _START
    before: Place | None = None

    def of(self, record: Record) -> list[StoredStep]:
        """Those of a record, in order."""
        return [step for step in stored_steps(record) if self._holds(Place(record.slot, step[0]), step[1][3])]

    def _holds(self, place: Place, ids: bytes) -> bool:
        inside = place > self.after and (self.before is None or place < self.before)
        return inside and (self.invocation is None or ids.startswith(self.invocation))


_invocation_text = lru_cache(maxsize=64)(uuid_text)


def _decoded(session_id: str, record: Record, step: StoredStep) -> InvocationStep:
    """A step whose blocks are all at hand."""
    at, wire, blocks, _ = step
    ids, time = wire[3], wire[4]
    try:
        content = tuple([decode(block, salt, kept) for block, salt, kept in blocks])
    except (ValueError, StepwellError) as error:
        raise CorruptJournal(f"a payload in slot {record.slot} is damaged", slot=record.slot) from error
    return stored(
        InvocationStep,
        {
            "session_id": session_id,
            "invocation_id": _invocation_text(ids[:16]),
            "invocation_step_id": uuid_text(ids[16:]),
            "invocation_step_time": moment(record.time if time is None else time),
            "content": content,
            "slot": record.slot,
            "position": f"{record.slot}.{at}",
        },
    )


def summaries(
    session_id: str, records: Iterable[Record], wanted: Wanted
) -> Iterator[tuple[Place, InvocationStepSummary]]:
    """The wanted steps of records that come newest first, as lists show them."""
    for record in records:
        for at, wire, _, _ in reversed(wanted.of(record)):
            summary = InvocationStepSummary(
                session_id=session_id,
                invocation_id=uuid_text(wire[3][:16]),
                invocation_step_id=uuid_text(wire[3][16:]),
                invocation_step_time=moment(record.time if wire[4] is None else wire[4]),
            )
            yield Place(record.slot, at), summary
