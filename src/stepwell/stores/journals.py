"""The journals of a file store: appends and reads under a lock, and what a killed or failed writer leaves.

A writer holds its bucket's lock from the moment it looks at the log's end until its record is synced: whatever a reader
sees under the shared lock is durable. After a kill the next one to come finds the note, and makes the end durable, or
cuts it, before it goes on. A write that fails is cut again, durably; failing that, a file `cut` says where the journal
ends; failing that too, the outcome is unknown.
"""

from __future__ import annotations

import errno
import os
import weakref
from collections.abc import Sequence

from stepwell.errors import CorruptJournal, OutcomeUnknown, StaleStore
from stepwell.stores.base import SlotTaken
from stepwell.stores.folder import Folder, Lock
from stepwell.stores.log import Log, Tail, frame

SESSIONS = "sessions"
LOG = "journal.log"
CUT = "cut"
LOGS_KEPT_MAX = 32
"""Logs that are kept open for the next use."""


class Journals:
    """The logs below one folder, by name."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._files = folder.files
        self._logs: dict[str, Log] = {}
        weakref.finalize(self, _close_all, self._logs)  # for a client that nobody closed

    def close(self) -> None:
        """Close what is kept open."""
        _close_all(self._logs)

    def append(self, name: str, slot: int, record: bytes) -> SlotTaken | None:
        """See `JournalStore.append`."""
        with Lock(self._folder, name, exclusive=True) as lock:
            self._settle(lock)
            log = self._take(name, make=slot == 0)
            if log is None:
                raise _gone(slot)
            try:
                taken = self._append(log, lock, slot, record)
            except BaseException:
                log.close()
                raise
            self._keep(log)
            return taken

    def _append(self, log: Log, lock: Lock, slot: int, record: bytes) -> SlotTaken | None:
        tail = self._tail(log, cut=True)
        if slot <= tail.slot:
            return SlotTaken(log.record_at(slot, tail))
        if slot > tail.slot + 1:
            raise _gone(slot)
        data = frame(record, tail)
        lock.note(log.name)  # it stays where the write fails: whoever comes next makes sure of the end
        try:
            log.write(data, tail.size)
            if tail.slot < 0:
                self._sync_names(log.name)
        except BaseException:
            self._take_back(log, tail.size)
            raise
        lock.finished()
        log.known = tail.grown(len(data))
        return None

    def read(self, name: str, first: int | None, last: int | None) -> Sequence[bytes]:
        """Records from *first* on, see `JournalStore.read`; the last one if that is None."""
        with Lock(self._folder, name, exclusive=False) as lock:
            if lock.unfinished() is None:
                return self._read(name, first, last)
        with Lock(self._folder, name, exclusive=True) as lock:
            self._settle(lock)
            return self._read(name, first, last)

    def _read(self, name: str, first: int | None, last: int | None) -> Sequence[bytes]:
        log = self._take(name, make=False)
        if log is None:
            return ()
        try:
            tail = self._tail(log, cut=False)
            records = log.records(tail.slot if first is None else first, last, tail) if tail.slot >= 0 else ()
        except BaseException:
            log.close()
            raise
        self._keep(log)
        return records

    # Open logs. One that is in use is in nobody else's hands: it is not among those that are kept.

    def _take(self, name: str, *, make: bool) -> Log | None:
        log = self._logs.pop(name, None)
        if log is None or not self._still_there(log):
            log = self._open(name, make=make)
        return log

    def _still_there(self, log: Log) -> bool:
        """Whether the open file is still the one by its name; if it is, its size is up to date, else it is closed."""
        try:
            found = self._files.stat_at(f"{log.name}/{LOG}", self._folder.subfolder(SESSIONS))
        except (FileNotFoundError, NotADirectoryError):
            found = None
        if found is None or (found.st_dev, found.st_ino, found.st_nlink) != (*log.identity, 1):
            log.close()
            return False
        log.size = found.st_size
        return True

    def _keep(self, log: Log) -> None:
        if len(self._logs) >= LOGS_KEPT_MAX or self._logs.setdefault(log.name, log) is not log:
            log.close()

    def _open(self, name: str, *, make: bool) -> Log | None:
        folder = self._folder.open_folder(name, self._folder.subfolder(SESSIONS), make=make)
        if folder is None:
            return None
        try:
            fd = self._open_file(folder, make=make)
            return None if fd is None else Log(self._folder, fd, name)
        finally:
            self._files.close(folder)

    def _open_file(self, folder: int, *, make: bool) -> int | None:
        try:
            return self._folder.open_file(LOG, folder, os.O_RDWR | os.O_CREAT if make else os.O_RDWR)
        except OSError as error:
            if make or error.errno not in (errno.EROFS, errno.EACCES):
                raise
            return self._folder.open_file(LOG, folder, os.O_RDONLY)  # a read-only disk can be read

    # Ends of logs

    def _tail(self, log: Log, *, cut: bool) -> Tail:
        """The end of a log; with *cut*, what lies behind it is removed, durably."""
        if log.known is not None and log.ends_at(log.known):
            return log.known
        marked = self._marked_end(log.name)
        end = log.size if marked is None else min(marked, log.size)
        tail = log.tail(end)
        if cut and (marked is not None or log.used() > tail.size):
            log.cut(tail.size)
        if cut and marked is not None:
            self._unmark(log.name)
        log.known = tail if log.used() == tail.size else None
        return tail

    def _marked_end(self, name: str) -> int | None:
        with self._folder.opened(name, self._folder.subfolder(SESSIONS)) as folder:
            marker = None if folder is None else self._folder.read_file(CUT, folder)
        if marker is None:
            return None
        if not marker.isdigit():
            raise CorruptJournal(f"the file {CUT} beside the log is damaged")
        return int(marker)

    def _unmark(self, name: str) -> None:
        with self._folder.opened(name, self._folder.subfolder(SESSIONS)) as folder:
            if folder is not None:
                self._files.unlink(CUT, folder)
                self._files.sync(folder)

    def _sync_names(self, name: str) -> None:
        """Make a log's name, and its folder's, durable."""
        sessions = self._folder.subfolder(SESSIONS)
        with self._folder.opened(name, sessions) as folder:
            if folder is not None:
                self._files.sync(folder)
        self._files.sync(sessions)

    def _take_back(self, log: Log, size: int) -> None:
        """Cut what a failed write left, durably: only then may the caller hear that nothing was written."""
        try:
            log.cut(size)
        except OSError as failure:
            try:
                with self._folder.opened(log.name, self._folder.subfolder(SESSIONS)) as folder:
                    if folder is not None:
                        self._folder.write_file(CUT, folder, str(size).encode())
            except OSError:
                raise OutcomeUnknown("the write failed, and so did taking it back: check the disk") from failure

    def _settle(self, lock: Lock) -> None:
        """Finish for a writer that was killed."""
        name = lock.unfinished()
        if name is None:
            return
        log = self._open(name, make=False)
        if log is not None:
            try:
                self._make_durable(log)
            except CorruptJournal:
                pass  # whoever opens that session is told; others in its bucket are not held up
            finally:
                log.close()
        lock.finished()

    def _make_durable(self, log: Log) -> None:
        tail = self._tail(log, cut=True)
        if tail.slot >= 0:
            start, last = log.last_frame(tail)
            log.write(last, start)  # written anew: after a failed sync the system may believe it clean
        self._sync_names(log.name)


def _close_all(logs: dict[str, Log]) -> None:
    while logs:
        logs.popitem()[1].close()


def _gone(slot: int) -> StaleStore:
    return StaleStore(f"slot {slot - 1} is gone: the session's folder was removed or restored")
