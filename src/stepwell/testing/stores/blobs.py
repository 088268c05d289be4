"""Payloads too big for a record are kept beside its journal, by name."""

from __future__ import annotations

from stepwell.errors import CorruptJournal, LimitExceeded
from stepwell.stores.base import JournalStore
from stepwell.testing.bench import Stores, attempt, refused
from stepwell.testing.stores.records import journal, noise, written

NAME, OTHER = "ab" * 32, "cd" * 32
LARGE_BLOB_BYTES = 5_000_000


async def _checked(store: JournalStore, size: int) -> None:
    store.check_blob(size)


async def a_blob_reads_back(stores: Stores) -> None:
    """Of any size, whatever bytes it holds, through any handle."""
    store, other, here = stores.open(), stores.open(), journal("blobs")
    await written(store, here, b"zero")
    for size in (0, 1, 4096, 400_000, 1_200_000, LARGE_BLOB_BYTES):
        name = f"{size:064x}"
        if isinstance(await attempt(_checked(store, size)), LimitExceeded):
            await refused(LimitExceeded, store.put_blob(here, name, noise(size)))
            await refused(CorruptJournal, store.get_blob(here, name))
            continue
        await store.put_blob(here, name, noise(size))
        assert await store.get_blob(here, name) == noise(size)
        assert await other.get_blob(here, name) == noise(size)
    await store.put_blob(here, NAME, bytes(10_000))
    assert await store.get_blob(here, NAME) == bytes(10_000)


async def a_blob_that_is_put_again_stays(stores: Stores) -> None:
    """A writer that does not know whether it was kept sends it again."""
    store, here = stores.open(), journal("again")
    for _ in range(2):
        await store.put_blob(here, NAME, b"the same")
    assert await store.get_blob(here, NAME) == b"the same"


async def a_missing_blob_is_told_as_damage(stores: Stores) -> None:
    """A record names it, so it has to be there."""
    store, here = stores.open(), journal("missing")
    await refused(CorruptJournal, store.get_blob(here, NAME))
    await written(store, here, b"zero")
    await store.put_blob(here, NAME, b"there")
    await refused(CorruptJournal, store.get_blob(here, OTHER))


async def blobs_are_kept_apart_by_journal(stores: Stores) -> None:
    """The same name in another session, or another tenant's, is another blob."""
    store, here = stores.open(), journal("mine")
    await store.put_blob(here, NAME, b"mine")
    for elsewhere in (journal("theirs"), journal("mine", "other")):
        await refused(CorruptJournal, store.get_blob(elsewhere, NAME))
        await store.put_blob(elsewhere, NAME, b"theirs")
    assert await store.get_blob(here, NAME) == b"mine"


async def a_copied_blob_is_in_both_journals(stores: Stores) -> None:
    """Whatever its size; the source keeps its own."""
    store, here, there = stores.open(), journal("source"), journal("target")
    for name, size in ((NAME, 100), (OTHER, 1_200_000)):
        await store.put_blob(here, name, noise(size))
        await store.copy_blob(here, name, there)
        assert await store.get_blob(there, name) == noise(size)
        assert await store.get_blob(here, name) == noise(size)


async def a_blob_that_is_copied_again_stays(stores: Stores) -> None:
    """A copy whose outcome was not known is made again."""
    store, here, there = stores.open(), journal("source"), journal("target")
    await store.put_blob(here, NAME, b"copied")
    for _ in range(2):
        await store.copy_blob(here, NAME, there)
    assert await store.get_blob(there, NAME) == b"copied"


async def a_missing_blob_cannot_be_copied(stores: Stores) -> None:
    """The copy tells it, and leaves nothing."""
    store, here, there = stores.open(), journal("source"), journal("target")
    await refused(CorruptJournal, store.copy_blob(here, NAME, there))
    await refused(CorruptJournal, store.get_blob(there, NAME))


async def a_put_behind_a_blank_blob_brings_nothing_back(stores: Stores) -> None:
    """Whatever its size, and whether it was there when it was blanked or not."""
    store, other, here, never = stores.open(), stores.open(), journal("blank"), journal("never")
    for name, size in ((NAME, 100), (OTHER, 1_200_000)):
        await store.put_blob(here, name, noise(size))
        for where in (here, never):
            await other.blank_blob(where, name)
            await refused(CorruptJournal, store.get_blob(where, name))
            await store.put_blob(where, name, noise(size))
            for each in (store, other, stores.open()):
                await refused(CorruptJournal, each.get_blob(where, name))


async def a_blank_blob_that_is_blanked_again_stays_blank(stores: Stores) -> None:
    """Whoever does not know whether it was sends it again; other blobs keep their bytes."""
    store, here, there = stores.open(), journal("blank"), journal("another")
    for where, name in ((here, NAME), (here, OTHER), (there, NAME)):
        await store.put_blob(where, name, b"kept")
    for _ in range(2):
        await store.blank_blob(here, NAME)
        await refused(CorruptJournal, store.get_blob(here, NAME))
    assert await store.get_blob(here, OTHER) == b"kept"
    assert await store.get_blob(there, NAME) == b"kept"


async def a_blank_blob_cannot_be_copied(stores: Stores) -> None:
    """The copy tells it, and leaves nothing."""
    store, here, there = stores.open(), journal("source"), journal("target")
    await store.put_blob(here, NAME, b"blanked")
    await store.blank_blob(here, NAME)
    await refused(CorruptJournal, store.copy_blob(here, NAME, there))
    await refused(CorruptJournal, store.get_blob(there, NAME))
    assert not await store.blobs(there)


async def a_blank_blob_is_listed_until_it_is_removed(stores: Stores) -> None:
    """Then its name is free again."""
    store, other, here = stores.open(), stores.open(), journal("blank")
    for name in (NAME, OTHER):
        await store.put_blob(here, name, b"blanked")
        await store.blank_blob(here, name)
    assert set(await other.blobs(here)) == {NAME, OTHER}
    assert here.session in await other.journals(here.tenant, None, 10)
    await other.remove_blob(here, NAME)
    assert set(await store.blobs(here)) == {OTHER}
    await store.put_blob(here, NAME, b"anew")
    assert await other.get_blob(here, NAME) == b"anew"
    await refused(CorruptJournal, other.get_blob(here, OTHER))
    await store.remove(here)
    assert not await other.blobs(here)
    await store.put_blob(here, OTHER, b"anew")
    assert await other.get_blob(here, OTHER) == b"anew"
