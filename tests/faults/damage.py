"""Every bit of a stored journal is flipped in turn: a reader is told, or it reads exactly what was written.

    python -m tests.faults.damage

Journal    a small session in a file store, and where its records lie in the log
"""

from __future__ import annotations

import argparse
import os
import random
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TypeAlias

import stepwell
from stepwell.io.files import Files
from stepwell.journal.record import DIGEST_SIZE, HEADER_SIZE
from tests.faults.counting import QuickFiles, file_client
from tests.faults.history import records

TRAILER_BYTES = 13
BITS = 8

Block: TypeAlias = stepwell.Text | stepwell.Data | stepwell.Image

_BODY_SIZE = struct.Struct(">4xI")


@dataclass(frozen=True, slots=True)
class Journal:
    """See the module. A frame is a record and its trailer, from one offset to another; *data* ends with the last."""

    folder: Path
    session_id: str
    invocation_id: str
    log: Path
    frames: tuple[tuple[int, int], ...]
    data: bytes
    blocks: tuple[Block, ...]

    def read(self, files: Files | None = None) -> tuple[Block, ...]:
        """What its steps hold, by a new client."""
        with file_client(self.folder, files or QuickFiles()) as client:
            return tuple(block for step in client.steps(self.session_id) for block in step.content)

    def put(self, block: Block) -> None:
        """Append a step, by a new client."""
        with file_client(self.folder, QuickFiles()) as client:
            client.put_invocation_step(self.session_id, self.invocation_id, block)


def texts(*sizes: int) -> tuple[stepwell.Text, ...]:
    """Texts of so many characters, which are stored as about half as many bytes."""
    return tuple(stepwell.Text(text=random.Random(size).randbytes(size).hex()[:size]) for size in sizes)


def octets(*sizes: int) -> tuple[stepwell.Data, ...]:
    """So many bytes, stored as they are."""
    return tuple(stepwell.Data(data=random.Random(size).randbytes(size)) for size in sizes)


def build(folder: Path, blocks: Sequence[Block]) -> Journal:
    """A session with a step for each of *blocks*."""
    with file_client(folder, QuickFiles()) as client:
        session_id = client.create_session(metadata={"incidentId": "INC-7"}).session_id
        invocation_id = client.create_invocation(session_id, description="latency alert").invocation_id
        for block in blocks:
            client.put_invocation_step(session_id, invocation_id, block)
    [log] = (folder / "sessions").rglob("journal.log")
    ends = accumulate((record.size + TRAILER_BYTES for record in records(folder, session_id)), initial=0)
    frames = tuple(pairwise(ends))
    data = log.read_bytes()[: frames[-1][1]]
    return Journal(folder, session_id, invocation_id, log, frames, data, tuple(blocks))


class DamagedFiles(QuickFiles):
    """One bit of one file, by its inode, reads as its opposite."""

    def __init__(self, inode: int, bit: int) -> None:
        super().__init__()
        self._inode = inode
        self._at, self._flip = bit // BITS, 1 << bit % BITS

    def read_at(self, fd: int, size: int, offset: int) -> bytes:
        data = super().read_at(fd, size, offset)
        at = self._at - offset
        if not 0 <= at < len(data) or os.fstat(fd).st_ino != self._inode:
            return data
        return b"".join((data[:at], bytes([data[at] ^ self._flip]), data[at + 1 :]))


def check_flips(journal: Journal, bits: Iterable[int]) -> Counter[str]:
    """How many flips of *bits* a reader of the whole session was told of, and how many left what it reads unchanged.

    Raises:
        AssertionError: it read something else, or was not told of a flip that the chain covers.
    """
    counts = Counter[str]()
    inode = journal.log.stat().st_ino
    covered = set(_covered(journal))
    for bit in bits:
        try:
            found = journal.read(DamagedFiles(inode, bit))
        except stepwell.CorruptJournal:
            counts["told"] += 1
            continue
        assert journal.blocks == found, f"bit {bit}"
        assert bit // BITS not in covered, f"bit {bit}"
        counts["unchanged"] += 1
    return counts


def _covered(journal: Journal) -> Iterator[int]:
    """The bytes of which each bit counts: headers, bodies and digests.

    Whoever reads on from the front needs no trailer but the last; and a compressed payload has a few bits that change
    nothing: it is verified when it is decoded.
    """
    for start, _ in journal.frames:
        (body,) = _BODY_SIZE.unpack_from(journal.data, start)
        yield from range(start, start + HEADER_SIZE + body + DIGEST_SIZE)
    end = journal.frames[-1][1]
    yield from range(end - TRAILER_BYTES, end)


def main() -> None:
    """Flip every bit."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    ).parse_args()
    with tempfile.TemporaryDirectory(prefix="stepwell-damage-") as folder:
        journal = build(Path(folder) / "store", [*texts(40, 900, 3000), *octets(300, 900)])
        began = time.monotonic()
        counts = check_flips(journal, range(len(journal.data) * BITS))
        seconds = time.monotonic() - began
    print(f"{len(journal.data)} bytes, every bit flipped in {seconds:.1f} s: {dict(counts)}")


if __name__ == "__main__":
    main()
