"""Bytes leave a store in two ways: parts of a record are overwritten, and slots are removed from the oldest on."""

from __future__ import annotations

from stepwell.errors import CorruptJournal, StaleStore
from stepwell.journal.record import ERASED
from stepwell.stores.base import JournalId, JournalStore, ListingEntry, SlotTaken
from stepwell.testing.bench import Stores, refused
from stepwell.testing.stores.records import journal, noise, record

NAME, OTHER = "ab" * 32, "cd" * 32
SLOTS = 70
"""Enough for every shape of a way down to a slot."""


async def _filled(store: JournalStore, here: JournalId, slots: int = SLOTS) -> list[bytes]:
    return [await _added(store, here, noise(200, str(slot)), slot) for slot in range(slots)]


async def _added(store: JournalStore, here: JournalId, payload: bytes, slot: int) -> bytes:
    data = record(here, slot, payload)
    assert await store.append(here, slot, data) is None
    return data


async def an_erasure_overwrites_its_spans_and_nothing_else(stores: Stores) -> None:
    """In the first, a middle and the last record; for every handle; appends go on behind it."""
    store, other, here = stores.open(), stores.open(), journal("erased")
    records = await _filled(store, here)
    await other.head(here)
    for slot in (0, 37, SLOTS - 1):
        at = len(records[slot]) - 150
        await store.erase(here, slot, [(at, 10), (at + 100, 50)])
        gone = bytearray(records[slot])
        gone[at : at + 10], gone[at + 100 : at + 150] = ERASED * 10, ERASED * 50
        records[slot] = bytes(gone)
        for each in (store, other, stores.open()):
            assert list(await each.read(here, 0)) == records
            assert await each.head(here) == records[-1]
    records.append(await _added(other, here, b"behind", SLOTS))
    for _ in range(2):
        await store.erase(here, 37, [(len(records[37]) - 150, 10)])
        assert list(await stores.open().read(here, 0)) == records


async def erasures_of_one_record_add_up(stores: Stores) -> None:
    """In whatever order, from whichever handle."""
    store, other, here = stores.open(), stores.open(), journal("twice")
    (before,) = await _filled(store, here, 1)
    spans = [(len(before) - 10 * at, 5) for at in range(1, 9)]
    await stores.race([(store if at % 2 else other).erase(here, 0, [span]) for at, span in enumerate(spans)])
    after = bytearray(before)
    for at, size in spans:
        after[at : at + size] = ERASED * size
    assert await stores.open().head(here) == bytes(after)


async def what_is_not_there_cannot_be_erased(stores: Stores) -> None:
    """StaleStore, and nothing is written."""
    store, here = stores.open(), journal("none")
    await refused(StaleStore, store.erase(here, 0, [(0, 1)]))
    records = await _filled(store, here, 2)
    await refused(StaleStore, store.erase(here, 2, [(0, 1)]))
    assert list(await store.read(here, 0)) == records


async def an_erased_record_is_still_the_winner_of_its_slot(stores: Stores) -> None:
    """Whoever sends a record to it again learns what is there now."""
    store, here = stores.open(), journal("winner")
    (before,) = await _filled(store, here, 1)
    await store.erase(here, 0, [(len(before) - 20, 20)])
    taken = await store.append(here, 0, before)
    assert isinstance(taken, SlotTaken)
    assert taken.winner in (None, before[:-20] + ERASED * 20)
    assert await store.head(here) == before[:-20] + ERASED * 20


async def the_oldest_slots_are_removed(stores: Stores) -> None:
    """What is kept has its slots; what is gone reads as nothing, and its slots stay taken or are refused."""
    for below in (1, 2, 32, 33, 63, SLOTS - 1):
        store, other, here = stores.open(), stores.open(), journal(f"below {below}")
        records = await _filled(store, here)
        await other.read(here, 5, 5)
        for _ in range(2):
            await store.remove(here, below)
        await store.remove(here, below - 1)
        for each in (store, other, stores.open()):
            assert await each.head(here) == records[-1]
            assert list(await each.read(here, below)) == records[below:]
            assert not await each.read(here, below - 1)
            for slot in range(below, len(records)):
                assert list(await each.read(here, slot, slot)) == [records[slot]]
            records.append(await _added(each, here, b"behind", len(records)))
        await store.erase(here, below, [(len(records[below]) - 9, 9)])
        assert (await other.read(here, below, below))[0][-9:] == ERASED * 9
        await refused(StaleStore, store.remove(here, len(records)))


