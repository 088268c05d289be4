"""What the documentation shows runs, and what it links to is there.

A page's Python blocks run in order, in one namespace, in a folder of their own.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stepwell.testing import COLOURS, ClientCase, Colour, StoreCase, client_cases, store_cases

ROOT = Path(__file__).parents[2]
PAGES = {str(path.relative_to(ROOT)): path for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")

EXAMPLES = {
    "resume_after_a_crash.py": "No row is missing, none is twice.",
    "hand_over_with_a_lease.py": "2 steps, and nobody restarted everything.",
    "fork_to_try_something_else.py": "Where is the time lost?\nLet me measure first.\n",
}


def python_blocks(page: Path) -> list[str]:
    """The Python blocks of a page, each behind so many empty lines that a traceback names the right one."""
    text = page.read_text()
    return [
        "\n" * text[: found.start(2)].count("\n") + found[2] for found in BLOCK.finditer(text) if found[1] == "python"
    ]


def run_blocks(page: Path) -> dict[str, Any]:
    """What the names of a page stand for once its blocks have run."""
    namespace: dict[str, Any] = {"__name__": page.stem}
    for block in python_blocks(page):
        exec(compile(block, str(page), "exec"), namespace)
    return namespace


ELSEWHERE = {"docs/dynamodb.md", "docs/s3.md"}
"""Pages whose code needs more than a folder: test_aws_pages.py runs it."""


@pytest.mark.parametrize("name", sorted({name for name, page in PAGES.items() if python_blocks(page)} - ELSEWHERE))
def test_the_code_of_a_page_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("STEPWELL_URL", raising=False)
    run_blocks(PAGES[name])


def test_the_readme_and_the_pages_on_urls_stores_and_semantics_show_code() -> None:
    shown = {name for name, page in PAGES.items() if python_blocks(page)}
    assert shown >= {"README.md", "docs/urls.md", "docs/stores.md", "docs/semantics.md"}


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return BLOCK.sub("", page.read_text())


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", sorted(PAGES))
def test_every_relative_link_of_a_page_leads_somewhere(name: str) -> None:
    page = PAGES[name]
    dead: list[str] = []
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if "://" not in link and (not target.exists() or (anchor and anchor not in headings(target))):
            dead.append(link)
    assert dead == []


def test_every_page_is_linked_from_another_one() -> None:
    links = [(page.parent, link.partition("#")[0]) for page in PAGES.values() for link in LINK.findall(prose(page))]
    linked = {(folder / path).resolve() for folder, path in links}
    assert [name for name, page in PAGES.items() if name != "README.md" and page.resolve() not in linked] == []


def test_every_example_has_its_test() -> None:
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / name)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert EXAMPLES[name] in ran.stdout


# The store that docs/stores.md shows passes the suite, by the tests that it shows


@pytest.fixture(scope="module")
def page_on_stores() -> dict[str, Any]:
    return run_blocks(PAGES["docs/stores.md"])


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("case", store_cases())
def test_the_store_of_the_page_is_a_store(page_on_stores: dict[str, Any], case: StoreCase, colour: Colour) -> None:
    test_store: Callable[[StoreCase, Colour], None] = page_on_stores["test_store"]
    test_store(case, colour)


@pytest.mark.parametrize("case", client_cases())
def test_a_client_of_the_store_of_the_page_is_a_client(page_on_stores: dict[str, Any], case: ClientCase) -> None:
    test_client: Callable[[ClientCase, Colour], None] = page_on_stores["test_client"]
    test_client(case, "sync")
