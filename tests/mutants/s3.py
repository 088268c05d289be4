"""Planted faults of the S3 store: each a small change to what it asks for, or to what it makes of an answer.

test_s3_mutants.py runs the checks that catch them.
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from stepwell.errors import CorruptJournal, PermissionDenied, StepwellError
from stepwell.io.server_time import ServerTime
from stepwell.journal.record import ERASED, frame_size
from stepwell.stores import s3, s3_blobs, s3_bucket, s3_log
from stepwell.stores.base import JournalId, ListingEntry, SlotTaken
from stepwell.stores.s3 import S3Store
from stepwell.stores.s3_blobs import S3Blobs
from stepwell.stores.s3_bucket import Bucket
from stepwell.stores.s3_known import Known, Part, Parts
from stepwell.stores.s3_log import Log
from stepwell.stores.segments import _FIELDS, Segment
from stepwell.stores.small import entry_data, key_data
from tests.mutants.dynamodb import (
    _backwards,
    _empty_if_missing,
    _never,
    _page_of_a_bucket,
    _surely_not,
)
from tests.mutants.protocol import Mutant, constant, replaced


def _edited(wanted: str, edit: Callable[[dict[str, Any]], None]) -> AbstractContextManager[object]:
    """Let the store ask for something else in its calls of an operation."""

    def make(call: Callable[..., Awaitable[Any]]) -> object:
        async def called(self: Bucket, operation: str, expected: Any, *, writes: bool, **arguments: Any) -> Any:
            if operation == wanted:
                edit(arguments)
            return await call(self, operation, expected, writes=writes, **arguments)

        return called

    return replaced(Bucket, "_call", make)


def _of_segments(name: str) -> Callable[[dict[str, Any]], None]:
    """Without a condition, where the object is a segment."""

    def edit(arguments: dict[str, Any]) -> None:
        if "/log/" in arguments["Key"]:
            arguments.pop(name, None)

    return edit


def _expected(**codes: type[Exception] | None) -> AbstractContextManager[object]:
    """Take some codes of a conditional write for something else; None for an error like any other."""
    kinds = {code: kind for code, kind in {**s3_bucket._CONDITIONAL, **codes}.items() if kind is not None}
    return patch.object(s3_bucket, "_CONDITIONAL", kinds)


def _of_blobs(arguments: dict[str, Any]) -> None:
    if "/blobs/" in arguments["Key"]:
        arguments.pop("IfNoneMatch", None)


# Appending


def _with_the_latest_version(replace_: Callable[..., Awaitable[bool]]) -> object:
    async def replaced_(self: Log, journal: JournalId, part: Part, segment: Segment) -> bool:
        latest = await self._part(journal, part.name)
        return await replace_(self, journal, part if latest is None else latest._replace(segment=segment), segment)

    return replaced_


def _of_ones_own_length(part: Callable[..., Awaitable[Part | None]]) -> object:
    async def read(self: Log, *which: Any) -> Part | None:
        found = await part(self, *which)
        if found is None:
            return None
        return found._replace(segment=replace(found.segment, limit=self._segment_bytes))

    return read


def _somebody_elses(append: Callable[..., Awaitable[SlotTaken | None]]) -> object:
    def make(replace_: Callable[..., Awaitable[bool]]) -> object:
        async def refused(*arguments: Any) -> bool:
            if not await replace_(*arguments):
                raise _Overtaken
            return True

        return refused

    async def appended(self: Log, *arguments: Any) -> SlotTaken | None:
        with replaced(Log, "_replace", make):
            try:
                return await append(self, *arguments)
            except _Overtaken:
                return SlotTaken()

    return appended


class _Overtaken(Exception):
    pass


def _written_anyway(put_if: Callable[..., Awaitable[str | None]]) -> object:
    async def written(self: Bucket, *arguments: Any) -> str:
        return await put_if(self, *arguments) or '"0"'

    return written


def _nothing_if(*kinds: type[StepwellError]) -> Callable[[object], object]:
    """A look that fails so is taken for one that finds nothing."""

    def make(_: object) -> object:
        async def settled(self: Log, look: Awaitable[Any]) -> Any:
            try:
                return await look
            except kinds:
                return None

        return settled

    return make


async def _as_it_is(self: Log, look: Awaitable[Any]) -> Any:
    return await look


# Segments


def _but_what_is_erased(self: Segment) -> bool:
    return self.removed + len(self.frames) - self.frames.count(ERASED) >= self.limit


def _forgetting_what_was_removed(without: Callable[..., Segment]) -> object:
    def cut(self: Segment, below: int) -> Segment:
        return replace(without(self, below), removed=self.removed)

    return cut


def _as_far_as_it_goes(parse: Callable[[bytes], Segment]) -> object:
    def parsed(data: bytes) -> Segment:
        try:
            return parse(data)
        except CorruptJournal:
            _, _, _, key_size, limit, first, end, removed, *_ = _FIELDS.unpack_from(data)
            frames = data[_FIELDS.size + key_size + 4 :]
            at = count = 0
            while (size := frame_size(frames, at)) is not None and at + size <= len(frames):
                at, count = at + size, count + 1
            if count == end - first:
                raise
            return Segment(limit, first, first + count, removed, "", frames[:at])

    return parsed


# Reading


def _kept(take: Callable[..., dict[int, Part]]) -> object:
    def taken(self: Parts, journal: JournalId) -> dict[int, Part]:
        known = self.get(journal)
        return {} if known is None else {part.name: part for part in known.fresh}

    return taken


def _as_remembered(look: Callable[..., Awaitable[Known | None]]) -> object:
    async def looked(self: Log, journal: JournalId) -> Known | None:
        return self._parts.get(journal) or await look(self, journal)

    return looked


async def _whatever_is_first(self: Log, journal: JournalId) -> tuple[int, ...]:
    known = self._parts.get(journal)
    return await self._names(journal) if known is None else known.names


async def _whatever_is_listed(self: Log, journal: JournalId, name: int) -> tuple[int, ...]:
    return tuple([one for one in await self._names(journal) if one > name])


async def _last_of_the_list(self: Log, journal: JournalId) -> Known | None:
    names = await self._names(journal)
    last = await self._part(journal, names[-1]) if names else None
    return None if last is None else Known(names, last, "")


async def _one_look_at_each_page(self: S3Store, listing: str, before: bytes | None, limit: int) -> list[ListingEntry]:
    prefix = self._list(listing)
    found: list[ListingEntry] = []
    after = None if before is None else self._entry(listing, before)
    async for page in self._bucket.pages(prefix, after=after, MaxKeys=limit):
        for listed in page["Contents"][: limit - len(found)]:
            entry = await self.get_entry(listing, s3._turned(bytes.fromhex(listed["Key"][len(prefix) :])))
            found += [] if entry is None else [entry]
        if len(found) >= limit:
            break
    return found


# Taking away


def _first_segment_too(trim: Callable[..., Awaitable[None]]) -> object:
    async def trimmed(self: Log, journal: JournalId, below: int) -> None:
        await trim(self, journal, below)
        part = await self._part(journal, 0)
        if part is not None and part.segment.first == part.segment.end:
            await self._bucket.delete(self._key(journal, 0))

    return trimmed


async def _first_segment_last(self: Log, journal: JournalId) -> None:
    self._parts.drop(journal)
    folder = self._folder(journal)
    first = self._key(journal, 0)
    names = [folder + name for name in await self._bucket.names(folder)]
    await self._bucket.delete_all([name for name in names if name != first])
    await self._bucket.delete(first)


async def _done_though_overtaken(self: Log, journal: JournalId, name: int, change: Callable[..., Any]) -> bool:
    part = await self._part(journal, name)
    changed = None if part is None else change(part.segment)
    if part is None or changed is None:
        return False
    await self._replace(journal, part, changed)
    return True


async def _whatever_is_left(self: Bucket, keys: list[str]) -> None:
    if keys:
        named = [{"Key": key} for key in keys]
        await self._call("delete_objects", {}, writes=True, Delete={"Objects": named, "Quiet": True})


# Blobs, keys, entries, the bucket


def _without_a_key(begun: Callable[..., Segment]) -> object:
    def made(slot: int, record: bytes, *, limit: int, key_arn: str) -> Segment:
        return begun(slot, record, limit=limit, key_arn="" if slot else key_arn)

    return made


async def _no_key_of(self: Log, journal: JournalId) -> str | None:
    return None


async def _whatever_its_version(self: S3Store, listing: str, entry: ListingEntry) -> None:
    await self._bucket.put(self._entry(listing, entry.session), entry_data(entry))


async def _looked_at_first(self: S3Store, listing: str, entry: ListingEntry) -> None:
    found = await self.get_entry(listing, entry.session)
    if found is None or found.version <= entry.version:
        await _whatever_its_version(self, listing, entry)


async def _without_comparing(
    self: S3Store, tenant: str, key: str, session: bytes | None, *, expected: bytes | None
) -> bytes | None:
    held = await self.get_key(tenant, key)
    await self._bucket.put(self._key(tenant, key), key_data(key, session or bytes(16)))
    return held


async def _compared_before(
    self: S3Store, tenant: str, key: str, session: bytes | None, *, expected: bytes | None
) -> bytes | None:
    held = await self.get_key(tenant, key)
    if held == expected:
        await self._bucket.put(self._key(tenant, key), key_data(key, session or bytes(16)))
    return held


def _as_expected(swap: Callable[..., Awaitable[bytes | None]]) -> object:
    async def swapped(self: S3Store, *which: Any, expected: bytes | None) -> bytes | None:
        await swap(self, *which, expected=expected)
        return expected

    return swapped


async def _no_look(self: Bucket) -> None:
    self._probe = None


async def _only_at_new_objects(self: Bucket, key: str) -> None:
    assert await self.put_new(key, b"") is None or await self.put_new(key, b"") is None


def _same(session: bytes) -> bytes:
    return session


S3: Mapping[str, Mutant] = {
    "a segment is begun over what is there": lambda: _edited("put_object", _of_segments("IfNoneMatch")),
    "a segment is put over any version": lambda: _edited("put_object", _of_segments("IfMatch")),
    "a segment is sent with a later version than it was made from": lambda: replaced(
        Log, "_replace", _with_the_latest_version
    ),
    "where a segment ends, one's own options say": lambda: replaced(Log, "_part", _of_ones_own_length),
    "a 412 is told as somebody else's without a look": lambda: replaced(Log, "append", _somebody_elses),
    "a 412 is told as a success": lambda: replaced(Bucket, "_put_if", _written_anyway),
    "a 409 is taken for a 412": lambda: _expected(ConditionalRequestConflict=s3_bucket._Failed),
    "a 404 on an overwrite is an error": lambda: _expected(NoSuchKey=None),
    "a 403 at the look is taken for nothing there": lambda: replaced(Log, "_settle", _nothing_if(PermissionDenied)),
    "any error at the look is taken for nothing there": lambda: replaced(Log, "_settle", _nothing_if(StepwellError)),
    "an error at the look is told as it is": lambda: patch.object(Log, "_settle", _as_it_is),
    "an internal error is told as a failure": lambda: replaced(s3_bucket, "translated", _surely_not("InternalError")),
    "a timeout is told as a failure": lambda: replaced(s3_bucket, "translated", _surely_not("ReadTimeoutError")),
    "a damaged reply is told as a failure": lambda: replaced(s3_bucket, "translated", _surely_not("ChecksumError")),
    "a connection that was closed is told as a failure": lambda: replaced(
        s3_bucket, "translated", _surely_not("ConnectionClosedError")
    ),
    "a redaction reopens a closed segment": lambda: patch.object(Segment, "is_closed", property(_but_what_is_erased)),
    "a trim reopens a closed segment": lambda: replaced(Segment, "without", _forgetting_what_was_removed),
    "a segment that was cut is taken for whole": lambda: replaced(s3_log, "parse", _as_far_as_it_goes),
    "what a head has read is read on from for ever": lambda: replaced(Parts, "take_fresh", _kept),
    "what is remembered of a journal is believed": lambda: replaced(Log, "_look", _as_remembered),
    "what is there without a first segment is read": lambda: patch.object(Log, "_known_names", _whatever_is_first),
    "the head is the last segment's, whether the first is there or not": lambda: patch.object(
        Log, "_look", _last_of_the_list
    ),
    "a list is believed though a removal may be under way": lambda: patch.object(
        Log, "_names_behind", _whatever_is_listed
    ),
    "the first page of a list is taken for all": lambda: replaced(Bucket, "pages", _page_of_a_bucket),
    "a trim removes the first segment": lambda: replaced(Log, "trim", _first_segment_too),
    "a removal takes the first segment last": lambda: patch.object(Log, "remove", _first_segment_last),
    "an erasure or a trim that was overtaken is told as done": lambda: patch.object(
        Log, "_change", _done_though_overtaken
    ),
    "errors of some objects are ignored": lambda: patch.object(Bucket, "delete_all", _whatever_is_left),
    "the first segment alone has the session's key": lambda: replaced(s3_log, "begun", _without_a_key),
    "blobs have not the session's key": lambda: patch.object(Log, "key_of", _no_key_of),
    "a blank blob is taken for a blob": lambda: constant((s3_blobs,), "_is_blank", _never),
    "a blob is put over what is there": lambda: _edited("put_object", _of_blobs),
    "a blob is removed in place of being blanked": lambda: patch.object(S3Blobs, "blank", S3Blobs.remove),
    "a blob that is gone is empty": lambda: replaced(S3Blobs, "get", _empty_if_missing),
    "an entry is put whatever its version": lambda: patch.object(S3Store, "put_entry", _whatever_its_version),
    "an entry is put over a newer one of just now": lambda: patch.object(S3Store, "put_entry", _looked_at_first),
    "a key is put without comparing": lambda: patch.object(S3Store, "swap_key", _without_comparing),
    "a key is put over what it came to name just now": lambda: patch.object(S3Store, "swap_key", _compared_before),
    "a swap of a key tells what it expected": lambda: replaced(S3Store, "swap_key", _as_expected),
    "a list goes on behind what it did not look at": lambda: patch.object(S3Store, "entries", _one_look_at_each_page),
    "the ids of a list are not turned round": lambda: constant((s3,), "_turned", _same),
    "the probe never looks": lambda: patch.object(Bucket, "_check", _no_look),
    "the probe looks at new objects alone": lambda: patch.object(Bucket, "refuse_if_lax", _only_at_new_objects),
    "the time of replies goes backwards": lambda: replaced(ServerTime, "hear", _backwards),
}
