"""Makes the test vectors of the format: tests/unit/vectors.json, and the hexadecimal in docs/format.md.

    python tests/unit/make_vectors.py

Run it after a change of the format. Nothing else writes these files; test_format.py fails until they agree.
The vectors are one small journal, so that they also show the chain, and what belongs to it.
"""

from __future__ import annotations

import json
import os
import tempfile
import textwrap
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import ormsgpack

from stepwell.blocking import run_sync
from stepwell.codecs.content import blob_name, encode
from stepwell.io.blocking import BlockingTasks
from stepwell.io.clock import SystemClock
from stepwell.io.files import Files
from stepwell.io.ports import Ports
from stepwell.journal.events import (
    BLOB,
    TEXT,
    ZSTD,
    Attributes,
    AttributesSet,
    BlockRef,
    Created,
    Ended,
    Entry,
    Event,
    InvocationCreated,
    Leased,
    Payload,
    Place,
    StepPut,
    to_wire,
)
from stepwell.journal.index import Lookup, Run
from stepwell.journal.record import Facts, identity, mask, open_record, salted_digest, seal
from stepwell.journal.state import SessionState, blank
from stepwell.models import Image, Text
from stepwell.stores.base import JournalId, ListingEntry
from stepwell.stores.file import FileStore
from stepwell.stores.log import Tail, frame
from stepwell.views import gone_entry, listing_entry

VECTORS = Path(__file__).with_name("vectors.json")
PAGE = Path(__file__).parents[2] / "docs" / "format.md"
BEGIN, END = "<!-- vectors: made by tests/unit/make_vectors.py -->", "<!-- end of vectors -->"

TENANT = "default"
KEY = "INC-7"
SESSION = bytes.fromhex("0198c0de000070008000000000000001")
INVOCATION = bytes.fromhex("0198c0de000070008000000000000002")
WRITER, OTHER_WRITER = b"writer-A", b"writer-B"
BEGAN = 1_800_000_000_000_000
SECOND = 1_000_000
LONG_TEXT = "p99 is 4 s. " * 20
# zstd 1.5, level 3. Another release may compress differently, and what it makes is as good.
LONG_TEXT_ZSTD = bytes.fromhex("28b52ffd20f09d000060703939206973203420732e200100e1532509")
BIG_TEXT = "x" * 40


def number(n: int) -> bytes:
    """Sixteen bytes to tell things apart by: a salt, a token, an id."""
    return bytes(range(16 * n, 16 * n + 16))


def attributes(metadata: dict[str, str], at: int) -> Attributes:
    return Attributes(SESSION, BEGAN, at, KEY, None, metadata, {"team": "blue"})


def step(n: int, time: int | None, *blocks: tuple[BlockRef, Payload]) -> StepPut:
    return StepPut(
        INVOCATION,
        SESSION[:15] + bytes([0x10 + n]),
        time,
        tuple(ref for ref, _ in blocks),
        tuple(payload for _, payload in blocks),
    )


def text(content: str, salt: bytes) -> tuple[BlockRef, Payload]:
    encoded = encode(Text(text=content), salt)
    return encoded.ref, encoded.payload


def png(data: bytes, salt: bytes) -> tuple[BlockRef, Payload]:
    encoded = encode(Image(format="png", data=data), salt)
    return encoded.ref, encoded.payload


def compressed(content: str, stored: bytes, salt: bytes) -> tuple[BlockRef, Payload]:
    raw = content.encode()
    return BlockRef(TEXT, ZSTD, len(raw), salted_digest(raw, salt), len(stored)), Payload(salt, stored)


def blob(content: str, salt: bytes) -> tuple[BlockRef, Payload]:
    raw = content.encode()
    return BlockRef(TEXT, BLOB, len(raw), salted_digest(raw, salt), len(raw)), Payload(salt, b"")


PNG_WITH_ZEROS = b"\x89PNG\r\n\x1a\n" + bytes(256)
BLOB_BLOCK = blob(BIG_TEXT, number(6))

