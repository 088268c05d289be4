"""Bedrock's operations, and ours, over any `JournalStore`: decide, append, read."""

from __future__ import annotations

import logging
import struct
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta

from stepwell.audit import Audit
from stepwell.backend import SessionFilter, StepRange, StepToPut
from stepwell.clocks import StoreClock, instant
from stepwell.codecs.content import (
    INLINE_STEPS_BYTES,
    Encoded,
    blob_name,
    blob_names,
    encode,
    same_content,
    split_blobs,
)
from stepwell.creation import Creation, nothing_more
from stepwell.errors import (
    NotFound,
    NotSupported,
    OutcomeUnknown,
    SessionExpired,
    StepwellError,
    Unavailable,
)
from stepwell.fork import Forker
from stepwell.gc import RECLAIM_SECONDS, Collector
from stepwell.ids import uuid7_time, uuid_bytes, uuid_text
from stepwell.io.new_ids import Ids
from stepwell.io.ports import Ports
from stepwell.io.retry import Retry, RetryPolicy
from stepwell.journal import decide
from stepwell.journal.decide import Caller, Decide, Refuse
from stepwell.journal.events import Attributes, Leased, Place, StepPut, Why
from stepwell.journal.index import Created as InvocationAt
from stepwell.journal.index import Lookup
from stepwell.journal.record import SALT_SIZE, TOKEN_SIZE, WRITER_SIZE, Record, Status
from stepwell.journal.state import SessionState, blank, check_behind
from stepwell.lane import EVENT_BYTES, Intent, Lane, Settled, check_size
from stepwell.lanes import Lanes
from stepwell.limits import Limits
from stepwell.listing import Listing
from stepwell.models import (
    AuditRecord,
    GcReport,
    Invocation,
    InvocationStep,
    InvocationStepSummary,
    InvocationSummary,
    Lease,
    Page,
    Redaction,
    Resolution,
    Salvaged,
    Session,
    SessionStatus,
    SessionSummary,
    Verification,
    stored,
)
from stepwell.outcomes import read_outcome_token
from stepwell.paging import page_token, read_page_token
from stepwell.reader import BLOBS_AT_ONCE, Reader, Wanted, summaries
from stepwell.removal import Removal
from stepwell.retried import Retried
from stepwell.salvage import Salvager
from stepwell.stores.base import JournalStore, ListingEntry
from stepwell.verify import Verifier
from stepwell.view import VIEW_MAX_SECONDS, while_fresh
from stepwell.views import (
    listing_entry,
    microseconds,
    moment,
    place,
    position,
    session_view,
    status_text,
    text_bytes,
)

_log = logging.getLogger(__name__)
_SORT_KEY = struct.Struct(">Iq16s")
_MICROSECOND = timedelta(microseconds=1)


