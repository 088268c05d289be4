"""The append loop: one lane per session and client, in which writes queue, leave together, and are settled.

    submit -> queue -> [decide each against the drafted state -> freeze one record -> send it] -> settle each

One caller leads for all that wait: its record carries their events, and each returns when its own event is durable.
Then the next that waits leads; those who are settled wait for nothing more. A frozen record is sent again byte for
byte, to the same slot, until it is known to be durable, until the slot is proved to be somebody else's, or until the
retries are used up: then the outcome is unknown, the batch is dropped, and the next record goes to the same slot, which
settles it.

A conclusion from a view that is too old (view.py) is not drawn: the record is looked for again first.
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from stepwell.clocks import Instant
from stepwell.errors import (
    CorruptJournal,
    LimitExceeded,
    NotSupported,
    OutcomeUnknown,
    StaleStore,
    StepwellError,
    Unavailable,
)
from stepwell.ids import uuid_text
from stepwell.io.ports import Ports, Signal
from stepwell.io.retry import Retry
from stepwell.journal.decide import Append, Caller, Decide, Decision, Done, Refuse, admit
from stepwell.journal.events import Attributes, Entry, Event, Place, attribute_bytes
from stepwell.journal.index import Lookup
from stepwell.journal.record import TOKEN_SIZE, Facts, Record, Sealed, open_record, seal
from stepwell.journal.state import SessionState
from stepwell.models import Resolution
from stepwell.outcomes import InDoubt, outcome_token
from stepwell.retried import in_doubt
from stepwell.stores.base import JournalId, JournalStore, SlotTaken
from stepwell.view import LOOKUPS_MAX, VIEW_MAX_SECONDS, Chain, View
from stepwell.views import position

T = TypeVar("T")

BATCH_MAX_EVENTS = 256
BATCH_MAX_BYTES = 192 * 1024
EVENT_BYTES = 100
"""About how many bytes an event takes, texts and payloads aside."""
CALL_MAX_BYTES = 300_000
"""What one call may put into a record, payloads beyond `inline_bytes` aside."""
NO_CALL = bytes(TOKEN_SIZE)
"""The token of an event that nobody called for: the grounds of a refusal."""
CONFLICTS_MAX = 10_000
"""How often one batch may be overtaken by other writers. It never pauses: that would lose its turn."""


class Settled(NamedTuple):
    """A write that is durable: where its events lie, and the session as it was then."""

    places: tuple[Place, ...]
    events: tuple[Event, ...]
    time: int
    facts: Facts
    attributes: Attributes | None
    tail: Place


@dataclass(slots=True, eq=False)
class Intent:
    """One logical call. *weight* is about how many bytes it adds to a record."""

    caller: Caller
    token: bytes
    decide: Decide
    weight: int
    count: int = 1
    result: Settled | StepwellError | None = None
    withdrawn: bool = False
    turn: Signal | None = None
    """Set when it is settled, or when it is its turn to lead; None for one that leads from the start."""

    def wake(self) -> None:
        """Let its caller go on."""
        if self.turn is not None:
            self.turn.set()


class _Batch:
    """Intents with what was decided of them, and the entries of the record that carries it."""

    __slots__ = ("done", "draft", "entries", "postponed", "refused", "settled", "slot", "time", "weight")

    def __init__(self, slot: int, time: int, draft: SessionState) -> None:
        self.slot = slot
        self.time = time
        self.draft = draft
        self.weight = 0
        self.entries: list[Entry] = []
        self.settled: list[tuple[Intent, Settled]] = []
        self.refused: list[tuple[Intent, StepwellError]] = []
        self.done = False
        self.postponed: list[Intent] = []

    def append(self, intent: Intent, events: tuple[Event, ...], tokens: tuple[bytes, ...], size: int) -> None:
        """Draft an intent's events, which take about *size* bytes."""
        self.weight += size
        places = self._add(intent, events, tokens)
        self.settled.append((intent, self._as_it_is(tuple(places), events)))

    def find(self, intent: Intent, places: tuple[Place, ...]) -> None:
        """Note that an intent was done before."""
        self.done = True
        self.settled.append((intent, self._as_it_is(places, ())))

    def _as_it_is(self, places: tuple[Place, ...], events: tuple[Event, ...]) -> Settled:
        """With the session as it is now: what follows in the same record is of others."""
        return Settled(places, events, self.time, self.draft.facts, self.draft.attributes, self.draft.tail)

    def refuse(self, intent: Intent, error: StepwellError, grounds: tuple[Event, ...]) -> None:
        """Draft the grounds of a refusal, if it has any. They are not what was called for: `resolve` finds no call."""
        self._add(intent, grounds, (NO_CALL,) * len(grounds))
        self.refused.append((intent, error))

    def _add(self, intent: Intent, events: tuple[Event, ...], tokens: tuple[bytes, ...]) -> list[Place]:
        places: list[Place] = []
        for at, event in enumerate(events):
            entry = Entry(event, intent.caller.writer, tokens[at] if tokens else intent.token)
            place = Place(self.slot, len(self.entries))
            self.entries.append(entry)
            self.draft.apply(entry, place, self.time)
            places.append(place)
        return places

    def settle(self) -> None:
        """Tell each intent what became of it, now that the record is durable."""
        for intent, settled in self.settled:
            intent.result = settled
        for intent, error in self.refused:
            intent.result = error
        self.draft.evidence.clear()


