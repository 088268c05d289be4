"""A disk in memory, and what a power loss or a kill may leave of it.

SimulatedDisk    a drop-in for `stepwell.io.files.Files`

It keeps apart what POSIX promises to be durable and what it does not:
- a file's bytes and its size are durable once the file was synced, and a name once its *folder* was;
- what was not synced is there or not, sector by sector, in any of the versions that the file went through since;
- names that were not synced are there or not, in any order that keeps to the order of each single name; a rename is
  whole or absent;
- a sector of 512 bytes is written whole or not at all; what was never written inside a file's size reads as zeros;
- after a failed sync the system takes what it had to write for clean, and forgets it;
- memory that processes share is lost, but for what the system happened to write of it.

A process that is killed loses nothing but the rest of the write that it was in, and its locks.
"""

from __future__ import annotations

import errno
import os
import random
import stat
from collections.abc import Callable, Iterator
from typing import TypeAlias

from stepwell.io.files import Files

SECTOR = 512
FIRST_FD = 1 << 30
"""Above those of the operating system: whoever takes one for the other is told."""


class _File:
    """A file: what is durable, what processes see, and the changes between the two, oldest first."""

    def __init__(self, number: int, durable: bytes = b"") -> None:
        self.number = number
        self.links = 1
        self.durable = durable
        self.live = bytearray(durable)
        self.changes: list[tuple[int, bytes | None]] = []
        """Bytes written at an offset; None where the file was cut or grown to that size."""
        self.shared: memoryview | None = None
        self.locks: dict[int, bool] = {}

    def write(self, data: bytes, offset: int) -> None:
        _change(self.live, offset, data)
        self.changes.append((offset, data))

    def cut(self, size: int) -> None:
        _change(self.live, size, None)
        self.changes.append((size, None))

    def sync(self) -> None:
        if self.changes or self.shared:
            self.durable = self._versions()[-1]
            self.changes.clear()

    def fail_to_sync(self, chance: random.Random) -> None:
        self.durable = self.left(chance)
        self.changes.clear()

    def _versions(self) -> list[bytes]:
        """The content after each change, from what is durable on."""
        content = bytearray(self.durable)
        versions = [self.durable]
        for offset, data in self._all_changes():
            _change(content, offset, data)
            versions.append(bytes(content))
        return versions

    def _all_changes(self) -> list[tuple[int, bytes | None]]:
        return self.changes if self.shared is None else [*self.changes, (0, bytes(self.shared))]

    def share(self, size: int) -> memoryview:
        """The first bytes as they are seen, to be changed in place; from now on the file keeps its size."""
        if self.shared is None:
            self.shared = memoryview(self.live)[:size]
        return self.shared

    def left(self, chance: random.Random) -> bytes:
        """What a power loss may leave."""
        if not self.changes and self.shared is None:
            return self.durable
        versions = self._versions()
        luck = chance.random()
        if luck < 0.4:
            return versions[0 if luck < 0.15 else -1]
        size = len(chance.choice(versions))
        content = bytearray(self.durable[:size].ljust(size, b"\0"))
        for at in self._touched(size):
            piece = chance.choice(versions)[at : at + SECTOR]
            content[at : at + SECTOR] = piece.ljust(min(SECTOR, size - at), b"\0")[: size - at]
        return bytes(content)

    def _touched(self, size: int) -> list[int]:
        """Where the sectors start that some change may have touched."""
        touched: set[int] = set()
        for offset, data in self._all_changes():
            end = size if data is None else min(size, offset + len(data))
            touched.update(range(offset - offset % SECTOR, end, SECTOR))
        return sorted(touched)


