"""A writer is killed with SIGKILL at a random moment, again and again; what it was told is there, whole.

    python -m tests.faults.kill --kills 2000 --seed 1

The child appends single steps, batches of three and payloads that are kept beside the journal, and reports each call
that returned. After every kill a new client reads everything, and goes on. A failure prints its seed.
"""

from __future__ import annotations

import argparse
import random
import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import stepwell
from tests.faults.children import Child, Report

KILLS_PER_SESSION = 40
LONGEST_SECONDS = 0.03
BLOB_BYTES = 100_000


def blocks(label: str, call: int) -> list[str | stepwell.Data]:
    """What call number *call* puts, a step for each: by turns one, three, or one with a large payload."""
    name = f"{label}-{call}"
    match call % 4:
        case 1:
            return [f"{name}.{part}" for part in range(3)]
        case 3:
            return [stepwell.Data(media_type=f"test/{name}", data=random.Random(name).randbytes(BLOB_BYTES))]
        case _:
            return [name]


def write_on(folder: Path, session_id: str, label: str) -> Callable[[Report], None]:
    """A child's body: append for ever, and report the number of each call that returned."""

    def body(report: Report) -> None:
        with stepwell.Client(f"file:{folder}") as client:
            invocation_id = client.list_invocations(session_id).items[0].invocation_id
            for call in range(1_000_000):
                client.put_invocation_steps(session_id, invocation_id, blocks(label, call))
                report(call)

    return body


def kills(folder: Path, *, seed: int, count: int) -> int:
    """Kill *count* writers of one session; how many calls were acknowledged to them."""
    chance = random.Random(seed)
    with stepwell.Client(f"file:{folder}") as client:
        session_id = client.create_session().session_id
        client.create_invocation(session_id)
    expected: list[str | stepwell.Data] = []
    acknowledged = 0
    for number in range(count):
        label = f"{seed}-{number}"
        child = Child(write_on(folder, session_id, label))
        if chance.random() < 0.8:  # most of them once they write, some while they begin
            child.wait_for_report()
        time.sleep(chance.uniform(0, LONGEST_SECONDS))
        child.kill()
        code, calls = child.join()
        assert (code, calls) == (-9, list(range(len(calls))))
        acknowledged += len(calls)
        for call in calls:
            expected += blocks(label, call)
        _check(folder, session_id, expected, blocks(label, len(calls)))
    return acknowledged


def _check(
    folder: Path,
    session_id: str,
    expected: list[str | stepwell.Data],
    in_flight: list[str | stepwell.Data],
) -> None:
    """A new client finds *expected*, perhaps with the one call that was *in_flight*, and can go on."""
    with stepwell.Client(f"file:{folder}") as client:
        found = [_content(step) for step in client.steps(session_id)]
        if len(found) > len(expected):
            expected += in_flight
        assert expected == found
        invocation_id = client.list_invocations(session_id).items[0].invocation_id
        client.put_invocation_step(session_id, invocation_id, "and on")
        expected.append("and on")


def _content(step: stepwell.InvocationStep) -> str | stepwell.Data:
    [block] = step.content
    assert not isinstance(block, stepwell.Image)
    return block.text if isinstance(block, stepwell.Text) else block


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    given = parser.parse_args()
    acknowledged = 0
    for first in range(0, given.kills, KILLS_PER_SESSION):
        seed = given.seed + first
        count = min(KILLS_PER_SESSION, given.kills - first)
        with tempfile.TemporaryDirectory(prefix="stepwell-kill-") as folder:
            try:
                acknowledged += kills(Path(folder) / "store", seed=seed, count=count)
            except BaseException:
                print(f"again: python -m tests.faults.kill --kills {count} --seed {seed}")
                raise
    print(f"{given.kills} writers killed; all of the {acknowledged} calls acknowledged to them are there, whole")


if __name__ == "__main__":
    main()
