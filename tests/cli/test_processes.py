"""The command as a process: interrupted by a real SIGINT, read through a pipe that closes, and on a terminal."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

import stepwell
from tests.cli.bench import PROGRAM, Bench

SLOW = """
import time
from stepwell.client import AsyncClient
async def slowly(self, *args, on_progress=None, **rest):
    print("working", flush=True)
    for count in range(600):
        time.sleep(0.05)
        if on_progress is not None:
            on_progress(count)
AsyncClient.{operation} = slowly
import stepwell.sync
from stepwell.blocking import blocking
stepwell.sync.Client.{operation} = blocking(slowly)
from stepwell.cli import main
main()
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(autouse=True)
def _interruptible() -> Generator[None]:
    """Commands are started so that SIGINT reaches them, also where the tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def begun(bench: Bench, *words: str) -> subprocess.Popen[str]:
    """The command as a process whose interpreter has begun: before that it may drop an interruption, or fail of it."""
    program = [sys.executable, "-c", f"print(flush=True); {PROGRAM[2]}", *words]
    pipe = subprocess.PIPE
    process = subprocess.Popen(program, env=bench.environment, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout
    process.stdout.readline()
    return process


def interrupted(process: subprocess.Popen[str], lines: int) -> tuple[list[str], str]:
    """What it printed, interrupted once it had printed so many lines."""
    assert process.stdout
    seen = [process.stdout.readline() for _ in range(lines)]
    time.sleep(0.3)  # a line is out before its position is noted
    process.send_signal(signal.SIGINT)
    rest, told = process.communicate(timeout=30)
    return [*seen, *rest.splitlines()], told


def test_tail_goes_on_where_it_was_interrupted(bench: Bench) -> None:
    session = bench.filled()
    seen, told = interrupted(process := bench.start("tail", "--key", "INC-7"), 3)
    assert (process.returncode, len(seen), told.count("\n")) == (130, 3, 1)
    again = re.search(r"go on with: stepwell tail (\S+) --after (\S+)$", told.strip())
    assert again
    with bench.open() as client:
        assert [session, client.get_session(session).head] == [again[1], again[2]]
        invocation = client.list_invocations(session).items[0].invocation_id
        client.put_invocation_step(session, invocation, "new")
    rest = bench.run("tail", session, "--after", again[2], "--json", "--timeout", "0").stdout.splitlines()
    assert [[block["text"] for block in json.loads(line)["content"]] for line in rest] == [["new"]]


def test_an_interrupted_tail_tells_programs_its_position_too(bench: Bench) -> None:
    bench.filled()
    seen, told = interrupted(bench.start("tail", "--key", "INC-7", "--json"), 3)
    error = json.loads(told)["error"]
    assert (error["type"], error["after"]) == ("Interrupted", json.loads(seen[-1])["position"])


@pytest.mark.parametrize(("operation", "words"), [("gc", ["gc"]), ("verify", ["verify", "--key", "INC-7"])])
def test_what_lasts_can_be_interrupted_and_run_again(bench: Bench, operation: str, words: list[str]) -> None:
    bench.filled()
    program = [sys.executable, "-c", SLOW.format(operation=operation), *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(program, env=bench.environment, stdout=pipe, stderr=pipe, text=True) as process:
        _, told = interrupted(process, 1)
    assert (process.returncode, told.count("\n")) == (130, 1)
    assert "the same command" in told
    assert bench.run(*words).exit_code == 0


@pytest.mark.faults
@pytest.mark.slow
def test_gc_and_verify_are_interrupted_anywhere_and_leave_everything_whole(bench: Bench) -> None:
    for number in range(40):
        session = bench.filled(f"INC-{number}")
        if number % 2:
            bench.run("rm", session, "--end", "--now", "--yes")
    codes: set[int] = set()
    for index in range(12):
        process = begun(bench, *(["gc"] if index % 2 else ["verify", "--all"]))
        time.sleep(index * 0.05)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
        codes.add(process.returncode)
        assert "Traceback" not in told or process.returncode == -signal.SIGINT  # before any of our code ran
    assert codes <= {0, 130, -signal.SIGINT}
    assert bench.run("gc").exit_code == 0
    every = bench.run("verify", "--all")
    assert (every.exit_code, every.stdout.count("intact:")) == (0, 20)


@pytest.mark.parametrize(
    "words", [["ls"], ["ls", "--json"], ["show", "--key", "INC-7"], ["audit"], ["verify", "--all"]]
)
def test_a_closed_pipe_ends_it_quietly(bench: Bench, words: list[str]) -> None:
    bench.filled()
    bench.filled("INC-8")
    bench.run("rm", "--key", "INC-8", "--end")
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(
            [*PROGRAM, *words], env=bench.environment, stdout=closed, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "")


def test_nowhere_to_print_to_is_told_in_one_line(bench: Bench) -> None:
    bench.filled()
    for command, told in ((">&-", "stepwell: the standard output is closed\n"), (">&- 2>&-", "")):
        shell = ["/bin/sh", "-c", f'"$@" {command}', "sh", *PROGRAM, "ls"]
        done = subprocess.run(shell, env=bench.environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", told)


def test_a_tail_that_has_shown_nothing_goes_on_with_the_first_step(bench: Bench) -> None:
    with bench.open() as client:
        session = client.create_session(key="INC-7").session_id
    options = ["--last", "0", "--timeout", "90", "--json", "--content", "--url", bench.url, "--tenant", "default"]
    began = time.monotonic()
    bench.start("ls").communicate()
    process = bench.start("tail", "--key", "INC-7", *options)
    time.sleep(1 + 2 * (time.monotonic() - began))  # it gives no sign of life: twice what a whole command takes now
    _, told = interrupted(process, 0)
    where = f"--timeout 90 --content --json --url {bench.url} --tenant default"
    assert json.loads(told)["error"]["message"].endswith(f"go on with: stepwell tail {session} --all {where}")
    with bench.open() as client:
        client.put_invocation_step(session, session, "missed", create_invocation=True)
    assert '"missed"' in bench.run("tail", session, "--all", "--json", "--timeout", "0").stdout


LOADING = """
import sys
class Interrupted:
    def find_spec(self, name, *_):
        if name == "stepwell.cli.run":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
