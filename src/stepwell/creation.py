"""Beginning a session: slot 0, its history if it is a fork, its key, its listing entry, in this order.

Nobody finds a session before it is whole: its id is known to its creator alone, and its key and its entry come last.
What fails on the way purges it again. A key is an entry in the store's key index, replaced only by comparison, and
only where it names nothing or a session that is gone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from math import ceil

from stepwell.errors import AlreadyExists, NotFound, OutcomeUnknown, StepwellError
from stepwell.ids import uuid_text
from stepwell.io.ports import Ports
from stepwell.journal import decide
from stepwell.journal.decide import Append, Caller
from stepwell.journal.events import Attributes, Created
from stepwell.journal.index import Lookup
from stepwell.journal.record import TOKEN_SIZE
from stepwell.journal.state import SessionState, blank
from stepwell.lane import Intent, Lane, Settled
from stepwell.lanes import Lanes
from stepwell.limits import Limits
from stepwell.listing import Listing
from stepwell.models import Session
from stepwell.outcomes import InDoubt, outcome_token
from stepwell.reader import Reader
from stepwell.stores.base import JournalStore, ListingEntry
from stepwell.views import listing_entry, session_view

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

    async def begin(self, caller: Caller, attributes: Attributes, former: bytes | None, fill: Fill) -> Session:
        """A new session. *former* is what its key names until now.

        Raises:
            AlreadyExists: somebody else was given the key meanwhile.
        """
        token = self._ports.random(TOKEN_SIZE)
        created = self._created(attributes)
        with self._lanes.use(attributes.session) as lane:
            lane.start(blank())
            settled = await lane.submit(Intent(caller, token, lambda state, now: Append((created,)), 0))
            try:
                settled = await fill(lane) or settled
                await self._claim(attributes, former)
                await self._store.put_entry(self._tenant, listing_entry(settled.facts, attributes, settled.time))
            except BaseException:
                await self._abandon(lane, caller, token)
                raise
        return session_view(settled.facts, attributes, settled.tail, settled.time)

    def _created(self, attributes: Attributes) -> Created:
        retention, idle = self._limits.retention, self._limits.idle_timeout
        expires_at = 0 if retention is None else attributes.created_at + retention // _MICROSECOND
        return Created(attributes, 0 if idle is None else ceil(idle.total_seconds()), expires_at)

    async def finish(self, lane: Lane) -> bool:
        """Go on where an unknown outcome of slot 0 stopped; False if the session is not to be, for its key is taken."""

        def question(state: SessionState, now: int) -> tuple[Attributes, ListingEntry] | decide.Refuse | Lookup:
            if refusal := decide.visible(state.facts, now):
                return refusal
            if state.attributes is None:
                return Lookup((state.facts.attributes_slot,))
            return state.attributes, listing_entry(state.facts, state.attributes, now)

        try:
            attributes, entry = await lane.ask(question)
            if attributes.origin and not await self._store.get_entry(self._tenant, attributes.session):
                await self._purge(lane, Caller(bytes(8)))  # nobody can say how much of the origin was copied
                return False
            key = attributes.key
            former = None if key is None else await self.free_key(key, besides=attributes.session)
            await self._claim(attributes, former)
        except NotFound:  # taken back once, or deleted since: then it was listed
            return await self._store.get_entry(self._tenant, lane.journal.session) is not None
        except AlreadyExists:
            await self._purge(lane, Caller(bytes(8)))
            return False
        await self._store.put_entry(self._tenant, entry)
        return True

    async def free_key(self, key: str, besides: bytes | None = None) -> bytes | None:
        """What *key* names: nothing, a session that is gone, or *besides*.

        Raises:
            AlreadyExists: it names another session.
        """
        former = await self._store.get_key(self._tenant, key)
        if former not in (None, besides) and await self._is_there(former):
            raise _taken(former)
        return former

    async def _is_there(self, session_id: bytes) -> bool:
        try:
            with self._lanes.use(session_id) as lane:
                await self._reader.visible_head(lane)
        except NotFound:
            return False
        return True

    async def _claim(self, attributes: Attributes, former: bytes | None) -> None:
        if attributes.key is None or former == attributes.session:
            return
        held = await self._store.swap_key(self._tenant, attributes.key, attributes.session, expected=former)
        if held not in (former, attributes.session):
            raise _taken(held)

    async def _abandon(self, lane: Lane, caller: Caller, token: bytes) -> None:
        """Purge a session that did not come to be; if even that fails, nobody can say what is there."""
        try:
            await self._purge(lane, caller)
        except StepwellError as error:
            doubt = InDoubt(self._tenant, lane.journal.session, 0, token)
            raise OutcomeUnknown(
                "the session was begun, and neither finished nor taken back: call resolve(error.token)",
                token=outcome_token(doubt),
                session_id=uuid_text(lane.journal.session),
            ) from error

    async def _purge(self, lane: Lane, caller: Caller) -> None:
        await lane.submit(Intent(caller, self._ports.random(TOKEN_SIZE), decide.delete(end=True), 0))
        await self._listing.hide(lane.journal.session)


def _taken(holder: bytes | None) -> AlreadyExists:
    if holder is None:
        return AlreadyExists("key: another session had it a moment ago; open_session(key=…) finds or makes one")
    named = uuid_text(holder)
    return AlreadyExists(f"key: session {named} has it; open_session(key=…) returns that one", session_id=named)


async def nothing_more(lane: Lane) -> None:
    """A session that begins empty."""
