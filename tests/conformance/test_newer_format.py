"""A journal that a newer version wrote is refused, with the advice to upgrade; it is not taken for damage."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import Any, Protocol, cast

import pytest

from stepwell.errors import NotSupported
from stepwell.io.ports import Ports
from stepwell.journal.record import HEADER_SIZE
from stepwell.stores.base import JournalId, JournalStore, SlotTaken
from stepwell.testing import COLOURS, Clients, Colour, OpenStore, clients_on, refused
from stepwell.testing.clients import operations
from stepwell.testing.clients.operations import Written

ID = "00000000-0000-0000-0000-000000000000"
EVERYTHING = {
    **operations.READS,
    **operations.TAGS,
    **operations.ADDITIONS,
    **operations.FORK,
    **operations.LEASE,
    **operations.END,
    **operations.DELETION,
}


class Place(Protocol):
    @property
    def open_store(self) -> OpenStore: ...

    @property
    def contents(self) -> Callable[[], object]: ...


def of_a_newer_format(record: bytes) -> bytes:
    """Format 2 in byte 2 of the header, and the header's checksum as it then is."""
    fields = record[:2] + bytes([2]) + record[3 : HEADER_SIZE - 4]
    return fields + zlib.crc32(fields).to_bytes(4, "big") + record[HEADER_SIZE:]


class Newer:
    """The store as a newer version writes it."""

    def __init__(self, store: JournalStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        return await self._store.append(journal, slot, of_a_newer_format(record))


@pytest.mark.parametrize("colour", COLOURS)
def test_a_journal_of_a_newer_format_is_refused_and_left_as_it_is(place: Place, colour: Colour) -> None:
    def open_newer(ports: Ports) -> JournalStore:
        return cast(JournalStore, Newer(place.open_store(ports)))

    async def check() -> None:
        clients, newer = (
            Clients(clients_on(place.open_store, colour), colour),
            Clients(clients_on(open_newer, colour), colour),
        )
        try:
            session = (await newer.open().create_session(key="newer")).session_id
            old = (await clients.open().create_session(key="old")).session_id
            before = place.contents()
            for name, operation in EVERYTHING.items():
                error = await refused(NotSupported, operation(clients.open(), Written(session, ID, ID)))
                assert error.operation == name
                assert "upgrade stepwell" in str(error)
            await refused(NotSupported, clients.open().get_session(key="newer"))
            assert place.contents() == before
            await clients.open().put_invocation_step(old, ID, "others go on", create_invocation=True)
            listed = await clients.open().list_sessions()
            assert {shown.session_id for shown in listed.items} == {old, session}
        finally:
            await clients.aclose()
            await newer.aclose()

    asyncio.run(check())
