"""What an absent extra says, and where."""

import subprocess
import sys

import pytest

from stepwell.errors import NotSupported
from stepwell.extras import require


def test_what_is_installed_is_not_complained_about() -> None:
    require("demo", "json", "pathlib")


def test_an_absent_module_names_the_extra_and_what_to_type() -> None:
    with pytest.raises(NotSupported) as caught:
        require("demo", "json", "no_such_module_anywhere")
    expected = "no_such_module_anywhere is not installed; it comes with the extra 'demo': pip install 'stepwell[demo]'"
    assert expected == str(caught.value)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


MISSING = [
    ("typer", "demo", "demo"),
    ("rich", "demo", "demo"),
    ("PIL", "demo", "demo"),
    ("psutil", "demo", "demo"),
    ("typer", "--help", "cli"),
    ("rich", "--help", "cli"),
]


@pytest.mark.parametrize(("module", "command", "extra"), MISSING)
def test_a_command_without_its_extra_says_so_in_one_line(module: str, command: str, extra: str) -> None:
    program = f"import sys; sys.modules[{module!r}] = None; from stepwell.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program, command], capture_output=True, text=True, check=False)
    expected = (
        f"stepwell: {module} is not installed; it comes with the extra {extra!r}: pip install 'stepwell[{extra}]'\n"
    )
    assert (1, "", expected) == (done.returncode, done.stdout, done.stderr)
