"""A process is killed in the middle of its work; another one goes on behind what was acknowledged.

python examples/resume_after_a_crash.py
"""

import itertools
import subprocess
import sys
import tempfile

import stepwell

KEY = "nightly-report"


def work(url: str) -> None:
    """Write one row after the other, and say so when it is durable."""
    with stepwell.Client(url) as client:
        session = client.open_session(key=KEY)
        invocation = client.create_invocation(session.session_id, description="write the report")
        done = len(list(client.steps(key=KEY)))
        for row in itertools.count(done):
            client.put_invocation_step(session.session_id, invocation.invocation_id, f"row {row}")
            print(row, flush=True)


def run_and_kill(url: str, rows: int) -> int:
    """Start a worker, kill it after some rows; the last row that it said was durable."""
    worker = subprocess.Popen([sys.executable, __file__, url], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    with worker.stdout:
        said = [int(line) for line in itertools.islice(worker.stdout, rows)]
        worker.kill()
    worker.wait()
    return said[-1]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"file:{folder}/sessions"
        first = run_and_kill(url, 5)
        second = run_and_kill(url, 5)
        with stepwell.Client(url) as client:
            rows = [step.text for step in client.steps(key=KEY)]
        assert first < second < len(rows)
        assert rows == [f"row {row}" for row in range(len(rows))]
        print(f"Killed twice, after row {first} or later and row {second} or later. No row is missing, none is twice.")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(sys.argv[1])
    else:
        main()
