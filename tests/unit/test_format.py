"""docs/format.md, its vectors and the code say the same.

The reader and the writer below are made from the page alone: they use nothing of Stepwell.
"""

from __future__ import annotations

import base64
import json
import os
import struct
import zlib
from collections.abc import Callable
from hashlib import sha256, shake_128
from pathlib import Path
from typing import Any

import ormsgpack
import pytest
import zstandard

import stepwell
from stepwell import Client, Image, Text
from stepwell.blocking import run_sync
from stepwell.io.blocking import BlockingTasks
from stepwell.io.clock import SystemClock
from stepwell.io.files import Files
from stepwell.io.ports import Ports
from stepwell.journal.record import identity, open_record
from stepwell.journal.state import blank, resume
from stepwell.stores.base import JournalId, ListingEntry
from stepwell.stores.file import FileStore
from stepwell.stores.memory import MemoryStore
from tests.unit import make_vectors
from tests.unit.make_vectors import BEGAN, BIG_TEXT, JOURNAL, KEY, LONG_TEXT, PNG_WITH_ZEROS, SECOND, SESSION, TENANT

VECTORS: dict[str, Any] = json.loads(make_vectors.VECTORS.read_text())
WHOSE = identity(TENANT, SESSION)
RECORDS = [bytes.fromhex(record["record"]) for record in VECTORS["records"]]
REST = (
    *("idle_seconds", "epoch", "invocations", "steps"),
    *("purge_after", "keep_until", "audited_slot", "trimmed_slot"),
)
HEADER = ">2s BB II IIII qqq IIII qq II 8s 16s 16s"
SESSION_ID = "0198c0de-0000-7000-8000-000000000001"


class VectorClock:
    """Some seconds after the last record."""

    def wall(self) -> int:
        return BEGAN + 60 * SECOND

    def boot(self) -> int:
        return self.wall()


# By the page alone


def identity_by_the_page(tenant: str, session: bytes) -> bytes:
    return sha256(session + tenant.encode()).digest()


def unmasked(data: bytes, seed: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(data, shake_128(seed).digest(len(data)), strict=True))


def name_by_the_page(*parts: str) -> str:
    digest = sha256()
    for part in parts:
        digest.update(len(part.encode()).to_bytes(8, "big") + part.encode())
    return base64.b32encode(digest.digest()[:20]).decode().lower()


def read_by_the_page(data: bytes, whose: bytes) -> dict[str, Any]:
    """A record, in the form of vectors.json."""
    header, (crc,) = data[:132], struct.unpack(">I", data[132:136])
    magic, version, flags, body_size, area_size, slot, *numbers, writer, token, prev = struct.unpack(HEADER, header)
    assert (magic, version, crc) == (b"sw", 1, zlib.crc32(header))
    stored, digest = data[136 : 136 + body_size], data[136 + body_size : 152 + body_size]
    assert digest == sha256(whose + data[:136] + stored).digest()[:16]
    body = ormsgpack.unpackb(unmasked(stored, token) if flags & 0x80 else stored)
    area = data[152 + body_size :]
    assert len(area) == area_size
    base, snapshot_slot, attributes_slot, time, last_activity, expires_at, *rest = numbers
    return {
        "slot": slot,
        "time": time,
        "writer": writer.hex(),
        "token": token.hex(),
        "prev": prev.hex(),
        "status": flags & 0x7F,
        "base": base,
        "snapshot_slot": snapshot_slot,
        "attributes_slot": attributes_slot,
        "last_activity": last_activity,
        "expires_at": expires_at,
        **dict(zip(REST, rest, strict=True)),
        "body": make_vectors.plain(body),
        "payloads": [{"salt": s.hex(), "stored": p.hex()} for s, p in payloads_by_the_page(body, area)],
        "digest": digest.hex(),
    }


def blocks_by_the_page(body: list[list[Any]]) -> list[list[Any]]:
    return [block for event in body if event[0] == 4 for block in event[5]]


