"""Planted divergences: clients and stores that are wrong in one way, which the programs have to notice.

MUTANTS    name -> a context in which it is so
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

from stepwell.journal import decide
from stepwell.journal.decide import Caller
from stepwell.journal.events import Trimmed
from stepwell.journal_backend import JournalBackend
from stepwell.listing import Listing
from stepwell.models import Page


@contextmanager
def _put_duplicates() -> Generator[None]:
    put = JournalBackend.put_steps

    async def twice(
        self: Any, caller: Any, session: Any, invocation: Any, steps: Any, *, create_invocation: bool
    ) -> Any:
        done = await put(self, caller, session, invocation, steps, create_invocation=create_invocation)
        if all(step.invocation_step_id is None for step in steps):
            await put(self, caller, session, invocation, steps, create_invocation=create_invocation)
        return done

    with patch.object(JournalBackend, "put_steps", twice):
        yield


@contextmanager
def _fork_shares_the_key() -> Generator[None]:
    from stepwell.creation import Creation

    async def any_key(self: Any, key: str, besides: bytes | None = None) -> bytes | None:
        named: bytes | None = await self._store.get_key(self._tenant, key)
        return named

    with patch.object(Creation, "free_key", any_key):
        yield


@contextmanager
def _list_without_the_newest() -> Generator[None]:
    page = Listing.page

    async def shorter(self: Any, chosen: Any, max_results: int, next_token: str | None) -> Page[Any]:
        found = await page(self, chosen, max_results, next_token)
        return found if next_token else Page(items=found.items[1:], next_token=found.next_token)

    with patch.object(Listing, "page", shorter):
        yield


@contextmanager
def _other_content_is_accepted() -> Generator[None]:
    def same(*_contents: object) -> bool:
        return True

    with patch("stepwell.journal_backend.same_content", same):
        yield


@contextmanager
def _without(**members: Any) -> Generator[None]:
    admit = decide.admit

    def admitted(state: Any, now: int, caller: Caller) -> Any:
        return admit(state, now, caller._replace(**members))

    with patch("stepwell.lane.admit", admitted):
        yield


@contextmanager
def _trim_loses_an_invocation() -> Generator[None]:
    trim = decide.trim

    def lossy(*args: Any) -> Any:
        def decided(state: Any, now: int) -> Any:
            found = trim(*args)(state, now)
            if not isinstance(found, decide.Append):
                return found
            (event,) = found.events
            assert isinstance(event, Trimmed)
            return decide.Append((Trimmed(event.attributes, event.base, event.why, event.kept[1:]),))

        return decided

    with patch.object(decide, "trim", lossy):
        yield


@contextmanager
def _redact_only_says_so() -> Generator[None]:
    from stepwell.removal import Removal

    async def nothing(self: Any, lane: Any, place: Any) -> bool:
        return False

    with patch.object(Removal, "erase", nothing):
        yield


@contextmanager
def _deleted_for_a_while_is_gone() -> Generator[None]:
    delete = decide.delete

    def at_once(why: Any, *, end: bool, hidden: int = 0) -> Any:
        return delete(why, end=end)

    with patch.object(decide, "delete", at_once):
        yield


@contextmanager
def _a_step_is_left_out() -> Generator[None]:
    from stepwell.reader import Reader

    steps = Reader.steps

    async def fewer(self: Any, lane: Any, records: Any, wanted: Any, *, reverse: bool) -> Any:
        async for batch in steps(self, lane, records, wanted, reverse=reverse):
            shown: Sequence[Any] = batch
            yield shown[: max(1, len(shown) - (len(shown) > 3))]

    with patch.object(Reader, "steps", fewer):
        yield


MUTANTS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "put duplicates": _put_duplicates,
    "fork shares the key": _fork_shares_the_key,
    "list without the newest": _list_without_the_newest,
    "other content is accepted": _other_content_is_accepted,
    "if_head is ignored": lambda: _without(if_head=None),
    "leases are ignored": lambda: _without(epoch=None),
    "trim loses an invocation": _trim_loses_an_invocation,
    "redact only says so": _redact_only_says_so,
    "deleted for a while is gone": _deleted_for_a_while_is_gone,
    "a step is left out": _a_step_is_left_out,
}
