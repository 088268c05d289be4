"""Listing entries: one for each session, newest first, never replaced by an older one; and the store itself."""

from __future__ import annotations

from stepwell.errors import NotSupported
from stepwell.stores.base import JournalStore, ListingEntry
from stepwell.testing.bench import Stores, attempt

_KEY_ARN = "arn:aws:kms:us-east-1:000000000000:key/00000000-0000-4000-8000-000000000000"
_YEAR_2000 = 946_684_800_000_000


def _entry(number: int, version: int = 1, data: bytes = b"shown") -> ListingEntry:
    return ListingEntry(number.to_bytes(16, "big"), version, data)


async def _numbers(store: JournalStore, before: int | None, limit: int, tenant: str = "acme") -> list[int]:
    below = None if before is None else before.to_bytes(16, "big")
    return [int.from_bytes(entry.session, "big") for entry in await store.entries(tenant, below, limit)]


async def an_entry_reads_back(stores: Stores) -> None:
    """Alone and in the list, through any handle."""
    store, other, entry = stores.open(), stores.open(), _entry(1, 7, bytes(range(256)))
    assert await store.get_entry("acme", entry.session) is None
    assert list(await store.entries("acme", None, 10)) == []
    await store.put_entry("acme", entry)
    assert await other.get_entry("acme", entry.session) == entry
    assert list(await other.entries("acme", None, 10)) == [entry]


async def a_newer_version_replaces_an_entry(stores: Stores) -> None:
    """In the place that it has in the list."""
    store = stores.open()
    for number in (1, 2, 3):
        await store.put_entry("acme", _entry(number))
    await store.put_entry("acme", _entry(2, 2, b"newer"))
    assert list(await store.entries("acme", None, 10)) == [_entry(3), _entry(2, 2, b"newer"), _entry(1)]


async def an_older_version_replaces_nothing(stores: Stores) -> None:
    """Writers that were held up do no harm; versions count as numbers, to the greatest of 63 bits."""
    store = stores.open()
    for version in (9, 10, 255, 256, (1 << 63) - 1):
        newer = _entry(1, version, b"newer")
        await store.put_entry("acme", newer)
        await store.put_entry("acme", _entry(1, version - 1, b"older"))
        assert await store.get_entry("acme", newer.session) == newer
        assert list(await store.entries("acme", None, 10)) == [newer]


async def a_gone_session_does_not_come_back(stores: Stores) -> None:
    """Empty data mean that it is gone; what an older version showed is never shown again."""
    store = stores.open()
    await store.put_entry("acme", _entry(1))
    await store.put_entry("acme", _entry(1, 9, b""))
    await store.put_entry("acme", _entry(1, 8, b"late"))
    assert [entry.data for entry in await store.entries("acme", None, 10) if entry.data] == []
    found = await store.get_entry("acme", _entry(1).session)
    assert found is None or found.data == b""


async def entries_come_newest_first(stores: Stores) -> None:
    """By session, the greatest first, in whatever order they were written."""
    store = stores.open()
    for number in (5, 1 << 100, 0, 255, 256, 3, (1 << 128) - 1):
        await store.put_entry("acme", _entry(number))
    assert await _numbers(store, None, 100) == [(1 << 128) - 1, 1 << 100, 256, 255, 5, 3, 0]


async def a_page_of_entries_begins_below_a_session(stores: Stores) -> None:
    """Page by page each is seen once, whether or not the session that a page begins below is there."""
    store = stores.open()
    for number in range(0, 40, 2):
        await store.put_entry("acme", _entry(number))
    assert await _numbers(store, None, 3) == [38, 36, 34]
    assert await _numbers(store, 34, 3) == [32, 30, 28]
    assert await _numbers(store, 33, 3) == [32, 30, 28]
    assert await _numbers(store, 4, 3) == [2, 0]
    assert await _numbers(store, 0, 3) == []
    assert await _numbers(store, None, 1) == [38]
    assert await _numbers(store, None, 1000) == list(range(38, -1, -2))


async def entries_are_kept_apart_by_tenant(stores: Stores) -> None:
    """Each sees its own."""
    store = stores.open()
    await store.put_entry("acme", _entry(1, 1, b"mine"))
    await store.put_entry("other", _entry(1, 1, b"theirs"))
    await store.put_entry("other", _entry(2))
    assert list(await store.entries("acme", None, 10)) == [_entry(1, 1, b"mine")]
    assert await _numbers(store, None, 10, "other") == [2, 1]
    assert await store.get_entry("acme", _entry(2).session) is None


async def a_store_says_what_it_is(stores: Stores) -> None:
    """A name for messages, how large a payload may stay in a record."""
    store = stores.open()
    assert store.name != ""
    assert store.inline_bytes > 0


async def a_store_says_which_key_it_encrypts_with(stores: Stores) -> None:
    """Yes or no, or NotSupported with more to say; always the same."""
    store = stores.open()
    answers = [await attempt(store.encrypts_with(_KEY_ARN)) for _ in range(2)]
    for answer in answers:
        assert answer in (True, False) or type(answer) is NotSupported
    assert (answers[0] is True) == (answers[1] is True)


async def a_store_that_works_answers_a_ping(stores: Stores) -> None:
    """Again and again; if a server told the time, it is known from then on."""
    store = stores.open()
    for _ in range(3):
        await store.ping()
    assert store.server_time is None or store.server_time > _YEAR_2000