def payloads_by_the_page(body: list[list[Any]], area: bytes) -> list[tuple[bytes, bytes]]:
    payloads: list[tuple[bytes, bytes]] = []
    for _, codec, raw_size, _, *more in blocks_by_the_page(body):
        size = 0 if codec & 4 else more[0] if more else raw_size
        payloads.append((area[:16], area[16 : 16 + size]))
        area = area[16 + size :]
    assert not area
    return payloads


def raw_by_the_page(block: list[Any], salt: bytes, stored: bytes) -> bytes:
    _, codec, raw_size, digest, *_ = block
    if codec & 2:
        stored = unmasked(stored, salt)
    raw = zstandard.ZstdDecompressor().decompress(stored) if codec & 1 else stored
    assert len(raw) == raw_size
    assert digest == sha256(salt + raw).digest()[:16]
    return raw


def written_by_the_page(after: bytes, *events: Any, version: int = 1) -> bytes:
    """A record behind another one, without payloads, of events that change nothing."""
    body = ormsgpack.packb(list(events))
    _, _, flags, size, _, slot, *numbers, writer, token, _ = struct.unpack(HEADER, after[:132])
    sizes, prev = (len(body), 0, slot + 1), after[136 + size : 152 + size]
    fields = struct.pack(HEADER, b"sw", version, flags, *sizes, *numbers, writer, token, prev)
    covered = fields + zlib.crc32(fields).to_bytes(4, "big") + body
    return covered + sha256(WHOSE + covered).digest()[:16]


def log_by_the_page() -> bytes:
    log, starts = b"", list[int]()
    for slot, record in enumerate(RECORDS):
        starts.append(len(log))
        covered = struct.pack(">II", starts[slot & (slot - 1)] if slot else 0, len(record))
        log += record + covered + zlib.crc32(record + covered).to_bytes(4, "big") + b"\xa5"
    return log


# The vectors


def test_sealing_gives_the_bytes_of_the_vectors() -> None:
    assert make_vectors.vectors() == VECTORS


def test_the_page_shows_the_vectors() -> None:
    assert make_vectors.page_section(VECTORS) in make_vectors.PAGE.read_text()


@pytest.mark.parametrize("slot", range(len(RECORDS)))
def test_opening_gives_back_what_was_sealed(slot: int) -> None:
    opened = open_record(RECORDS[slot], WHOSE)
    _, later, entries, indexed = JOURNAL[slot]
    assert opened.entries[: len(entries)] == entries
    assert len(opened.entries) == len(entries) + indexed
    assert (opened.slot, opened.time, opened.size) == (slot, BEGAN + later, len(RECORDS[slot]))
    assert make_vectors.facts_shown(opened.facts).items() <= VECTORS["records"][slot].items()


@pytest.mark.parametrize("slot", range(len(RECORDS)))
def test_a_reader_made_from_the_page_reads_every_record(slot: int) -> None:
    vector = VECTORS["records"][slot]
    read = read_by_the_page(RECORDS[slot], identity_by_the_page(TENANT, SESSION))
    assert read == {name: value for name, value in vector.items() if name not in ("what", "record")}


def test_a_reader_made_from_the_page_reads_every_payload() -> None:
    raws: list[bytes] = []
    for data in RECORDS:
        body_size, area_size = struct.unpack(">II", data[4:12])
        stored, token = data[136 : 136 + body_size], data[100:116]
        body = ormsgpack.unpackb(unmasked(stored, token) if data[3] & 0x80 else stored)
        payloads = payloads_by_the_page(body, data[len(data) - area_size :])
        for block, (salt, kept) in zip(blocks_by_the_page(body), payloads, strict=True):
            raws.append(raw_by_the_page(block, salt, BIG_TEXT.encode() if block[1] & 4 else kept))
    assert raws == [b"p99 is 4 s", PNG_WITH_ZEROS, LONG_TEXT.encode(), BIG_TEXT.encode(), b"restarted"]


