"""Journals in S3, in segments: one conditional PUT per append.

`FOLDER/log/0000000000` is a segment, named by its first slot; segments.py says what it holds and when the next one
begins. The body of a PUT is always the bytes of the GET or PUT that gave the ETag which the PUT demands, and the new
record. So whoever is behind, late, or in doubt is refused, and reads what is there instead.

The first segment is the anchor: a journal without it is not there. A trim empties it, and leaves it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from stepwell.errors import (
    CorruptJournal,
    LimitExceeded,
    NotSupported,
    OutcomeUnknown,
    StaleStore,
    StepwellError,
    Unavailable,
)
from stepwell.io.ports import Tasks
from stepwell.stores.base import READ_BYTES, SHORT_READ_BYTES, JournalId, Remain, SlotTaken
from stepwell.stores.s3_bucket import UNCHANGED, Bucket
from stepwell.stores.s3_known import Known, Part, Parts
from stepwell.stores.segments import Segment, begun, parse, remains

T = TypeVar("T")

RECORD_MAX_BYTES = 4 << 20
PARTS_AT_ONCE = 8
"""How many segments are asked for at the same time."""
LOOKS_MAX = 100
"""How often one call may be overtaken by others that remove, erase or append."""
_NAME = re.compile(r"[0-9]{10}")
_OVERTAKEN = "others removed what was being read every time: try again"
_PLACE_BITS = 24
"""Of a place, how many tell the offset in a segment; those above tell its name."""


class Log:
    """Every journal of a store. *folder* names where a session lies."""

    def __init__(self, bucket: Bucket, tasks: Tasks, folder: Callable[[JournalId], str], segment_bytes: int) -> None:
        self._bucket = bucket
        self._tasks = tasks
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._at_once = max(1, min(PARTS_AT_ONCE, READ_BYTES // segment_bytes))
        self._parts = Parts()

    # Appending

    async def append(self, journal: JournalId, slot: int, record: bytes, key_arn: str) -> SlotTaken | None:
        """See `JournalStore`; one request where the last segment is known. *key_arn* is for slot 0: the session's."""
        if len(record) > RECORD_MAX_BYTES:
            raise LimitExceeded(f"the record has {len(record)} bytes, the limit is {RECORD_MAX_BYTES}")
        if slot == 0:
            return await self._begin(journal, None, begun(0, record, limit=self._segment_bytes, key_arn=key_arn))
        known = self._parts.get(journal)
        if known is None or known.tail.segment.end != slot:
            known = await self._look(journal)
        for _ in range(LOOKS_MAX):
            if known is None or slot > known.tail.segment.end:
                raise StaleStore(f"slot {slot - 1} is gone")
            last = known.tail.segment
            if slot < last.end:
                return SlotTaken(last.record(slot))
            if last.is_closed:
                new = begun(slot, record, limit=self._segment_bytes, key_arn=last.key_arn)
                return await self._begin(journal, known, new)
            if await self._replace(journal, known.tail, last.grown(record)):
                return None
            known = await self._settle(self._again(journal, known))
        raise Unavailable("others changed the journal's last segment every time, and nothing was written: try again")

    async def _begin(self, journal: JournalId, known: Known | None, segment: Segment) -> SlotTaken | None:
        """Write a segment that nobody else has begun, the first one or behind those that are *known*."""
        name, key = segment.first, self._key(journal, segment.first)
        etag = await self._bucket.put_new(key, segment.data(), key_arn=segment.key_arn or None)
        part = Part(name, etag, segment) if etag is not None else await self._settle(self._part(journal, name))
        if part is None:
            self._parts.drop(journal)
            return SlotTaken()
        names, anchor = ((), part.etag) if known is None else (known.names, known.anchor)
        self._parts.put(journal, Known((*names, name), part, anchor))
        return None if etag is not None else SlotTaken(part.segment.record(name))

    async def _settle(self, look: Awaitable[T]) -> T:
        """Look at what is there since a write was refused.

        Raises:
            OutcomeUnknown: that failed. An attempt that nobody heard of again may have been what the write met.
        """
        try:
            return await look
        except (CorruptJournal, NotSupported):
            raise
        except StepwellError as error:
            raise OutcomeUnknown(f"what the slot holds could not be looked at: {error}") from error

    async def _again(self, journal: JournalId, known: Known) -> Known | None:
        """The journal, its last segment read again."""
        tail = await self._part(journal, known.tail.name)
        if tail is None:
            return await self._look(journal)
        again = known._replace(tail=tail, fresh=())
        self._parts.put(journal, again)
        return again

    # Reading

    async def head(self, journal: JournalId) -> bytes | None:
        """See `JournalStore`; one request for a journal of one segment, else three."""
        known = await self._look(journal)
        if known is None:
            return None
        records = known.tail.segment.records()
        if not records:
            raise CorruptJournal("the journal's last segments are gone")
        return records[-1]

    async def _look(self, journal: JournalId) -> Known | None:
        """The journal's first and last segment as they are now; None without the first."""
        for _ in range(LOOKS_MAX):
            begun = await self._anchored(journal, self._parts.get(journal))
            found = None if begun is None else await self._followed(journal, begun)
            if found is not None:
                self._parts.put(journal, found)
                return found
            self._parts.drop(journal)
            if begun is None:
                return None
        raise Unavailable(_OVERTAKEN)

    async def _anchored(self, journal: JournalId, known: Known | None) -> Known | None:
        """What is known of a journal whose first segment is there, at least that; None without it."""
        if known is None or known.tail.name == 0:
            first = await self._part(journal, 0, None if known is None else known.tail)
            return None if first is None else Known((0,), first, first.etag, (first,))
        stored = await self._bucket.get(self._key(journal, 0), known=known.anchor or None)
        if stored is None:
            return None
        return known._replace(anchor=known.anchor if stored is UNCHANGED else stored.etag, fresh=())

    async def _followed(self, journal: JournalId, begun: Known) -> Known | None:
        """The journal up to its last segment; None if one that was known or listed is gone."""
        names, tail = begun.names, begun.tail if begun.fresh else await self._part(journal, begun.tail.name, begun.tail)
        if tail is not None and tail.segment.is_closed:
            behind = await self._names_behind(journal, tail.name)
            if behind is None:
                return None
            names = (*names, *behind)
        if tail is not None and tail.name != names[-1]:
            tail = await self._part(journal, names[-1])
        if tail is None:
            return None
        fresh = {part.name: part for part in (*begun.fresh, tail)}
        return Known(names, tail, begun.anchor, tuple(fresh.values()))

    async def read(self, journal: JournalId, first: int, last: int | None = None) -> Sequence[bytes]:
        """See `JournalStore`; a request for each segment, several at once. What a `head` has just read is not again."""
        if last is not None and last < first:
            return ()
        fresh = {} if last is None else self._parts.take_fresh(journal)
        for _ in range(LOOKS_MAX):
            records = await self._read(journal, first, last, fresh)
            if records is not None:
                return records
            self._parts.drop(journal)  # a segment that was listed is gone: start over
            fresh = {}
        raise Unavailable(_OVERTAKEN)

    async def _read(
        self, journal: JournalId, first: int, last: int | None, fresh: dict[int, Part]
    ) -> list[bytes] | None:
        """The records; None if a segment is not there any more."""
        names = await self._known_names(journal)
        records: list[bytes] = []
        at = bisect_right(names, first) - 1
        while 0 <= at < len(names) and sum(map(len, records)) < SHORT_READ_BYTES:
            wanted = [name for name in names[at : at + self._at_once] if last is None or name <= last]
            if not wanted:
                break
            parts = await self._fetch(journal, wanted, fresh)
            if parts is None:
                return None
            if wanted[-1] == names[-1]:
                known = await self._behind(journal, names, parts[-1], last)
                if known is None:
                    return None
                names = known
            for segment in [part.segment for part in parts]:
                slot = first + len(records)
                if not segment.first <= slot <= segment.end:
                    return records  # what lies behind a gap belongs to nobody
                records += segment.records()[slot - segment.first : None if last is None else last + 1 - segment.first]
            at += len(wanted)
        return records

    async def _behind(
        self, journal: JournalId, names: tuple[int, ...], tail: Part, last: int | None
    ) -> tuple[int, ...] | None:
        """All names, those behind *tail* too if it is closed and ends before slot *last*; None without the first."""
        if tail.segment.is_closed and (last is None or last >= tail.segment.end):
            behind = await self._names_behind(journal, tail.name)
            if behind is None:
                return None
            names = (*names, *behind)
        if names[-1] == tail.name:
            known = self._parts.get(journal)
            anchor = tail.etag if tail.name == 0 else "" if known is None else known.anchor
            self._parts.put(journal, Known(names, tail, anchor))
        return names

    async def _names_behind(self, journal: JournalId, name: int) -> tuple[int, ...] | None:
        """What is listed behind a closed segment; None if the journal is being removed, so that some may be missing.

        A removal takes the first segment first: a list with that one on it, or from before a look that finds it, lacks
        nothing that ever was.
        """
        folder, found, pages = self._key(journal), list[int](), 0
        async for page in self._bucket.pages(folder):
            found += _named([listed["Key"][len(folder) :] for listed in page.get("Contents", ())])
            pages += 1
        if found[:1] != [0] or (pages > 1 and await self._bucket.metadata(self._key(journal, 0)) is None):
            return None
        return tuple([one for one in found if one > name])

    async def _fetch(self, journal: JournalId, names: Sequence[int], fresh: dict[int, Part]) -> list[Part] | None:
        """Some segments; None if one of them is not there any more."""
        known = self._parts.get(journal)
        tail = None if known is None else known.tail
        calls = [self._part(journal, name, tail) for name in names if name not in fresh]
        found = iter(await self._tasks.gather(calls, width=PARTS_AT_ONCE))
        parts = [fresh[name] if name in fresh else next(found) for name in names]
        whole = [part for part in parts if part is not None]
        return whole if len(whole) == len(parts) else None

    async def _part(self, journal: JournalId, name: int, known: Part | None = None) -> Part | None:
        """A segment as it is now, its bytes sent only if it is not the *known* one; None if it is not there."""
        here = known if known is not None and known.name == name else None
        stored = await self._bucket.get(self._key(journal, name), known=None if here is None else here.etag)
        if stored is UNCHANGED:
            return here
        return None if stored is None else Part(name, stored.etag, parse(stored.data))

    async def _known_names(self, journal: JournalId) -> tuple[int, ...]:
        """The names of a journal's segments, perhaps not the latest; none without the first."""
        known = self._parts.get(journal)
        names = await self._names(journal) if known is None else known.names
        return names if names[:1] == (0,) else ()

    async def _names(self, journal: JournalId) -> tuple[int, ...]:
        return tuple(_named(await self._bucket.names(self._key(journal))))

    async def remains(self, journal: JournalId, place: int) -> Sequence[Remain]:
        """See `JournalStore`; a place is a segment's name and an offset in it."""
        first, offset = divmod(place, 1 << _PLACE_BITS)
        found: list[Remain] = []
        for name in [name for name in await self._names(journal) if name >= first]:
            stored = await self._bucket.get(self._key(journal, name))
            here = () if stored is None else remains(stored.data)
            wanted = [remain for remain in here if name > first or remain.place >= offset]
            found += [remain._replace(place=(name << _PLACE_BITS) + remain.place) for remain in wanted]
            if sum(len(remain.record) for remain in found) >= READ_BYTES:
                break
        return found

    # Changing what is there

    async def erase(self, journal: JournalId, slot: int, spans: Sequence[tuple[int, int]]) -> None:
        """See `JournalStore`; a LIST, a GET, and a PUT over what it found."""
        names = await self._names(journal)
        at = bisect_right(names, slot) - 1

        def erased(segment: Segment) -> Segment | None:
            return segment.erased(slot, spans) if segment.first <= slot < segment.end else None

        if names[:1] != (0,) or not await self._change(journal, names[at], erased):
            raise StaleStore(f"slot {slot} is gone")

    async def remove(self, journal: JournalId) -> None:
        """Remove all that is stored of a session, its log's first segment first."""
        self._parts.drop(journal)
        await self._bucket.delete(self._key(journal, 0))
        folder = self._folder(journal)
        await self._bucket.delete_all([folder + name for name in await self._bucket.names(folder)])

    async def trim(self, journal: JournalId, below: int) -> None:
        """Remove the slots below *below*: the first segment is emptied, the ones behind it go."""
        names = await self._names(journal)
        last = await self._part(journal, names[-1]) if names[:1] == (0,) else None
        if last is None or below >= last.segment.end:
            raise StaleStore(f"slot {below} is gone")
        self._parts.drop(journal)
        holds = names[bisect_right(names, below) - 1]
        for name in {holds, 0}:
            await self._change(journal, name, lambda segment: segment.without(below))
        await self._bucket.delete_all([self._key(journal, name) for name in names if 0 < name < holds])

    async def _change(self, journal: JournalId, name: int, change: Callable[[Segment], Segment | None]) -> bool:
        """Change a segment; False if there is none, or nothing to change it to."""
        for _ in range(LOOKS_MAX):
            part = await self._part(journal, name)
            changed = None if part is None else change(part.segment)
            if part is None or changed is None:
                return False
            if changed == part.segment or await self._replace(journal, part, changed):
                return True
        raise Unavailable("others changed the same segment every time, and nothing was written: try again")

    async def _replace(self, journal: JournalId, part: Part, segment: Segment) -> bool:
        """Write a segment over the version that it was made from; False if that is not there any more."""
        key, key_arn = self._key(journal, part.name), segment.key_arn or None
        etag = await self._bucket.put_over(key, segment.data(), part.etag, key_arn=key_arn)
        known = self._parts.get(journal)
        if etag is not None and known is not None:
            tail = Part(part.name, etag, segment) if known.tail.name == part.name else known.tail
            self._parts.put(journal, known._replace(tail=tail, fresh=()))  # what was fresh may be what is changed now
        return etag is not None

    async def key_of(self, journal: JournalId) -> str | None:
        """The session's own KMS key."""
        known = self._parts.get(journal)
        part = await self._part(journal, 0) if known is None else known.tail
        return part.segment.key_arn or None if part is not None else None

    def _key(self, journal: JournalId, name: int | None = None) -> str:
        return f"{self._folder(journal)}log/{'' if name is None else f'{name:010}'}"


def _named(names: Sequence[str]) -> list[int]:
    """The segments among some names; what others put there is none."""
    return [int(name) for name in names if _NAME.fullmatch(name)]
