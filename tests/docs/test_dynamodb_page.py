"""What docs/dynamodb.md shows runs, commands and code in the order of the page, on an account that moto makes up."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws
from typer.testing import CliRunner

from stepwell.cli.app import app
from tests.aws.cfn import complaints

PAGE = Path(__file__).parents[2] / "docs/dynamodb.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [(found[1], found[2]) for found in BLOCK.finditer(PAGE.read_text())]


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("STEPWELL_URL", "dynamodb://sessions")
    with mock_aws():
        yield


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


def type_in(commands: str) -> None:
    """Run what stands behind each prompt; where its output goes to a file, it goes nowhere."""
    for line in commands.splitlines():
        words = shlex.split(line.removeprefix("$ stepwell "))
        done = CliRunner().invoke(app, words[: words.index(">")] if ">" in words else words)
        assert (done.exit_code, done.stderr) == (0, ""), line
        assert done.stdout


def run_page() -> dict[str, Any]:
    """What the names of the page stand for once all of it ran."""
    namespace: dict[str, Any] = {"__name__": "page"}
    for language, text in BLOCKS:
        if language == "console":
            type_in(text)
        elif language == "python":
            exec(compile(text, str(PAGE), "exec"), namespace)
    return namespace


def test_the_commands_of_the_page_run() -> None:
    assert len(blocks("console")) >= 4
    for commands in blocks("console"):
        assert all(line.startswith("$ stepwell ") for line in commands.splitlines())
        type_in(commands)


def test_the_page_runs_in_its_order() -> None:
    run_page()


def test_the_function_of_the_page_collects_what_is_due() -> None:
    report = run_page()["handler"]({"tenant": "default"}, None)
    assert (report["sessions"], report["skipped"]) == (3, 0)


def test_cfn_lint_accepts_the_template_of_the_page() -> None:
    (template,) = blocks("yaml")
    assert complaints(template) == []
    assert complaints(template.replace("rate(1 day)", "daily").replace("Timeout: 900", "Timeout: 9000")) != []


def test_what_the_template_of_the_page_starts_is_the_function_of_the_page() -> None:
    (template,) = blocks("yaml")
    assert "Handler: gc.handler" in template
    assert any("def handler(event" in block for block in blocks("python"))
    assert "gc/gc.py" in PAGE.read_text()
