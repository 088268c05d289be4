"""System calls on files: what the file store asks of the operating system, one method a call.

Tests and simulated disks replace these methods; the store calls nothing else.
"""

from __future__ import annotations

import errno
import mmap
import os
import sys
import time
from pathlib import Path

if sys.platform != "win32":
    import fcntl

CREATE_MODE = 0o600
FOLDER_MODE = 0o700
_LOCK_PAUSE, _LOCK_EAGER_SECONDS, _LOCK_PAUSE_LATER = 0.0001, 0.25, 0.005


def _sync_data(fd: int) -> None:
    if sys.platform == "darwin":  # fsync there leaves data in the drive's cache
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(fd)


class Files:
    """The real ones. Every path is one name below an open folder; no link is ever followed."""

    def open_folder(self, name: str, folder: int | None = None) -> int:
        """A descriptor of an existing folder."""
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)

    def open(self, name: str, folder: int, flags: int) -> int:
        """A descriptor of a file; *flags* as for `os.open`. A FIFO does not hang it."""
        safe = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        return os.open(name, flags | safe, CREATE_MODE, dir_fd=folder)

    def close(self, fd: int) -> None:
        """Close a descriptor. An error means nothing: it is closed all the same, and what matters was synced before."""
        try:
            os.close(fd)
        except OSError as error:
            if error.errno == errno.EBADF:
                raise  # that is a fault of ours

    def make_root(self, path: str) -> None:
        """Make a folder and those above it, where they are missing; only their owner may enter them."""
        above = os.path.dirname(path)
        if above != path and not os.path.isdir(above):
            self.make_root(above)
        try:
            os.mkdir(path, FOLDER_MODE)
        except FileExistsError:
            pass  # somebody else made it meanwhile

    def owner(self) -> int:
        """The user that this process acts as."""
        return os.geteuid()

    def file_system(self, device: int) -> str | None:
        """The type of the file system on a device (`os.stat_result.st_dev`); None where the system does not tell."""
        mounts = Path("/proc/self/mountinfo")
        wanted = f"{os.major(device)}:{os.minor(device)}"
        for line in mounts.read_text().splitlines() if mounts.exists() else ():
            fields = line.split()
            if fields[2] == wanted:  # proc_pid_mountinfo(5): the type follows the separator
                return fields[fields.index("-") + 1]
        return None

    def make_folder(self, name: str, folder: int | None = None) -> None:
        """Make a folder that only its owner may enter."""
        os.mkdir(name, FOLDER_MODE, dir_fd=folder)

    def stat(self, fd: int) -> os.stat_result:
        """What an open file is."""
        return os.fstat(fd)

    def read_at(self, fd: int, size: int, offset: int) -> bytes:
        """Up to *size* bytes from *offset*."""
        return os.pread(fd, size, offset)

    def write_at(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        """Write at *offset*; how many bytes were written may be fewer than given."""
        return os.pwrite(fd, data, offset)

    def truncate(self, fd: int, size: int) -> None:
        """Cut a file."""
        os.ftruncate(fd, size)

    def sync_data(self, fd: int) -> None:
        """Make a file's bytes, and what is needed to read them, durable."""
        _sync_data(fd)

    def sync(self, fd: int) -> None:
        """Make a file or a folder's names durable."""
        os.fsync(fd)

    def rename(self, old: str, new: str, folder: int) -> None:
        """Replace *new* by *old*, in one folder."""
        os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)

    def unlink(self, name: str, folder: int) -> None:
        """Remove a file."""
        os.unlink(name, dir_fd=folder)

    def remove_folder(self, name: str, folder: int) -> None:
        """Remove an empty folder."""
        os.rmdir(name, dir_fd=folder)

    def names(self, folder: int) -> list[str]:
        """The names in a folder, in no order."""
        return os.listdir(folder)

    def lock(self, fd: int, *, exclusive: bool, patience: float) -> bool:
        """Take a `flock`; False if another holds it for *patience* seconds."""
        kind = (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB
        began = time.monotonic()
        while True:
            try:
                fcntl.flock(fd, kind)
            except BlockingIOError:
                waited = time.monotonic() - began
                if waited > patience:
                    return False
            else:
                return True
            # Short pauses at first: whoever sleeps longer than a busy writer works would never get its turn.
            time.sleep(_LOCK_PAUSE if waited < _LOCK_EAGER_SECONDS else _LOCK_PAUSE_LATER)

    def unlock(self, fd: int) -> None:
        """Give a `flock` back."""
        fcntl.flock(fd, fcntl.LOCK_UN)

    def share(self, fd: int, size: int) -> memoryview:
        """The first bytes of a file as memory that all processes share; they outlive a process that is killed."""
        return memoryview(mmap.mmap(fd, size))

    def stat_at(self, name: str, folder: int) -> os.stat_result:
        """What a name below a folder is; a link is not followed."""
        return os.stat(name, dir_fd=folder, follow_symlinks=False)

    def clone(self, source: int, target: int) -> bool:
        """Make *target* share *source*'s bytes on disk; False where the file system cannot."""
        try:
            fcntl.ioctl(target, _FICLONE, source)
        except OSError:
            return False
        return True


_FICLONE = 0x40049409  # linux/fs.h
