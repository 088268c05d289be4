"""Forked children: a body that runs in one, what it reports, and a watchdog.

Child    runs `body(report)`; each `report(value)` reaches the parent, even if the child is killed right after it
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

Report = Callable[[Any], None]

HANGS_AFTER_SECONDS = 60.0


class Child:
    """A forked process. Reports are JSON."""

    def __init__(self, body: Callable[[Report], object]) -> None:
        self._reader, writer = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, which is the point
            self.pid = os.fork()
        if self.pid == 0:
            _run(body, writer)
        os.close(writer)
        self._data = b""

    def kill(self) -> None:
        """SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)

    def wait_for_report(self) -> None:
        """Return when it has reported something, or is gone.

        Raises:
            TimeoutError: it hangs, and was killed.
        """
        self._read(time.monotonic() + HANGS_AFTER_SECONDS)

    def join(self) -> tuple[int, list[Any]]:
        """Its exit code (negative: the signal that killed it) and its reports, when it is gone.

        Raises:
            TimeoutError: it hangs, and was killed.
        """
        deadline = time.monotonic() + HANGS_AFTER_SECONDS
        try:
            while self._read(deadline):
                pass
        finally:
            os.close(self._reader)
            code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return code, [json.loads(line) for line in self._data.splitlines()]

    def result(self) -> Any:
        """The one report of a child that ended well."""
        code, reports = self.join()
        assert (code, len(reports)) == (0, 1), reports
        return reports[0]

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._reader], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            self.kill()
            raise TimeoutError(f"process {self.pid} hangs")
        more = os.read(self._reader, 1 << 16)
        self._data += more
        return bool(more)


def _run(body: Callable[[Report], object], writer: int) -> NoReturn:
    """Never returns: what called the parent must not run twice."""

    def report(value: Any) -> None:
        os.write(writer, json.dumps(value).encode() + b"\n")

    code = 1
    try:
        body(report)
        code = 0
    except BaseException:
        report(traceback.format_exc())
    finally:
        os._exit(code)