def test_the_small_vectors_are_what_the_page_says() -> None:
    for vector in VECTORS["identities"]:
        session = bytes.fromhex(vector["session"])
        assert identity_by_the_page(vector["tenant"], session).hex() == vector["identity"]
    mark, digest, mask = VECTORS["index_mark"], VECTORS["salted_digest"], VECTORS["mask"]
    ids = bytes.fromhex(mark["invocation"] + mark["step"])
    assert sha256(ids).digest()[:8].hex() == mark["mark"]
    raw, salt = bytes.fromhex(digest["raw"]), bytes.fromhex(digest["salt"])
    assert sha256(salt + raw).digest()[:16].hex() == digest["digest"]
    assert unmasked(bytes(32), bytes.fromhex(mask["seed"])).hex() == mask["of_32_zeros"]


def test_the_records_are_one_journal() -> None:
    state = blank()
    for data in RECORDS:
        state.advance(open_record(data, WHOSE))
    assert (state.facts.invocations, state.facts.steps, state.facts.epoch) == (1, 4, 1)
    from_snapshot = resume(open_record(RECORDS[5], WHOSE))
    from_snapshot.advance(open_record(RECORDS[6], WHOSE))
    assert from_snapshot.facts == state.facts
    assert (from_snapshot.tail_writer, from_snapshot.tail) == (state.tail_writer, state.tail)


def client_of(*records: bytes) -> Client:
    """A client of a store that holds these records."""
    store = MemoryStore()
    for slot, record in enumerate(records):
        run_sync(store.append(JournalId(TENANT, SESSION), slot, record))
    run_sync(store.put_blob(JournalId(TENANT, SESSION), VECTORS["blob"]["name"], BIG_TEXT.encode()))
    return Client.from_store(lambda ports: store, clock=VectorClock())


def test_a_client_reads_the_steps_with_their_payloads() -> None:
    with client_of(*RECORDS) as client:
        contents = [step.content for step in client.steps(SESSION_ID)]
    assert contents == [
        (Text(text="p99 is 4 s"),),
        (Image(format="png", data=PNG_WITH_ZEROS),),
        (Text(text=LONG_TEXT), Text(text=BIG_TEXT)),
        (Text(text="restarted"),),
    ]


# What is passed over, and what is refused


READS: dict[str, Callable[[Client], object]] = {
    "get_session": lambda client: client.get_session(SESSION_ID),
    "steps": lambda client: list(client.steps(SESSION_ID)),
    "steps, newest first": lambda client: list(client.steps(SESSION_ID, reverse=True)),
    "list_invocation_steps": lambda client: client.list_invocation_steps(SESSION_ID),
    "list_invocations": lambda client: client.list_invocations(SESSION_ID),
    "fork": lambda client: client.fork(SESSION_ID),
}


@pytest.mark.parametrize("read", READS)
def test_an_event_of_a_newer_version_is_passed_over_if_its_code_says_so(read: str) -> None:
    newer = written_by_the_page(RECORDS[0], [9, None, None], [64, None, None, {"anything": ["at", "all"]}])
    with client_of(RECORDS[0], newer) as client:
        READS[read](client)


@pytest.mark.parametrize("read", READS)
def test_an_event_of_a_newer_version_is_refused_otherwise(read: str) -> None:
    newer = written_by_the_page(RECORDS[0], [63, None, None])
    with client_of(RECORDS[0], newer) as client, pytest.raises(stepwell.NotSupported, match="63"):
        READS[read](client)


@pytest.mark.parametrize("read", READS)
def test_a_record_of_a_newer_format_is_refused(read: str) -> None:
    newer = written_by_the_page(RECORDS[0], [9, None, None], version=2)
    with client_of(RECORDS[0], newer) as client, pytest.raises(stepwell.NotSupported, match="format 2"):
        READS[read](client)


def test_a_record_verifies_in_its_own_journal_alone() -> None:
    for tenant, session in (("acme", SESSION), (TENANT, bytes(16))):
        with pytest.raises(stepwell.CorruptJournal):
            open_record(RECORDS[0], identity(tenant, session))


