"""What lists show of sessions: a projection of their journals, written beside them, mended by readers."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from stepwell.backend import SessionFilter
from stepwell.errors import NotFound, StepwellError
from stepwell.ids import uuid_bytes, uuid_text
from stepwell.io.ports import Clock
from stepwell.models import Page, SessionSummary
from stepwell.paging import page_token, read_page_token
from stepwell.stores.base import JournalStore, ListingEntry
from stepwell.views import gone_entry, listed_key, summary

_log = logging.getLogger(__name__)
AT_ONCE = 500
_ID_STEP = timedelta(milliseconds=1)  # between processes, ids sort by creation no finer than this
PASSED_OVER_MAX = 10_000
"""Entries that one page may pass over, of sessions that are gone or not chosen; then it is short, and has a token."""


class Listing:
    """One tenant's listing entries."""

    def __init__(
        self, store: JournalStore, clock: Clock, tenant: str, read: Callable[[bytes], Awaitable[ListingEntry]]
    ) -> None:
        self._store = store
        self._clock = clock
        self._tenant = tenant
        self._read = read

    async def show(self, entry: ListingEntry) -> None:
        """Bring an entry up to date. A failure leaves it stale until the session is read again, and loses nothing."""
        try:
            if await self._store.get_entry(self._tenant, entry.session) != entry:
                await self._store.put_entry(self._tenant, entry)
        except StepwellError as error:
            _log.warning("the listing entry of session %s is stale: %s", uuid_text(entry.session), error)

    async def renew(self, session: bytes) -> None:
        """Bring the entry of a session that may be hidden up to date.

        Raises:
            NotFound: it is gone.
        """
        await self.show(await self._read(session))

    async def hide(self, session: bytes) -> None:
        """Take a session that is gone out of the lists, and whatever an older call is about to put there.

        A failure leaves it there until it is asked for again.
        """
        try:
            listed = await self._store.get_entry(self._tenant, session)
            if listed is None or listed.data:
                await self._store.put_entry(self._tenant, gone_entry(session))
        except StepwellError as error:
            _log.warning("session %s is gone, but still listed: %s", uuid_text(session), error)

    async def free_key(self, session: bytes) -> None:
        """Let the key of a session of which nothing is stored any more name nothing: only its entry still tells it."""
        listed = await self._store.get_entry(self._tenant, session)
        key = None if listed is None else listed_key(listed)
        if key is not None:
            await self.let_go(key, session)

    async def let_go(self, key: str, session: bytes) -> None:
        """Let *key* name nothing, if it names *session*, which is gone."""
        if await self._store.get_key(self._tenant, key) == session:
            await self._store.swap_key(self._tenant, key, None, expected=session)

    async def page(self, chosen: SessionFilter, max_results: int, next_token: str | None) -> Page[SessionSummary]:
        """One page, newest first."""
        asked = ("sessions", self._tenant, *chosen.describe())
        before = None if next_token is None else read_page_token(next_token, *asked)
        found: list[SessionSummary] = []
        passed = 0
        while passed < PASSED_OVER_MAX:
            wanted = max_results + 1 - len(found)
            wanted = wanted if chosen == SessionFilter() and not passed else max(wanted, AT_ONCE)
            entries = await self._store.entries(self._tenant, before, wanted)
            for entry in entries:
                shown = await self._summary(entry)
                if shown is not None and chosen.created_after and shown.created_at < chosen.created_after - _ID_STEP:
                    return Page(items=tuple(found))
                if shown is not None and _holds(shown, chosen):
                    found.append(shown)
                if len(found) > max_results:
                    last = uuid_bytes("session_id", found[-2].session_id)
                    return Page(items=tuple(found[:-1]), next_token=page_token(last, *asked))
            if len(entries) < wanted:
                return Page(items=tuple(found))
            before = entries[-1].session
            passed += len(entries)
        return Page(items=tuple(found), next_token=page_token(before or b"", *asked))

    async def _summary(self, entry: ListingEntry) -> SessionSummary | None:
        try:
            return summary(entry, self._clock.wall())
        except (ValueError, TypeError, KeyError, OverflowError):
            return await self._mended(entry)

    async def _mended(self, entry: ListingEntry) -> SessionSummary | None:
        """What the journal says, where an entry is damaged: reading it writes the entry anew."""
        try:
            read = await self._read(entry.session)
        except NotFound:
            return None
        await self.show(read)
        return summary(read, self._clock.wall())


def _holds(shown: SessionSummary, chosen: SessionFilter) -> bool:
    return (
        (shown.purge_after is not None) == chosen.deleted
        and chosen.status in (None, shown.session_status)
        and (chosen.created_after is None or shown.created_at > chosen.created_after)
        and (shown.key or "").startswith(chosen.key_prefix)
        and chosen.tags.items() <= (shown.tags or {}).items()
    )