# What it shows, the time since slot 0, the events; the last member says whether an index snapshot follows them.
JOURNAL: tuple[tuple[str, int, tuple[Entry, ...], bool], ...] = (
    (
        "slot 0: a session with a key, metadata and a tag",
        0,
        (Entry(Created(attributes({"incidentId": "INC-7"}, BEGAN), 3600, BEGAN + 86400 * SECOND), WRITER, number(0)),),
        False,
    ),
    (
        "an invocation and its first step, one text",
        1 * SECOND,
        (
            Entry(InvocationCreated(INVOCATION, "latency alert"), WRITER, number(1)),
            Entry(step(0, None, text("p99 is 4 s", number(2))), WRITER, number(1)),
        ),
        False,
    ),
    (
        "a step with a time of its own and a PNG under a mask, since it holds 256 zeros in a row",
        2 * SECOND,
        (Entry(step(1, BEGAN - SECOND, png(PNG_WITH_ZEROS, number(4))), WRITER, number(3)),),
        False,
    ),
    (
        "metadata with 256 zeros in a row: the body is under a mask",
        3 * SECOND,
        (Entry(AttributesSet(attributes({"zeros": "\0" * 256}, BEGAN + 3 * SECOND), True), WRITER, number(7)),),
        False,
    ),
    (
        "a step of two texts: one compressed, one a blob",
        4 * SECOND,
        (Entry(step(2, None, compressed(LONG_TEXT, LONG_TEXT_ZSTD, number(5)), BLOB_BLOCK), WRITER, number(8)),),
        False,
    ),
    (
        "two calls in one record, the second by another handle, and an index snapshot",
        5 * SECOND,
        (
            Entry(step(3, None, text("restarted", number(9))), WRITER, number(10)),
            Entry(Leased(1), OTHER_WRITER, number(11)),
        ),
        True,
    ),
    (
        "the end",
        6 * SECOND,
        (
            Entry(
                Ended(replace(attributes({}, BEGAN + 6 * SECOND), tags={}, origin=(number(12), 7, 0))),
                OTHER_WRITER,
                number(13),
            ),
        ),
        False,
    ),
)


def snapshot_after(draft: SessionState) -> Event:
    """The index snapshot that a writer adds to a record whose other events *draft* has taken in."""
    made = draft.index.sealed(draft.tail_writer, draft.tail, draft.other_last)
    assert not isinstance(made, Lookup)
    return made


def journal() -> list[dict[str, Any]]:
    """The records, as JSON."""
    whose = identity(TENANT, SESSION)
    state = blank()
    shown: list[dict[str, Any]] = []
    for what, later, calls, indexed in JOURNAL:
        time, entries = BEGAN + later, calls
        draft = state.copy()
        draft.slot += 1
        for at, entry in enumerate(calls):
            draft.apply(entry, Place(draft.slot, at), time)
        writer, token = calls[0].writer, calls[0].token
        if indexed:
            snapshot = Entry(snapshot_after(draft), writer, token)
            draft.apply(snapshot, Place(draft.slot, len(calls)), time)
            entries = (*calls, snapshot)
        sealed = seal(
            journal=whose,
            slot=draft.slot,
            time=time,
            writer=writer,
            token=token,
            prev=state.digest,
            facts=draft.facts,
            entries=entries,
        )
        shown.append(
            {
                "what": what,
                "slot": draft.slot,
                "time": time,
                "writer": writer.hex(),
                "token": token.hex(),
                "prev": state.digest.hex(),
                **facts_shown(draft.facts),
                "body": [plain(to_wire(entry, writer, token)) for entry in entries],
                "payloads": [payload_shown(payload) for entry in entries for payload in payloads_of(entry)],
                "digest": sealed.digest.hex(),
                "record": sealed.data.hex(),
            }
        )
        state.advance(open_record(sealed.data, whose))
    return shown


def payloads_of(entry: Entry) -> tuple[Payload, ...]:
    return entry.event.payloads if isinstance(entry.event, StepPut) else ()


def payload_shown(payload: Payload) -> dict[str, str]:
    return {"salt": payload.salt.hex(), "stored": payload.stored.hex()}


def facts_shown(facts: Facts) -> dict[str, int]:
    return {name: int(getattr(facts, name)) for name in Facts._fields}


def plain(value: Any) -> Any:
    """Msgpack as JSON: bytes become {"hex": …}."""
    return json.loads(json.dumps(value, default=lambda raw: {"hex": raw.hex()}))


def frames(records: list[bytes]) -> list[dict[str, Any]]:
    """What a log file holds behind each record."""
    tail = Tail(size=0, slot=-1, starts=())
    shown: list[dict[str, Any]] = []
    for record in records:
        data = frame(record, tail)
        trailer = data[len(record) :]
        shown.append({"slot": tail.slot + 1, "offset": tail.size, "record_size": len(record), "trailer": trailer.hex()})
        tail = tail.grown(len(data))
    return shown