"""


@pytest.mark.parametrize(("options", "told"), [([], "stepwell: interrupted\n"), (["--json"], '"Interrupted"')])
def test_an_interruption_while_modules_load_is_told(bench: Bench, options: list[str], told: str) -> None:
    program = [sys.executable, "-c", LOADING + PROGRAM[2], "ls", *options]
    done = subprocess.run(program, env=bench.environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (130, "", 1)
    assert told in (f'"{json.loads(done.stderr)["error"]["type"]}"' if options else done.stderr)


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.parametrize("words", [["tail", "--key", "INC-7", "--json"], ["show", "--key", "INC-7"]])
def test_an_interruption_at_any_time_is_told(bench: Bench, words: list[str]) -> None:
    bench.filled(steps=20)
    for index in range(12):
        process = begun(bench, *words)
        time.sleep(index * 0.06)
        process.send_signal(signal.SIGINT)
        try:
            _, told = process.communicate(timeout=10)
        except subprocess.TimeoutExpired:  # it came before any of our code ran, and was dropped by the interpreter
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=30)
        assert process.returncode in (0, 130, -signal.SIGINT), told
        assert process.returncode != 130 or "interrupted" in told


def on_terminal(bench: Bench, *words: str, typed: bytes = b"") -> tuple[int, str]:
    """The exit code of the command, and what it shows on a terminal of its own."""
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe(PROGRAM[0], [*PROGRAM, *words], bench.environment | {"TERM": "xterm", "COLUMNS": "100"})
    shown = b""
    if typed:
        shown += until(terminal, lambda text: b"[y/N]: " in text)
        time.sleep(0.2)  # a signal that comes just before Python begins to read interrupts nothing until the next key
        os.write(terminal, typed)
    shown += until(terminal, lambda _: False)
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown.decode()


def until(terminal: int, found: Callable[[bytes], bool]) -> bytes:
    """What the terminal shows until it is found, or until the end."""
    shown = b""
    while not found(shown):
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # its other end is closed
            break
    return shown


def test_on_a_terminal_it_asks_before_what_cannot_be_undone(bench: Bench) -> None:
    session = bench.filled()
    code, shown = on_terminal(bench, "rm", session, "--end", "--now", typed=b"n\n")
    assert (code, "nothing was done" in shown) == (1, True)
    for typed in (b"\x03", b"\x04"):
        code, shown = on_terminal(bench, "rm", session, "--end", "--now", typed=typed)
        assert (code, shown.splitlines()[-1]) == (130, "stepwell: interrupted; nothing was done")
    assert bench.run("show", session).exit_code == 0
    code, shown = on_terminal(bench, "rm", session, "--end", "--now", typed=b"y\n")
    assert (code, "deleted for good" in shown) == (0, True)


def test_on_a_terminal_status_has_a_colour_unless_it_is_unwanted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.filled()
    assert "\x1b[32mACTIVE" in on_terminal(bench, "ls")[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in on_terminal(bench, "ls")[1]


def test_progress_is_for_those_who_look(bench: Bench) -> None:
    bench.filled()
    assert "places checked" in on_terminal(bench, "verify", "--key", "INC-7")[1]
    assert bench.run("verify", "--key", "INC-7").stderr == ""
    assert "history is copied" in on_terminal(bench, "fork", "--key", "INC-7")[1]
    assert "sessions found: 2" in on_terminal(bench, "ls")[1]
    assert on_terminal(bench, "rm", "--key", "INC-7", "--end")[0] == 0
    assert "records found: 1" in on_terminal(bench, "audit")[1]


def test_no_command_of_a_store_needs_the_extra_of_the_demo(bench: Bench) -> None:
    program = "import sys; sys.modules['PIL'] = sys.modules['psutil'] = None; from stepwell.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "--version"], env=bench.environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"stepwell {stepwell.__version__}\n")