async def a_removed_journal_leaves_nothing(stores: Stores) -> None:
    """Records, blobs; another journal keeps its own; removing it again is a success."""
    store, other, here, there = stores.open(), stores.open(), journal("gone"), journal("stays")
    for whose in (here, there):
        await _filled(store, whose, 3)
        await store.put_blob(whose, NAME, b"blob")
    await other.head(here)
    for _ in range(2):
        await store.remove(here)
        for each in (store, other, stores.open()):
            assert await each.head(here) is None
            assert not await each.read(here, 0)
            assert not await each.blobs(here)
            await refused(CorruptJournal, each.get_blob(here, NAME))
            assert here.session not in await each.journals(here.tenant, None, 10)
    assert await store.get_blob(there, NAME) == b"blob"
    assert await store.head(there) is not None
    assert await other.append(here, 0, record(here, 0, b"anew")) is None


async def journals_are_enumerated_by_session(stores: Stores) -> None:
    """Those of one tenant, the least first, page by page; also where only a blob is there."""
    store, other = stores.open(), stores.open()
    mine = sorted(journal(f"{at}") for at in range(7))
    for each in mine[:6]:
        await _filled(store, each, 1)
    await store.put_blob(mine[6], NAME, b"alone")
    await _filled(store, journal("theirs", "other"), 1)
    found: list[bytes] = []
    while page := await other.journals(mine[0].tenant, found[-1] if found else None, 3):
        assert len(page) <= 3
        found += page
    assert found == [each.session for each in mine]
    assert list(await store.journals("other", None, 10)) == [journal("theirs").session]
    assert not await store.journals("nobody", None, 10)


async def blobs_are_enumerated_and_removed(stores: Stores) -> None:
    """One by one; removing one that is not there is a success."""
    store, other, here = stores.open(), stores.open(), journal("blobs")
    assert not await store.blobs(here)
    for name in (NAME, OTHER):
        await store.put_blob(here, name, b"kept")
    assert sorted(await other.blobs(here)) == [NAME, OTHER]
    for _ in range(2):
        await other.remove_blob(here, NAME)
        assert list(await store.blobs(here)) == [OTHER]
    await refused(CorruptJournal, store.get_blob(here, NAME))
    assert await store.get_blob(here, OTHER) == b"kept"


async def what_remains_is_what_was_written(stores: Stores) -> None:
    """Place by place, in order; behind the last there is nothing."""
    store, here = stores.open(), journal("remains")
    assert not await store.remains(here, 0)
    records = [await _added(store, here, noise(40_000, str(slot)), slot) for slot in range(60)]
    for below in (0, 7):
        if below:
            await store.remove(here, below)
        found: list[bytes] = []
        place = 0
        while remains := await stores.open().remains(here, place):
            found += [remain.record for remain in remains]
            assert [remain.fault for remain in remains] == [""] * len(remains)
            assert [remain.place for remain in remains] == sorted({remain.place for remain in remains})
            assert remains[0].place >= place
            place = remains[-1].place + 1
        assert found == records[below:]


async def a_key_can_name_nothing_again(stores: Stores) -> None:
    """By comparison, as it is changed."""
    store, other = stores.open(), stores.open()
    await store.swap_key("acme", "key", b"1" * 16, expected=None)
    assert await store.swap_key("acme", "key", None, expected=b"2" * 16) == b"1" * 16
    assert await other.get_key("acme", "key") == b"1" * 16
    assert await store.swap_key("acme", "key", None, expected=b"1" * 16) == b"1" * 16
    assert await other.get_key("acme", "key") is None
    assert await other.swap_key("acme", "key", None, expected=None) is None
    assert await other.swap_key("acme", "key", b"2" * 16, expected=None) is None
    assert await store.get_key("acme", "key") == b"2" * 16


async def an_entry_can_be_removed_and_put_anew(stores: Stores) -> None:
    """Whatever its version was; lists that are no tenants' are kept apart from theirs."""
    store, other = stores.open(), stores.open()
    for listing in ("acme", "~of acme"):
        await store.put_entry(listing, ListingEntry(b"1" * 16, 5, listing.encode()))
    for _ in range(2):
        await store.remove_entry("acme", b"1" * 16)
        assert await other.get_entry("acme", b"1" * 16) is None
        assert not await other.entries("acme", None, 10)
    assert await other.get_entry("~of acme", b"1" * 16) == ListingEntry(b"1" * 16, 5, b"~of acme")
    await other.put_entry("acme", ListingEntry(b"1" * 16, 1, b"anew"))
    assert list(await store.entries("acme", None, 10)) == [ListingEntry(b"1" * 16, 1, b"anew")]
