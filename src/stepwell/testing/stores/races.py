"""Of writers that run at once, exactly one gets each slot, each key; the others learn of it and lose nothing."""

from __future__ import annotations

from stepwell.stores.base import JournalStore, SlotTaken
from stepwell.testing.bench import Stores
from stepwell.testing.stores.records import everything, journal, payload_of, record, written

WORKERS, INCREMENTS = 5, 10


async def one_of_many_writers_gets_a_slot(stores: Stores) -> None:
    """Never two, never none; all of them can read the winner."""
    here = journal("one slot")
    handles = [stores.open() for _ in range(8)]
    records = [record(here, 0, f"writer {at}".encode()) for at in range(len(handles))]
    answers = await stores.race([store.append(here, 0, data) for store, data in zip(handles, records, strict=True)])
    (winner,) = (data for data, answer in zip(records, answers, strict=True) if answer is None)
    for store, answer in zip(handles, answers, strict=True):
        assert answer is None or answer.winner in (None, winner)
        assert await everything(store, here) == [winner]


async def five_workers_count_to_fifty(stores: Stores) -> None:
    """A counter is read, incremented and appended by five at once, ten times each: no increment is lost."""
    here = journal("counter")
    await written(stores.open(), here, b"0")

    async def count(store: JournalStore) -> None:
        for _ in range(INCREMENTS):
            slot, value = await _head(store)
            while await store.append(here, slot + 1, record(here, slot + 1, b"%d" % (value + 1))):
                slot, value = await _head(store)

    async def _head(store: JournalStore) -> tuple[int, int]:
        records = await everything(store, here)
        return len(records) - 1, int(payload_of(here, records[-1]))

    await stores.race([count(stores.open()) for _ in range(WORKERS)])
    counted = [int(payload_of(here, data)) for data in await everything(stores.open(), here)]
    assert counted == list(range(WORKERS * INCREMENTS + 1))


async def one_of_many_claims_a_key(stores: Stores) -> None:
    """Whoever is told that the key named what was expected has it; the others are told who was first."""
    handles = [stores.open() for _ in range(8)]
    sessions = [bytes([at + 1]) * 16 for at in range(len(handles))]
    former = await stores.race(
        [
            store.swap_key("acme", "one key", session, expected=None)
            for store, session in zip(handles, sessions, strict=True)
        ]
    )
    (winner,) = (session for session, held in zip(sessions, former, strict=True) if held is None)
    assert {held for held in former if held is not None} == {winner}
    assert [await store.get_key("acme", "one key") for store in handles] == [winner] * len(handles)


async def writers_of_different_journals_do_not_meet(stores: Stores) -> None:
    """Each of several journals that are filled at once, by one handle, holds its own records."""
    store = stores.open()
    names = [f"journal {at}" for at in range(6)]

    async def fill(name: str) -> list[SlotTaken | None]:
        here = journal(name)
        return [await store.append(here, slot, record(here, slot, name.encode())) for slot in range(5)]

    assert await stores.race([fill(name) for name in names]) == [[None] * 5] * len(names)
    for name in names:
        here = journal(name)
        assert [payload_of(here, data) for data in await everything(store, here)] == [name.encode()] * 5