def entries() -> list[dict[str, Any]]:
    """Listing entries: of a session as it begins, and of one that is gone."""
    facts = blank().facts._replace(expires_at=BEGAN + 86400 * SECOND)
    began = listing_entry(facts, attributes({}, BEGAN), BEGAN)
    return [entry_shown(entry) for entry in (began, gone_entry(SESSION))]


def checked(content: bytes) -> bytes:
    """A file that begins with its own digest."""
    return sha256(content).digest()[:16] + content


def entry_shown(entry: ListingEntry) -> dict[str, Any]:
    return {
        "version": entry.version,
        "data": plain(ormsgpack.unpackb(entry.data)) if entry.data else None,
        "file": checked(entry.version.to_bytes(8, "big") + entry.data).hex(),
    }


def paths(record: bytes) -> list[str]:
    """The files of a file store that holds one record, one blob, one key and one entry."""
    with tempfile.TemporaryDirectory() as folder:
        store = FileStore(f"{folder}/store", Ports(SystemClock(), BlockingTasks(), Files(), os.urandom))
        run_sync(store.append(JournalId(TENANT, SESSION), 0, record))
        run_sync(store.put_blob(JournalId(TENANT, SESSION), blob_name(number(8), BLOB_BLOCK[0]), b"x"))
        run_sync(store.swap_key(TENANT, KEY, SESSION, expected=None))
        run_sync(store.put_entry(TENANT, gone_entry(SESSION)))
        run_sync(store.aclose())
        root = Path(folder, "store")
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def index_mark() -> dict[str, str]:
    run = Run()
    run.add_step(INVOCATION, SESSION, 0)
    (mark,) = run.steps
    return {"invocation": INVOCATION.hex(), "step": SESSION.hex(), "mark": mark.hex()}


def vectors() -> dict[str, Any]:
    """All of them, as JSON."""
    records = journal()
    salt, raw = number(2), b"p99 is 4 s"
    return {
        "identities": [
            {"tenant": tenant, "session": SESSION.hex(), "identity": identity(tenant, SESSION).hex()}
            for tenant in (TENANT, "acme")
        ],
        "salted_digest": {"raw": raw.hex(), "salt": salt.hex(), "digest": salted_digest(raw, salt).hex()},
        "mask": {"seed": salt.hex(), "of_32_zeros": mask(bytes(32), salt).hex()},
        "index_mark": index_mark(),
        "records": records,
        "log": frames([bytes.fromhex(record["record"]) for record in records]),
        "blob": {"name": blob_name(number(8), BLOB_BLOCK[0]), "file": BIG_TEXT.encode().hex()},
        "key": {"key": KEY, "file": checked(ormsgpack.packb([KEY, SESSION])).hex()},
        "entries": entries(),
        "paths": paths(bytes.fromhex(records[0]["record"])),
    }


def page_section(made: dict[str, Any]) -> str:
    """The vectors as docs/format.md shows them."""
    parts: list[str] = []

    def show(title: str, *lines: str) -> None:
        wrapped = [part for line in lines for part in textwrap.wrap(line, 120, subsequent_indent="    ")]
        parts.append("\n".join((f"**{title}**", "```text", *wrapped, "```")))

    show(
        "Identity, salted digest, mask, mark of a step",
        *(f"identity({i['tenant']!r}, {i['session']}) = {i['identity']}" for i in made["identities"]),
        "salted_digest({raw}, {salt}) = {digest}".format(**made["salted_digest"]),
        "mask of 32 zeros under {seed} = {of_32_zeros}".format(**made["mask"]),
        "mark({invocation}, {step}) = {mark}".format(**made["index_mark"]),
    )
    for record in made["records"]:
        show(f"Record {record['slot']}: {record['what']}", record["record"])
    show(
        "Trailers of these records in one log",
        *("slot {slot} at {offset}, {record_size} bytes: {trailer}".format(**frame) for frame in made["log"]),
    )
    show(
        "Files",
        "blob {name}: {file}".format(**made["blob"]),
        "key {key}: {file}".format(**made["key"]),
        *("entry, version {version}: {file}".format(**entry) for entry in made["entries"]),
    )
    show("Paths of a file store that holds slot 0, the blob, the key and an entry", *made["paths"])
    return "\n\n".join(parts)


def main() -> None:
    made = vectors()
    VECTORS.write_text(json.dumps(made, indent=1, ensure_ascii=True) + "\n")
    before, rest = PAGE.read_text().split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{page_section(made)}\n{END}{after}")


if __name__ == "__main__":
    main()