class JournalBackend:
    """See `Backend`. One tenant's sessions in one store."""

    def __init__(
        self,
        store: JournalStore,
        ports: Ports,
        *,
        tenant: str,
        limits: Limits,
        linger: float = 0.0,
        retries: RetryPolicy | None = None,
    ) -> None:
        self._retry = Retry(retries or RetryPolicy(), ports)
        self._store = store = Retried(store, self._retry)
        self._ports = ports = replace(ports, clock=StoreClock(ports.clock, store))
        self._tenant = tenant
        self._limits = limits
        self._ids = Ids(ports.random)
        self._inline_bytes = min(store.inline_bytes, INLINE_STEPS_BYTES)
        self._lanes = Lanes(tenant, store, ports, self._retry, linger)
        self._reader = Reader(store, ports)
        self._listing = Listing(store, ports.clock, tenant, self._listed)
        self._audit = Audit(store, tenant)
        self._removal = Removal(store, ports, self._reader, self._listing, self._audit)
        self._creation = Creation(store, ports, self._lanes, self._reader, self._listing, tenant=tenant, limits=limits)

    def __repr__(self) -> str:
        return f"{self._store.name!r}, tenant={self._tenant!r}"

    # Sessions

    async def create_session(
        self,
        caller: Caller,
        *,
        key: str | None,
        metadata: Mapping[str, str],
        tags: Mapping[str, str],
        encryption_key_arn: str | None,
        retention: timedelta | None,
    ) -> Session:
        """See `AsyncClient.create_session`."""
        if encryption_key_arn is not None:
            await self._check_key_arn(encryption_key_arn)
        check_size(text_bytes(metadata) + text_bytes(tags))
        former = None if key is None else await self._creation.free_key(key)
        now = self._ports.clock.wall()
        attributes = Attributes(self._new_id(now), now, now, key, encryption_key_arn, metadata, tags)
        return await self._creation.begin(caller, attributes, former, nothing_more, retention)

    async def _check_key_arn(self, key_arn: str) -> None:
        """Refuse a key that what is written is not encrypted with: it is never ignored."""
        if not await self._store.encrypts_with(key_arn):
            raise NotSupported(f"encryption_key_arn: {self._store.name} does not encrypt with this key; leave it out")

    async def session_of_key(self, key: str) -> str:
        """The id of the session that *key* names; that session may be gone.

        Raises:
            NotFound: it names none.
        """
        found = await self._store.get_key(self._tenant, key)
        if found is None:
            raise NotFound("no session has this key; open_session(key=…) makes one")
        return uuid_text(found)

    async def get_session(self, session_id: str) -> Session:
        """See `AsyncClient.get_session`."""

        def question(state: SessionState, now: int) -> tuple[Session, ListingEntry] | Refuse | Lookup:
            if refusal := decide.visible(state.facts, now):
                return refusal
            if state.attributes is None:
                return Lookup((state.facts.attributes_slot,))
            shown = session_view(state.facts, state.attributes, state.tail, now)
            return shown, listing_entry(state.facts, state.attributes, now)

        session = uuid_bytes("session_id", session_id)
        try:
            with self._lanes.use(session) as lane:
                found, entry = await lane.ask(question)
        except NotFound:
            await self._mend_listing(session)
            raise
        await self._listing.show(entry)
        return found

    async def _mend_listing(self, session: bytes) -> None:
        """Let lists show a session that cannot be read as deleted for a while, or not at all.

        One that is over by this machine's clock alone is left to lists, which look at the clock themselves.
        """
        try:
            await self._listing.renew(session)
        except NotFound:
            if await self._store.get_entry(self._tenant, session) is not None:
                await self._listing.free_key(session)
                await self._listing.hide(session)

    async def _listed(self, session: bytes) -> ListingEntry:
        """What lists show of a session, hidden or not; they tell by themselves whether it is over.

        Raises:
            NotFound: it is gone by its journal.
        """

        def question(state: SessionState, now: int) -> ListingEntry | Refuse | Lookup:
            if state.facts.status in (Status.PURGED, Status.BEGUN):
                return Refuse(NotFound("no such session"))
            if state.attributes is None:
                return Lookup((state.facts.attributes_slot,))
            return listing_entry(state.facts, state.attributes, now)

        with self._lanes.use(session) as lane:
            return await lane.ask(question)

    async def head(self, session_id: str) -> tuple[int, SessionStatus]:
        """The slot of the session's head, and its status."""
        with self._lanes.use(uuid_bytes("session_id", session_id)) as lane:
            head = await self._reader.visible_head(lane)
        return head.slot, status_text(head.facts, self._ports.clock.wall())

    async def update_session(self, caller: Caller, session_id: str, metadata: Mapping[str, str]) -> Session:
        """See `AsyncClient.update_session`."""
        check_size(text_bytes(metadata))
        change = decide.set_attributes(lambda a: (metadata, a.tags), activity=True)
        return await self._change(caller, session_id, change)

    async def end_session(self, caller: Caller, session_id: str) -> Session:
        """See `AsyncClient.end_session`; a second end raises SessionEnded here."""
        return await self._change(caller, session_id, decide.end)

    async def tag(self, caller: Caller, session_id: str, tags: Mapping[str, str]) -> None:
        """See `AsyncClient.tag_resource`."""
        check_size(text_bytes(tags))
        change = decide.set_attributes(
            lambda a: (a.metadata, self._limits.check_tags({**a.tags, **tags})), activity=False
        )
        await self._change(caller, session_id, change)

    async def untag(self, caller: Caller, session_id: str, keys: Sequence[str]) -> None:
        """See `AsyncClient.untag_resource`."""
        change = decide.set_attributes(
            lambda a: (a.metadata, {k: v for k, v in a.tags.items() if k not in keys}), activity=False
        )
        await self._change(caller, session_id, change)

    async def _change(self, caller: Caller, session_id: str, change: Decide) -> Session:
        """Change a session's attributes or status, then what lists show of it."""
        settled = await self._write(caller, session_id, change)
        assert settled.attributes is not None
        await self._listing.show(listing_entry(settled.facts, settled.attributes, settled.time))
        return session_view(settled.facts, settled.attributes, settled.tail, settled.time)

    async def delete_session(
        self, caller: Caller, session_id: str, why: Why, *, end: bool, purge_after: timedelta | None
    ) -> None:
        """See `AsyncClient.delete_session`."""
        hidden = 0 if purge_after is None else purge_after // _MICROSECOND
        wanted = decide.delete(why, end=end, hidden=hidden)
        await self._carry_out(caller._replace(hidden_too=not hidden), session_id, wanted, why)

    async def undelete(self, caller: Caller, session_id: str, why: Why) -> Session:
        """See `AsyncClient.undelete`."""
        undeleted = decide.undelete(why)
        return await self._as_settled(
            session_id, await self._carry_out(caller._replace(hidden_too=True), session_id, undeleted, why)
        )

    async def extend_retention(self, caller: Caller, session_id: str, why: Why, *, until: datetime) -> Session:
        """See `AsyncClient.extend_retention`."""
        with self._lanes.use(uuid_bytes("session_id", session_id)) as lane:
            settled = await self._removal.extend(lane, caller, microseconds("until", until), why)
        return await self._as_settled(session_id, settled)

    async def _as_settled(self, session_id: str, settled: Settled) -> Session:
        """The session as a write left it; asked for only if nothing was written, so that its failure says so."""
        if not settled.events or settled.attributes is None:
            return await self.get_session(session_id)
        return session_view(settled.facts, settled.attributes, settled.tail, settled.time)

    async def _carry_out(self, caller: Caller, session_id: str, wanted: Decide, why: Why) -> Settled:
        with self._lanes.use(uuid_bytes("session_id", session_id)) as lane:
            return await self._removal.carry_out(lane, caller, wanted, why)

    async def list_sessions(
        self, chosen: SessionFilter, max_results: int, next_token: str | None
    ) -> Page[SessionSummary]:
        """See `AsyncClient.list_sessions`."""
        return await self._listing.page(chosen, max_results, next_token)

    # Invocations and steps

    async def create_invocation(
        self, caller: Caller, session_id: str, invocation_id: str | None, description: str | None
    ) -> Invocation:
        """See `AsyncClient.create_invocation`."""
        made = invocation_id is None
        raw = self._new_id() if invocation_id is None else uuid_bytes("invocation_id", invocation_id)
        wanted = decide.create_invocation(raw, description, made_id=made)
        settled = await self._write(caller, session_id, wanted, weight=text_bytes({"": description or ""}))
        return Invocation(
            session_id=session_id,
            invocation_id=uuid_text(raw),
            created_at=moment(settled.time),
            description=description,
            position=position(settled.places[0]),
        )

    async def list_invocations(
        self, session_id: str, max_results: int, next_token: str | None
    ) -> Page[InvocationSummary]:
        """See `AsyncClient.list_invocations`."""
        asked = ("invocations", self._tenant, session_id)
        before = None if next_token is None else _sort_key_of(read_page_token(next_token, *asked))

        def question(state: SessionState, now: int) -> list[tuple[bytes, InvocationAt]] | Refuse | Lookup:
            return decide.visible(state.facts, now) or state.index.invocations()

        with self._lanes.use(uuid_bytes("session_id", session_id)) as lane:
            every = await lane.ask(question)
        rest = [(raw, at) for raw, at in every if before is None or (at.slot, at.time, raw) < before]
        items = tuple(
            InvocationSummary(session_id=session_id, invocation_id=uuid_text(raw), created_at=moment(at.time))
            for raw, at in rest[:max_results]
        )
        more = len(rest) > max_results
        return Page(items=items, next_token=page_token(_sort_key(*rest[max_results - 1]), *asked) if more else None)

    async def put_steps(
        self,
        caller: Caller,
        session_id: str,
        invocation_id: str,
        steps: Sequence[StepToPut],
        *,
        create_invocation: bool,
    ) -> tuple[InvocationStep, ...]:
        """See `AsyncClient.put_invocation_steps`."""
        with self._lanes.use(uuid_bytes("session_id", session_id)) as lane:  # from now on: others wait for this one
            return await self._put_steps(lane, caller, session_id, invocation_id, steps, create=create_invocation)

    async def _put_steps(
        self,
        lane: Lane,
        caller: Caller,
        session_id: str,
        invocation_id: str,
        steps: Sequence[StepToPut],
        *,
        create: bool,
    ) -> tuple[InvocationStep, ...]:
        invocation = uuid_bytes("invocation_id", invocation_id)
        random = self._ports.random(TOKEN_SIZE + SALT_SIZE * sum([len(step.content) for step in steps]))
        token, at = random[:TOKEN_SIZE], TOKEN_SIZE
        encoded: list[list[Encoded]] = []
        size = 0
        for step in steps:
            blocks: list[Encoded] = []
            for block in step.content:
                blocks.append(encode(block, random[at : at + SALT_SIZE]))
                size += blocks[-1].ref.stored_size
                at += SALT_SIZE
            encoded.append(blocks)
        began = None
        if size > self._inline_bytes:
            began = instant(self._ports, self._store)
            encoded = await self._upload(lane, token, encoded)
            size = self._inline_bytes
        events = [self._event(invocation, step, blocks) for step, blocks in zip(steps, encoded, strict=True)]
        wanted = decide.put_steps(
            events,
            made_ids=all(step.invocation_step_id is None for step in steps),
            create_invocation=create,
            most=self._limits.steps_per_session,
            same=lambda old, new: same_content(old, new, [block.raw for block in encoded[events.index(new)]]),
        )
        if began is not None:
            wanted = while_fresh(wanted, began, self._ports, self._store)
        weight = size + EVENT_BYTES * (1 + sum([1 + len(event.blocks) for event in events]))
        try:
            settled = await self._submit(lane, Intent(caller, token, wanted, weight, len(events) + 1))
        except StepwellError as error:
            if not isinstance(error, OutcomeUnknown):
                await self._withdraw(lane, events, token)
            raise
        if not settled.events:
            await self._withdraw(lane, events, token)
            return await self._steps_at(lane, settled.places)
        return self._written(session_id, invocation_id, steps, events, settled)

    def _event(self, invocation: bytes, step: StepToPut, blocks: Sequence[Encoded]) -> StepPut:
        given = step.invocation_step_id
        return StepPut(
            invocation,
            self._new_id() if given is None else uuid_bytes("invocation_step_id", given),
            None
            if step.invocation_step_time is None
            else microseconds("invocation_step_time", step.invocation_step_time),
            tuple([block.ref for block in blocks]),
            tuple([block.payload for block in blocks]),
        )

    async def _upload(self, lane: Lane, token: bytes, encoded: list[list[Encoded]]) -> list[list[Encoded]]:
        """Put what is too large beside the journal, if the session is there; the blocks as the record names them."""
        flat = [block for blocks in encoded for block in blocks]
        chosen = split_blobs(flat, self._store.inline_bytes)
        for i in chosen:
            self._store.check_blob(flat[i].ref.stored_size)
        await self._reader.visible_head(lane)
        blobs = {blob_name(token, flat[i].ref): flat[i].payload.stored for i in chosen}
        calls = [self._store.put_blob(lane.journal, name, data) for name, data in blobs.items()]
        await self._ports.tasks.gather(calls, width=BLOBS_AT_ONCE)
        marked = iter([block.as_blob() if i in chosen else block for i, block in enumerate(flat)])
        return [[next(marked) for _ in blocks] for blocks in encoded]

    async def _withdraw(self, lane: Lane, events: Sequence[StepPut], token: bytes) -> None:
        """Remove the blobs of a call that wrote nothing. What cannot be removed now is left to `gc`."""
        for name in [name for event in events for name in blob_names(event, token)]:
            try:
                await self._store.remove_blob(lane.journal, name)
            except StepwellError as error:
                _log.warning("a blob of session %s is left to gc: %s", uuid_text(lane.journal.session), error)

    def _written(
        self,
        session_id: str,
        invocation_id: str,
        steps: Sequence[StepToPut],
        events: Sequence[StepPut],
        settled: Settled,
    ) -> tuple[InvocationStep, ...]:
        return tuple(
            stored(
                InvocationStep,
                {
                    "session_id": session_id,
                    "invocation_id": invocation_id,
                    "invocation_step_id": uuid_text(event.step),
                    "invocation_step_time": moment(settled.time if event.time is None else event.time),
                    "content": step.content,
                    "slot": at.slot,
                    "position": position(at),
                },
            )
            for step, event, at in zip(steps, events, settled.places[-len(events) :], strict=True)
        )

    async def _steps_at(self, lane: Lane, places: Sequence[Place]) -> tuple[InvocationStep, ...]:
        found: list[InvocationStep] = []
        for at in places:
            records = await lane.read(at.slot, at.slot)
            found += [await self._reader.step(lane, record, at.at) for record in records]
        return tuple(found)

    async def get_invocation_step(self, session_id: str, invocation_id: str, step_id: str) -> InvocationStep:
        """See `AsyncClient.get_invocation_step`."""
        invocation = uuid_bytes("invocation_id", invocation_id)
        step = uuid_bytes("invocation_step_id", step_id)

        def question(state: SessionState, now: int) -> tuple[Record, Place] | Refuse | Lookup:
            if refusal := decide.visible(state.facts, now):
                return refusal
            found = decide.find_step(state, invocation, step)
            if found is None:
                return Refuse(NotFound("no such step in this invocation"))
            return found if isinstance(found, Lookup) else (state.evidence[found[0].slot], found[0])

        with self._lanes.use(uuid_bytes("session_id", session_id)) as lane:
            record, at = await lane.ask(question)
            return await self._reader.step(lane, record, at.at)

    async def list_invocation_steps(
        self, session_id: str, invocation_id: str | None, max_results: int, next_token: str | None
    ) -> Page[InvocationStepSummary]:
        """See `AsyncClient.list_invocation_steps`."""
        invocation = None if invocation_id is None else uuid_bytes("invocation_id", invocation_id)
        asked = ("steps", self._tenant, session_id, invocation_id or "")
        before = None if next_token is None else place("next_token", read_page_token(next_token, *asked).decode())
        found: list[tuple[Place, InvocationStepSummary]] = []
        wanted = Wanted(invocation, before=before)
        with self._lanes.use(uuid_bytes("session_id", session_id)) as lane:
            head = await self._reader.visible_head(lane)
            async for records in self._reader.backwards(
                lane, head.slot if before is None else before.slot, head.facts.base, head
            ):
                found += summaries(session_id, records, wanted)
                if len(found) > max_results:
                    break
            if invocation is not None and not found and before is None:
                await self._require_invocation(lane, invocation)
        items = tuple(shown for _, shown in found[:max_results])
        more = len(found) > max_results
        return Page(
            items=items,
            next_token=page_token(position(found[max_results - 1][0]).encode(), *asked) if more else None,
        )

    async def steps(self, session_id: str, chosen: StepRange) -> AsyncGenerator[Sequence[InvocationStep]]:
        """See `AsyncClient.steps`; in batches."""
        given = chosen.invocation_id
        invocation = None if given is None else uuid_bytes("invocation_id", given)
        wanted = Wanted(invocation, after=chosen.after or Place(-1, -1))
        empty = True
        with self._lanes.use(uuid_bytes("session_id", session_id)) as lane:
            head = await self._reader.visible_head(lane)
            check_behind(wanted.after, head.slot)
            first = max(wanted.after.slot, head.facts.base)
            spans = (
                self._reader.backwards(lane, head.slot, first, head)
                if chosen.reverse
                else self._reader.forwards(lane, first, head)
            )
            async for records in spans:
                async for steps in self._reader.steps(lane, records, wanted, reverse=chosen.reverse):
                    empty = empty and not steps
                    yield steps
            if invocation is not None and empty:
                await self._require_invocation(lane, invocation)

    async def _require_invocation(self, lane: Lane, invocation: bytes) -> None:
        known = await lane.ask(lambda state, now: state.index.has_invocation(invocation))
        if not known:
            raise NotFound("no such invocation in this session", invocation_id=uuid_text(invocation))

    # Beyond Bedrock

    async def lease(self, caller: Caller, session_id: str) -> Lease:
        """See `AsyncClient.lease`."""
        settled = await self._write(caller, session_id, decide.lease)
        taken = settled.events[0]
        assert isinstance(taken, Leased)
        return Lease(session_id=session_id, epoch=taken.epoch)

    async def fork(self, caller: Caller, session_id: str, *, at: Place | None, key: str | None) -> Session:
        """See `AsyncClient.fork`."""
        former = None if key is None else await self._creation.free_key(key)
        origin = uuid_bytes("session_id", session_id)
        with self._lanes.use(origin) as lane:
            head = await self._reader.visible_head(lane)
            forker = Forker(self._store, self._ports, self._reader, lane, head, at)
            now = self._ports.clock.wall()
            attributes = await forker.attributes(self._new_id(now), now, key)
            return await self._creation.begin(caller, attributes, former, lambda target: forker.copy(target, caller))

    async def resolve(self, token: str) -> Resolution:
        """See `AsyncClient.resolve`."""
        doubt = read_outcome_token(token)
        if doubt.tenant != self._tenant:
            raise NotFound("no such session")
        with self._lanes.use(doubt.session) as lane:
            try:
                head, base = await lane.ask(lambda state, now: (state.slot, state.facts.base))
            except NotFound:
                if doubt.slot:
                    raise
                if self._may_be_reclaimed(doubt.session):
                    return Resolution(outcome="unknown")
                lane.start(blank())
                head, base = -1, 0
            if doubt.slot < base:
                return Resolution(outcome="unknown")
            if doubt.slot > head:
                await self._bar(lane, doubt.slot)
            settled, record = await lane.settled(doubt.slot, doubt.call)
            if record is not None:
                if record.slot:
                    await self._removal.follow_all(lane, record, doubt.call)
                elif not await self._creation.finish(lane):  # which lists it: being listed says that it is whole
                    return Resolution(outcome="absent")
            return settled

    async def _bar(self, lane: Lane, slot: int) -> None:
        """Take *slot*, unless somebody has, so that what is on its way there can no longer land."""
        try:
            caller = Caller(bytes(WRITER_SIZE), hidden_too=True)
            await lane.submit(self._intent(caller, decide.barrier(slot)))
        except OutcomeUnknown as error:  # its token is that of the barrier
            raise Unavailable("the store did not answer: resolve again") from error

    def _may_be_reclaimed(self, session: bytes) -> bool:
        """Whether a session without a journal is so old that it may have had one."""
        age = self._ports.clock.wall() - uuid7_time(session)
        return not 0 <= age < (RECLAIM_SECONDS - VIEW_MAX_SECONDS) * decide.MICROSECONDS

    async def redact(self, caller: Caller, session_id: str, invocation_id: str, step_id: str, why: Why) -> Redaction:
        """See `AsyncClient.redact`."""
        invocation, step = uuid_bytes("invocation_id", invocation_id), uuid_bytes("invocation_step_id", step_id)
        with self._lanes.use(uuid_bytes("session_id", session_id)) as lane:
            blocks = await self._removal.redact(lane, caller, invocation, step, why)
        return Redaction(
            session_id=session_id,
            invocation_id=uuid_text(invocation),
            invocation_step_id=uuid_text(step),
            blocks=blocks,
            remains=(
                "forks made of this session before",
                "payloads of calls that were cut off before they wrote anything, until gc removes them",
                *self._store.copies,
            ),
        )

    async def trim(self, caller: Caller, session_id: str, why: Why, *, before: Place) -> Session:
        """See `AsyncClient.trim`."""
        with self._lanes.use(uuid_bytes("session_id", session_id)) as lane:
            settled = await self._removal.trim(lane, caller, before, why)
        return await self._as_settled(session_id, settled)

    async def audit_records(self, session_id: str | None) -> AsyncGenerator[AuditRecord]:
        """See `AsyncClient.audit_records`."""
        session = None if session_id is None else uuid_bytes("session_id", session_id)
        async with aclosing(self._audit.records(session)) as records:
            async for record in records:
                yield record

    async def gc(self, *, dry_run: bool, on_progress: Callable[[int], None] | None) -> GcReport:
        """See `AsyncClient.gc`."""
        collector = Collector(
            self._store,
            self._ports,
            self._lanes,
            self._reader,
            self._listing,
            self._audit,
            self._removal,
            self._creation,
            self._tenant,
        )
        return await collector.run(dry_run=dry_run, on_progress=on_progress)

    async def verify(self, session_id: str, *, on_progress: Callable[[int], None] | None) -> Verification:
        """See `AsyncClient.verify`."""
        with self._lanes.use(uuid_bytes("session_id", session_id)) as lane:
            return await Verifier(self._store, self._ports, self._reader, lane).run(on_progress)

    async def salvage(
        self, caller: Caller, session_id: str, *, key: str | None, on_progress: Callable[[int], None] | None
    ) -> Salvaged:
        """See `AsyncClient.salvage`."""
        former = None if key is None else await self._creation.free_key(key)
        found = await self.verify(session_id, on_progress=None)
        with self._lanes.use(uuid_bytes("session_id", session_id)) as lane:
            salvager = Salvager(self._store, self._ports, self._reader, lane)
            now = self._ports.clock.wall()
            attributes = await salvager.attributes(self._new_id(now), now, key)
            session = await self._creation.begin(
                caller, attributes, former, lambda target: salvager.copy(target, caller, on_progress)
            )
        return Salvaged(session=session, steps=salvager.steps, faults=found.faults)

    async def ping(self) -> None:
        """See `AsyncClient.ping`."""
        await self._store.ping()

    async def aclose(self) -> None:
        """Let go of the store and of threads."""
        await self._ports.tasks.settle()
        await self._store.aclose()
        await self._ports.tasks.aclose()

    # Writing

    async def _write(self, caller: Caller, session_id: str, wanted: Decide, *, weight: int = 0) -> Settled:
        with self._lanes.use(uuid_bytes("session_id", session_id)) as lane:
            return await self._submit(lane, self._intent(caller, wanted, weight=weight))

    def _intent(self, caller: Caller, wanted: Decide, *, weight: int = 0) -> Intent:
        return Intent(caller, self._ports.random(TOKEN_SIZE), wanted, weight + EVENT_BYTES)

    async def _submit(self, lane: Lane, intent: Intent) -> Settled:
        try:
            return await lane.submit(intent)
        except SessionExpired:
            await self._list_expired(lane)
            raise

    async def _list_expired(self, lane: Lane) -> None:
        def question(state: SessionState, now: int) -> ListingEntry | Lookup:
            if state.attributes is None:
                return Lookup((state.facts.attributes_slot,))
            return listing_entry(state.facts, state.attributes, now)

        await self._listing.show(await lane.ask(question))

    def _new_id(self, now: int | None = None) -> bytes:
        return self._ids.new(self._ports.clock.wall() if now is None else now)


def _sort_key(raw: bytes, at: InvocationAt) -> bytes:
    return _SORT_KEY.pack(at.slot, at.time, raw)


def _sort_key_of(key: bytes) -> tuple[int, int, bytes]:
    slot, time, raw = _SORT_KEY.unpack(key)
    return slot, time, raw
