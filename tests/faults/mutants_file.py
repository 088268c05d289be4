"""File stores that are wrong in one small way each: what checks of crashes must catch.

MUTANTS    by name, a context manager inside which every file store is that one
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any
from unittest.mock import patch

from stepwell.io.files import Files
from stepwell.journal.record import frame_size
from stepwell.stores import log as logs
from stepwell.stores.file import FileStore
from stepwell.stores.folder import Folder, Lock
from stepwell.stores.journals import LOG, REDO, REWRITE, Journals
from stepwell.stores.log import Log, erased

Mutant = Callable[[], AbstractContextManager[Any]]
_overwrite, _write, _write_file = Log.overwrite, Log.write, Folder.write_file
_do_again, _remove = Journals._do_again, Journals.remove


def _nothing(*_args: object) -> None:
    """Instead of a method: it does nothing."""


def _write_without_sync(self: Log, data: bytes, offset: int) -> None:
    with patch.object(self._folder.files, "sync_data", _nothing):
        _write(self, data, offset)


def _overwrite_without_sync(self: Log, pieces: Iterable[tuple[int, bytes]]) -> None:
    with patch.object(self._folder.files, "sync_data", _nothing):
        _overwrite(self, pieces)


def _write_file_without(what: str, self: Folder, name: str, folder: int, data: bytes, only: str = "") -> None:
    if only not in ("", name):
        _write_file(self, name, folder, data)
        return
    with patch.object(self.files, what, _nothing):
        _write_file(self, name, folder, data)


def _put_blob_unsynced(self: FileStore, name: str, blob: str, data: bytes) -> None:
    with self._blobs(name, make=True) as folder:
        assert folder is not None
        fd = self._folder.open_file(blob, folder, os.O_RDWR | os.O_CREAT)
        assert fd is not None
        self._folder.write_all(fd, data, 0)
        self._files.close(fd)


def _erase_in_copy(self: Journals, name: str, slot: int, spans: Sequence[tuple[int, int]]) -> None:
    """The erased log takes the place of the old one, whose bytes nobody touches: until the folder is synced it may
    come back."""
    with Lock(self._folder, name, exclusive=True) as lock, self._opened(lock, name) as log, self._home(name) as home:
        assert log is not None
        start, size = log.span(slot, self._tail(log, cut=True))
        content = self._folder.read_file(LOG, home) or b""
        after = erased(log.frame_at(start, size), spans)
        fd = self._folder.open_file(REWRITE, home, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        assert fd is not None
        self._folder.write_all(fd, content[:start] + after + content[start + size :], 0)
        self._files.sync(fd)
        self._files.close(fd)
        self._files.rename(REWRITE, LOG, home)


def _frame_unchecked(self: Log, end: int) -> tuple[int, bytes] | None:
    trailer = logs._TRAILER
    _, size, _, mark = trailer.unpack(self._read(trailer.size, end - trailer.size).rjust(trailer.size, b"\0"))
    start = end - trailer.size - size
    if mark != logs._MARK or start < 0:
        return None
    record = self._read(size, start)
    return (start, record) if frame_size(record, 0) == size else None


def _files_of(part: Journals | FileStore | Folder) -> Files:
    return part.files if isinstance(part, Folder) else part._files


def _without(kind: type, method: str, *syncs: str) -> Mutant:
    """A method inside which nothing is made durable by these calls."""
    original = getattr(kind, method)

    def without(self: Any, *args: Any) -> Any:
        files = _files_of(self)
        with ExitStack() as patches:
            for sync in syncs:
                patches.enter_context(patch.object(files, sync, _nothing))
            return original(self, *args)

    return _is(kind, method, without)


def _without_folders(kind: type, method: str) -> Mutant:
    """A method that makes no name durable; what is in files it does."""
    original = getattr(kind, method)

    def without(self: Any, *args: Any) -> Any:
        files = _files_of(self)
        sync = files.sync

        def sync_file(fd: int) -> None:
            if not stat.S_ISDIR(files.stat(fd).st_mode):
                sync(fd)

        with patch.object(files, "sync", sync_file):
            return original(self, *args)

    return _is(kind, method, without)


def _remove_undurably(self: Journals, name: str) -> None:
    """The log's removal is durable, that of the session's folder is not."""
    tenant, sync = self._tenant(name), self._files.sync

    def sync_another(fd: int) -> None:
        if fd != tenant:
            sync(fd)

    with patch.object(self._files, "sync", sync_another):
        _remove(self, name)


def _do_again_at_once(self: Journals, log: Log) -> None:
    """A killed writer's note is followed while its name may still be lost."""
    with patch.object(self._files, "sync", _nothing), patch.object(self, "_forget_redo", _nothing):
        _do_again(self, log)
    self._forget_redo(log.name)


def _is(kind: type, method: str, instead: Callable[..., object]) -> Mutant:
    return partial(patch.object, kind, method, instead)


def _lossy(what: str, only: str = "") -> Callable[..., None]:
    def write_file(self: Folder, name: str, folder: int, data: bytes) -> None:
        _write_file_without(what, self, name, folder, data, only)

    return write_file


MUTANTS: dict[str, Mutant] = {
    "a record is acknowledged before it is synced": _is(Log, "write", _write_without_sync),
    "a new log's name is not synced": _is(Journals, "_sync_names", _nothing),
    "a file is renamed before it is synced": _is(Folder, "write_file", _lossy("sync_data")),
    "a folder is not synced after a rename": _is(Folder, "write_file", _lossy("sync")),
    "what a failed write left is not cut": _is(Journals, "_take_back", _nothing),
    "a torn end is taken for a record": _is(Log, "_frame_ending_at", _frame_unchecked),
    "a blob is not synced": _is(FileStore, "_put_blob", _put_blob_unsynced),
    "an erasure leaves the old file as it is": _is(Journals, "erase", _erase_in_copy),
    "an erasure is not synced": _is(Log, "overwrite", _overwrite_without_sync),
    "an interrupted erasure is not finished": _is(Journals, "_do_again", _nothing),
    "what an erasure writes is noted but not synced": _is(Folder, "write_file", _lossy("sync_data", REDO)),
    "an interrupted erasure is done again before its note is durable": _is(Journals, "_do_again", _do_again_at_once),
    "an erasure's note is not durably forgotten": _without_folders(Journals, "_forget_redo"),
    "a trimmed log replaces the old one unsynced": _without(Journals, "_rewrite", "sync"),
    "a trimmed log's name is not synced": _without_folders(Journals, "remove_below"),
    "a session's removal is not synced": _is(Journals, "remove", _remove_undurably),
    "that a blob is blank is not synced": _without_folders(FileStore, "_blank_blob"),
    "a copied blob is not synced": _without(FileStore, "_copy_blob", "sync", "sync_data"),
    "a cloned blob is not synced": _without(Folder, "_clone", "sync"),
    "a cloned blob's name is not synced": _without_folders(Folder, "clone_file"),
    "nobody finishes for a killed writer": _is(Journals, "_settle", _nothing),
}
