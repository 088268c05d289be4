"""Arrows go down only, and `import stepwell` brings nothing that its user may never need."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import stepwell

ROOT = Path(stepwell.__file__).parent
FRAMEWORKS = {"boto3", "botocore", "aiobotocore", "langgraph", "strands", "starlette", "rich", "typer", "hypothesis"}
LAZY = {"asyncio", "ssl", "tenacity", "zstandard", "concurrent.futures.thread", "pytest"}

MAY_IMPORT = {
    "errors": set[str](),
    "models": {"errors"},
    "ids": {"errors"},
    "journal": {"errors", "ids", "models", "journal"},
    "codecs": {"errors", "models", "journal", "codecs"},
    "io": {"__version__", "errors", "ids", "io"},
    "limits": {"errors", "ids", "models"},
    "stores": {"codecs", "errors", "ids", "io", "journal", "stores"},
}
"""By the first part of a module's name, which others of ours it may import; at run time or for types alone."""


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        yield name, ast.parse(path.read_text())


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(tree: ast.AST) -> set[str]:
    """The first parts of the modules of ours that are imported; "" is the package itself."""
    names = [name.split(".") for name in imported(tree)]
    return {parts[1] for parts in names if parts[0] == "stepwell"}


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_arrows_go_down_only(part: str) -> None:
    found = {name: ours(tree) - MAY_IMPORT[part] for name, tree in modules() if name.split(".")[0] == part}
    assert found
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_nothing_below_the_clients_knows_them() -> None:
    above = {"client", "sync", "cli", "testing", "langgraph", "strands", "bedrock"}
    below = {
        "stores",
        "journal",
        "codecs",
        "io",
        "lane",
        "lanes",
        "view",
        "reader",
        "journal_backend",
        "backend",
        "fork",
    }
    found = {name: ours(tree) & above for name, tree in modules() if name.split(".")[0] in below}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_nothing_but_the_ports_knows_of_event_loops() -> None:
    knowing = {name for name, tree in modules() if {one.split(".")[0] for one in imported(tree)} & {"asyncio", "anyio"}}
    assert knowing <= {
        "io.aio",
        "io.aio_aws",
        "io.aio_turns",
        "testing.modelled.machine",
    }  # the last: both colours


def test_nothing_that_is_shipped_but_tests_knows_of_tests() -> None:
    found = {name for name, tree in modules() if "testing" in ours(tree) and name.split(".")[0] != "testing"}
    assert found == set()


def loaded(statement: str) -> set[str]:
    """What a new interpreter has loaded after *statement*."""
    program = f"import sys; {statement}; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


def test_importing_the_package_loads_no_framework_and_no_event_loop() -> None:
    found = loaded("import stepwell")
    assert "stepwell" in found
    assert found & (FRAMEWORKS | LAZY) == set()


def test_using_the_sync_client_loads_no_framework_and_no_event_loop(tmp_path: Path) -> None:
    use = (
        f"import stepwell; c = stepwell.Client('file:{tmp_path}/s'); s = c.create_session(key='k').session_id; "
        "c.put_invocation_step(s, s, 'said', create_invocation=True); list(c.steps(s)); c.close()"
    )
    found = loaded(use)
    assert "stepwell.stores.file" in found
    assert found & (FRAMEWORKS | LAZY) == set()


def test_the_suite_needs_no_test_framework() -> None:
    found = loaded("import stepwell.testing")
    assert "stepwell.testing.suite" in found
    assert found & {"pytest", "_pytest", "hypothesis"} == set()
