"""A disk that fails when it is told to: the real file operations, counted, and some of them refused.

Disk      the operations; `trace` is what was asked of it since it was armed
Fault     the n-th operation, a kind, and whether all that follow fail as well
KINDS     what can go wrong with which operations

A refused `fsync` is the worst of it. Linux then believes the pages clean: they read as they were written until they are
dropped from memory, and as they were before from then on; syncing again writes nothing. So a page's old content is
kept from the first write to it until it is durable, and comes back when it is lost: at once, or in `drop_caches`.

`unlock` never fails, for flock(2) names no such error; nor does `close`, whose errors `Files` passes over.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import NamedTuple, ParamSpec, TypeVar

from stepwell.io.files import Files

P = ParamSpec("P")
T = TypeVar("T")

PAGE = 4096
_OPENS = frozenset({"open", "open_folder"})
_MAKES = frozenset({"make_folder", "make_root", "rename", "create"})
_SYNCS = frozenset({"sync", "sync_data"})
_WRITES = frozenset({"write_at"})
_LOOKS = frozenset({"read_at", "stat", "stat_at", "names"})
_TAKES = frozenset({"truncate", "unlink", "remove_folder"})

KINDS: dict[str, tuple[int, frozenset[str]]] = {
    "EIO": (errno.EIO, _OPENS | _MAKES | _SYNCS | _WRITES | _LOOKS | _TAKES | {"share"}),
    "ENOSPC": (errno.ENOSPC, _MAKES | _SYNCS | _WRITES),
    "EINTR": (errno.EINTR, _OPENS | _SYNCS | _WRITES | {"read_at", "truncate", "lock"}),
    "EMFILE": (errno.EMFILE, _OPENS | {"share"}),
    "ENOLCK": (errno.ENOLCK, frozenset({"lock"})),
    "half": (0, _WRITES),
    "half,EIO": (errno.EIO, _WRITES),
    "none,EIO": (errno.EIO, _WRITES),
    "lost": (errno.EIO, _SYNCS),
    "lost later": (errno.EIO, _SYNCS),
}
"""By name: the error, and the operations that it may meet; "create" is an `open` that may make a file."""


class Fault(NamedTuple):
    """The *at*-th operation (from 1) fails, or the first behind it that can; with *lasting*, all that follow do."""

    at: int
    kind: str
    lasting: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {'from' if self.lasting else 'at'} operation {self.at}{' on' if self.lasting else ''}"


class Disk(Files):
    """See the module. Descriptors that are open are in `names_of_open`."""

    def __init__(self) -> None:
        self.trace: list[frozenset[str]] = []
        self.names_of_open: dict[int, str] = {}
        self.fired = 0
        self._faults: list[Fault] = []
        self._armed = False
        self._broken_writes: set[int] = set()
        self._pages = _Pages()

    def arm(self, *faults: Fault) -> None:
        """Count from here on, and let these faults happen."""
        self.trace, self.fired = [], 0
        self._faults, self._armed = list(faults), True

    def lift(self) -> None:
        """The disk is whole again; what it lost stays lost."""
        self._faults, self._armed = [], False
        self._broken_writes.clear()

    def drop_caches(self) -> None:
        """Nothing is remembered but what the disk holds: lost pages read as they were before."""
        self._pages.drop()

    # Every operation below says what it is, and what happens when it is to fail.

    def open_folder(self, name: str, folder: int | None = None) -> int:
        self._meet("open_folder")
        return self._opened(super().open_folder(name, folder), name)

    def open(self, name: str, folder: int, flags: int) -> int:
        self._meet("open", *(["create"] if flags & os.O_CREAT else []))
        return self._opened(super().open(name, folder, flags), name)

    def _opened(self, fd: int, name: str) -> int:
        self.names_of_open[fd] = name
        return fd

    def close(self, fd: int) -> None:
        self.names_of_open.pop(fd, None)
        self._broken_writes.discard(fd)
        super().close(fd)

    def make_root(self, path: str) -> None:
        self._meet("make_root")
        super().make_root(path)

    def make_folder(self, name: str, folder: int | None = None) -> None:
        self._meet("make_folder")
        super().make_folder(name, folder)

    def remove_folder(self, name: str, folder: int) -> None:
        self._meet("remove_folder")
        super().remove_folder(name, folder)

    def stat(self, fd: int) -> os.stat_result:
        self._meet("stat")
        return super().stat(fd)

    def stat_at(self, name: str, folder: int) -> os.stat_result:
        self._meet("stat_at")
        return super().stat_at(name, folder)

    def names(self, folder: int) -> list[str]:
        self._meet("names")
        return super().names(folder)

    def read_at(self, fd: int, size: int, offset: int) -> bytes:
        self._meet("read_at")
        return super().read_at(fd, size, offset)

    def write_at(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        if fd in self._broken_writes:
            self._broken_writes.discard(fd)
            raise _error(errno.EIO)
        kind = self._due("write_at")
        if kind is None:
            return self._write(fd, data, offset)
        code, _ = KINDS[kind]
        if not kind.startswith(("half", "none")):
            raise _error(code)
        if code:
            self._broken_writes.add(fd)
        return self._write(fd, data[: (len(data) + 1) // 2], offset) if kind.startswith("half") else 0

    def _write(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        self._pages.dirty(fd, offset, len(data))
        return super().write_at(fd, data, offset)

    def truncate(self, fd: int, size: int) -> None:
        self._meet("truncate")
        self._pages.cut(fd, size)
        super().truncate(fd, size)

    def sync_data(self, fd: int) -> None:
        self._sync(fd, "sync_data", super().sync_data)

    def sync(self, fd: int) -> None:
        self._sync(fd, "sync", super().sync)

    def _sync(self, fd: int, operation: str, sync: Callable[[int], None]) -> None:
        kind = self._due(operation)
        if kind is None:
            sync(fd)
            self._pages.cleaned(fd)
            return
        if kind.startswith("lost"):
            self._pages.lose(fd)
            if kind == "lost":
                self._pages.drop()
        raise _error(KINDS[kind][0])

    def rename(self, old: str, new: str, folder: int) -> None:
        self._meet("rename")
        super().rename(old, new, folder)

    def unlink(self, name: str, folder: int) -> None:
        self._meet("unlink")
        super().unlink(name, folder)

    def lock(self, fd: int, *, exclusive: bool, patience: float) -> bool:
        self._meet("lock")
        return super().lock(fd, exclusive=exclusive, patience=patience)

    def share(self, fd: int, size: int) -> memoryview:
        self._meet("share")
        return super().share(fd, size)

    def _meet(self, *operation: str) -> None:
        kind = self._due(*operation)
        if kind is not None:
            raise _error(KINDS[kind][0])

    def _due(self, *operation: str) -> str | None:
        """The kind of the fault that this operation is to meet."""
        if not self._armed:
            return None
        self.trace.append(frozenset(operation))
        for fault in self._faults:
            if len(self.trace) >= fault.at and not KINDS[fault.kind][1].isdisjoint(operation):
                self.fired += 1
                if not fault.lasting:
                    self._faults.remove(fault)
                return fault.kind
        return None


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))


class _Pages:
    """What the pages of each file hold on the disk, where memory holds something else."""

    def __init__(self) -> None:
        self._dirty: dict[tuple[int, int], dict[int, bytes]] = {}
        self._lost: dict[tuple[int, int], dict[int, bytes]] = {}
        self._files: dict[tuple[int, int], int] = {}

    def dirty(self, fd: int, offset: int, size: int) -> None:
        """A write is about to come: its pages are to be written as they are in memory, whatever was lost of them."""
        file = _identity(fd)
        dirty, lost = self._dirty.setdefault(file, {}), self._lost.get(file, {})
        for page in range(offset // PAGE, (offset + size - 1) // PAGE + 1):
            old = lost.pop(page, None)
            if page not in dirty:
                dirty[page] = os.pread(fd, PAGE, page * PAGE) if old is None else old

    def cleaned(self, fd: int) -> None:
        """A sync wrote what was dirty."""
        self._dirty.pop(_identity(fd), None)

    def lose(self, fd: int) -> None:
        """A sync failed: what was dirty passes for clean."""
        file = _identity(fd)
        dirty = self._dirty.pop(file, {})
        if dirty:
            self._lost.setdefault(file, {}).update(dirty)
            if file not in self._files:
                self._files[file] = os.dup(fd)

    def cut(self, fd: int, size: int) -> None:
        """A truncation: what lies behind is gone, on the disk as in memory."""
        file = _identity(fd)
        for pages in (self._dirty.get(file, {}), self._lost.get(file, {})):
            for page in [page for page in pages if page * PAGE >= size]:
                del pages[page]
            for page in [page for page in pages if (page + 1) * PAGE > size]:
                pages[page] = pages[page][: size - page * PAGE]

    def drop(self) -> None:
        """Forget what memory held of lost pages."""
        for file, pages in self._lost.items():
            fd = self._files[file]
            size = os.fstat(fd).st_size
            for page, old in pages.items():
                start = page * PAGE
                os.pwrite(fd, old.ljust(min(PAGE, max(0, size - start)), b"\0"), start)
        self._lost.clear()
        while self._files:
            os.close(self._files.popitem()[1])


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino
