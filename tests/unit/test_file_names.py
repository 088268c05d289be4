"""What is acknowledged lies in folders whose own names are durable, whoever made those folders."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from stepwell.blocking import run_sync
from stepwell.errors import StepwellError
from stepwell.io.blocking import BlockingTasks
from stepwell.io.clock import SystemClock
from stepwell.io.files import Files
from stepwell.io.ports import Ports
from stepwell.stores.base import JournalStore, ListingEntry
from stepwell.stores.file import FileStore
from stepwell.testing.stores.records import journal, record

HERE = journal("here")


class NamesOnly(Files):
    """Knows which folders' names are not durable, and can fail the next sync of one folder."""

    def __init__(self) -> None:
        self.unsynced = set[tuple[int, str]]()
        self.failing: str | None = None

    def make_folder(self, name: str, folder: int | None = None) -> None:
        super().make_folder(name, folder)
        if folder is not None:
            self.unsynced.add((os.fstat(folder).st_ino, name))

    def sync(self, fd: int) -> None:
        inode = os.fstat(fd).st_ino
        if self.failing is not None and any(name == self.failing for at, name in self.unsynced if at == inode):
            self.failing = None
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(fd)
        self.unsynced = {(at, name) for at, name in self.unsynced if at != inode}


WRITES: dict[str, Callable[[JournalStore], Awaitable[object]]] = {
    "sessions": lambda store: store.append(HERE, 0, record(HERE, 0, b"zero")),
    "keys": lambda store: store.swap_key("acme", "key", HERE.session, expected=None),
    "entries": lambda store: store.put_entry("acme", ListingEntry(HERE.session, 1, b"entry")),
}


@pytest.mark.parametrize("part", WRITES)
def test_a_write_after_a_failed_one_does_not_rely_on_a_folder_whose_name_is_not_durable(
    part: str, tmp_path: Path
) -> None:
    files = NamesOnly()
    store = FileStore(str(tmp_path / "store"), Ports(SystemClock(), BlockingTasks(), files, os.urandom))
    run_sync(store.ping())
    [tenant] = [path.name for path in _tenant_of(part, tmp_path / "other")]
    files.failing = tenant
    with pytest.raises(StepwellError):
        run_sync(_awaited(WRITES[part], store))
    assert [name for _, name in files.unsynced] == [tenant]
    run_sync(_awaited(WRITES[part], store))
    assert not files.unsynced


def _tenant_of(part: str, root: Path) -> list[Path]:
    """The folder that the write makes for the tenant, as another store has it."""
    store = FileStore(str(root), Ports(SystemClock(), BlockingTasks(), Files(), os.urandom))
    run_sync(_awaited(WRITES[part], store))
    return list((root / part).iterdir())


async def _awaited(write: Callable[[JournalStore], Awaitable[object]], store: JournalStore) -> object:
    return await write(store)
