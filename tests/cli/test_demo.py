"""The demo, run for real: three processes, one of them killed, and what is left."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Picture

import stepwell
from stepwell.cli.demo import place
from stepwell.cli.demo.child import Failed, hired
from stepwell.cli.demo.reports import digest
from stepwell.cli.terminal import printable

SECRET = "a-secret-on-the-command-line"
ESCAPES = "\x1b]0;own\x07[b]x"
COMMAND = [sys.executable, "-c", "from stepwell.cli import main; main()", "demo"]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="a process renames itself through /proc")


def run_demo(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The demo in a process of its own, whose working folder is *folder*."""
    environment = os.environ | {"PYTHONPATH": str(Path(stepwell.__file__).parents[1]), "SECRET": SECRET}
    return subprocess.run(
        [*COMMAND, *options], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@contextmanager
def busy_process(prepare: str) -> Generator[None, None, None]:
    """A process that keeps a core busy, with a secret among its arguments."""
    with subprocess.Popen([sys.executable, "-c", f"{prepare}\nwhile True: pass", SECRET]) as process:
        try:
            yield
        finally:
            process.kill()


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the demo reports as JSON, run beside a busy process."""
    folder = tmp_path_factory.mktemp("demo")
    with busy_process("pass"):
        done = run_demo(folder, "--json", "--url", f"file:{folder}/sessions")
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.fixture(scope="module")
def steps(shown: dict[str, Any]) -> list[stepwell.InvocationStep]:
    """The session as it is read afterwards."""
    with stepwell.Client(shown["url"]) as client:
        return list(client.steps(key=shown["key"]))


def test_every_check_holds(shown: dict[str, Any]) -> None:
    assert (shown["ok"], shown["failures"]) == (True, [])


def test_the_engineers_are_three_processes_and_the_second_is_killed(shown: dict[str, Any]) -> None:
    engineers = shown["engineers"]
    assert len({engineer["pid"] for engineer in engineers} | {os.getpid()}) == 4
    assert [engineer["exit_code"] for engineer in engineers] == [0, -9, 0]


def test_the_kill_comes_in_the_middle_of_a_write(shown: dict[str, Any]) -> None:
    assert shown["in_flight"]
    assert not set(shown["in_flight"]) & shown["acknowledged"].keys()
    assert set(shown["in_flight_durable"]) <= set(shown["in_flight"])


def test_every_acknowledged_step_is_read_back_with_its_content(
    shown: dict[str, Any], steps: list[stepwell.InvocationStep]
) -> None:
    acknowledged = shown["acknowledged"].items()
    assert sum(engineer["acknowledged"] for engineer in shown["engineers"][:2]) == len(acknowledged)
    assert len(acknowledged) > 40
    assert acknowledged <= shown["read_back"].items()
    assert acknowledged <= {step.invocation_step_id: digest(step.content) for step in steps}.items()


def test_the_session_is_ended_and_refuses_more(shown: dict[str, Any]) -> None:
    assert (shown["status"], shown["refused"]) == ("ENDED", "SessionEnded")
    with stepwell.Client(shown["url"]) as client:
        session = client.get_session(key=shown["key"])
        with pytest.raises(stepwell.SessionEnded):
            client.create_invocation(session.session_id)
    assert session.session_status == "ENDED"


def test_the_timeline_is_in_order_and_tells_of_the_kill_and_the_refusal(
    shown: dict[str, Any], steps: list[stepwell.InvocationStep]
) -> None:
    timeline = shown["timeline"]
    assert [step.slot for step in steps] == [row["slot"] for row in timeline if row["slot"] is not None]
    assert sorted(row["engineer"] for row in timeline) == [row["engineer"] for row in timeline]
    told = [row["what"] for row in timeline if row["slot"] is None]
    assert told[0].startswith("killed by SIGKILL while ")
    assert told[1:] == ["ended the session", "wrote once more and was refused: SessionEnded"]


def test_the_plot_is_a_picture_and_the_one_in_the_session(
    shown: dict[str, Any], steps: list[stepwell.InvocationStep]
) -> None:
    saved = Path(shown["picture"])
    images = [block for step in steps for block in step.content if isinstance(block, stepwell.Image)]
    assert [saved.read_bytes()] == [image.data for image in images]
    with Picture.open(saved) as picture:
        assert (picture.format, picture.width, picture.height) == ("PNG", 1280, 860)


def test_the_command_to_look_again_prints_the_session(
    shown: dict[str, Any], steps: list[stepwell.InvocationStep]
) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(stepwell.__file__).parents[1])}
    done = subprocess.run(
        ["/bin/sh", "-c", shown["look_again"]], env=environment, capture_output=True, text=True, check=False
    )
    expected = "".join(f"{step.slot} {step.invocation_step_time} {step.text}\n" for step in steps)
    assert (0, expected, "") == (done.returncode, done.stdout, done.stderr)


def test_neither_command_lines_nor_environments_are_stored(steps: list[stepwell.InvocationStep]) -> None:
    stored = [block.model_dump_json() for step in steps for block in step.content if block.type != "image"]
    data = [block.data for step in steps for block in step.content if isinstance(block, stepwell.Data)]
    assert not [text for text in stored if SECRET in text]
    assert not [one for one in data if SECRET.encode() in one]


@LINUX
def test_without_options_it_stays_in_a_new_folder_and_prints_no_escapes(tmp_path: Path) -> None:
    with busy_process(f"open('/proc/self/comm', 'w').write({ESCAPES!r})"):
        done = run_demo(tmp_path)
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout + done.stderr) & {"\x1b", "\x07"}
    assert printable(ESCAPES) in done.stdout
    (folder,) = (tmp_path / "stepwell-demo").iterdir()
    assert {"sessions", f"{folder.name}.png"} == {path.name for path in folder.iterdir()}
    shown = re.search(r"^or: (stepwell show --key INC-\S+ --url file:\S+)$", done.stdout, re.MULTILINE)
    assert shown
    for told in ("SIGKILL", "SessionEnded", "read back by engineer 3", str(folder), "import stepwell"):
        assert told in done.stdout


def test_an_interruption_is_one_line_that_says_what_is_left(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(stepwell.__file__).parents[1])}
    # A process group of its own gets the signal as from a terminal.
    command = [sys.executable, "-c", "import signal; signal.signal(2, signal.default_int_handler); " + COMMAND[2]]
    with subprocess.Popen(
        [*command, "demo", "--url", f"file:{tmp_path}/sessions"],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        assert "at work" in process.stderr.readline()
        os.killpg(process.pid, signal.SIGINT)
        told = process.stderr.read()
    assert process.returncode == 130
    assert told.splitlines()[-1].startswith("stepwell: interrupted; what was stored until then stays in file:")
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("url", "code", "told"),
    [
        ("memory:", 2, "the demo has three"),
        ("nowhere", 2, "has no scheme"),
        ("file:/dev/null/sessions", 1, "Not a directory"),
    ],
)
def test_a_store_that_cannot_do_it_is_refused_in_one_line(tmp_path: Path, url: str, code: int, told: str) -> None:
    done = run_demo(tmp_path, "--url", url)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("stepwell: ")
    assert (done.stderr.count("\n"), told in done.stderr) == (1, True)


def test_an_engineer_that_fails_is_not_passed_over(tmp_path: Path) -> None:
    with hired(1, "idle", f"file:{tmp_path}", "INC-1") as child:
        assert list(child.reports()) == []
        with pytest.raises(Failed, match=r"engineer 1 ended with 1 instead of 0: KeyError: 'idle'$"):
            child.ended(0)


def test_where_the_working_folder_cannot_be_used_a_temporary_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stepwell-demo").write_text("a file is in the way")
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    found = place.find(None, "INC-1")
    assert found.folders[0].is_relative_to(tmp_path / "temporary")
    assert found.folders[0] / "INC-1.png" == place.save(b"picture", found)


def test_the_picture_goes_beside_the_store_or_to_the_next_folder_that_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    found = place.find("file:../below/my%20sessions?tenant=acme", "INC-1")
    assert (tmp_path / "below").samefile(found.folders[0])
    assert (tmp_path / "here") == found.folders[1]
    gone = place.Place(found.url, "INC-1", (tmp_path / "gone", tmp_path))
    assert tmp_path / "INC-1.png" == place.save(b"picture", gone)
    with pytest.raises(stepwell.Unavailable, match="cannot be saved"):
        place.save(b"picture", gone)


def test_looking_again_survives_the_shell_whatever_the_url(tmp_path: Path) -> None:
    url = f'file:{tmp_path}/it\'s "here"; $HOME`x`'
    with stepwell.Client(url) as client:
        session = client.create_session(key="INC-1")
        client.put_invocation_step(
            session.session_id, client.create_invocation(session.session_id).invocation_id, "found"
        )
    environment = os.environ | {"PYTHONPATH": str(Path(stepwell.__file__).parents[1])}
    command = place.Place(url, "INC-1", ()).look_again
    done = subprocess.run(["/bin/sh", "-c", command], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.endswith(" found\n")