class _Folder:
    """A folder: as `_File`. A change says what some names name from then on, None for nothing."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.links = 2
        self.durable: dict[str, _Node] = {}
        self.live: dict[str, _Node] = {}
        self.changes: list[dict[str, _Node | None]] = []
        self.locks: dict[int, bool] = {}

    def change(self, change: dict[str, _Node | None]) -> None:
        _rename(self.live, change)
        self.changes.append(change)

    def sync(self) -> None:
        for change in self.changes:
            _rename(self.durable, change)
        self.changes.clear()

    def fail_to_sync(self, chance: random.Random) -> None:
        self.durable = self.left(chance)
        self.changes.clear()

    def left(self, chance: random.Random) -> dict[str, _Node]:
        """The names that a power loss may leave."""
        names = dict(self.durable)
        likely = chance.choice((0.0, 0.5, 0.5, 1.0))
        lost: set[str] = set()
        for change in self.changes:
            if lost.isdisjoint(change) and chance.random() < likely:
                _rename(names, change)
            else:
                lost.update(change)
        return names


_Node: TypeAlias = _File | _Folder


def _change(content: bytearray, offset: int, data: bytes | None) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    if data is None:
        del content[offset:]
    else:
        content[offset : offset + len(data)] = data


def _rename(names: dict[str, _Node], change: dict[str, _Node | None]) -> None:
    for name, node in change.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


class SimulatedDisk(Files):
    """See the module. For one thread.

    *on_change* is called after each call that changed something: the moments at which a crash makes a difference.
    """

    def __init__(self, *, clones: bool = False) -> None:
        self.on_change: Callable[[], None] | None = None
        self.failing: Callable[[str], random.Random | None] | None = None
        """Asked before each change, by the method's name: with chances, the call fails, having done a part perhaps."""
        self._clones = clones
        self._numbers = iter(range(3, 1 << 60))
        self._root = _Folder(2)
        self._open: dict[int, _Node] = {}
        self._written: tuple[_File, bytes, int, bytes] | None = None

    # Crashes

    def crash(self, chance: random.Random) -> SimulatedDisk:
        """A disk that a power loss may leave, now or in the middle of the last change."""
        disk = self._another()
        disk._root = disk._left(self._root, chance)
        return disk

    def killed(self, chance: random.Random) -> SimulatedDisk:
        """The disk after its processes were killed, now or in the middle of the last write."""
        disk = self._another()
        copies: dict[int, _Node] = {}
        disk._root = _copied_folder(self._root, copies)
        if self._written is not None:
            file, before, offset, data = self._written
            copy = copies.get(file.number)
            if isinstance(copy, _File) and copy.changes:
                part = data[: chance.randint(0, len(data))]
                copy.live = bytearray(before)
                copy.changes.pop()
                if part:
                    copy.write(part, offset)
        return disk

    def _another(self) -> SimulatedDisk:
        disk = type(self)(clones=self._clones)
        disk._numbers = iter(range(next(self._numbers), 1 << 60))
        return disk

    def _left(self, folder: _Folder, chance: random.Random) -> _Folder:
        left = _Folder(folder.number)
        for name, node in folder.left(chance).items():
            left.durable[name] = (
                self._left(node, chance) if isinstance(node, _Folder) else _File(node.number, node.left(chance))
            )
        left.live = dict(left.durable)
        return left

    def files(self) -> Iterator[tuple[str, bytes]]:
        """The path and the content of every file, as processes see them."""
        yield from _files("", self._root)

    def _changed(self, written: tuple[_File, bytes, int, bytes] | None = None) -> None:
        self._written = written
        if self.on_change is not None:
            self.on_change()

    def _fails(self, call: str) -> random.Random | None:
        return None if self.failing is None else self.failing(call)

    # Descriptors

    def _descriptor(self, node: _Node) -> int:
        fd = FIRST_FD + next(self._numbers)
        self._open[fd] = node
        return fd

    def _file(self, fd: int) -> _File:
        node = self._node(fd)
        if isinstance(node, _Folder):
            raise _error(errno.EISDIR)
        return node

    def _folder(self, fd: int) -> _Folder:
        node = self._node(fd)
        if isinstance(node, _File):
            raise _error(errno.ENOTDIR)
        return node

    def _node(self, fd: int) -> _Node:
        node = self._open.get(fd)
        if node is None:
            raise _error(errno.EBADF)
        return node

    def _named(self, name: str, folder: int | None) -> _Node:
        node: _Node = self._root if folder is None else self._folder(folder)
        for part in name.split("/"):
            if isinstance(node, _File):
                raise _error(errno.ENOTDIR)
            if part:
                if part not in node.live:
                    raise _error(errno.ENOENT)
                node = node.live[part]
        return node

    def open_folder(self, name: str, folder: int | None = None) -> int:
        """See `Files`."""
        node = self._named(name, folder)
        if isinstance(node, _File):
            raise _error(errno.ENOTDIR)
        return self._descriptor(node)

    def open(self, name: str, folder: int, flags: int) -> int:
        """See `Files`."""
        home = self._folder(folder)
        node = home.live.get(name)
        if node is None:
            if not flags & os.O_CREAT:
                raise _error(errno.ENOENT)
            if self._fails("open"):
                raise _error(errno.ENOSPC)
            node = _File(next(self._numbers))
            home.change({name: node})
            self._changed()
        elif flags & os.O_EXCL:
            raise _error(errno.EEXIST)
        fd = self._descriptor(node)
        if flags & os.O_TRUNC and self._file(fd).live:
            self.truncate(fd, 0)
        return fd

    def close(self, fd: int) -> None:
        """See `Files`."""
        self._node(fd).locks.pop(fd, None)
        del self._open[fd]

    def make_root(self, path: str) -> None:
        """See `Files`."""
        folder = self._root
        for part in path.strip("/").split("/"):
            if part not in folder.live:
                folder.change({part: _Folder(next(self._numbers))})
            node = folder.live[part]
            if isinstance(node, _File):
                raise _error(errno.ENOTDIR)
            folder = node
        self._changed()

    def file_system(self, device: int) -> str | None:
        """See `Files`."""
        return None

    def make_folder(self, name: str, folder: int | None = None) -> None:
        """See `Files`."""
        home = self._root if folder is None else self._folder(folder)
        if name in home.live:
            raise _error(errno.EEXIST)
        if self._fails("make_folder"):
            raise _error(errno.ENOSPC)
        home.change({name: _Folder(next(self._numbers))})
        self._changed()

    def remove_folder(self, name: str, folder: int) -> None:
        """See `Files`."""
        node = self._named(name, folder)
        if isinstance(node, _File):
            raise _error(errno.ENOTDIR)
        if node.live:
            raise _error(errno.ENOTEMPTY)
        if self._fails("remove_folder"):
            raise _error(errno.EIO)
        self._folder(folder).change({name: None})
        self._changed()

    def rename(self, old: str, new: str, folder: int) -> None:
        """See `Files`."""
        node = self._named(old, folder)
        if self._fails("rename"):
            raise _error(errno.EIO)
        home = self._folder(folder)
        replaced = home.live.get(new)
        home.change({old: None, new: node})
        if replaced is not None:
            replaced.links -= 1
        self._changed()

    def unlink(self, name: str, folder: int) -> None:
        """See `Files`."""
        node = self._named(name, folder)
        if isinstance(node, _Folder):
            raise _error(errno.EISDIR)
        if self._fails("unlink"):
            raise _error(errno.EIO)
        self._folder(folder).change({name: None})
        node.links -= 1
        self._changed()

    def names(self, folder: int) -> list[str]:
        """See `Files`."""
        return list(self._folder(folder).live)

    def stat(self, fd: int) -> os.stat_result:
        """See `Files`."""
        return self._stat(self._node(fd))

    def stat_at(self, name: str, folder: int) -> os.stat_result:
        """See `Files`."""
        return self._stat(self._named(name, folder))

    def _stat(self, node: _Node) -> os.stat_result:
        mode = stat.S_IFREG | 0o600 if isinstance(node, _File) else stat.S_IFDIR | 0o700
        return os.stat_result((mode, node.number, 1, node.links, self.owner(), 0, len(node.live), 0, 0, 0))

    # Bytes

    def read_at(self, fd: int, size: int, offset: int) -> bytes:
        """See `Files`."""
        return bytes(self._file(fd).live[offset : offset + size])

    def write_at(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        """See `Files`."""
        file = self._file(fd)
        if chance := self._fails("write_at"):
            data = data[: chance.randint(0, len(data))]
        before, whole = bytes(file.live), bytes(data)
        file.write(whole, offset)
        self._changed((file, before, offset, whole))
        if chance:
            raise _error(errno.ENOSPC)
        return len(whole)

    def truncate(self, fd: int, size: int) -> None:
        """See `Files`."""
        if self._fails("truncate"):
            raise _error(errno.EIO)
        self._file(fd).cut(size)
        self._changed()

    def sync_data(self, fd: int) -> None:
        """See `Files`. A size that became smaller need not be durable."""
        file = self._file(fd)
        smaller = len(file.live) if len(file.live) < len(file.durable) else None
        former = file.durable
        self._sync(file)
        if smaller is not None:
            file.durable += former[smaller:]
            file.changes.append((smaller, None))

    def sync(self, fd: int) -> None:
        """See `Files`."""
        self._sync(self._node(fd))

    def _sync(self, node: _Node) -> None:
        if chance := self._fails("sync"):
            node.fail_to_sync(chance)
            self._changed()
            raise _error(errno.EIO)
        node.sync()
        self._changed()

    def clone(self, source: int, target: int) -> bool:
        """See `Files`."""
        if not self._clones:
            return False
        self.write_at(target, bytes(self._file(source).live), 0)
        return True

    # What processes share

    def lock(self, fd: int, *, exclusive: bool, patience: float) -> bool:
        """See `Files`; there is nobody to wait for."""
        locks = self._node(fd).locks
        if any((exclusive or theirs) and other != fd for other, theirs in locks.items()):
            return False
        locks[fd] = exclusive
        return True

    def unlock(self, fd: int) -> None:
        """See `Files`."""
        self._node(fd).locks.pop(fd, None)

    def share(self, fd: int, size: int) -> memoryview:
        """See `Files`."""
        return self._file(fd).share(size)


def _copied_folder(folder: _Folder, copies: dict[int, _Node]) -> _Folder:
    copy = _Folder(folder.number)
    copies[folder.number] = copy
    copy.durable = {name: _copied(node, copies) for name, node in folder.durable.items()}
    copy.live = {name: _copied(node, copies) for name, node in folder.live.items()}
    copy.changes = [
        {name: None if node is None else _copied(node, copies) for name, node in change.items()}
        for change in folder.changes
    ]
    return copy


def _copied(node: _Node, copies: dict[int, _Node]) -> _Node:
    if node.number in copies:
        return copies[node.number]
    if isinstance(node, _Folder):
        return _copied_folder(node, copies)
    copy = copies[node.number] = _File(node.number, node.durable)
    copy.links = node.links
    copy.live = node.live[:]
    copy.changes = node.changes[:] if node.shared is None else [*node.changes, (0, bytes(node.shared))]
    return copy


def _files(path: str, folder: _Folder) -> Iterator[tuple[str, bytes]]:
    for name, node in folder.live.items():
        if isinstance(node, _Folder):
            yield from _files(f"{path}/{name}", node)
        else:
            yield f"{path}/{name}", bytes(node.live)


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))
