"""Processes race to append to one session, and what they were told is checked against what is there.

    python -m tests.faults.race --processes 8 --appends 500 --threads 2

Every process is a new interpreter with a client of its own; its threads share that. They start together.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import stepwell
from tests.faults.history import Acknowledged, append, check_history

ROOT = Path(__file__).parents[2]
HANGS_AFTER_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Runner:
    """What one process is to do, or all of them."""

    folder: Path
    session_id: str
    invocation_id: str
    appends: int
    threads: int

    def command(self, name: int) -> list[str]:
        """The command line of process *name*."""
        values = (self.folder, self.session_id, self.invocation_id, self.appends, self.threads)
        return [sys.executable, "-m", "tests.faults.race", "--runner", str(name), *map(str, values)]


def race(folder: Path, *, processes: int, appends: int, threads: int = 1) -> list[Acknowledged]:
    """Let *processes* put *appends* steps each; every one that was acknowledged, the history checked."""
    with stepwell.Client(f"file:{folder}") as client:
        session_id = client.create_session().session_id
        invocation_id = client.create_invocation(session_id).invocation_id
    runner = Runner(folder, session_id, invocation_id, appends, threads)
    running = [_start(runner.command(name)) for name in range(processes)]
    try:
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        acknowledged = [done for process in running for done in _result(process)]
    finally:
        for process in running:
            process.kill()
            process.communicate()
    assert processes * appends == len(acknowledged)
    check_history(folder, session_id, acknowledged)
    return acknowledged


def _start(command: list[str]) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)


def _result(process: subprocess.Popen[str]) -> list[Acknowledged]:
    output, _ = process.communicate(timeout=HANGS_AFTER_SECONDS)
    assert process.returncode == 0
    return [Acknowledged(*done) for done in json.loads(output)]


def run(runner: Runner, name: str) -> None:
    """One process: say that it is ready, wait for the start, append, print what was acknowledged."""
    acknowledged: list[Acknowledged] = []
    with stepwell.Client(f"file:{runner.folder}") as client:
        client.get_session(runner.session_id)

        def work(thread: int) -> None:
            for i in range(thread, runner.appends, runner.threads):
                text = f"{name}-{thread}-{i}"
                acknowledged.append(append(client, runner.session_id, runner.invocation_id, text))

        print("ready", flush=True)
        sys.stdin.readline()
        threads = [threading.Thread(target=work, args=[thread]) for thread in range(runner.threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print(json.dumps(acknowledged))


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--appends", type=int, default=500, help="of each process")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--runner", nargs=6, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.runner is not None:
        name, folder, session_id, invocation_id, appends, threads = given.runner
        run(Runner(Path(folder), session_id, invocation_id, int(appends), int(threads)), name)
        return
    with tempfile.TemporaryDirectory(prefix="stepwell-race-") as folder:
        began = time.monotonic()
        acknowledged = race(
            Path(folder) / "store", processes=given.processes, appends=given.appends, threads=given.threads
        )
        slots = len({done.place.slot for done in acknowledged})
        seconds = time.monotonic() - began
    print(
        f"{len(acknowledged)} steps acknowledged to {given.processes} processes in {seconds:.1f} s, in {slots} records:"
        " each there once, at its place, in real-time order, no slot missing"
    )


if __name__ == "__main__":
    main()
