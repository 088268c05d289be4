"""What the pages of stores on AWS show runs, commands and code in their order, on an account that moto makes up."""

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

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {"dynamodb.md": "dynamodb://sessions", "s3.md": "s3://my-agents/sessions"}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield


@pytest.fixture(params=sorted(PAGES))
def page(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("STEPWELL_URL", PAGES[request.param])
    return str(request.param)


def blocks(page: str, *languages: str) -> list[tuple[str, str]]:
    found = [(found[1], found[2]) for found in BLOCK.finditer((DOCS / page).read_text())]
    return [(language, text) for language, text in found if language in languages]


def type_in(commands: str) -> None:
    """Run what stands behind each prompt; where its output goes to a file, it goes nowhere."""
    for line in commands.splitlines():
        words = shlex.split(line.removeprefix("$ stepwell "))
        done = CliRunner().invoke(app, words[: words.index(">")] if ">" in words else words)
        assert (done.exit_code, done.stderr) == (0, ""), line
        assert done.stdout


def run_page(page: str) -> dict[str, Any]:
    """What the names of the page stand for once all of it ran."""
    namespace: dict[str, Any] = {"__name__": "page"}
    for language, text in blocks(page, "console", "python"):
        if language == "console":
            type_in(text)
        else:
            exec(compile(text, page, "exec"), namespace)
    return namespace


def test_the_commands_of_a_page_run(page: str) -> None:
    shown = blocks(page, "console")
    assert shown
    for _, commands in shown:
        assert all(line.startswith("$ stepwell ") for line in commands.splitlines())
        type_in(commands)


def test_a_page_runs_in_its_order(page: str) -> None:
    run_page(page)


def test_the_function_of_the_page_collects_what_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPWELL_URL", PAGES["dynamodb.md"])
    report = run_page("dynamodb.md")["handler"]({"tenant": "default"}, None)
    assert (report["sessions"], report["skipped"]) == (3, 0)


def test_cfn_lint_accepts_the_template_of_the_page() -> None:
    ((_, template),) = blocks("dynamodb.md", "yaml")
    assert complaints(template) == []
    assert complaints(template.replace("rate(1 day)", "daily").replace("Timeout: 900", "Timeout: 9000")) != []


def test_what_the_template_of_the_page_starts_is_the_function_of_the_page() -> None:
    ((_, template),) = blocks("dynamodb.md", "yaml")
    assert "Handler: gc.handler" in template
    assert any("def handler(event" in block for _, block in blocks("dynamodb.md", "python"))
    assert "gc/gc.py" in (DOCS / "dynamodb.md").read_text()
