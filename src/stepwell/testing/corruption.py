"""Damage to stored sessions: is every fault found, and is nothing ever read that was not written?

    python -m stepwell.testing.corruption --flips 1000000 --seed 7

flips bits of sessions in a file store, one at a time, in logs and blobs. After each flip a new client verifies the
session, which must name the place, and reads it: it is refused, or gets exactly what was written.
"""

from __future__ import annotations

import os
import random
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple, TypeAlias

from stepwell.errors import CorruptJournal, NotFound, NotSupported, StaleStore
from stepwell.io.blocking import BlockingTasks
from stepwell.io.clock import SystemClock
from stepwell.io.files import Files
from stepwell.io.ports import Ports
from stepwell.journal.record import FIXED_SIZE
from stepwell.models import Data, Image, InvocationStep, Text, Verification
from stepwell.stores.file import FileStore
from stepwell.sync import Client
from stepwell.testing.command import ended, parser, positive, progress, report

TRAILER_SIZE = 13
BITS = 8
BLOB_BYTES = 70_000
"""A payload of so many bytes is kept beside the log."""
_SIZES = struct.Struct(">4xII")

Block: TypeAlias = Text | Data | Image


class UnsyncedFiles(Files):
    """Like a disk that is durable at once and has one user: for sessions that are made to be damaged."""

    def sync_data(self, fd: int) -> None:
        """Nothing to wait for."""

    def sync(self, fd: int) -> None:
        """Nothing to wait for."""

    def file_system(self, device: int) -> str | None:
        """Not asked: it takes longer than all the rest."""
        return None

    def lock(self, fd: int, *, exclusive: bool, patience: float) -> bool:
        """There is nobody else."""
        return True

    def unlock(self, fd: int) -> None:
        """There is nobody else."""


def open_client(folder: Path) -> Client:
    """A client of the file store in *folder*, with nothing remembered."""
    ports = Ports(SystemClock(), BlockingTasks(), UnsyncedFiles(), os.urandom)
    return Client.from_store(lambda _: FileStore(os.fspath(folder), ports))


def texts(*sizes: int) -> tuple[Text, ...]:
    """Texts of so many characters; from 2048 on they are stored as about half as many bytes."""
    return tuple(Text(text=random.Random(size).randbytes(size).hex()[:size]) for size in sizes)


def octets(*sizes: int) -> tuple[Data, ...]:
    """So many bytes, stored as they are."""
    return tuple(Data(data=random.Random(size).randbytes(size)) for size in sizes)


@dataclass(frozen=True, slots=True)
class Saved:
    """See the module. A frame is a record and its trailer, from one offset to another; *data* ends with the last."""

    folder: Path
    session_id: str
    invocation_id: str
    log: Path
    data: bytes
    frames: tuple[tuple[int, int], ...]
    steps: tuple[InvocationStep, ...]

    @property
    def blocks(self) -> tuple[object, ...]:
        """What its steps hold."""
        return tuple(block for step in self.steps for block in step.content)

    @property
    def blobs(self) -> list[Path]:
        """The files of its blobs."""
        return sorted(self.log.parent.glob("blobs/*"))

    def read(self) -> tuple[InvocationStep, ...]:
        """Its steps, by a new client."""
        with open_client(self.folder) as client:
            return tuple(client.steps(self.session_id))

    def put(self, *blocks: Block) -> InvocationStep:
        """Append a step, by a new client."""
        with open_client(self.folder) as client:
            return client.put_invocation_step(self.session_id, self.invocation_id, blocks)

    def frame_at(self, byte: int) -> int:
        """The slot of the frame that holds a byte of *data*."""
        return next(slot for slot, (_, end) in enumerate(self.frames) if byte < end)


def save(folder: Path, steps: Sequence[Block | Sequence[Block]]) -> Saved:
    """A session in the file store in *folder*, with these steps, each in a record of its own."""
    before = set(folder.rglob("journal.log"))
    with open_client(folder) as client:
        session_id = client.create_session(metadata={"incidentId": "INC-7"}, tags={"team": "search"}).session_id
        invocation_id = client.create_invocation(session_id, description="latency alert").invocation_id
        for step in steps:
            client.put_invocation_step(session_id, invocation_id, step)
    (log,) = set(folder.rglob("journal.log")) - before
    return saved_in(folder, session_id, invocation_id, log)


def saved_in(folder: Path, session_id: str, invocation_id: str, log: Path) -> Saved:
    """A session as it is stored now."""
    frames = frames_of(log.read_bytes())
    with open_client(folder) as client:
        steps = tuple(client.steps(session_id))
    return Saved(folder, session_id, invocation_id, log, log.read_bytes()[: frames[-1][1]], frames, steps)


def frames_of(data: bytes) -> tuple[tuple[int, int], ...]:
    """Where the frames of a whole log lie."""
    ends = [0]
    while data[ends[-1] : ends[-1] + 2] == b"sw":
        ends.append(ends[-1] + FIXED_SIZE + sum(_SIZES.unpack_from(data, ends[-1])) + TRAILER_SIZE)
    return tuple(pairwise(ends))


