"""Planted faults of the protocol: each a small change to how records are written, believed, or taken away.

test_mutants.py runs the checks that catch them. Faults of the file store are in tests/faults/mutants_file.py, those of
what is verified in tests/faults/test_corruption.py, more of stores and clients in tests/unit/test_conformance_suite.py.
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeAlias, TypeVar
from unittest.mock import patch

from stepwell import copying, creation, gc, journal_backend, lane, reader, removal, view
from stepwell.clocks import Instant
from stepwell.creation import Creation
from stepwell.errors import NotFound, OutcomeUnknown, Unavailable
from stepwell.journal import decide
from stepwell.journal.decide import Append, Caller, Decide, Refuse
from stepwell.journal.events import Purged
from stepwell.journal.index import Index
from stepwell.journal.record import Facts, Record, open_record
from stepwell.journal.state import SessionState
from stepwell.journal_backend import JournalBackend
from stepwell.lane import Lane
from stepwell.listing import Listing
from stepwell.models import Resolution
from stepwell.removal import Removal
from stepwell.stores.base import JournalId
from stepwell.stores.memory import MemoryStore
from stepwell.testing.simulated.stores import _SlicedStore as SLICED
from stepwell.view import View

T = TypeVar("T")
Mutant: TypeAlias = Callable[[], AbstractContextManager[object]]


def replaced(owner: object, name: str, make: Callable[[Any], Any]) -> AbstractContextManager[object]:
    """Replace a function by what *make* makes of it."""
    return patch.object(owner, name, make(getattr(owner, name)))


def constant(owners: Sequence[object], name: str, value: object) -> AbstractContextManager[object]:
    """Replace a constant wherever it was imported."""

    @contextmanager
    def everywhere() -> Generator[None]:
        patches = [patch.object(owner, name, value) for owner in owners]
        for each in patches:
            each.start()
        try:
            yield
        finally:
            for each in patches:
                each.stop()

    return everywhere()


# Writing


def _no_token(send: Callable[..., Awaitable[Record | None]]) -> object:
    async def sent(self: Lane, record: bytes, slot: int) -> Record | None:
        winner = await send(self, record, slot)
        return None if winner is None else winner._replace(token=bytes(16))

    return sent


def _same_content(send: Callable[..., Awaitable[Record | None]]) -> object:
    async def sent(self: Lane, record: bytes, slot: int) -> Record | None:
        winner = await send(self, record, slot)
        mine = open_record(record, self._view.identity)
        same = winner is not None and _contents(winner) == _contents(mine) != []
        return None if same else winner

    return sent


def _contents(record: Record) -> list[list[bytes]]:
    return [[payload.stored for payload in event.payloads] for _, event in decide.steps_in(record)]


def _thawed(commit: Callable[..., Awaitable[None]]) -> object:
    async def committed(self: Lane, intents: list[lane.Intent]) -> None:
        try:
            await commit(self, intents)
        except OutcomeUnknown:
            self._view.forget()
            await commit(self, intents)

    return committed


def _hopeful(send: Callable[..., Awaitable[Record | None]]) -> object:
    async def sent(self: Lane, record: bytes, slot: int) -> Record | None:
        try:
            return await send(self, record, slot)
        except OutcomeUnknown:
            return None

    return sent


def _gloomy(work: Callable[..., OutcomeUnknown]) -> object:
    def unknown(self: Lane, intent: lane.Intent) -> Unavailable:
        return Unavailable("nothing was written, perhaps")

    return unknown


def _renewed(send: Callable[..., Awaitable[Record | None]]) -> object:
    async def sent(self: Lane, batch: object, state: SessionState, began: Instant) -> Record | None:
        winner = await send(self, batch, state, began)
        if winner is not None:
            self._view._began = self._view.now()
        return winner

    return sent


def _by(*clocks: str) -> Callable[[Callable[..., float]], object]:
    def seconds_since(self: Instant, earlier: Instant) -> float:
        passed: float = max(getattr(self, clock) - getattr(earlier, clock) for clock in clocks) / 1e6
        return passed

    return lambda seconds: seconds_since


def _stale(current: Callable[..., Awaitable[SessionState]]) -> object:
    async def from_memory(self: View, now: Instant, *, fresh: bool) -> SessionState:
        return await current(self, now, fresh=False)

    return from_memory


def _anyone(admit: Callable[..., Refuse | None], **without: object) -> object:
    def admitted(state: SessionState, now: int, caller: Caller) -> Refuse | None:
        return admit(state, now, caller._replace(**without))  # type: ignore[arg-type]

    return admitted


def _absent(settled: Callable[..., Awaitable[tuple[Resolution, Record | None]]]) -> object:
    async def guessed(self: Lane, slot: int, call: bytes) -> tuple[Resolution, Record | None]:
        resolution, record = await settled(self, slot, call)
        unknown = resolution.outcome == "unknown"
        return (Resolution(outcome="absent"), None) if unknown else (resolution, record)

    return guessed


async def _no_barrier(self: object, lane: Lane, slot: int) -> None:
    return None


# Sessions


def _mere_tombstone(require: Callable[..., Awaitable[None]]) -> object:
    async def gone_enough(self: Creation, lane: Lane) -> None:
        try:
            facts = await lane.ask(lambda state, now: state.facts)
        except NotFound:
            return
        if not facts.purge_after:
            await require(self, lane)

    return gone_enough


def _by_own_clock(touch: Callable[..., Awaitable[None]]) -> object:
    async def trusted(self: Creation, lane: Lane) -> None:
        raise NotFound("over, by this clock")

    return trusted


def _taken_anyway(purge: Callable[[int], Decide]) -> object:
    def whatever(slot: int) -> Decide:
        return lambda state, now: Append((Purged(),))

    return whatever


async def _sure(self: Creation, lane: Lane) -> None:
    return None


def _undying(visible: Callable[..., Refuse | None]) -> object:
    def seen(facts: Facts, now: int, **kinds: bool) -> Refuse | None:
        return visible(facts._replace(purge_after=0), now, **kinds)

    return seen


async def _unlisted(self: Listing, session: bytes) -> None:
    return None


# Taking away


async def _nothing_drawn(self: gc.Collector, *rest: object) -> None:
    return None


def _no_blobs(entry: object) -> Sequence[str]:
    return ()


def _put_anyway(put: Callable[..., Awaitable[None]]) -> object:
    async def put_over(self: MemoryStore, journal: JournalId, name: str, data: bytes) -> None:
        await self.remove_blob(journal, name)
        await put(self, journal, name, data)

    return put_over


async def _nothing_erased(self: Removal, lane: Lane, *rest: object) -> bool:
    return False


def _lost_invocations(trim: Callable[..., None]) -> object:
    def trimmed(self: Index, base: int, kept: Sequence[Any]) -> None:
        trim(self, base, [each for each in kept if each[1].slot >= base])

    return trimmed


def _old_at_once(_self: gc.Collector, _marked: int) -> bool:
    return True


def _any_time(wanted: Decide, *began: object) -> Decide:
    return wanted


# Stores


async def _overwriting(self: Any, journal: JournalId, slot: int, record: bytes) -> None:
    def apply() -> None:
        self._tables.slots[journal][slot] = record
        self._written.note(journal, slot, record)

    await self._request("append without a condition", apply, writes=True)


async def _swapped_anyway(
    self: Any, tenant: str, key: str, session: bytes | None, *, expected: bytes | None
) -> bytes | None:
    def apply() -> bytes | None:
        self._tables.keys[tenant, key] = session
        return expected

    former: bytes | None = await self._request("let a key name a session, whatever it named", apply, writes=True)
    return former


async def _zeros(self: Any, journal: JournalId, slot: int, spans: Sequence[tuple[int, int]]) -> None:
    def apply() -> None:
        """Say so, and leave it."""

    await self._request("erase nothing", apply, writes=True)


PROTOCOL: Mapping[str, Mutant] = {
    "the token is dropped: a writer takes its own record for somebody else's": lambda: replaced(
        Lane, "_send_frozen", _no_token
    ),
    "authorship is told by equal content": lambda: replaced(Lane, "_send_frozen", _same_content),
    "a frozen batch is thawed early, and sealed anew for the next slot": lambda: replaced(Lane, "_commit", _thawed),
    "an unknown outcome is acknowledged": lambda: replaced(Lane, "_send_frozen", _hopeful),
    "an unknown outcome is told as a failure": lambda: replaced(Lane, "_unknown", _gloomy),
    "a failed condition renews the view": lambda: replaced(Lane, "_send", _renewed),
    "refusals come from a remembered view": lambda: replaced(View, "current", _stale),
    "six hours are counted by the wall clock alone": lambda: replaced(Instant, "seconds_since", _by("wall")),
    "six hours are counted by the boot clock alone": lambda: replaced(Instant, "seconds_since", _by("boot")),
    "six hours are counted by the machine's clocks alone": lambda: replaced(
        Instant, "seconds_since", _by("wall", "boot")
    ),
    "no six-hour rule": lambda: constant((view, lane, creation), "VIEW_MAX_SECONDS", 1 << 40),
    "an older lease is not fenced": lambda: replaced(lane, "admit", lambda admit: _anyone(admit, epoch=None)),
    "if_head is not looked at": lambda: replaced(lane, "admit", lambda admit: _anyone(admit, if_head=None)),
    "resolve guesses: what it cannot find is absent": lambda: replaced(Lane, "settled", _absent),
    "a key is given away while its session can be undeleted": lambda: replaced(
        Creation, "_require_gone", _mere_tombstone
    ),
    "a key is given away by one's own clock": lambda: replaced(Creation, "_touch", _by_own_clock),
    "a session that was begun is taken back though somebody wrote to it": lambda: replaced(
        decide, "purge_unchanged", _taken_anyway
    ),
    "deleted sessions are never hidden": lambda: constant((decide, reader), "visible", _undying(decide.visible)),
    "a session that took long to begin is not made sure of": lambda: patch.object(Creation, "_make_sure", _sure),
    "gc does not note what an interrupted call left to note": lambda: patch.object(
        gc.Collector, "_draw_consequences", _nothing_drawn
    ),
    "gc reclaims at once": lambda: patch.object(gc.Collector, "_is_old", _old_at_once),
    "blobs may be named however long ago they were put": lambda: constant(
        (journal_backend, copying), "while_fresh", _any_time
    ),
    "a redaction leaves the blobs": lambda: patch.object(removal, "_names", _no_blobs),
    "a redaction frees the names of its blobs": lambda: patch.object(
        MemoryStore, "blank_blob", MemoryStore.remove_blob
    ),
    "a blob is put over what is there": lambda: replaced(MemoryStore, "put_blob", _put_anyway),
    "a redaction erases nothing": lambda: patch.object(Removal, "erase", _nothing_erased),
    "a trim loses invocations that still have steps": lambda: replaced(Index, "trim", _lost_invocations),
    "a purged session stays in the lists": lambda: patch.object(Listing, "hide", _unlisted),
    "resolve sets no barrier": lambda: patch.object(JournalBackend, "_bar", _no_barrier),
    "the store appends without a condition": lambda: patch.object(SLICED, "append", _overwriting),
    "the store swaps keys without comparing": lambda: patch.object(SLICED, "swap_key", _swapped_anyway),
    "the store erases nothing and says it has": lambda: patch.object(SLICED, "erase", _zeros),
}
