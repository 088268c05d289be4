"""The suite catches what it is there to catch: each broken store and client fails the case that is named for it."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import pytest

from stepwell.client import AsyncClient
from stepwell.errors import NotSupported, SessionEnded, StepwellError
from stepwell.io.clock import SystemClock
from stepwell.io.ports import Clock
from stepwell.journal.record import ERASED
from stepwell.limits import Limits
from stepwell.models import Invocation, InvocationStep, Lease, Page, Position, Session, SessionSummary
from stepwell.stores.base import JournalId, ListingEntry, SlotTaken
from stepwell.stores.memory import MemoryStore
from stepwell.sync import Client
from stepwell.testing import (
    COLOURS,
    Abilities,
    ClientCase,
    Clients,
    Colour,
    Lifted,
    OpenClient,
    StoreCase,
    check_client,
    check_store,
    client_cases,
    store_cases,
)
from stepwell.testing.clients import limits, status


def store_case(name: str) -> StoreCase:
    (case,) = (case for case in store_cases() if getattr(case, "__name__", "") == name)
    return case


def client_case(name: str, module: str = "") -> ClientCase:
    (case,) = (case for case in client_cases() if case.__name__ == name and case.__module__.endswith(module))
    return case


@pytest.mark.parametrize("cases", [store_cases(), client_cases()])
def test_every_case_has_a_sentence_for_a_name_and_a_line_that_says_what_is_meant(cases: Sequence[Any]) -> None:
    assert len(cases) > 30
    assert len({(case.__module__, case.__name__) for case in cases}) == len(cases)
    for case in cases:
        assert len(case.__name__.split("_")) >= 3
        assert len(inspect.cleandoc(case.__doc__).splitlines()) == 1


def test_every_limit_has_a_case() -> None:
    text = inspect.getsource(limits) + inspect.getsource(status)
    assert [field.name for field in fields(Limits) if field.name not in text] == []


# Stores


class Overwrites(MemoryStore):
    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        taken = await super().append(journal, slot, record)
        if taken is not None:
            self._journals[journal][slot] = record
        return taken


class TellsAnotherWinner(MemoryStore):
    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        taken = await super().append(journal, slot, record)
        return None if taken is None else SlotTaken(await self.head(journal))


class FillsGaps(MemoryStore):
    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        return await super().append(journal, min(slot, len(self._journals[journal])), record)


class SaysDoneWhenTaken(MemoryStore):
    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        await super().append(journal, slot, record)
        return None


class ChecksBeforeItWrites(MemoryStore):
    """Whoever finds the *contested* slot free waits until so many have, and then writes."""

    def __init__(self, contested: int, together: int) -> None:
        super().__init__()
        self.contested = contested
        self.together = threading.Barrier(together)

    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        records = self._journals[journal]
        if slot < len(records):
            return SlotTaken(records[slot])
        if slot == self.contested:
            self.together.wait(timeout=30)
        records[slot:] = [record]
        return None


class ForgetsTheTenant(MemoryStore):
    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        return await super().append(journal._replace(tenant=journal.tenant.lower()), slot, record)

    async def head(self, journal: JournalId) -> bytes | None:
        return await super().head(journal._replace(tenant=journal.tenant.lower()))

    async def read(self, journal: JournalId, first: int, last: int | None = None) -> Sequence[bytes]:
        return await super().read(journal._replace(tenant=journal.tenant.lower()), first, last)


class ReadsOn(MemoryStore):
    async def read(self, journal: JournalId, first: int, last: int | None = None) -> Sequence[bytes]:
        return await super().read(journal, first)


class ReadsLittle(MemoryStore):
    async def read(self, journal: JournalId, first: int, last: int | None = None) -> Sequence[bytes]:
        return (await super().read(journal, first, last))[:3]


class ReadsAll(MemoryStore):
    async def read(self, journal: JournalId, first: int, last: int | None = None) -> Sequence[bytes]:
        return self._journals[journal][first : None if last is None else last + 1]


class LosesZeros(MemoryStore):
    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        return await super().append(journal, slot, record.rstrip(b"\0"))

    async def get_blob(self, journal: JournalId, name: str) -> bytes:
        return (await super().get_blob(journal, name)).rstrip(b"\0")


class HasEveryBlob(MemoryStore):
    async def get_blob(self, journal: JournalId, name: str) -> bytes:
        return self._blobs.get((journal, name), b"")


class SharesBlobs(MemoryStore):
    async def get_blob(self, journal: JournalId, name: str) -> bytes:
        return next((data for (_, other), data in self._blobs.items() if other == name), b"")


class MovesBlobs(MemoryStore):
    async def copy_blob(self, source: JournalId, name: str, target: JournalId) -> None:
        await super().copy_blob(source, name, target)
        del self._blobs[source, name]


class PutsOverBlanks(MemoryStore):
    async def put_blob(self, journal: JournalId, name: str, data: bytes) -> None:
        await super().remove_blob(journal, name)
        await super().put_blob(journal, name, data)


class RemovesToBlank(MemoryStore):
    async def blank_blob(self, journal: JournalId, name: str) -> None:
        await super().remove_blob(journal, name)


class BlanksForOneCall(MemoryStore):
    async def blank_blob(self, journal: JournalId, name: str) -> None:
        if (journal, name) in self._blank:
            await super().remove_blob(journal, name)
            await super().put_blob(journal, name, b"kept")
        else:
            await super().blank_blob(journal, name)


class CopiesBlanks(MemoryStore):
    async def copy_blob(self, source: JournalId, name: str, target: JournalId) -> None:
        await super().put_blob(target, name, self._blobs[source, name])


class HidesBlanks(MemoryStore):
    async def blobs(self, journal: JournalId) -> Sequence[str]:
        return [name for name in await super().blobs(journal) if (journal, name) not in self._blank]


class BlanksForEver(MemoryStore):
    async def remove_blob(self, journal: JournalId, name: str) -> None:
        self._blobs.pop((journal, name), None)


class SwapsAnyway(MemoryStore):
    async def swap_key(self, tenant: str, key: str, session: bytes | None, *, expected: bytes | None) -> bytes | None:
        return await super().swap_key(tenant, key, session, expected=await self.get_key(tenant, key))


class TellsTheNewKey(MemoryStore):
    async def swap_key(self, tenant: str, key: str, session: bytes | None, *, expected: bytes | None) -> bytes | None:
        await super().swap_key(tenant, key, session, expected=expected)
        return await self.get_key(tenant, key)


class FoldsCase(MemoryStore):
    async def get_key(self, tenant: str, key: str) -> bytes | None:
        return await super().get_key(tenant, key.casefold())

    async def swap_key(self, tenant: str, key: str, session: bytes | None, *, expected: bytes | None) -> bytes | None:
        return await super().swap_key(tenant, key.casefold(), session, expected=expected)


class JoinsNames(MemoryStore):
    async def get_key(self, tenant: str, key: str) -> bytes | None:
        return await super().get_key("", f"{tenant}/{key}")

    async def swap_key(self, tenant: str, key: str, session: bytes | None, *, expected: bytes | None) -> bytes | None:
        return await super().swap_key("", f"{tenant}/{key}", session, expected=expected)


class TakesAnyVersion(MemoryStore):
    async def put_entry(self, listing: str, entry: ListingEntry) -> None:
        self._entries[listing].pop(entry.session, None)
        self._order[listing] = [session for session in self._order[listing] if session != entry.session]
        await super().put_entry(listing, entry)


class ListsOldestFirst(MemoryStore):
    async def entries(self, listing: str, before: bytes | None, limit: int) -> Sequence[ListingEntry]:
        return sorted(await super().entries(listing, before, limit))


class BeginsAtTheSession(MemoryStore):
    async def entries(self, listing: str, before: bytes | None, limit: int) -> Sequence[ListingEntry]:
        below = None if before is None else before + b"\0"
        return await super().entries(listing, below, limit)


class ListsForAll(MemoryStore):
    async def entries(self, listing: str, before: bytes | None, limit: int) -> Sequence[ListingEntry]:
        return [
            entry for each in self._entries for entry in await super(ListsForAll, self).entries(each, before, limit)
        ]


class ErasesWithZeros(MemoryStore):
    async def erase(self, journal: JournalId, slot: int, spans: Sequence[tuple[int, int]]) -> None:
        await super().erase(journal, slot, spans)
        records = self._journals[journal]
        records[slot] = records[slot].replace(ERASED, b"\0")


class ErasesOneSpan(MemoryStore):
    async def erase(self, journal: JournalId, slot: int, spans: Sequence[tuple[int, int]]) -> None:
        await super().erase(journal, slot, spans[:1])


class RemovesOneTooMany(MemoryStore):
    async def remove(self, journal: JournalId, below: int | None = None) -> None:
        await super().remove(journal, None if below is None else below + 1)


class RemovesNoBlobs(MemoryStore):
    async def remove(self, journal: JournalId, below: int | None = None) -> None:
        kept = {key: blob for key, blob in self._blobs.items() if key[0] == journal}
        await super().remove(journal, below)
        self._blobs.update(kept)


class RemovesNothing(MemoryStore):
    async def remove(self, journal: JournalId, below: int | None = None) -> None:
        pass


class ForgetsBlobsAlone(MemoryStore):
    async def journals(self, tenant: str, after: bytes | None, limit: int) -> Sequence[bytes]:
        found = await super().journals(tenant, after, limit)
        return [session for session in found if JournalId(tenant, session) in self._journals]


class KeepsAKey(MemoryStore):
    async def swap_key(self, tenant: str, key: str, session: bytes | None, *, expected: bytes | None) -> bytes | None:
        return await super().swap_key(tenant, key, expected if session is None else session, expected=expected)


BROKEN_STORES: Sequence[tuple[type[MemoryStore], str]] = (
    (Overwrites, "a_taken_slot_keeps_its_record"),
    (TellsAnotherWinner, "a_taken_slot_keeps_its_record"),
    (FillsGaps, "a_slot_behind_a_gap_is_refused"),
    (SaysDoneWhenTaken, "the_same_bytes_are_not_written_twice"),
    (SaysDoneWhenTaken, "one_of_many_writers_gets_a_slot"),
    (ForgetsTheTenant, "journals_are_kept_apart_by_tenant"),
    (ReadsOn, "a_range_holds_its_slots_and_no_others"),
    (ReadsLittle, "a_range_holds_its_slots_and_no_others"),
    (ReadsLittle, "a_long_journal_is_read_in_parts"),
    (ReadsAll, "a_long_journal_is_read_in_parts"),
    (LosesZeros, "a_blob_reads_back"),
    (HasEveryBlob, "a_missing_blob_is_told_as_damage"),
    (SharesBlobs, "blobs_are_kept_apart_by_journal"),
    (MovesBlobs, "a_copied_blob_is_in_both_journals"),
    (MovesBlobs, "a_blob_that_is_copied_again_stays"),
    (PutsOverBlanks, "a_put_behind_a_blank_blob_brings_nothing_back"),
    (RemovesToBlank, "a_put_behind_a_blank_blob_brings_nothing_back"),
    (BlanksForOneCall, "a_blank_blob_that_is_blanked_again_stays_blank"),
    (CopiesBlanks, "a_blank_blob_cannot_be_copied"),
    (HidesBlanks, "a_blank_blob_is_listed_until_it_is_removed"),
    (BlanksForEver, "a_blank_blob_is_listed_until_it_is_removed"),
    (SwapsAnyway, "a_swap_from_something_else_changes_nothing"),
    (SwapsAnyway, "one_of_many_claims_a_key"),
    (TellsTheNewKey, "a_swap_from_what_the_key_names_succeeds"),
    (FoldsCase, "keys_of_any_letters_are_kept_apart"),
    (JoinsNames, "keys_are_kept_apart_by_tenant"),
    (TakesAnyVersion, "an_older_version_replaces_nothing"),
    (TakesAnyVersion, "a_gone_session_does_not_come_back"),
    (ListsOldestFirst, "entries_come_newest_first"),
    (BeginsAtTheSession, "a_page_of_entries_begins_below_a_session"),
    (ListsForAll, "entries_are_kept_apart_by_tenant"),
    (ErasesWithZeros, "an_erasure_overwrites_its_spans_and_nothing_else"),
    (ErasesOneSpan, "an_erasure_overwrites_its_spans_and_nothing_else"),
    (RemovesOneTooMany, "the_oldest_slots_are_removed"),
    (RemovesNoBlobs, "a_removed_journal_leaves_nothing"),
    (RemovesNothing, "a_removed_journal_leaves_nothing"),
    (ForgetsBlobsAlone, "journals_are_enumerated_by_session"),
    (KeepsAKey, "a_key_can_name_nothing_again"),
)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(("broken", "name"), BROKEN_STORES)
def test_a_broken_store_fails_the_case_that_is_named_for_it(
    broken: type[MemoryStore], name: str, colour: Colour
) -> None:
    store = broken()
    with pytest.raises((AssertionError, StepwellError, ValueError)):
        asyncio.run(check_store(store_case(name), lambda ports: store, colour))


@pytest.mark.parametrize(
    ("name", "contested", "together"),
    [("one_of_many_writers_gets_a_slot", 0, 8), ("five_workers_count_to_fifty", 1, 5)],
)
def test_a_store_that_checks_before_it_writes_loses_the_races(name: str, contested: int, together: int) -> None:
    store = ChecksBeforeItWrites(contested, together)
    with pytest.raises((AssertionError, ValueError)):
        asyncio.run(check_store(store_case(name), lambda ports: store, "sync"))


# Clients


class EndsOnce(AsyncClient):
    async def end_session(self, session_id: str) -> Session:
        if (await self.get_session(session_id)).session_status == "ENDED":
            raise SessionEnded("ended before")
        return await super().end_session(session_id)


class DeletesActiveOnes(AsyncClient):
    async def delete_session(self, session_id: str, **given: Any) -> None:
        given["end"] = True
        await super().delete_session(session_id, **given)


class MergesMetadata(AsyncClient):
    async def update_session(self, session_id: str, metadata: Mapping[str, str]) -> Session:
        return await super().update_session(session_id, {**(await self.get_session(session_id)).metadata, **metadata})


class ReplacesTags(AsyncClient):
    async def tag_resource(self, resource_arn: str, tags: Mapping[str, str]) -> None:
        await super().untag_resource(resource_arn, ["", *await self.list_tags_for_resource(resource_arn)])
        await super().tag_resource(resource_arn, tags)


class ListsBackwards(AsyncClient):
    async def list_sessions(self, *, max_results: int = 10, next_token: str | None = None) -> Page[SessionSummary]:
        page = await super().list_sessions(max_results=max_results, next_token=next_token)
        return Page(items=page.items[::-1], next_token=page.next_token)


class FindsInvocations(AsyncClient):
    async def create_invocation(
        self, session_id: str, *, invocation_id: str | None = None, description: str | None = None
    ) -> Invocation:
        every = (await self.list_invocations(session_id, max_results=1000)).items
        found = [item for item in every if item.invocation_id == invocation_id]
        if not found:
            return await super().create_invocation(session_id, invocation_id=invocation_id, description=description)
        return Invocation(**found[0].model_dump(), position=Position("0.0"))


class IgnoresConditions(AsyncClient):
    async def put_invocation_step(self, *args: Any, **kwargs: Any) -> InvocationStep:
        return await super().put_invocation_step(*args, **kwargs | {"if_head": None})


class WritesOneByOne(AsyncClient):
    async def put_invocation_steps(
        self, session_id: str, invocation_id: str, steps: Any, **kwargs: Any
    ) -> tuple[InvocationStep, ...]:
        return tuple(
            [
                (await super(WritesOneByOne, self).put_invocation_steps(session_id, invocation_id, [step], **kwargs))[0]
                for step in steps
            ]
        )


class ReadsTwice(AsyncClient):
    async def tail(self, *args: Any, **kwargs: Any) -> AsyncIterator[InvocationStep]:
        async for step in super().tail(*args, **kwargs | {"after": None}):
            yield step


class FencesNobody(AsyncClient):
    async def lease(self, session_id: str) -> Lease:
        lease = await super().lease(session_id)
        self._leases.clear()
        return lease


class ForksEverything(AsyncClient):
    async def fork(self, session_id: str, *, at: Position | None = None, key: str | None = None) -> Session:
        return await super().fork(session_id, key=key)


BROKEN_CLIENTS: Sequence[tuple[type[AsyncClient], str]] = (
    (EndsOnce, "end_session_ends_it_for_good"),
    (DeletesActiveOnes, "an_active_session_is_not_deleted_by_mistake"),
    (DeletesActiveOnes, "an_active_session_allows_everything_but_deletion"),
    (MergesMetadata, "update_session_replaces_the_metadata"),
    (ReplacesTags, "tags_are_added_to_those_that_are_there"),
    (ReplacesTags, "taggers_that_run_at_once_lose_no_tag"),
    (ListsBackwards, "sessions_are_listed_newest_first"),
    (FindsInvocations, "an_existing_invocation_is_refused"),
    (IgnoresConditions, "if_head_refuses_to_pass_what_another_handle_wrote"),
    (IgnoresConditions, "five_workers_count_to_fifty"),
    (WritesOneByOne, "a_batch_is_one_write_in_the_order_given"),
    (WritesOneByOne, "a_batch_is_written_whole_or_not_at_all"),
    (ReadsTwice, "tail_goes_on_behind_a_position"),
    (FencesNobody, "a_lease_fences_whoever_held_it_before"),
    (ForksEverything, "a_fork_can_end_at_any_position"),
)


def opened(kind: type[AsyncClient]) -> OpenClient:
    store = MemoryStore()

    def open_client(*, tenant: str, limits: Limits | None, clock: Clock) -> AsyncClient:
        return kind.from_store(lambda ports: store, tenant=tenant, limits=limits, clock=clock)

    return open_client


async def check(case: ClientCase, kind: type[AsyncClient], abilities: Abilities | None = None) -> None:
    clients = Clients(opened(kind), "async", abilities)
    try:
        await case(clients)
    finally:
        await clients.aclose()


@pytest.mark.parametrize(("broken", "name"), BROKEN_CLIENTS)
def test_a_broken_client_fails_the_case_that_is_named_for_it(broken: type[AsyncClient], name: str) -> None:
    with pytest.raises((AssertionError, StepwellError)):
        asyncio.run(check(client_case(name), broken))


# Abilities


class Modest(AsyncClient):
    """A client of a backend that has neither leases nor `if_head`."""

    async def lease(self, session_id: str) -> Lease:
        raise NotSupported("no leases here")

    async def put_invocation_step(self, *args: Any, **kwargs: Any) -> InvocationStep:
        self._refuse(kwargs)
        return await super().put_invocation_step(*args, **kwargs)

    async def put_invocation_steps(self, *args: Any, **kwargs: Any) -> tuple[InvocationStep, ...]:
        self._refuse(kwargs)
        return await super().put_invocation_steps(*args, **kwargs)

    def _refuse(self, arguments: Mapping[str, Any]) -> None:
        if arguments.get("if_head") is not None:
            raise NotSupported("no if_head here")


ASKING = [case for case in client_cases() if case.__module__.endswith(("requests", "status", "tenants", "writers"))]
"""The cases that ask what a backend can do."""


@pytest.mark.parametrize("case", ASKING)
def test_a_backend_passes_that_refuses_what_it_cannot_do(case: ClientCase) -> None:
    asyncio.run(check(case, Modest, Abilities(if_head=False, leases=False)))


@pytest.mark.parametrize(
    ("kind", "abilities", "name"),
    [
        (Modest, Abilities(if_head=False), "a_lease_fences_whoever_held_it_before"),
        (Modest, Abilities(leases=False), "if_head_refuses_to_pass_what_another_handle_wrote"),
        (AsyncClient, Abilities(if_head=False), "if_head_refuses_to_pass_what_another_handle_wrote"),
        (AsyncClient, Abilities(leases=False), "one_of_many_holds_the_lease"),
        (AsyncClient, Abilities(encryption_keys=True), "an_encryption_key_is_kept_or_refused"),
    ],
)
def test_a_backend_fails_that_says_it_can_what_it_cannot_or_the_other_way_round(
    kind: type[AsyncClient], abilities: Abilities, name: str
) -> None:
    with pytest.raises((AssertionError, StepwellError)):
        asyncio.run(check(client_case(name), kind, abilities))


class Encrypts(MemoryStore):
    async def encrypts_with(self, key_arn: str) -> bool:
        return True


@pytest.mark.parametrize("colour", COLOURS)
def test_a_store_that_encrypts_keeps_the_key_and_has_to_say_so(colour: Colour) -> None:
    case, store = client_case("an_encryption_key_is_kept_or_refused"), Encrypts()
    asyncio.run(check_client(case, lambda ports: store, colour, Abilities(encryption_keys=True)))
    with pytest.raises(AssertionError):
        asyncio.run(check_client(case, lambda ports: Encrypts(), colour))


# Colours


def test_a_lifted_client_calls_the_public_sync_api() -> None:
    called: list[str] = []

    class Counted(Client):
        def __getattribute__(self, name: str) -> Any:
            if not name.startswith("_"):
                called.append(name)
            return super().__getattribute__(name)

    async def use() -> list[str]:
        lifted: Any = Lifted(Counted("memory:", clock=SystemClock()))
        session = await lifted.create_session()
        await lifted.handle().put_invocation_step(
            session.session_id, session.session_id, "said", create_invocation=True
        )
        texts = [step.text async for step in lifted.steps(session.session_id)]
        await lifted.aclose()
        return texts

    assert asyncio.run(use()) == ["said"]
    assert {"create_session", "handle", "steps", "close"} <= set(called)