@contextmanager
def flipped(path: Path, bit: int) -> Generator[None]:
    """One bit of a file is its opposite inside `with`."""
    at, mask = bit // BITS, 1 << bit % BITS
    fd = os.open(path, os.O_RDWR)
    try:
        byte = os.pread(fd, 1, at)
        os.pwrite(fd, bytes([byte[0] ^ mask]), at)
        try:
            yield
        finally:
            os.pwrite(fd, byte, at)
    finally:
        os.close(fd)


class Sight(NamedTuple):
    """What a new client finds: a verification (None: no such session), and the steps (None: it is refused)."""

    verification: Verification | None
    steps: tuple[InvocationStep, ...] | None

    def names(self, slot: int, place: int | None = None) -> bool:
        """Whether the first fault that was found is named by this slot, or by this place."""
        if self.verification is None or self.verification.intact:
            return False
        first = self.verification.faults[0]
        return first.slot == slot if place is None else first.place == place


def look(saved: Saved) -> Sight:
    """Verify and read with a new client."""
    with open_client(saved.folder) as client:
        try:
            verification: Verification | None = client.verify(saved.session_id)
        except NotFound:
            verification = None
        try:
            steps: tuple[InvocationStep, ...] | None = tuple(client.steps(saved.session_id))
        except (CorruptJournal, NotSupported, StaleStore):
            steps = None
        except NotFound:
            steps = ()
    return Sight(verification, steps)


def check_flip(saved: Saved, path: Path, bit: int) -> str:
    """Flip one bit of a session's log or of a blob, and look: "refused" or "unchanged" is what a reader is.

    Raises:
        AssertionError: the fault was not named, or something was read that was not written.
    """
    with flipped(path, bit):
        sight = look(saved)
    if path == saved.log:
        slot = saved.frame_at(bit // BITS)
        named = sight.names(slot, saved.frames[slot][0])
    else:
        named = sight.names(_slot_of_blob(saved, path))
    faults = sight.verification and sight.verification.faults
    assert named, f"bit {bit} of {path.name}: verify names something else: {faults}"
    assert sight.steps in (None, saved.steps), f"bit {bit} of {path.name}: a reader got what was never written"
    return "refused" if sight.steps is None else "unchanged"


def _slot_of_blob(saved: Saved, path: Path) -> int:
    """The slot whose record names a blob: its digest, the second half of the name, stands there."""
    return saved.frame_at(saved.data.index(bytes.fromhex(path.name)[16:]))


def check_flips(sessions: Sequence[Saved], flips: int, chance: random.Random) -> Counter[str]:
    """Flip so many bits, each for itself; what readers were told. Progress goes to stderr."""
    files = [(saved, path, size) for saved in sessions for path, size in _files(saved)]
    sizes = list(accumulate(size for _, _, size in files))
    counts = Counter[str]()
    for number in range(1, flips + 1):
        saved, path, size = chance.choices(files, cum_weights=sizes)[0]
        bit = chance.randrange(size * BITS)
        try:
            counts[check_flip(saved, path, bit)] += 1
        except AssertionError as error:
            raise AssertionError(f"flip {number}: {error}") from error
        except Exception as error:  # an error that no reader should see
            raise AssertionError(f"flip {number}, bit {bit} of {path.name}: {error!r}") from error
        if number % 1000 == 0:
            progress(f"{number} of {flips} flips")
    return counts


def _files(saved: Saved) -> list[tuple[Path, int]]:
    return [(saved.log, len(saved.data)), *((path, path.stat().st_size) for path in saved.blobs)]


def some_sessions(folder: Path, count: int, chance: random.Random) -> list[Saved]:
    """Sessions of up to 6 steps; every fortieth has a blob, which takes longer to check."""
    sessions: list[Saved] = []
    for number in range(count):
        sizes = [int(2 ** chance.uniform(3, 12)) for _ in range(chance.randrange(1, 6))]
        steps: list[Block] = [chance.choice((texts, octets))(size)[0] for size in sizes]
        if number % 40 == 0:
            steps += octets(BLOB_BYTES)
        sessions.append(save(folder, steps))
    return sessions


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 if a fault was found."""
    options = parser("corruption", __doc__)
    options.add_argument("--flips", type=positive, default=10_000, help="bits to flip")
    options.add_argument("--sessions", type=positive, default=200, help="sessions in the store")
    options.add_argument("--seed", type=int, default=1, help="of sizes, contents and flips")
    given = options.parse_args(arguments)
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory(prefix="stepwell-corruption-") as folder:
        sessions = some_sessions(Path(folder) / "store", given.sessions, chance)
        began = time.monotonic()
        try:
            counts = check_flips(sessions, given.flips, chance)
        except AssertionError as error:
            print(error, file=sys.stderr)
            command = f"--flips {given.flips} --sessions {given.sessions} --seed {given.seed}"
            print(f"repeat it: python -m stepwell.testing.corruption {command}", file=sys.stderr)
            return 1
    figures = {
        "seed": given.seed,
        "sessions": len(sessions),
        "flips": given.flips,
        "named": counts.total(),
        "refused": counts["refused"],
        "unchanged": counts["unchanged"],
        "seconds": round(time.monotonic() - began, 1),
    }
    report(figures, as_json=given.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(ended(main))
