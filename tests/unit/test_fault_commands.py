"""The commands of the fault kit: how they take options, and how they end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from stepwell.errors import NotSupported
from stepwell.testing import corruption, crash, model, nthfault, powerloss, simulate, writers
from stepwell.testing.command import ended

COMMANDS: list[tuple[Callable[[list[str]], int], list[str]]] = [
    (corruption.main, ["--flips", "20", "--sessions", "2"]),
    (crash.main, ["--kills", "2"]),
    (model.main, ["--programs", "2"]),
    (nthfault.main, ["--operation", "ping", "--cold"]),
    (powerloss.main, ["--states", "1"]),
    (simulate.main, ["--schedules", "2"]),
]
NAMES = [main.__module__.rpartition(".")[2] for main, _ in COMMANDS]


@pytest.mark.parametrize(("main", "words"), COMMANDS, ids=NAMES)
def test_figures_are_one_json_object_with_the_seed_and_nothing_else_is_printed(
    main: Callable[[list[str]], int], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--seed", "3", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["seed"] == 3
    assert told.err == ""


@pytest.mark.parametrize(
    ("main", "words", "part"),
    [
        (corruption.main, ["--flips", "20", "--sessions", "2"], "corruption.look"),
        (crash.main, ["--kills", "2"], "crash.seen"),
        (model.main, ["--programs", "2"], "modelled.world.World.check_all"),
        (nthfault.main, ["--operation", "ping", "--fault", "1:EIO", "--cold"], "nthfault._holds"),
        (powerloss.main, ["--states", "1"], "powerloss.check"),
        (simulate.main, ["--schedules", "1"], "simulated.play.Meddler"),
        (simulate.main, ["--schedules", "1"], "simulated.play.check"),
    ],
)
def test_an_error_that_nobody_foresaw_is_a_failure_with_the_command_that_repeats_it(
    main: Callable[[list[str]], int],
    words: list[str],
    part: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def unforeseen(*args: object, **kwargs: object) -> object:
        raise KeyError("unforeseen")

    monkeypatch.setattr(f"stepwell.testing.{part}", unforeseen)
    assert main(words) == 1
    told = capsys.readouterr().err
    assert "unforeseen" in told
    assert f"repeat it: python -m {main.__module__} --" in told


@pytest.mark.parametrize(
    ("main", "words"),
    [
        (crash.main, ["--kills", "-3"]),
        (crash.main, ["--url", "memory:"]),
        (writers.main, ["--url", "memory:"]),
        (writers.main, ["--writers", "0"]),
        (model.main, ["--url", "s3://bucket"]),
        (nthfault.main, ["--operation", "nothing"]),
        (nthfault.main, ["--fault", "seven:EIO"]),
        (simulate.main, ["--schedules", "0"]),
    ],
)
def test_what_is_not_understood_ends_with_2(main: Callable[[list[str]], int], words: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2


def test_a_url_that_is_not_understood_is_no_loss(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(lambda: crash.main(["--kills", "1", "--url", "sqlite:sessions.db"])) == 2
    told = capsys.readouterr().err
    assert told.startswith("url: ")
    assert told.count("\n") == 1


def test_what_is_not_installed_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def missing() -> int:
        raise NotSupported("hypothesis is not installed")

    assert ended(missing) == 2
    assert capsys.readouterr().err == "hypothesis is not installed\n"


@pytest.mark.parametrize("name", ["simulate", "powerloss"])
def test_an_interruption_is_no_fault(name: str) -> None:
    many = {"simulate": "--schedules", "powerloss": "--states"}[name]
    program = f"import {'stepwell.testing.' + name} as m, stepwell.testing.command as c, sys; "
    program += f"sys.exit(c.ended(lambda: print(flush=True) or m.main(['{many}', '1000000'])))"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # children of a shell's background ignore it
    try:
        with subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            out, told = process.communicate(timeout=60)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (process.returncode, out) == (130, "")
    assert told.count("\n") == 2
    assert "interrupted" in told
