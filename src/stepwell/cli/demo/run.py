"""The parent: starts the engineers, kills the second in the middle of its writes, keeps the books.

Errors: those of the store; `Failed` when an engineer ends otherwise than it should.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from stepwell.cli.demo.child import Child, Failed, hired
from stepwell.cli.demo.outcome import KILLED, Engineer, Outcome
from stepwell.cli.demo.place import Place
from stepwell.cli.demo.reports import Acknowledged, Arrived, Begun, Doing, Report
from stepwell.sync import Client

WATCH_SECONDS = 1.5
WATCHED_STEPS = 40
"""The second engineer is killed once it has written for so long, and so much."""


class Progress(Protocol):
    """Tells people what happens."""

    def says(self, engineer: int, what: str) -> None:
        """A line that stays."""

    def counts(self, engineer: int, steps: int) -> None:
        """How many steps were acknowledged so far."""


def run(place: Place, progress: Progress) -> Outcome:
    """Let the three engineers work, one after the other."""
    first = _work_to_the_end(1, "measure", place, progress)
    second, killed_at = _work_until_killed(2, "watch", place, progress)
    told = [*first.acknowledged.values(), *second.acknowledged.values()]
    third = _work_to_the_end(3, "resolve", place, progress, told)
    with Client(place.url) as client:
        session = client.get_session(key=place.key)
        return Outcome(
            session_id=session.session_id,
            status=session.session_status,
            engineers=(_engineer(first, 0), _engineer(second, KILLED), _engineer(third, 0)),
            killed_at=killed_at,
            read_back=third.seen,
            refused=third.refused,
            steps=tuple(client.steps(session.session_id)),
            ended_at=session.last_updated_at,
        )


def _work_to_the_end(
    number: int, role: str, place: Place, progress: Progress, told: Sequence[Acknowledged] = ()
) -> Child:
    with hired(number, role, place.url, place.key, told) as child:
        for report in child.reports():
            _tell(report, child, progress)
        child.ended(0)
    return child


def _work_until_killed(number: int, role: str, place: Place, progress: Progress) -> tuple[Child, datetime]:
    with hired(number, role, place.url, place.key) as child:
        _wait_for_a_write(child, progress)
        child.kill()
        killed_at = datetime.now(UTC)
        for report in child.reports():
            _tell(report, child, progress)
        child.ended(KILLED)
        progress.says(number, f"was killed by SIGKILL, {len(child.in_flight)} of its writes in flight")
    return child, killed_at


def _wait_for_a_write(child: Child, progress: Progress) -> None:
    """Return with *child* stopped while it has a write in flight: begun, and not acknowledged."""
    began = time.monotonic()
    for report in child.reports():
        _tell(report, child, progress)
        enough = len(child.acknowledged) >= WATCHED_STEPS and time.monotonic() - began >= WATCH_SECONDS
        if enough and isinstance(report, Begun) and report.step in child.in_flight:
            child.stop()
            if child.in_flight:
                return
            child.go_on()
    child.ended(KILLED)  # nobody has killed it: this raises, with its own last words


def _tell(report: Report, child: Child, progress: Progress) -> None:
    match report:
        case Arrived(pid=pid):
            progress.says(child.number, f"is at work as process {pid}")
        case Doing(what=what):
            progress.says(child.number, what)
        case Acknowledged():
            progress.counts(child.number, len(child.acknowledged))
        case _:
            pass


def _engineer(child: Child, exit_code: int) -> Engineer:
    if child.arrived is None:
        raise Failed(f"engineer {child.number} has not begun")
    return Engineer(
        number=child.number,
        pid=child.arrived.pid,
        invocation=child.arrived.invocation,
        exit_code=exit_code,
        acknowledged=tuple(child.acknowledged.values()),
        in_flight=frozenset(child.in_flight) if exit_code == KILLED else frozenset(),
    )
