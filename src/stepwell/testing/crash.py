"""Writers are killed with SIGKILL at random moments, again and again; what they were told is there, whole.

    python -m stepwell.testing.crash --kills 20000 --jobs 2
    python -m stepwell.testing.crash --kills 1000 --seed 7 --url file:/var/tmp/stepwell-crash

A child makes random calls (faults/workload.py) and reports each that returned, until it is killed. Then a new client
reads everything: each acknowledged call is there, wholly, and the one under way is there wholly or not at all. That
client makes a call as well, and the next child goes on. The clock goes on by hours from kill to kill, so that deleted
sessions fall due and `gc` gives space back. In the end every session is verified, byte by byte.

A round of `KILLS_PER_ROUND` kills has a folder of its own, in memory where the system has such a thing; with --url, a
tenant of its own there. Its seed says which calls are made, and which hour it is; not when exactly a child dies.
"""

from __future__ import annotations

import secrets
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import NamedTuple

from stepwell.io.clock import SystemClock
from stepwell.sync import Client
from stepwell.testing.command import ended, parser, positive, progress, report, spread
from stepwell.testing.faults.children import Child, Report
from stepwell.testing.faults.places import in_memory
from stepwell.testing.faults.workload import Call, Sessions, perform, seen

KILLS_PER_ROUND = 40
LONGEST_SECONDS = 0.015
HOURS_MOST = 13
_MICROSECONDS_PER_HOUR = 3_600_000_000


class Lost(AssertionError):
    """Something that was acknowledged is not there, or not as it was."""


class LaterClock(SystemClock):
    """The real time, some hours later."""

    def __init__(self, hours: int) -> None:
        self._later = hours * _MICROSECONDS_PER_HOUR

    def wall(self) -> int:
        """Since 1970, UTC."""
        return super().wall() + self._later


class Place(NamedTuple):
    """Where a round happens."""

    url: str
    tenant: str

    def open(self, hour: int) -> Client:
        """A client that knows nothing."""
        return Client(self.url, tenant=self.tenant, clock=LaterClock(hour))


def _call(seed: int, label: str, number: int, sessions: Sessions) -> Call:
    name = f"{label}.{number}"
    return sessions.choose(Random(f"{seed}-{name}"), name)


def write_on(place: Place, seed: int, label: str, sessions: Sessions) -> Callable[[Report], None]:
    """A child's body: make calls for ever, and report the number of each that returned."""

    def body(report: Report) -> None:
        with place.open(sessions.hour) as client:
            for number in range(1_000_000):
                call = _call(seed, label, number, sessions)
                perform(client, call)
                report(number)
                sessions.apply(call)

    return body


def kill_round(place: Place, *, seed: int, kills: int) -> Counter[str]:
    """Kill *kills* writers, one after the other; the figures.

    Raises:
        Lost: something that was acknowledged.
    """
    chance = Random(seed)
    sessions = Sessions()
    figures: Counter[str] = Counter()
    for number in range(kills):
        label = f"{number}"
        child = Child(write_on(place, seed, label, sessions))
        if chance.random() < 0.8:  # most of them once they write, some while they begin
            child.wait_for_report()
        time.sleep(chance.uniform(0, LONGEST_SECONDS))
        child.kill()
        code, calls = child.join()
        if (code, calls) != (-signal.SIGKILL, list(range(len(calls)))):
            raise Lost(f"kill {number}: the child was not killed, it ended: {calls[-1:]}")
        for acknowledged in range(len(calls)):
            sessions.apply(_call(seed, label, acknowledged, sessions))
        under_way = _call(seed, label, len(calls), sessions)
        figures.update(kills=1, acknowledged=len(calls))
        with place.open(sessions.hour) as client:
            sessions = _checked(client, sessions, under_way, figures)
            after = _call(seed, f"{label}+", 0, sessions)
            perform(client, after)
            sessions.apply(after)
        sessions.wait(chance.randrange(HOURS_MOST))
    _verify(place, sessions, figures)
    return figures


