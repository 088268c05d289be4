"""What writers of one session were told, checked against what a reader finds.

Acknowledged     an append that returned, with the times around it
check_history    every acknowledged step is there once, at its place, in real-time order, in a session that is whole
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import NamedTuple

from stepwell.journal.events import Place
from stepwell.sync import Client
from stepwell.views import place


class Acknowledged(NamedTuple):
    """An append. Times are nanoseconds of the monotonic clock, the same for all processes."""

    step_id: str
    text: str
    position: str
    started: int
    finished: int

    @property
    def place(self) -> Place:
        """Where it lies."""
        return place("position", self.position)


def append(client: Client, session_id: str, invocation_id: str, text: str) -> Acknowledged:
    """Put a step and note when."""
    started = time.monotonic_ns()
    step = client.put_invocation_step(session_id, invocation_id, text)
    return Acknowledged(step.invocation_step_id, text, step.position, started, time.monotonic_ns())


def check_history(
    client: Client, session_id: str, acknowledged: Sequence[Acknowledged], unsettled: Collection[str] = ()
) -> None:
    """Compare what a new *client* reads to what was acknowledged; *unsettled* are the texts that may be there or not.

    Raises:
        AssertionError: something acknowledged is missing, moved or doubled, or was not acknowledged, or out of order.
    """
    steps = list(client.steps(session_id))
    told = {done.text for done in acknowledged}
    found = [(step.invocation_step_id, step.text, step.position) for step in steps]
    kept = sorted(step for step in found if step[1] in told or step[1] not in unsettled)
    assert sorted(done[:3] for done in acknowledged) == kept, "what is there is not what was acknowledged"
    assert len({step.text for step in steps}) == len(steps), "a step is there twice"
    places = [place("position", step.position) for step in steps]
    assert sorted(set(places)) == places, "steps are not in the order of their places"
    assert (late := overtaken(acknowledged)) == [], f"these were over before one that lies before them began: {late}"
    verified = client.verify(session_id)
    assert verified.intact, verified.faults


def overtaken(acknowledged: Sequence[Acknowledged]) -> list[Acknowledged]:
    """Appends that were over before another began, and yet lie behind it."""
    found: list[Acknowledged] = []
    latest_start = 0
    for done in sorted(acknowledged, key=lambda done: done.place):
        if done.finished < latest_start:
            found.append(done)
        latest_start = max(latest_start, done.started)
    return found
