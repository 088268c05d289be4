"""What is left of a journal, place by place, whatever happened to it: for those who check it, or save what they can."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from stepwell.errors import CorruptJournal
from stepwell.journal.record import Record, frame_size, identity, open_record, slot_of
from stepwell.stores.base import UNFINISHED, JournalId, JournalStore, Remain


class Found(NamedTuple):
    """What lies at a *place*: a *record* that its own digest proves to be of this journal, or None.

    *fault* is why it is none, or what is wrong around it; empty if nothing is. *slot* is the record's, or what a header
    says that is whole by itself; None where no header is.
    """

    place: int
    record: Record | None
    fault: str
    slot: int | None


async def found_in(
    store: JournalStore, journal: JournalId, begun: Sequence[Remain] | None = None
) -> AsyncIterator[Found]:
    """All that lies in a journal, in the order of its places, about one read at a time. *begun* is the first, if made.

    Raises:
        NotSupported: a newer version wrote some of it.
    """
    whose = identity(*journal)
    remains = await store.remains(journal, 0) if begun is None else begun
    while remains:
        for remain in remains:
            yield opened(remain, whose)
        remains = await store.remains(journal, remains[-1].place + 1)


def opened(remain: Remain, whose: bytes) -> Found:
    """A `Remain` of the journal with the identity *whose*."""
    place, data, fault = remain
    if fault != UNFINISHED and data:
        try:
            record = open_record(data, whose)
        except CorruptJournal as error:
            fault = fault or str(error)
        else:
            return Found(place, record, fault, record.slot)
    return Found(place, None, fault, slot_of(data) if frame_size(data, 0) else None)


async def first_in(store: JournalStore, journal: JournalId) -> Sequence[Remain]:
    """What lies first: it is another once older records were removed, and all other places may be as well."""
    return (await store.remains(journal, 0))[:1]


async def latest_in(store: JournalStore, journal: JournalId) -> Record | None:
    """The record with the greatest slot that is whole, and the first of those; None if there is none."""
    latest: Record | None = None
    async for found in found_in(store, journal):
        if found.record is not None and (latest is None or found.record.slot > latest.slot):
            latest = found.record
    return latest
