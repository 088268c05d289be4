"""Records to write, as the core seals them, with a payload of the case's choice."""

from __future__ import annotations

from hashlib import blake2b, shake_128

from stepwell.journal.events import OCTETS, BlockRef, Entry, Payload, StepPut
from stepwell.journal.record import identity, open_record, salted_digest, seal
from stepwell.journal.state import blank
from stepwell.stores.base import JournalId, JournalStore

_SALT = bytes(range(16))


def journal(name: str, tenant: str = "acme") -> JournalId:
    """A journal of its own for each name."""
    return JournalId(tenant, blake2b(name.encode(), digest_size=16).digest())


def noise(size: int, seed: str = "") -> bytes:
    """Bytes that do not compress, the same for the same seed."""
    return shake_128(seed.encode()).digest(size)


def record(where: JournalId, slot: int, payload: bytes) -> bytes:
    """A whole, valid record."""
    ref = BlockRef(OCTETS, 0, len(payload), salted_digest(payload, _SALT), len(payload))
    step = StepPut(bytes(16), slot.to_bytes(16, "big"), None, (ref,), (Payload(_SALT, payload),))
    facts = blank().facts._replace(last_activity=1, steps=slot + 1)
    token = noise(16, f"{slot} {payload!r}")
    return seal(
        journal=identity(*where),
        slot=slot,
        time=1,
        writer=b"a writer",
        token=token,
        prev=noise(16, str(slot)),
        facts=facts,
        entries=[Entry(step, b"a writer", token)],
    ).data


def payload_of(where: JournalId, data: bytes) -> bytes:
    """The payload in a record that was read."""
    entry = open_record(data, identity(*where)).entries[0]
    assert entry is not None
    assert isinstance(entry.event, StepPut)
    return entry.event.payloads[0].stored


async def written(store: JournalStore, where: JournalId, *payloads: bytes) -> list[bytes]:
    """The records that a new journal was filled with."""
    records = [record(where, slot, payload) for slot, payload in enumerate(payloads)]
    for slot, data in enumerate(records):
        assert await store.append(where, slot, data) is None
    return records


async def everything(store: JournalStore, where: JournalId) -> list[bytes]:
    """A whole journal, read as often as it takes."""
    records: list[bytes] = []
    while more := await store.read(where, len(records)):
        records += more
    return records