class Lane:
    """The writes and views of one session."""

    def __init__(self, journal: JournalId, store: JournalStore, ports: Ports, retry: Retry, linger: float) -> None:
        self.journal = journal
        self.users = 0
        self._view = View(journal, store, ports)
        self._store = store
        self._ports = ports
        self._retry = retry
        self._linger = linger
        self._lock = ports.tasks.lock()
        self._guard = threading.Lock()
        self._leader: Intent | None = None
        self._queue: deque[Intent] = deque()
        self._sent_to = 0

    def weight(self) -> int:
        """About how many bytes of memory it takes."""
        return 0 if self._view.state is None else self._view.state.weight()

    async def submit(self, intent: Intent) -> Settled:
        """Write what *intent* decides.

        Raises:
            StepwellError: what it was refused for; `OutcomeUnknown` if that cannot be told.
        """
        check_size(intent.weight)
        try:
            await self._ports.tasks.shield(self._work(intent))
        except BaseException:
            intent.withdrawn = True  # if it is still in the queue, it stays unwritten
            raise
        if isinstance(intent.result, Settled):
            return intent.result
        assert intent.result is not None
        raise intent.result

    def start(self, state: SessionState) -> None:
        """Begin a journal that nobody else can know of."""
        self._view.adopt(state, self._view.now())

    async def ask(self, question: Callable[[SessionState, int], T | Refuse | Lookup]) -> T:
        """Answer *question* from a fresh view, see `View.ask`."""
        async with self._lock:
            return await self._view.ask(question)

    async def read(self, first: int, last: int | None) -> list[Record]:
        """Some records, see `View.read`."""
        return await self._view.read(first, last)

    async def stored(self, first: int, last: int | None) -> Sequence[bytes]:
        """Some records as they are stored, see `View.stored`."""
        return await self._view.stored(first, last)

    def opened(self, stored: Iterable[bytes], chain: Chain) -> Iterator[Record]:
        """Those records opened as they are needed, see `View.opened`."""
        return self._view.opened(stored, chain)

    async def gap(self, slot: int) -> StepwellError:
        """Why a slot is not there, see `View.gap`."""
        return await self._view.gap(slot)

    async def head(self) -> Record:
        """The last record, see `View.head`."""
        return await self._view.head()

    async def settled(self, slot: int, call: bytes) -> tuple[Resolution, Record | None]:
        """What became of a call that was sent to *slot*, which is taken by now, and the record it lies in."""
        began = self._view.now()
        records = await self.read(slot, slot)
        base = (await self.head()).facts.base
        if not records or slot < base or self._view.now().seconds_since(began) >= VIEW_MAX_SECONDS:
            return Resolution(outcome="unknown"), None
        for at, entry in enumerate(records[0].entries):
            if entry is not None and entry.token == call:
                return Resolution(outcome="committed", position=position(Place(slot, at))), records[0]
        return Resolution(outcome="absent"), None

    async def _work(self, intent: Intent) -> None:
        """Wait until a leader settled *intent*, or lead when it is its turn; then hand over to the next that waits."""
        try:
            self._join(intent)
            if intent.turn is not None:
                await intent.turn.wait()
            while self._leader is intent and intent.result is None and not intent.withdrawn:
                if self._linger:
                    await self._ports.tasks.sleep(self._linger)
                async with self._lock:
                    await self._lead()
        except BaseException:
            with self._guard:
                intent.withdrawn = True  # nobody is to appoint it from now on
            raise
        finally:
            self._hand_over(intent)

    def _join(self, intent: Intent) -> None:
        with self._guard:
            self._queue.append(intent)
            if self._leader is None:
                self._leader = intent
            else:
                intent.turn = self._ports.tasks.signal()

    def _hand_over(self, intent: Intent) -> None:
        """If *intent* leads, appoint the next that waits."""
        with self._guard:
            if self._leader is not intent:
                return
            while self._queue and self._queue[0].withdrawn:
                self._queue.popleft().wake()
            self._leader = self._queue[0] if self._queue else None
            if self._leader is not None:
                self._leader.wake()

    async def _lead(self) -> None:
        """Settle some of the queue, the first of it in any case."""
        intents = self._take()
        try:
            await self._commit(intents)
        except StaleStore as error:
            await self._forget(intents, error)
        except StepwellError as error:
            if isinstance(error, CorruptJournal | NotSupported) or self._view.is_blank():
                self._view.forget()  # it may have been taken in by half, or have been begun by what failed
            for intent in intents:
                intent.result = self._unknown(intent) if isinstance(error, OutcomeUnknown) else _own(error)
        except BaseException:
            self._view.forget()
            raise
        finally:
            for intent in intents:
                intent.result = intent.result or self._unknown(intent)
                intent.wake()

    async def _forget(self, intents: list[Intent], error: StepwellError) -> None:
        """What was seen is gone: the whole session, or only its end."""
        try:
            await self._view.load()
        except StepwellError as second:
            error = second
        for intent in intents:
            intent.result = _own(error)

    def _unknown(self, intent: Intent) -> OutcomeUnknown:
        token = outcome_token(InDoubt(self.journal.tenant, self.journal.session, self._sent_to, intent.token))
        return OutcomeUnknown(
            "the write may or may not be durable: call resolve(error.token) to learn which",
            token=token,
            session_id=uuid_text(self.journal.session),
        )

    def _take(self) -> list[Intent]:
        """The intents that may share the next record."""
        taken: list[Intent] = []
        weight = count = 0
        while self._queue:
            intent = self._queue[0]
            if not intent.withdrawn:
                weight, count = weight + intent.weight, count + intent.count
                if taken and (weight > BATCH_MAX_BYTES or count > BATCH_MAX_EVENTS or not _may_share(taken, intent)):
                    break
                taken.append(intent)
            else:
                intent.wake()
            self._queue.popleft()
        return taken

    async def _commit(self, intents: list[Intent]) -> None:
        fresh = False
        for conflicts in range(CONFLICTS_MAX):
            began = self._view.now()
            state = await self._view.current(began, fresh=fresh)
            batch = await self._decide(intents, state)
            if batch.postponed:
                self._queue.extendleft(reversed(batch.postponed))
                del intents[-len(batch.postponed) :]
            if not fresh and (batch.refused or batch.done):
                fresh = True  # what a remembered view refuses, or finds done, today's may not
                continue
            winner = await self._send(batch, state, began) if batch.entries else None
            if winner is None and not batch.entries and self._view.is_old():
                continue
            if winner is None:
                batch.settle()
                return
            fresh = bool(conflicts % 2)  # one winner may have more behind it
            if not fresh:
                state.advance(winner)
        raise Unavailable("other writers were faster every time: try again, or let one writer hold a lease")

    async def _decide(self, intents: list[Intent], state: SessionState) -> _Batch:
        """Decide *intents* one by one, each against the state that includes the earlier ones."""
        time = max(self._ports.clock.wall(), state.time)
        draft = state.copy()
        draft.slot += 1
        batch = _Batch(draft.slot, time, draft)
        for at, intent in enumerate(intents):
            decision = admit(draft, time, intent.caller) or intent.decide(draft, time)
            if isinstance(decision, Lookup):
                decision = await self._looked_up(decision, intent, batch)
            match decision:
                case Append(events, tokens):
                    size = intent.weight + attribute_bytes(events)
                    if size > CALL_MAX_BYTES:
                        batch.refuse(intent, _too_large(size), ())
                    elif batch.entries and batch.weight + size > BATCH_MAX_BYTES:
                        batch.postponed = intents[at:]
                        break
                    else:
                        batch.append(intent, events, tokens, size)
                case Refuse(error, grounds):
                    batch.refuse(intent, error, grounds)
                case Done(places):
                    batch.find(intent, places)
                case Lookup():
                    batch.postponed = intents[at:]
                    break
        if batch.entries and draft.snapshot_due(batch.weight):
            await self._index(batch)
        return batch

    async def _looked_up(self, decision: Decision, intent: Intent, batch: _Batch) -> Decision:
        """Look up what a decision asks for, and decide again, until it asks for nothing more."""
        for _ in range(LOOKUPS_MAX):
            if not isinstance(decision, Lookup) or batch.slot in decision.slots:
                return decision  # what lies in the record being drafted cannot be looked up before that is durable
            await self._view.look_up(decision, batch.draft)
            decision = intent.decide(batch.draft, batch.time)
        raise Unavailable("the call needs more look-ups than LOOKUPS_MAX")

    async def _index(self, batch: _Batch) -> None:
        """Add an index snapshot to the record."""
        draft = batch.draft
        for _ in range(LOOKUPS_MAX):
            snapshot = draft.index.sealed(draft.tail_writer, draft.tail, draft.other_last)
            if not isinstance(snapshot, Lookup):
                first = batch.entries[0]
                entry = Entry(snapshot, first.writer, first.token)
                batch.entries.append(entry)
                draft.apply(entry, Place(batch.slot, len(batch.entries) - 1), batch.time)
                return
            await self._view.look_up(snapshot, draft)

    async def _send(self, batch: _Batch, state: SessionState, began: Instant) -> Record | None:
        """Freeze the batch's record and send it; the winner if the slot is somebody else's, None if it is ours."""
        first = batch.entries[0]
        token = self._ports.random(TOKEN_SIZE) if first.token == NO_CALL else first.token
        frozen = seal(
            journal=self._view.identity,
            slot=batch.slot,
            time=batch.time,
            writer=first.writer,
            token=token,
            prev=state.digest,
            facts=batch.draft.facts,
            entries=batch.entries,
        )
        winner = await self._send_frozen(frozen.data, batch.slot)
        if winner is not None and (winner.token, winner.digest) != (token, frozen.digest):
            return winner
        if self._view.is_old():
            await self._confirm(frozen, batch.slot)
        else:
            draft = batch.draft
            draft.digest, draft.time = frozen.digest, batch.time
            if draft.facts.snapshot_slot != batch.slot:
                draft.bytes_since_snapshot += len(frozen.data)
            self._view.adopt(draft, began)
        return None

    async def _send_frozen(self, record: bytes, slot: int) -> Record | None:
        """Send the same bytes to the same slot until it is settled; what lies there if it is not known to be this."""
        self._sent_to = slot
        doubtful = False

        async def attempt() -> SlotTaken | None:
            nonlocal doubtful
            try:
                return await self._store.append(self.journal, slot, record)
            except OutcomeUnknown:
                doubtful = True
                raise

        try:
            taken = await self._retry(attempt, also=in_doubt)
        except StepwellError as error:
            if doubtful and not isinstance(error, OutcomeUnknown):
                raise OutcomeUnknown("an earlier attempt may have been durable") from error
            raise
        if taken is None:
            return None
        if taken.winner is not None:
            return open_record(taken.winner, self._view.identity)
        found = await self._settling(self.read(slot, slot))
        if not found:
            raise OutcomeUnknown("the slot is taken, but cannot be read")
        return found[0]

    async def _confirm(self, frozen: Sealed, slot: int) -> None:
        """The view was too old to conclude from: read anew, and find the record on the chain, or say unknown.

        Below the base of a history that was trimmed meanwhile, a record may lie that is on no chain.
        """
        state = await self._settling(self._view.load())
        found = await self._settling(self._view.read(slot, slot)) if slot >= state.facts.base else []
        if not found or found[0].digest != frozen.digest:
            raise OutcomeUnknown("the record cannot be found again")

    async def _settling(self, reading: Awaitable[T]) -> T:
        """The result of *reading*, which is to settle a write: its failure leaves the outcome unknown."""
        try:
            return await reading
        except StepwellError as error:
            raise OutcomeUnknown("the write cannot be settled now") from error


def _may_share(taken: list[Intent], intent: Intent) -> bool:
    """An event with `if_head` shares a record only with events of its own handle."""
    if intent.caller.if_head is None and all(other.caller.if_head is None for other in taken):
        return True
    return all(other.caller.writer == intent.caller.writer for other in taken)


def check_size(size: int) -> None:
    """Refuse what no record can hold.

    Raises:
        LimitExceeded: *size* bytes are too much for one call.
    """
    if size > CALL_MAX_BYTES:
        raise _too_large(size)


def _too_large(size: int) -> LimitExceeded:
    return LimitExceeded(f"the call writes {size} bytes, the limit CALL_MAX_BYTES is {CALL_MAX_BYTES}")


def _own(error: StepwellError) -> StepwellError:
    """A copy, so that callers in several threads do not share one traceback."""
    own = copy.copy(error)
    own.__cause__ = error.__cause__
    return own
