"""The S3 store on a simulated bucket (s3.py), for schedules: `simulate --store s3`.

The store under test is the real one, with its own calls, each of them lost, late, slow, throttled, in conflict with
others' or answered in vain like any request (aws.py). Processes begin segments of different lengths, so short that most
journals have several.
"""

from __future__ import annotations

import re

from stepwell.ids import uuid_bytes, uuid_text
from stepwell.io.aws import Aws, AwsTarget
from stepwell.io.files import Files
from stepwell.io.ports import Ports
from stepwell.io.ports import Tasks as AnyTasks
from stepwell.stores.base import JournalId, JournalStore
from stepwell.stores.s3 import S3Store
from stepwell.stores.s3_options import S3Options, S3Place, quoted
from stepwell.stores.segments import Segment, parse
from stepwell.testing.simulated.aws import Calls
from stepwell.testing.simulated.faults import Line
from stepwell.testing.simulated.s3 import S3_CODES, S3_READS, SimulatedS3
from stepwell.testing.simulated.schedule import Tasks, World
from stepwell.testing.simulated.stores import INLINE_BYTES, Written

PLACE = S3Place("simulated", "some/where")
SEGMENTS_BYTES = (1, 300, 1000)
_SOME, _FEW = 0.3, 0.1
_SEGMENT = re.compile(r"some/where/([^/]*)/sessions/([^/]*)/log/([0-9]{10})")


class SimulatedS3Store:
    """One bucket, and the clients' stores on it."""

    forgets = False

    def __init__(self, world: World, written: Written) -> None:
        draw = world.random.random
        self.s3 = SimulatedS3(world, self._note)
        self.s3.sends_again = _SOME * draw() if draw() < _SOME else 0.0
        self.s3.leaves = _SOME if draw() < _SOME else 0.0
        self.s3.names_content = draw() < 1 / 2
        self.s3.short_pages = draw() < _SOME
        self._endpoint = "https://service.example" if draw() < _FEW else "https://s3.eu-central-1.amazonaws.com"
        self._world = world
        self._written = written

    def open(self, line: Line) -> JournalStore:
        """The store, as one process sees it."""
        ports = Ports(line.process, Tasks(line.process), Files(), self._world.random_bytes)

        def open_aws(target: AwsTarget, tasks: AnyTasks) -> Aws:
            return Calls(line, self.s3.apply, S3_READS, S3_CODES, endpoint=self._endpoint)

        options = S3Options(PLACE, segment_bytes=self._world.random.choice(SEGMENTS_BYTES))
        store = S3Store(ports, options, open_aws=open_aws)
        store.inline_bytes = INLINE_BYTES
        return store

    def held(self, journal: JournalId) -> bytes:
        """All that is stored of a journal at this moment."""
        prefix = f"{PLACE.begin}{quoted(journal.tenant)}sessions/{uuid_text(journal.session)}/"
        here = {name: found.body for name, found in self.s3.stored.items() if name.startswith(prefix)}
        return b"".join([parse(body).frames if _SEGMENT.fullmatch(name) else body for name, body in here.items()])

    def _note(self, key: str, body: bytes) -> None:
        """Records are durable; those behind a gap, nobody can see."""
        named = _SEGMENT.fullmatch(key)
        if named is None:
            return
        tenant, session, name = named[1], named[2], int(named[3])
        segment, former = parse(body), self.s3.stored.get(key)
        known = segment.first if former is None else parse(former.body).end
        if former is not None or name == 0 or self._reaches(key, name):
            journal = JournalId(tenant, uuid_bytes("session", session))
            for slot, record in enumerate(segment.records(), segment.first):
                if slot >= known:
                    self._written.note(journal, slot, record)

    def _reaches(self, key: str, name: int) -> bool:
        """Whether a journal is there, up to the segment that is to be called *name*."""
        folder = key[:-10]
        names = [found for found in self.s3.stored if found.startswith(folder) and found < key]
        return folder + "0" * 10 in names and self._segment(max(names)).end == name

    def _segment(self, key: str) -> Segment:
        return parse(self.s3.stored[key].body)
