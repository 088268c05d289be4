"""The three roles: `python -m stepwell.cli.demo.engineers ROLE URL KEY`.

Desk     an engineer's place in the session: every write is reported when it begins and when it is acknowledged
measure  opens the session, measures, hands over
watch    watches on, writing from three threads without end: the parent kills it
resolve  reads everything, checks it against what was acknowledged, concludes, ends the session, is refused
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import UTC, datetime
from os import getpid
from uuid import uuid4

from stepwell.cli.demo import measure
from stepwell.cli.demo.conclude import conclude, verdict
from stepwell.cli.demo.figures import Watched, as_data, describe, describe_watched, figures_in
from stepwell.cli.demo.plot import plot
from stepwell.cli.demo.reports import (
    Acknowledged,
    Arrived,
    Begun,
    Doing,
    Refused,
    Seen,
    digest,
    from_line,
    lost,
    send,
)
from stepwell.cli.terminal import harmless
from stepwell.errors import Conflict, StepwellError
from stepwell.models import Data, Image, Session, blocks
from stepwell.sync import Client

MEASURE_SECONDS = 3.0
WATCH_SECONDS_MAX = 60.0
REFUSAL_CHARACTERS = 100
QUESTION = "Is this machine healthy?"


class Desk:
    """An engineer's place in the session. Threads may share it."""

    def __init__(self, client: Client, session: Session, description: str) -> None:
        invocation = client.create_invocation(session.session_id, description=description)
        self._client = client
        self._session_id = session.session_id
        self._invocation_id = invocation.invocation_id
        send(Arrived(getpid(), session.session_id, invocation.invocation_id))

    def write(self, *content: str | Image | Data) -> None:
        """Write a step; when this returns, it is durable and the parent knows."""
        step_id = str(uuid4())
        send(Begun(step_id))
        self._client.put_invocation_step(self._session_id, self._invocation_id, content, invocation_step_id=step_id)
        send(Acknowledged(step_id, digest(blocks(content))))


def measure_and_hand_over(client: Client, key: str) -> None:
    """The first engineer."""
    session = client.open_session(key=key, metadata={"question": QUESTION})
    desk = Desk(client, session, "measure")
    desk.write(f"{QUESTION} I take the incident and measure for {MEASURE_SECONDS:.0f} s")
    send(Doing(f"measures this machine for {MEASURE_SECONDS:.0f} s"))
    measured = measure.measure(MEASURE_SECONDS)
    for sentence in describe(measured):
        desk.write(sentence)
    desk.write("The plot and the figures", Image(format="png", data=plot(measured)), as_data(measured))
    desk.write("My shift ends. Please watch on: processes, CPU, memory and disks")


def watch(client: Client, key: str) -> None:
    """The second engineer. It is not meant to come to its end."""
    desk = Desk(client, client.get_session(key=key), "watch")
    desk.write("I have read the handover and watch on, with three threads")
    send(Doing("watches processes, CPU, memory and disks, a step for each look"))
    looks: list[tuple[Callable[[], Callable[[], Watched]], float]] = [
        (lambda: measure.ProcessWatch().look, 0.05),
        (lambda: measure.MachineWatch().look, 0.05),
        (lambda: measure.DiskWatch().look, 0.02),
    ]
    with ThreadPoolExecutor(len(looks)) as threads:
        watching = [threads.submit(_look_on, desk, begin, pause) for begin, pause in looks]
        wait(watching, return_when=FIRST_EXCEPTION)
    for thread in watching:
        thread.result()


def _look_on(desk: Desk, begin: Callable[[], Callable[[], Watched]], pause: float) -> None:
    look = begin()
    until = time.monotonic() + WATCH_SECONDS_MAX
    while time.monotonic() < until:
        time.sleep(pause)
        watched = look()
        desk.write(describe_watched(watched), as_data(watched))


def resolve(client: Client, key: str) -> None:
    """The third engineer; what was acknowledged comes through the standard input."""
    acknowledged = [one for line in sys.stdin.buffer if isinstance(one := from_line(line), Acknowledged)]
    session = client.get_session(key=key)
    send(Doing("reads the whole session"))
    steps = list(client.steps(session.session_id))
    read = {step.invocation_step_id: digest(step.content) for step in steps}
    for step_id, found in read.items():
        send(Seen(step_id, found))
    gone = lost(acknowledged, read)
    findings = conclude(figures_in(steps))
    desk = Desk(client, session, "resolve")
    desk.write(
        f"I read {len(steps)} steps. Of {len(acknowledged)} that were acknowledged, {len(gone)} are missing or changed"
    )
    for finding in findings:
        desk.write(finding.text)
    desk.write(verdict(findings))
    client.end_session(session.session_id)
    send(Doing("has ended the session and tries to write once more"))
    with _refusal():
        desk.write("One more thing")


@contextmanager
def _refusal() -> Generator[None, None, None]:
    try:
        yield
    except Conflict as error:
        send(Refused(type(error).__name__, harmless(str(error))[:REFUSAL_CHARACTERS], datetime.now(UTC)))


ROLES = {"measure": measure_and_hand_over, "watch": watch, "resolve": resolve}


def main(role: str, url: str, key: str) -> None:
    """Do what *role* does."""
    try:
        with Client(url) as client:
            ROLES[role](client, key)
    except StepwellError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
