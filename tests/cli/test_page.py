"""docs/cli.md says what there is: every command, option and exit code; and what it shows runs."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from typer.core import TyperGroup
from typer.main import get_command

from stepwell.cli import exits
from stepwell.cli.app import app
from tests.cli.bench import PROGRAM, Bench

PAGE = (Path(__file__).parents[2] / "docs/cli.md").read_text()
SECTIONS = dict(re.findall(r"^### ([\w-]+)\n(.*?)(?=^### |\Z)", PAGE, re.MULTILINE | re.DOTALL))
SHARED = PAGE[: PAGE.index("## Exit codes")]


def options() -> dict[str, set[str]]:
    """The long options of each command."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return {
        name: {option for param in command.params for option in param.opts if option.startswith("--")}
        for name, command in group.commands.items()
    }


def test_the_page_has_a_section_for_every_command() -> None:
    assert options().keys() == SECTIONS.keys()


def test_every_option_is_in_its_section_or_among_the_shared_ones() -> None:
    shared = set(re.findall(r"--[a-z-]+", SHARED))
    for name, its in options().items():
        assert its - {"--help"} - shared - set(re.findall(r"--[a-z-]+", SECTIONS[name])) == set(), name


def test_no_section_names_an_option_that_is_not_there() -> None:
    there = set[str]().union(*options().values())
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE)) - {"--help"} <= there


def test_the_exit_codes_of_the_page_are_the_codes() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    codes = (exits.DONE, exits.FAILED, exits.USAGE, exits.NOT_FOUND, exits.DAMAGED, exits.UNKNOWN, exits.INTERRUPTED)
    assert set(codes) == told


def test_the_commands_of_the_readme_run_behind_its_python(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    programs, (commands,) = (
        re.findall(rf"```{language}\n(.*?)```", readme, re.DOTALL) for language in ("python", "sh")
    )
    bench = Bench(tmp_path)
    shim = tmp_path / "bin" / "stepwell"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(PROGRAM[2])} "$@"\n')
    shim.chmod(0o755)
    environment = bench.environment | {"PATH": f"{shim.parent}:{os.environ['PATH']}"}
    del environment["STEPWELL_URL"]
    for command in ([sys.executable, "-c", "\n".join(programs)], ["/bin/sh", "-ec", commands]):
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert "p99 is 4 s" in done.stdout


def test_the_commands_that_the_page_shows_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.filled()
    (block,) = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines():
        words = shlex.split(line.removeprefix("$ stepwell "))
        done = bench.run(*words)
        assert (done.exit_code, done.stderr) == (0, ""), line
        assert done.stdout
