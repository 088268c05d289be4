"""A folder tree that is safe to keep sessions in: who may use it, locks, and files that are whole or absent.

The root and everything below it belong to the user, no link is followed, and no name comes from outside: callers pass
hashes. Locks are `flock`s on files that are never removed, one for each of `BUCKETS` groups of names. Beside them lie
the notes, memory that all processes share: whose write is under way in which bucket.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import weakref
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from stepwell.errors import NotSupported, PermissionDenied, StepwellError, Unavailable
from stepwell.io.fork import after_fork
from stepwell.io.ports import Ports

BUCKETS = 1024
NAME_SIZE = 32
"""Names below the root are this many characters: the first of a hash, or an id in hexadecimal."""
NOTE_SIZE = 2 * NAME_SIZE
LOCK_WAIT_SECONDS = 30.0
KEPT_MAX = 32
"""Descriptors of locks that are kept open for the next use."""
_CLEAN = bytes(NOTE_SIZE)
_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "afs", "ceph", "glusterfs", "fuse.glusterfs"}
)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENOTDIR, errno.ENXIO})
_TOO_MANY = frozenset({errno.EMFILE, errno.ENFILE})


class Lock:
    """The lock of a name's bucket, held inside `with`. A thread may hold one at a time.

    Its *note* is the name whose writer has not finished. It need not be durable: a process that is killed leaves it
    behind, and after a power loss what is on the disk is durable.
    """

    __slots__ = ("_bucket", "_exclusive", "_fd", "_folder")

    def __init__(self, folder: Folder, name: str, *, exclusive: bool) -> None:
        self._folder = folder
        self._bucket = zlib.crc32(name.encode()) % BUCKETS
        self._exclusive = exclusive

    def __enter__(self) -> Self:
        self._fd = self._folder.take_lock(self._bucket, exclusive=self._exclusive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.give_lock(self._bucket, self._fd)

    def unfinished(self) -> str | None:
        """The name that a killed writer left behind."""
        at = self._bucket * NOTE_SIZE
        note = bytes(self._folder.notes()[at : at + NOTE_SIZE])
        return note.decode() if note.isalnum() else None

    def note(self, name: str) -> None:
        """A writer begins."""
        self._folder.require_notes()
        at = self._bucket * NOTE_SIZE
        self._folder.notes()[at : at + NOTE_SIZE] = name.encode()

    def finished(self) -> None:
        """The writer is done, one way or the other."""
        at = self._bucket * NOTE_SIZE
        self._folder.notes()[at : at + NOTE_SIZE] = _CLEAN


class Folder:
    """The root of a file store."""

    def __init__(self, path: str, ports: Ports, *, network: bool = False) -> None:
        if sys.platform == "win32":
            raise NotSupported("file: stores need POSIX locks, which Windows has not: use memory:, or WSL")
        self.path = os.path.abspath(path)
        self.files = ports.files
        self._random = ports.random
        self._network = network
        self._fds: dict[str, int] = {}
        self._durable: set[str] = set()
        self._locks: dict[int, int] = {}
        self._held: set[int] = set()
        self._notes: memoryview | None = None
        self._no_notes: OSError | None = None
        weakref.finalize(self, _close_all, self.files.close, self._fds, self._locks)  # for a client that nobody closed
        after_fork(self._let_go)

    def _let_go(self) -> None:
        # A child shares its parent's flocks for as long as it keeps the descriptors.
        for fd in (*self._held, *self._locks.values()):
            self.files.close(fd)
        self._held.clear()
        self._locks.clear()

    def close(self) -> None:
        """Close every descriptor; the next use opens them again."""
        self._notes = None
        self._durable.clear()
        _close_all(self.files.close, self._fds, self._locks)

    # Folders

    def subfolder(self, name: str, *below: str) -> int:
        """The descriptor of a folder below the root, made if need be and kept open."""
        key = "/".join((name, *below))
        fd = self._fds.get(key)
        if fd is not None:
            return fd
        parent = self.subfolder(name, *below[:-1]) if below else self._open_root()
        return self._keep(key, self._open_or_make(below[-1] if below else name, parent))

    def durable_subfolder(self, name: str, below: str) -> int:
        """A subfolder to write to, whose own name is durable: whoever made it may not have come to sync that."""
        fd, key = self.subfolder(name, below), f"{name}/{below}"
        if key not in self._durable:
            self.files.sync(self.subfolder(name))
            self._durable.add(key)
        return fd

    def _keep(self, key: str, fd: int) -> int:
        kept = self._fds.setdefault(key, fd)
        if kept != fd:
            self.files.close(fd)  # another thread was quicker
        return kept

    def _open_root(self) -> int:
        root = self._fds.get("")
        if root is not None:
            return root
        root, made = self._open_or_make_root()
        try:
            self._check_root(root)
            if made:
                self._sync_parent()
        except BaseException:
            self.files.close(root)
            raise
        return self._keep("", root)

    def _open_or_make_root(self) -> tuple[int, bool]:
        try:
            return self.files.open_folder(self.path), False
        except FileNotFoundError:
            self.files.make_root(self.path)
            return self.files.open_folder(self.path), True

    def _check_root(self, root: int) -> None:
        found = self.files.stat(root)
        if found.st_uid != self.files.owner():
            raise PermissionDenied(f"{self.path} belongs to another user: choose a folder of your own")
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionDenied(f"{self.path} can be written by others: chmod go-w it, or choose another folder")
        if not self._network and (kind := self.files.file_system(found.st_dev)) in _NETWORK:
            raise NotSupported(f"{self.path} is on {kind}, where locks are not reliable: add ?network=1 if yours are")

    def _sync_parent(self) -> None:
        parent = self.files.open_folder(os.path.realpath(os.path.dirname(self.path)))
        try:
            self.files.sync(parent)
        finally:
            self.files.close(parent)

    def _open_or_make(self, name: str, parent: int) -> int:
        try:
            return self.files.open_folder(name, parent)
        except FileNotFoundError:
            pass
        try:
            self.files.make_folder(name, parent)
        except FileExistsError:
            self.files.sync(parent)  # somebody else made it meanwhile
            return self.files.open_folder(name, parent)
        try:
            self.files.sync(parent)
        except BaseException:
            self._remove_quietly(name, parent)  # else the next one finds it, and takes its name for durable
            raise
        return self.files.open_folder(name, parent)

    def _remove_quietly(self, name: str, parent: int) -> None:
        try:
            self.files.remove_folder(name, parent)
        except OSError:
            return  # the sync's own error is the one to tell

    def open_folder(self, name: str, parent: int, *, make: bool) -> int | None:
        """The descriptor of a folder below an open one; None if it is not there and not to be made."""
        try:
            return self.files.open_folder(name, parent)
        except FileNotFoundError:
            return self._open_or_make(name, parent) if make else None

    @contextmanager
    def opened(self, name: str, parent: int, *, make: bool = False) -> Generator[int | None]:
        """The descriptor of a folder inside `with`, see `open_folder`."""
        folder = self.open_folder(name, parent, make=make)
        try:
            yield folder
        finally:
            if folder is not None:
                self.files.close(folder)

    # Locks

    def take_lock(self, bucket: int, *, exclusive: bool) -> int:
        """Lock a bucket; the descriptor to give back.

        Raises:
            Unavailable: another process held it for `LOCK_WAIT_SECONDS`.
        """
        fd = self._locks.pop(bucket, None)
        if fd is None:
            fd = self._open_lock(bucket, exclusive=exclusive)
        self._held.add(fd)
        locked = False
        try:
            locked = self.files.lock(fd, exclusive=exclusive, patience=LOCK_WAIT_SECONDS)
        finally:
            if not locked:
                self._held.discard(fd)
                self.files.close(fd)
        if locked:
            return fd
        raise Unavailable(f"another process has held a lock below {self.path} for {LOCK_WAIT_SECONDS:.0f} s")

    def give_lock(self, bucket: int, fd: int) -> None:
        """Unlock what `take_lock` locked, and keep the descriptor for the next time."""
        self.files.unlock(fd)
        self._held.discard(fd)
        if len(self._locks) >= KEPT_MAX or self._locks.setdefault(bucket, fd) != fd:
            self.files.close(fd)

    def _open_lock(self, bucket: int, *, exclusive: bool) -> int:
        folder, name = self.subfolder("locks"), f"{bucket:03x}"
        fd = None if exclusive else self.open_file(name, folder, os.O_RDONLY)  # a read-only disk can be read
        if fd is None:
            fd = self.open_file(name, folder, os.O_RDWR | os.O_CREAT)
        assert fd is not None
        return fd

    def notes(self) -> memoryview:
        """The notes of all buckets, shared with every process that uses this folder."""
        if self._notes is None:
            self._notes = self._map_notes()
        return self._notes

    def require_notes(self) -> None:
        """Raise what kept the notes from being shared: whoever cannot note cannot write."""
        if self._no_notes is not None:
            self._notes = None  # next time it may be otherwise
            raise self._no_notes

    def _map_notes(self) -> memoryview:
        folder, size = self.subfolder("locks"), BUCKETS * NOTE_SIZE
        self._no_notes = None
        try:
            fd = self.open_file("notes", folder, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            if error.errno not in _DENIED:
                raise
            self._no_notes = error
            return memoryview(bytes(size))  # a read-only disk has no writers
        assert fd is not None
        try:
            if self.files.stat(fd).st_size < size:
                self._fill_notes(fd, size)
            return self.files.share(fd, size)
        finally:
            self.files.close(fd)

    def _fill_notes(self, fd: int, size: int) -> None:
        if not self.files.lock(fd, exclusive=True, patience=LOCK_WAIT_SECONDS):  # two may come first at once
            raise Unavailable(f"another process has held the notes below {self.path} for {LOCK_WAIT_SECONDS:.0f} s")
        try:
            if self.files.stat(fd).st_size < size:
                self.write_all(fd, bytes(size), 0)  # a hole would be filled later, by a write that nobody can refuse
        finally:
            self.files.unlock(fd)  # the mapping keeps the file open, and would keep the lock

    # Files

    def open_file(self, name: str, folder: int, flags: int) -> int | None:
        """The descriptor of a regular file that is ours alone; None if it is not there."""
        try:
            fd = self.files.open(name, folder, flags)
        except FileNotFoundError:
            return None
        try:
            found = self.files.stat(fd)
            if not (stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid == self.files.owner()):
                raise PermissionDenied(
                    f"{name} below {self.path} is not a plain file of its own: somebody else put it there"
                )
        except BaseException:
            self.files.close(fd)
            raise
        return fd

    def read_file(self, name: str, folder: int) -> bytes | None:
        """A whole file; None if it is not there."""
        fd = self.open_file(name, folder, os.O_RDONLY)
        if fd is None:
            return None
        try:
            return self.read_all(fd, self.files.stat(fd).st_size, 0)
        finally:
            self.files.close(fd)

    def write_file(self, name: str, folder: int, data: bytes) -> None:
        """Replace a file by a whole, durable one."""
        partial = f"{name}.{self._random(8).hex()}"
        fd = self.open_file(partial, folder, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        assert fd is not None
        try:
            try:
                self.write_all(fd, data, 0)
                self.files.sync_data(fd)
            finally:
                self.files.close(fd)
            self.files.rename(partial, name, folder)
        except BaseException:
            self._unlink_quietly(partial, folder)
            raise
        self.files.sync(folder)

    def _unlink_quietly(self, name: str, folder: int) -> None:
        try:
            self.files.unlink(name, folder)
        except OSError:
            return  # the write's own error is the one to tell; a partial file is never read

    def clone_file(self, name: str, source: int, target: int) -> bool:
        """Let a file of *target* share the bytes of one in *source*; False where the file system cannot."""
        original = self.open_file(name, source, os.O_RDONLY)
        if original is None:
            return False
        try:
            cloned = self._clone(original, name, target)
        finally:
            self.files.close(original)
        if cloned:
            self.files.sync(target)
        return cloned

    def _clone(self, original: int, name: str, target: int) -> bool:
        try:
            copy = self.open_file(name, target, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            return False  # copied before, perhaps by half: write it anew
        assert copy is not None
        try:
            cloned = self.files.clone(original, copy)
            if cloned:
                self.files.sync(copy)
            return cloned
        finally:
            self.files.close(copy)

    def read_all(self, fd: int, size: int, offset: int) -> bytes:
        """*size* bytes from *offset*, fewer only at the end of the file."""
        data = self.files.read_at(fd, size, offset)
        while len(data) < size and (more := self.files.read_at(fd, size - len(data), offset + len(data))):
            data += more
        return data

    def write_all(self, fd: int, data: bytes, offset: int) -> None:
        """All of *data*, however often the system writes less than it is given."""
        done = self.files.write_at(fd, data, offset)
        while done < len(data):
            done += self.files.write_at(fd, memoryview(data)[done:], offset + done)


def _close_all(close: Callable[[int], None], *kept: dict[str, int] | dict[int, int]) -> None:
    for fds in kept:
        while fds:
            close(fds.popitem()[1])


def translated(error: OSError, doing: str) -> StepwellError:
    """An error of the operating system as Stepwell's own."""
    code = errno.errorcode.get(error.errno or 0, "error")
    reason = f"{doing}: {os.strerror(error.errno or 0)} ({code})"
    if error.errno in _FULL:
        return Unavailable(f"{reason}: free some space, then try again", retryable=False)
    if error.errno in _DENIED:
        return PermissionDenied(
            f"{reason}: make sure that this user may read and write there, or choose another folder"
        )
    if error.errno in _TOO_MANY:
        return Unavailable(f"{reason}: raise `ulimit -n`, or use fewer clients")
    return Unavailable(f"{reason}: check the disk, then try again", retryable=False)
