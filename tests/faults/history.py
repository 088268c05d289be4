"""The records of a session in a file store."""

from __future__ import annotations

from pathlib import Path

from stepwell.blocking import run_sync
from stepwell.ids import uuid_bytes
from stepwell.io.files import Files
from stepwell.journal.record import DIGEST_SIZE, Record, identity, open_record
from stepwell.stores.base import JournalId
from tests.faults.counting import file_store


def records(folder: Path, session_id: str) -> list[Record]:
    """All records of a session in a file store, slot by slot from 0, the chain verified."""
    store = file_store(folder, Files())
    session = uuid_bytes("session_id", session_id)
    found: list[Record] = []
    digest = bytes(DIGEST_SIZE)
    try:
        while more := run_sync(store.read(JournalId("default", session), len(found))):
            for data in more:
                record = open_record(data, identity("default", session))
                assert (len(found), digest) == (record.slot, record.prev)
                found.append(record)
                digest = record.digest
    finally:
        run_sync(store.aclose())
    return found
