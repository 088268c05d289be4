"""Slots are written once, densely and in order, and read back as they were written."""

from __future__ import annotations

from stepwell.errors import StaleStore
from stepwell.stores.base import READ_BYTES, SHORT_READ_BYTES, JournalId, JournalStore, SlotTaken
from stepwell.testing.bench import Stores, refused
from stepwell.testing.stores.records import everything, journal, noise, record, written

LARGE_RECORD_BYTES = 400_000
"""The core writes no larger ones."""


async def a_journal_without_slot_0_has_no_head_and_no_records(stores: Stores) -> None:
    """Nothing is there, and asking for it makes nothing."""
    store, here = stores.open(), journal("never written")
    assert await store.head(here) is None
    assert list(await store.read(here, 0)) == []
    assert list(await store.read(here, 7, 9)) == []


async def an_appended_record_is_the_head_and_reads_back(stores: Stores) -> None:
    """Byte for byte, at each length of the journal."""
    store, here = stores.open(), journal("one")
    for slot in range(5):
        data = record(here, slot, noise(100 * slot, "x"))
        assert await store.append(here, slot, data) is None
        assert await store.head(here) == data
        assert list(await store.read(here, slot)) == [data]


async def records_of_every_size_read_back(stores: Stores) -> None:
    """From nothing to the largest that the core writes, across the sizes of sectors and pages."""
    store, here = stores.open(), journal("sizes")
    sizes = (0, 1, 255, 256, 257, 511, 512, 513, 4095, 4096, 4097, 65_535, 65_536, LARGE_RECORD_BYTES)
    records = await written(store, here, *(noise(size, str(size)) for size in sizes))
    assert await everything(store, here) == records


async def a_slot_behind_a_gap_is_refused(stores: Stores) -> None:
    """StaleStore: the slot before it is not there; nothing is written. A store that cannot see it shows nobody."""
    store, here = stores.open(), journal("gap")
    await _behind_a_gap(store, here, 1)
    assert await store.head(here) is None
    records = await written(store, here, b"slot 0")
    if store.sees_gaps:
        await _behind_a_gap(store, here, 2)
    assert (await everything(store, here))[:1] == records


async def _behind_a_gap(store: JournalStore, here: JournalId, slot: int) -> None:
    append = store.append(here, slot, record(here, slot, b"no slot before"))
    if store.sees_gaps:
        await refused(StaleStore, append)
    else:
        assert await append is None


async def a_taken_slot_keeps_its_record(stores: Stores) -> None:
    """SlotTaken, and the winner is told or can be read; the loser's bytes are nowhere."""
    store, here = stores.open(), journal("taken")
    records = await written(store, here, b"zero", b"one", b"two")
    for slot in range(3):
        taken = await store.append(here, slot, record(here, slot, b"too late"))
        assert isinstance(taken, SlotTaken)
        assert taken.winner in (None, records[slot])
        assert list(await store.read(here, slot, slot)) == [records[slot]]
    assert await everything(store, here) == records


async def the_same_bytes_are_not_written_twice(stores: Stores) -> None:
    """Sending a record again finds its slot taken, by itself."""
    store, here = stores.open(), journal("again")
    records = await written(store, here, b"zero", b"one")
    for slot in (1, 0):
        taken = await store.append(here, slot, records[slot])
        assert isinstance(taken, SlotTaken)
        assert taken.winner in (None, records[slot])
    assert await everything(store, here) == records


async def a_range_holds_its_slots_and_no_others(stores: Stores) -> None:
    """From *first* to *last*, both included, as far as the journal goes."""
    store, here = stores.open(), journal("ranges")
    records = await written(store, here, *(noise(20, str(slot)) for slot in range(70)))
    for first in (0, 1, 2, 31, 32, 33, 63, 64, 68, 69):
        assert list(await store.read(here, first, first)) == [records[first]]
        assert list(await store.read(here, first)) == records[first:]
        assert list(await store.read(here, first, first + 5)) == records[first : first + 6]
        assert list(await store.read(here, first, 1000)) == records[first:]
        assert list(await store.read(here, first, first - 1)) == []
    assert list(await store.read(here, 70)) == []
    assert list(await store.read(here, 1000, 2000)) == []


async def a_long_journal_is_read_in_parts(stores: Stores) -> None:
    """Each read gives some, and one below SHORT_READ_BYTES has given all there is."""
    store, here = stores.open(), journal("parts")
    records = await written(store, here, *(noise(90_000, str(slot)) for slot in range(40)))
    for last in (None, 25):
        wanted = records if last is None else records[: last + 1]
        first, parts = 0, 0
        while first < len(wanted):
            part = list(await store.read(here, first, last))
            assert part == wanted[first : first + len(part)]
            assert part
            size = sum(map(len, part))
            assert size <= READ_BYTES + LARGE_RECORD_BYTES
            first, parts = first + len(part), parts + 1
            assert size >= SHORT_READ_BYTES or first == len(wanted)
        assert parts > 1


async def a_read_that_meets_a_large_record_is_not_short(stores: Stores) -> None:
    """Small records before a large one are no reason to return less than SHORT_READ_BYTES."""
    store, here = stores.open(), journal("small and large")
    sizes = [20, LARGE_RECORD_BYTES, 30, LARGE_RECORD_BYTES, LARGE_RECORD_BYTES, 40, LARGE_RECORD_BYTES]
    records = await written(store, here, *(noise(size, str(i)) for i, size in enumerate(sizes)))
    for first in range(len(records)):
        part = list(await store.read(here, first))
        assert part == records[first : first + len(part)]
        assert sum(map(len, part)) >= SHORT_READ_BYTES or first + len(part) == len(records)


async def journals_are_kept_apart_by_session(stores: Stores) -> None:
    """What is written into one is not in another."""
    store, here, there = stores.open(), journal("here"), journal("there")
    mine = await written(store, here, b"mine 0", b"mine 1")
    assert await store.head(there) is None
    theirs = await written(store, there, b"theirs 0")
    assert await everything(store, here) == mine
    assert await everything(store, there) == theirs


async def journals_are_kept_apart_by_tenant(stores: Stores) -> None:
    """The same session id of another tenant is another journal, however alike the tenants' names."""
    store = stores.open()
    tenants = ("acme", "Acme", "acme/eu", "acme-eu", "acme.", "a" * 128, "a" * 127 + "b")
    for tenant in tenants:
        assert await store.head(journal("same", tenant)) is None
        await written(store, journal("same", tenant), tenant.encode())
    for tenant in tenants:
        here = journal("same", tenant)
        assert await everything(store, here) == [record(here, 0, tenant.encode())]


async def another_handle_reads_and_continues_a_journal(stores: Stores) -> None:
    """What one acknowledged, the other sees at once, in both directions."""
    one, other, here = stores.open(), stores.open(), journal("two handles")
    records = [record(here, slot, noise(50, str(slot))) for slot in range(6)]
    for slot, data in enumerate(records):
        writer, reader = (one, other) if slot % 2 else (other, one)
        assert await writer.append(here, slot, data) is None
        assert await reader.head(here) == data
        assert await everything(reader, here) == records[: slot + 1]


async def a_journal_outlives_its_handle(stores: Stores) -> None:
    """Closing loses nothing."""
    former, here = stores.open(), journal("reopened")
    records = await written(former, here, b"zero", b"one")
    await former.aclose()
    later = stores.open()
    assert await everything(later, here) == records
    assert await later.append(here, 2, record(here, 2, b"two")) is None