def test_every_flipped_bit_of_a_record_is_found() -> None:
    for bit in range(len(RECORDS[1]) * 8):
        damaged = bytearray(RECORDS[1])
        damaged[bit // 8] ^= 1 << bit % 8
        with client_of(RECORDS[0], bytes(damaged)) as client, pytest.raises(stepwell.CorruptJournal):
            list(client.steps(SESSION_ID))


# The file store


def names_by_the_page(root: Path) -> dict[str, Path]:
    tenant, session = name_by_the_page(TENANT), SESSION.hex()
    folder = root / "sessions" / tenant / session
    return {
        "log": folder / "journal.log",
        "blob": folder / "blobs" / VECTORS["blob"]["name"],
        "key": root / "keys" / tenant / name_by_the_page(TENANT, KEY),
        "entry": root / "entries" / tenant / session,
    }


def test_a_folder_made_from_the_page_is_a_store(tmp_path: Path) -> None:
    root = tmp_path / "store"
    contents = {
        "log": log_by_the_page(),
        "blob": bytes.fromhex(VECTORS["blob"]["file"]),
        "key": bytes.fromhex(VECTORS["key"]["file"]),
        "entry": bytes.fromhex(VECTORS["entries"][0]["file"]),
    }
    for what, path in names_by_the_page(root).items():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(contents[what])
    with Client(f"file:{root}", clock=VectorClock()) as client:
        listed = [(session.key, session.tags) for session in client.sessions()]
        session = client.get_session(key=KEY)
        texts = [step.text for step in client.steps(key=KEY)]
    assert listed == [(KEY, {"team": "blue"})]
    assert (session.session_status, session.head) == ("ENDED", "6.0")
    assert texts == ["p99 is 4 s", "", f"{LONG_TEXT}\n{BIG_TEXT}", "restarted"]


def test_the_file_store_makes_the_files_of_the_page(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path / "store"), Ports(SystemClock(), BlockingTasks(), Files(), os.urandom))
    journal, entry = JournalId(TENANT, SESSION), VECTORS["entries"][0]
    for slot, record in enumerate(RECORDS):
        run_sync(store.append(journal, slot, record))
    run_sync(store.put_blob(journal, VECTORS["blob"]["name"], BIG_TEXT.encode()))
    run_sync(store.swap_key(TENANT, KEY, SESSION, expected=None))
    run_sync(store.put_entry(TENANT, ListingEntry(SESSION, entry["version"], bytes.fromhex(entry["file"])[24:])))
    run_sync(store.aclose())
    paths = names_by_the_page(tmp_path / "store")
    log, room = paths["log"].read_bytes(), len(paths["log"].read_bytes().rstrip(b"\0"))
    assert log[:room] == log_by_the_page()
    assert len(log) - room <= 65536
    assert paths["blob"].read_bytes() == BIG_TEXT.encode()
    assert paths["key"].read_bytes().hex() == VECTORS["key"]["file"]
    assert paths["entry"].read_bytes().hex() == entry["file"]


def test_names_and_buckets_are_those_of_the_page() -> None:
    session, key = name_by_the_page(TENANT) + SESSION.hex(), name_by_the_page(TENANT, KEY)
    entry = name_by_the_page(TENANT, SESSION.hex())
    paths = {str(path) for path in names_by_the_page(Path()).values()}
    locked = session, key, entry, VECTORS["blob"]["name"]
    buckets = {f"locks/{zlib.crc32(name.encode()) % 1024:03x}" for name in locked}
    assert set(VECTORS["paths"]) == paths | buckets | {"locks/notes"}


def test_the_trailers_are_those_of_the_page() -> None:
    log = log_by_the_page()
    for frame in VECTORS["log"]:
        end = frame["offset"] + frame["record_size"]
        assert log[end : end + 13].hex() == frame["trailer"]
