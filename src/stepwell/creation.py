"""Beginning a session: slot 0, its history if it is a fork, its key, its listing entry, in this order.

Nobody finds a session before it is whole: a fork is BEGUN until its history is, and key and entry come last. What fails
on the way purges it again. A key is an entry in the store's key index, replaced only by comparison, and
only where it names nothing or a session that is gone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from math import ceil
from typing import NamedTuple

from stepwell.clocks import instant
from stepwell.errors import AlreadyExists, Conflict, NotFound, OutcomeUnknown, StepwellError, Unavailable
from stepwell.ids import uuid_text
from stepwell.io.ports import Ports
from stepwell.journal import decide
from stepwell.journal.decide import Append, Caller, Decide
from stepwell.journal.events import Attributes, Copied, Created, Purged
from stepwell.journal.index import Lookup
from stepwell.journal.record import TOKEN_SIZE, WRITER_SIZE, Status
from stepwell.journal.state import SessionState, blank, events
from stepwell.lane import Intent, Lane, Settled
from stepwell.lanes import Lanes
from stepwell.limits import Limits
from stepwell.listing import Listing
from stepwell.models import Session
from stepwell.outcomes import InDoubt, outcome_token
from stepwell.reader import Reader
from stepwell.stores.base import JournalStore, ListingEntry
from stepwell.view import VIEW_MAX_SECONDS
from stepwell.views import listing_entry, moment, session_view

_MICROSECOND = timedelta(microseconds=1)

Fill = Callable[[Lane], Awaitable[Settled | None]]
"""Appends what a session begins with, and answers the last of it."""


class Creation:
    """Begins one tenant's sessions."""

    def __init__(
        self,
        store: JournalStore,
        ports: Ports,
        lanes: Lanes,
        reader: Reader,
        listing: Listing,
        *,
        tenant: str,
        limits: Limits,
    ) -> None:
        self._store = store
        self._ports = ports
        self._lanes = lanes
        self._reader = reader
        self._listing = listing
        self._tenant = tenant
        self._limits = limits

    async def begin(
        self,
        caller: Caller,
        attributes: Attributes,
        former: bytes | None,
        fill: Fill,
        retention: timedelta | None = None,
    ) -> Session:
        """A new session. *former* is what its key names until now; *retention* its own, instead of the limits'.

        Raises:
            AlreadyExists: somebody else was given the key meanwhile.
            Unavailable: it took too long.
        """
        token, began = self._ports.random(TOKEN_SIZE), instant(self._ports, self._store)
        created = self._created(attributes, retention or self._limits.retention)
        with self._lanes.use(attributes.session) as lane:
            lane.start(blank())
            try:
                settled = await lane.submit(Intent(caller, token, lambda state, now: Append((created,)), 0))
            except NotFound as error:  # what was known of a journal that does not exist is too old by now
                raise Unavailable("beginning the session took too long, and wrote nothing: try again") from error
            take_back: Decide = decide.purge
            try:
                settled = await fill(lane) or settled
                take_back = decide.purge_unchanged(settled.places[-1].slot)  # whoever finds its key may write to it
                await self._claim(attributes.session, attributes.key, former)
                await self._store.put_entry(self._tenant, listing_entry(settled.facts, attributes, settled.time))
                if instant(self._ports, self._store).seconds_since(began) >= VIEW_MAX_SECONDS:
                    await self._make_sure(lane)
            except BaseException as error:
                await self._abandon(lane, token, take_back)
                if isinstance(error, OutcomeUnknown):
                    raise Unavailable("the session was begun and taken back again: try again") from error
                raise
        return session_view(settled.facts, attributes, settled.tail, settled.time)

    def _created(self, attributes: Attributes, retention: timedelta | None) -> Created:
        idle = self._limits.idle_timeout
        expires_at = 0 if retention is None else attributes.created_at + retention // _MICROSECOND
        return Created(attributes, 0 if idle is None else ceil(idle.total_seconds()), expires_at)

    async def finish(self, lane: Lane) -> bool:
        """Go on where a creation was interrupted; whether the session is there.

        It is not to be if its history is not whole, or if its key is taken and nobody wrote to it.
        """
        session = lane.journal.session
        try:
            begun = await self._begun(lane)
        except NotFound:
            return await self._was_there(lane)
        if not begun.whole:
            await self._take_back(lane, decide.purge)
            return False
        try:
            former = None if begun.key is None else await self.free_key(begun.key, besides=session)
            await self._claim(session, begun.key, former)
        except Conflict:
            if begun.untouched and await self._take_back(lane, decide.purge_unchanged(begun.slot)):
                return False
        if await self._store.get_entry(self._tenant, session) is None:
            await self._store.put_entry(self._tenant, begun.entry)
            await self._make_sure(lane)
        return True

    async def clear_up(self, lane: Lane) -> None:
        """Finish what was interrupted long ago; take it back if it never had its key: then nobody was told of it."""
        try:
            begun = await self._begun(lane)
        except NotFound:
            return
        unclaimed = begun.key is not None and await self._store.get_key(self._tenant, begun.key) != lane.journal.session
        if begun.whole and begun.untouched and unclaimed:
            await self._take_back(lane, decide.purge_unchanged(begun.slot))
        else:
            await self.finish(lane)

    async def _begun(self, lane: Lane) -> _Begun:
        def question(state: SessionState, now: int) -> _Begun | decide.Refuse | Lookup:
            if refusal := decide.visible(state.facts, now, begun_too=True):
                return refusal
            if state.attributes is None:
                return Lookup((state.facts.attributes_slot,))
            if state.slot and state.attributes.origin and state.slot not in state.evidence:
                return Lookup((state.slot,))
            whole = state.facts.status is not Status.BEGUN
            entry = listing_entry(state.facts, state.attributes, now)
            return _Begun(state.attributes.key, state.slot, entry, whole=whole, untouched=_is_untouched(state))

        return await lane.ask(question)

    async def _was_there(self, lane: Lane) -> bool:
        """Whether a session that is gone was deleted, or is over; False for one that was taken back."""
        head = await lane.head()
        if head.facts.status is not Status.PURGED:
            return head.facts.status is not Status.BEGUN
        return any(isinstance(event, Purged) and event.why is not None for event in events(head))

    async def _take_back(self, lane: Lane, wanted: Decide) -> bool:
        """Purge a session that is not to be; False if somebody wrote to it."""
        caller = Caller(bytes(WRITER_SIZE), hidden_too=True, begins=True)
        try:
            taken = bool((await lane.submit(Intent(caller, self._ports.random(TOKEN_SIZE), wanted, 0))).events)
        except NotFound:
            return True  # by somebody else
        if taken:
            await self._listing.hide(lane.journal.session)
        return taken

    async def _make_sure(self, lane: Lane) -> None:
        """Take a slot: whoever found the session unlisted, and is about to take it back, has to look again.

        Raises:
            Unavailable: it was taken back.
        """
        try:
            await self._touch(lane)
        except NotFound as error:
            raise Unavailable("it took so long that the session was taken back meanwhile: try again") from error

    async def _touch(self, lane: Lane) -> None:
        await lane.submit(
            Intent(Caller(bytes(WRITER_SIZE), hidden_too=True), self._ports.random(TOKEN_SIZE), decide.touch, 0)
        )

    async def free_key(self, key: str, besides: bytes | None = None) -> bytes | None:
        """What *key* names: nothing, a session that is gone for good, or *besides*.

        Raises:
            AlreadyExists: it names another session.
            Conflict: it names one that is deleted and can be undeleted.
        """
        former = await self._store.get_key(self._tenant, key)
        if former is not None and former != besides:
            with self._lanes.use(former) as lane:
                await self._require_gone(lane)
        return former

    async def _require_gone(self, lane: Lane) -> None:
        """Refuse the key of a session that somebody could still use.

        One that is over only by this machine's clock is purged first: where clocks differ, the journal decides.
        """
        session = lane.journal.session
        try:
            facts = await lane.ask(lambda state, now: state.facts)
            if decide.visible(facts, self._ports.clock.wall(), hidden_too=True):
                await self._touch(lane)
        except NotFound:
            return
        except OutcomeUnknown as error:  # its token would be of the former session's barrier
            raise Unavailable("whether the key is free cannot be told now: try again") from error
        if facts.purge_after:
            until = moment(facts.purge_after).isoformat(timespec="seconds")
            raise Conflict(
                f"key: session {uuid_text(session)} has it, deleted until {until}: undelete it, or delete it for good",
                session_id=uuid_text(session),
            )
        raise _taken(session)

    async def _claim(self, session: bytes, key: str | None, former: bytes | None) -> None:
        if key is None or former == session:
            return
        held = await self._store.swap_key(self._tenant, key, session, expected=former)
        if held is None and former is not None:  # gc has let it go meanwhile
            former = None
            held = await self._store.swap_key(self._tenant, key, session, expected=None)
        if held not in (former, session):
            raise _taken(held)

    async def _abandon(self, lane: Lane, token: bytes, wanted: Decide) -> None:
        """Purge a session that did not come to be; if that fails, or somebody uses it, nobody can say so."""
        failed: StepwellError | None = None
        try:
            if await self._take_back(lane, wanted):
                return
        except StepwellError as error:
            failed = error
        raise OutcomeUnknown(
            "the session was begun, and neither finished nor taken back: call resolve(error.token)",
            token=outcome_token(InDoubt(self._tenant, lane.journal.session, 0, token)),
            session_id=uuid_text(lane.journal.session),
        ) from failed


class _Begun(NamedTuple):
    """A session that was begun: its key, its last slot, and what lists are to show of it."""

    key: str | None
    slot: int
    entry: ListingEntry
    whole: bool
    untouched: bool
    """Whether nothing lies behind what it began with."""


def _is_untouched(state: SessionState) -> bool:
    last = state.evidence.get(state.slot)
    return state.slot == 0 or (last is not None and any(isinstance(event, Copied) for event in events(last)))


def _taken(holder: bytes | None) -> AlreadyExists:
    if holder is None:
        return AlreadyExists("key: another session had it a moment ago; open_session(key=…) finds or makes one")
    named = uuid_text(holder)
    return AlreadyExists(f"key: session {named} has it; open_session(key=…) returns that one", session_id=named)


async def nothing_more(lane: Lane) -> None:
    """A session that begins empty."""
