"""Whether a new client on what a crash left finds what was promised, and can go on."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from stepwell.errors import NotFound
from stepwell.models import blocks
from stepwell.sync import Client
from stepwell.testing.bench import FakeClock
from stepwell.testing.disk import SimulatedDisk
from stepwell.testing.power.expected import Known, Step, Told, found, secrets_of
from stepwell.testing.power.program import client_on, reclaim

RECOVERY_CALLS = 12
"""A recovery is cut short within so many of its changes, if it makes as many."""
RECLAIM_SHARE = 0.1
"""Of the disks: what is left on them is reclaimed in the end."""


class Lost(Exception):
    """What was found is not what was promised."""


def check(disk: SimulatedDisk, told: Told, chance: random.Random, clock: FakeClock) -> int:
    """Look at a crashed disk, crash it again during that and after it, and look again; how many states those were.

    Raises:
        Lost: a promise was broken; any error of a client says the same.
    """
    during: list[SimulatedDisk] = []
    disk.on_change = _at(chance.randint(1, RECOVERY_CALLS), lambda: during.append(disk.crash(chance)))
    now = _look(disk, told, chance, clock)
    last = disk.crash(chance)
    now = _look(last, now, chance, clock)
    for again in during:
        _look(again, told, chance, clock)
    if chance.random() < RECLAIM_SHARE:
        _look_at_reclaimed(last, now, told, chance, clock)
    return 2 + len(during)


def _at(moment: int, crash: Callable[[], None]) -> Callable[[], None]:
    """Crash at the change of this number."""
    left = moment

    def changed() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            crash()

    return changed


def _look_at_reclaimed(disk: SimulatedDisk, now: Told, told: Told, chance: random.Random, clock: FakeClock) -> None:
    """Reclaim what there is: that takes what was dropped, wherever an earlier run was cut short, and nothing else."""
    reclaim(client_on(disk, clock, chance), clock)
    now = _with_what_was_begun(now, told.pending)
    if left := secrets_of(now.reclaimable(), disk):
        raise Lost(f"{len(left)} pieces of what was trimmed or deleted were not reclaimed")
    _look(disk, now, chance, clock)


def _with_what_was_begun(now: Told, pending: tuple[int, Known] | None) -> Told:
    """A redaction that was decided, but cut short before it erased anything, is finished by whoever reclaims."""
    if pending is None or pending[0] >= len(now.sessions):
        return now
    number, after = pending
    redacted = {step.step for step in after.steps if step == step.redacted()}
    steps = [step.redacted() if step.step in redacted else step for step in now.sessions[number].steps]
    return replace(now, pending=(number, replace(now.sessions[number], steps=tuple(steps))))


def _look(disk: SimulatedDisk, told: Told, chance: random.Random, clock: FakeClock) -> Told:
    """What a new client finds of every session, which is as it should be, with a step that it appends then."""
    _check_secrets(disk, told)  # before anything is mended
    client = client_on(disk, clock, chance)
    pending = {} if told.pending is None else dict([told.pending])
    now = Told([], doing="look", secrets=told.secrets, dropped=told.dropped)
    for number, known in enumerate(told.sessions):
        now.sessions.append(_as_promised(client, number, known, pending.pop(number, known)))
    for number, known in pending.items():  # one that was about to be created
        if (created := _as_promised(client, number, Known(known.key, presence="gone"), known)).presence == "here":
            now.sessions.append(created)
    disk.on_change = None
    _check_keys(client, now)
    _check_lists(client, now)
    _append(client, now, chance)
    _verify(client, now, chance)
    return now


def _as_promised(client: Client, number: int, before: Known, after: Known) -> Known:
    there = found(client, before if before.session_id else after)
    if not before.agrees(there) and not after.agrees(there):
        wanted = f"{before}" if before == after else f"{before} or {after}"
        raise Lost(f"session {number} is\n  {there}, and was to be\n  {wanted}")
    if there.presence == "here":
        return there
    return replace(before if before.agrees(there) else after, presence=there.presence)


def _check_keys(client: Client, now: Told) -> None:
    for number, known in enumerate(now.sessions):
        if not now.holds_key(number):
            continue
        try:
            named = client.get_session(key=known.key).session_id
        except NotFound:
            named = ""
        expected = known.session_id if known.presence == "here" else ""
        if named != expected:
            raise Lost(f"key {known.key!r} names {named or 'nothing'}, and was to name {expected or 'nothing'}")


def _check_lists(client: Client, now: Told) -> None:
    listed = {session.session_id: session.session_status for session in client.sessions()}
    expected = {known.session_id: known.status for known in now.sessions if known.presence == "here"}
    if listed != expected:
        raise Lost(f"listed: {listed}; expected: {expected}")


def _check_secrets(disk: SimulatedDisk, told: Told) -> None:
    if not told.secrets:
        return
    for path, content in disk.files():
        if any(secret in content for secret in told.secrets):
            raise Lost(f"{path} holds what was redacted or reclaimed")


def _append(client: Client, now: Told, chance: random.Random) -> None:
    """Append a step to one session, and read it by its ids."""
    able = [n for n, known in enumerate(now.sessions) if known.presence == "here" and known.status == "ACTIVE"]
    if not able:
        return
    number = chance.choice(able)
    known = now.sessions[number]
    invocation, step = (str(UUID(bytes=chance.randbytes(16), version=4)) for _ in range(2))
    content = f"and on {chance.random()}"
    put = client.put_invocation_step(
        known.session_id, invocation, content, invocation_step_id=step, create_invocation=True
    )
    read = client.get_invocation_step(known.session_id, invocation, step)
    if (read.content, read.position) != (blocks(content), put.position):
        raise Lost(f"a step that was just appended to session {number} reads as {read}")
    now.sessions[number] = replace(known, steps=(*known.steps, Step.of(put)))


def _verify(client: Client, now: Told, chance: random.Random) -> None:
    """Everything that is stored of one session is as it was written."""
    here = [known.session_id for known in now.sessions if known.presence == "here"]
    if here:
        report = client.verify(chance.choice(here))
        if not report.intact:
            raise Lost(f"session {report.session_id} has faults: {report.faults}")