def _checked(client: Client, sessions: Sessions, under_way: Call, figures: Counter[str]) -> Sessions:
    """What is there now: *sessions*, or that with the call that was under way."""
    if under_way.kind == "redact":
        perform(client, under_way)  # it may be decided and not carried out; it can be done twice
    with_it = sessions.copy()
    with_it.apply(under_way)
    shown = seen(client)
    reasons = {record.reason for record in client.audit_records()} - {""}
    if shown == with_it.shown():
        figures["under way, done"] += shown != sessions.shown()
        sessions.reasons |= with_it.reasons & reasons
        with_it.reasons = sessions.reasons
        sessions = with_it
    elif shown == sessions.shown():
        figures["under way, not done"] += 1
    else:
        raise Lost(f"expected {sessions.shown()}\nor, with {under_way}, {with_it.shown()}\nfound {shown}")
    if not sessions.reasons <= reasons:
        raise Lost(f"audit records are missing: {sorted(sessions.reasons - reasons)}")
    return sessions


def _verify(place: Place, sessions: Sessions, figures: Counter[str]) -> None:
    """Two runs of `gc`, a day apart; then every session is whole, byte by byte."""
    for _ in range(2):
        with place.open(sessions.hour) as client:
            client.gc()
        sessions.wait(25)
    with place.open(sessions.hour) as client:
        if seen(client) != sessions.shown():
            raise Lost(f"after gc: expected {sessions.shown()}\nfound {seen(client)}")
        for summary in client.sessions():
            verified = client.verify(summary.session_id)
            figures["verified"] += 1
            if not verified.intact:
                raise Lost(f"session {summary.key} is damaged: {verified.faults}")


@contextmanager
def _place(url: str | None, seed: int) -> Generator[Place]:
    """Where the round with this seed happens."""
    if url is not None:
        yield Place(url, f"crash-{seed}-{secrets.token_hex(4)}")
        return
    with tempfile.TemporaryDirectory(prefix="stepwell-crash-", dir=in_memory()) as folder:
        yield Place(f"file:{folder}/store", "default")


class Round(NamedTuple):
    """A round that is over. *failure* is empty, or says what was lost and how to repeat it."""

    figures: Counter[str]
    failure: str


def play(at: tuple[int, int], url: str | None) -> Round:
    """The round with this seed and number of kills."""
    seed, kills = at
    with _place(url, seed) as place:
        try:
            return Round(kill_round(place, seed=seed, kills=kills), "")
        except Exception as error:
            where = "" if url is None else f" --url {url}"
            again = f"python -m stepwell.testing.crash --kills {kills} --seed {seed}{where}"
            return Round(Counter(), f"{type(error).__name__}: {error}\n  repeat it: {again}")


def rounds(seed: int, kills: int) -> list[tuple[int, int]]:
    """Seeds and numbers of kills that make up *kills*."""
    return [(seed + at, min(KILLS_PER_ROUND, kills - at)) for at in range(0, kills, KILLS_PER_ROUND)]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 if something was lost."""
    options = parser("crash", __doc__)
    options.add_argument("--kills", type=positive, default=1000, help="how many")
    options.add_argument("--seed", type=int, default=1, help="of the first round")
    options.add_argument("--url", help="a store of your own; several processes must be able to use it")
    options.add_argument("--jobs", type=positive, default=1, help="rounds at once")
    given = options.parse_args(arguments)
    if (given.url or "").startswith("memory:"):
        options.error("--url: what is in memory ends with its process: kills show nothing there")
    if given.url is not None:
        Client(given.url).close()  # a URL that is not understood is no loss
    began = time.monotonic()
    figures: Counter[str] = Counter()
    failures: list[str] = []
    for done in spread(partial(play, url=given.url), rounds(given.seed, given.kills), given.jobs):
        figures += done.figures
        if done.failure:
            failures.append(done.failure)
            print(f"\n{done.failure}", file=sys.stderr)
        progress(f"{figures['kills']} of {given.kills} kills, {len(failures)} failures")
    seconds = round(time.monotonic() - began, 1)
    report({"seed": given.seed, **figures, "failures": len(failures), "seconds": seconds}, as_json=given.json)
    return bool(failures)


if __name__ == "__main__":
    raise SystemExit(ended(main))
