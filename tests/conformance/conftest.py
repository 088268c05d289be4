from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stepwell.io.ports import Ports
from stepwell.stores.base import JournalStore
from stepwell.stores.file import FileStore
from stepwell.stores.memory import MemoryStore
from stepwell.testing import OpenStore


@dataclass(frozen=True)
class Place:
    """A store that is empty, and a way to compare what it holds."""

    open_store: OpenStore
    contents: Callable[[], object]


def _memory() -> Place:
    memory = MemoryStore()

    def contents() -> object:
        parts: dict[str, dict[Any, Any]] = {name: part for name, part in vars(memory).items() if isinstance(part, dict)}
        return deepcopy({name: {key: held for key, held in part.items() if held} for name, part in parts.items()})

    return Place(lambda ports: memory, contents)


def _folder(root: Path) -> Place:
    def open_store(ports: Ports) -> JournalStore:
        return FileStore(str(root), ports)

    def contents() -> object:
        files = (path for path in root.rglob("*") if path.is_file() and path.parent.name != "locks")
        return {str(path.relative_to(root)): path.read_bytes() for path in files}

    return Place(open_store, contents)


@pytest.fixture(params=["memory", "file"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return _memory() if request.param == "memory" else _folder(tmp_path / "sessions")


@pytest.fixture
def open_store(place: Place) -> OpenStore:
    return place.open_store
