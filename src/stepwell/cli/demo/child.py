"""An engineer as the parent sees it: a process, and what it reports.

Errors: `Failed` when a process ends otherwise than it should or takes too long.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import IO

from stepwell.cli.demo.reports import Acknowledged, Arrived, Begun, Refused, Report, Seen, as_line, from_line
from stepwell.errors import StepwellError

CHILD_SECONDS_MAX = 90.0
_READ_BYTES = 65536


class Failed(StepwellError):
    """The demo cannot go on."""


class Child:
    """A process that works as an engineer. What it has reported so far is in its attributes."""

    def __init__(self, number: int, process: subprocess.Popen[bytes], stderr: IO[bytes]) -> None:
        assert process.stdout is not None
        self.number = number
        self.arrived: Arrived | None = None
        self.acknowledged: dict[str, Acknowledged] = {}
        self.in_flight: set[str] = set()
        self.seen: dict[str, str] = {}
        self.refused: Refused | None = None
        self._process = process
        self._pipe = process.stdout.fileno()
        self._stderr = stderr
        self._rest = b""
        self._until = time.monotonic() + CHILD_SECONDS_MAX

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def reports(self) -> Iterator[Report]:
        """What it reports, as it comes, until it is gone."""
        while True:
            ready, _, _ = select.select([self._pipe], [], [], max(self._until - time.monotonic(), 0))
            if not ready:
                raise self._too_slow()
            if not (chunk := os.read(self._pipe, _READ_BYTES)):
                return
            yield from self._noted(chunk)

    def stop(self) -> None:
        """Freeze it, and note all that it has reported until now."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)
        while select.select([self._pipe], [], [], 0)[0] and (chunk := os.read(self._pipe, _READ_BYTES)):
            self._noted(chunk)

    def go_on(self) -> None:
        """Let it run after `stop`."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it, with the signal that no process can catch."""
        self._process.send_signal(signal.SIGKILL)

    def ended(self, expected: int) -> int:
        """Its exit code, or minus the signal that killed it; both have to be as *expected*."""
        try:
            code = self._process.wait(max(self._until - time.monotonic(), 1))
        except subprocess.TimeoutExpired:
            raise self._too_slow() from None
        if code != expected:
            self._stderr.seek(0)
            lines = self._stderr.read().decode(errors="replace").split("\n")
            last = next((line for line in reversed(lines) if line), "it said nothing")
            raise Failed(f"engineer {self.number} ended with {code} instead of {expected}: {last}")
        return code

    def _too_slow(self) -> Failed:
        return Failed(f"engineer {self.number} takes longer than {CHILD_SECONDS_MAX:.0f} s")

    def _noted(self, chunk: bytes) -> list[Report]:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        reports = [from_line(line) for line in lines]
        for report in reports:
            self._note(report)
        return reports

    def _note(self, report: Report) -> None:
        match report:
            case Arrived():
                self.arrived = report
            case Begun(step=step):
                self.in_flight.add(step)
            case Acknowledged(step=step):
                self.in_flight.discard(step)
                self.acknowledged[step] = report
            case Seen(step=step, digest=digest):
                self.seen[step] = digest
            case Refused():
                self.refused = report
            case _:
                pass


@contextmanager
def hired(number: int, role: str, url: str, key: str, told: Iterable[Report] = ()) -> Generator[Child, None, None]:
    """An engineer at work, who gets *told* as standard input and is gone afterwards, whatever happens."""
    # -P: nothing that lies in the working folder is imported.
    command = [sys.executable, "-P", "-m", "stepwell.cli.demo.engineers", role, url, key]
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stderr:
        stdin.writelines(as_line(report) for report in told)
        stdin.seek(0)
        # S603: the command is this interpreter and this package; the URL was opened before, the key is our own.
        with subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr) as process:  # noqa: S603
            try:
                yield Child(number, process, stderr)
            finally:
                process.kill()
