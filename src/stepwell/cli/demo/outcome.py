"""What happened in the demo: its timeline, its counts and its checks. Pure.

Outcome   all of it; `failures` is empty if the demo shows what it is to show
Engineer  one of the three processes
Moment    a line of the timeline
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from stepwell.cli.demo.reports import Acknowledged, Refused, lost
from stepwell.cli.terminal import harmless
from stepwell.models import Image, InvocationStep, SessionStatus

ENGINEERS = 3
KILLED = -signal.SIGKILL


@dataclass(frozen=True, slots=True)
class Engineer:
    """A process: how it ended (exit code, or minus a signal), and what it did."""

    number: int
    pid: int
    invocation: str
    exit_code: int
    acknowledged: tuple[Acknowledged, ...]
    in_flight: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Moment:
    """A line of the timeline. *slot* is None for what is not a step."""

    at: datetime
    engineer: int
    pid: int
    what: str
    slot: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Three engineers, and what the third read after the second was killed (step id -> digest)."""

    session_id: str
    status: SessionStatus
    engineers: tuple[Engineer, ...]
    killed_at: datetime
    read_back: dict[str, str]
    refused: Refused | None
    steps: tuple[InvocationStep, ...]
    ended_at: datetime

    @property
    def acknowledged(self) -> list[Acknowledged]:
        """What was acknowledged before the kill, by the first engineer and the second."""
        return [one for engineer in self.engineers[:2] for one in engineer.acknowledged]

    @property
    def in_doubt(self) -> frozenset[str]:
        """The writes that were in flight when their process was killed: each may be there or not, but never in part."""
        return self.engineers[1].in_flight

    @property
    def lost(self) -> list[str]:
        """The acknowledged steps that the third engineer did not read, or read with other content."""
        return lost(self.acknowledged, self.read_back)

    @property
    def failures(self) -> list[str]:
        """The checks that do not hold."""
        killed = self.engineers[1]
        last = self.engineers[-1]
        known = {one.step for one in self.acknowledged} | self.in_doubt
        ids = Counter(step.invocation_step_id for step in self.steps)
        checks = {
            "the three engineers are not three processes": len({e.pid for e in self.engineers}) == ENGINEERS,
            "engineer 2 was not killed by SIGKILL": killed.exit_code == KILLED,
            "engineer 2 was not killed in the middle of a write": bool(killed.in_flight),
            "engineer 1 or 2 wrote nothing": all(e.acknowledged for e in self.engineers[:2]),
            f"{len(self.lost)} acknowledged steps were not read back as written": not self.lost,
            "a step was read that nobody wrote": self.read_back.keys() <= known,
            "a step is there twice": all(count == 1 for count in ids.values()),
            "a step of engineer 3 is missing": {one.step for one in last.acknowledged} <= ids.keys(),
            f"the session is {self.status}, not ENDED": self.status == "ENDED",
            "the write after the end was not refused": self.refused is not None
            and self.refused.error == "SessionEnded",
            "the session holds no picture": self.picture is not None,
        }
        return [failure for failure, holds in checks.items() if not holds]

    @property
    def picture(self) -> bytes | None:
        """The first image of the session."""
        return next((block.data for step in self.steps for block in step.content if isinstance(block, Image)), None)

    @property
    def timeline(self) -> list[Moment]:
        """What happened, in order: every step as it lies in the session, the kill, the end and the refusal."""
        moments: list[Moment] = []
        for engineer in self.engineers:
            moments += [
                Moment(step.invocation_step_time, engineer.number, engineer.pid, in_one_line(step), step.slot)
                for step in self.steps
                if step.invocation_id == engineer.invocation
            ]
            if engineer.exit_code == KILLED:
                what = f"killed by SIGKILL while {count(len(engineer.in_flight), 'write')} in flight"
                moments.append(Moment(self.killed_at, engineer.number, engineer.pid, what))
        last = self.engineers[-1]
        moments.append(Moment(self.ended_at, last.number, last.pid, "ended the session"))
        if self.refused is not None:
            what = f"wrote once more and was refused: {self.refused.error}"
            moments.append(Moment(self.refused.at, last.number, last.pid, what))
        return moments


def in_one_line(step: InvocationStep) -> str:
    """A step in one printable line, images by their size."""
    images = [block for block in step.content if isinstance(block, Image)]
    sizes = "".join(f" [{image.format}, {len(image.data or b'') // 1000} kB]" for image in images)
    return harmless(step.text.replace("\n", " ")) + sizes


def count(number: int, noun: str) -> str:
    """`count(2, "write") == "2 writes were"`."""
    return f"{number} {noun} was" if number == 1 else f"{number} {noun}s were"


def shortened(moments: Sequence[Moment], most: int) -> list[Moment | int]:
    """*moments*, each engineer's at most so many; those left out of the middle as their number."""
    rows: list[Moment | int] = []
    for engineer in sorted({moment.engineer for moment in moments}):
        own = [moment for moment in moments if moment.engineer == engineer]
        if len(own) <= most:
            rows += own
        else:
            first = most // 2
            last = most - first
            rows += [*own[:first], len(own) - most, *own[-last:]]
    return rows
