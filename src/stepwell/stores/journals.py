"""The journals of a file store: appends and reads under a lock, and what a killed or failed writer leaves.

A writer holds its bucket's lock from the moment it looks at the log's end until its record is synced: whatever a reader
sees under the shared lock is durable. After a kill the next one to come finds the note, and makes the end durable, or
cuts it, before it goes on. A write that fails is cut again, durably; failing that, a file `cut` says where the journal
ends; failing that too, the outcome is unknown.

An erasure overwrites the log in place. What it is about to write is made durable in a file `redo` first, and whoever
next opens the log writes it again: so no crash leaves a record that is neither what it was nor erased. Removing the
oldest slots writes the rest into a new log, which takes the place of the old one as a whole.

A journal's name is the hash of its tenant and its session in hexadecimal, one behind the other.
"""

from __future__ import annotations

import errno
import heapq
import os
import re
import weakref
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import ormsgpack

from stepwell.errors import CorruptJournal, OutcomeUnknown, StaleStore
from stepwell.stores.base import Remain, SlotTaken
from stepwell.stores.folder import NAME_SIZE, Folder, Lock
from stepwell.stores.log import Log, Tail, empty, erased, erasure, frame
from stepwell.stores.small import checked, unchecked

SESSIONS = "sessions"
LOG = "journal.log"
CUT, REDO, REWRITE = "cut", "redo", "rewrite"
BLOBS = "blobs"
_SESSION = re.compile("[0-9a-f]{32}")
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
            self._settle(lock, name)
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
        if slot < tail.first:
            return SlotTaken()
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

    def erase(self, name: str, slot: int, spans: Sequence[tuple[int, int]]) -> None:
        """See `JournalStore.erase`."""
        with Lock(self._folder, name, exclusive=True) as lock, self._opened(lock, name) as log:
            tail = None if log is None else self._tail(log, cut=True)
            if log is None or tail is None or not tail.first <= slot <= tail.slot:
                raise StaleStore(f"slot {slot} is gone")
            start, size = log.span(slot, tail)
            before = log.frame_at(start, size)
            if erased(before, spans) == before:
                return
            lock.note(name)  # from now on whoever comes next makes sure of it
            pieces = erasure(before, spans, start)
            with self._home(name) as home:
                self._unlink(home, *filter(_may_hold_records, self._files.names(home)))
                self._folder.write_file(REDO, home, checked(ormsgpack.packb(pieces)))
            log.overwrite(pieces)
            self._forget_redo(name)
            lock.finished()

    def remove_below(self, name: str, below: int) -> None:
        """See `JournalStore.remove`: the slots below *below*."""
        with Lock(self._folder, name, exclusive=True) as lock, self._opened(lock, name) as log:
            tail = None if log is None else self._tail(log, cut=True)
            if log is None or tail is None or below > tail.slot:
                raise StaleStore(f"slot {below} is gone")
            if below <= tail.first:
                return
            lock.note(name)  # the new log's name is not durable at once
            with self._home(name) as home:
                self._rewrite(log, tail, below, home)
                self._files.rename(REWRITE, LOG, home)
                self._files.sync(home)
            lock.finished()

    def _rewrite(self, log: Log, tail: Tail, first: int, home: int) -> None:
        fd = self._folder.open_file(REWRITE, home, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        assert fd is not None
        try:
            new = empty(first)
            while new.slot < tail.slot:
                for record in log.records(new.slot + 1, None, tail):
                    data = frame(record, new)
                    self._folder.write_all(fd, data, new.size)
                    new = new.grown(len(data))
            self._files.sync(fd)
        finally:
            self._files.close(fd)

    def remove(self, name: str) -> None:
        """See `JournalStore.remove`: everything, the log first."""
        with Lock(self._folder, name, exclusive=True) as lock:
            if log := self._logs.pop(name, None):
                log.close()
            tenant, session = self._tenant(name), _session(name)
            with self._folder.opened(session, tenant) as home:
                if home is not None:
                    self._empty(home)
                    self._files.remove_folder(session, tenant)
            self._files.sync(tenant)  # in any case: an earlier attempt may have ended before this
            if lock.unfinished() == name:
                lock.finished()

    def _empty(self, home: int) -> None:
        self._unlink(home, LOG)
        self._files.sync(home)
        with self._folder.opened(BLOBS, home) as blobs:
            if blobs is not None:
                self._unlink(blobs, *self._files.names(blobs))
                self._files.remove_folder(BLOBS, home)
        self._unlink(home, *self._files.names(home))

    def _unlink(self, folder: int, *names: str) -> None:
        for name in names:
            try:
                self._files.unlink(name, folder)
            except FileNotFoundError:
                continue  # removed by an earlier attempt

    def names(self, tenant: str, after: str, limit: int) -> list[str]:
        """The sessions of a tenant, by its hash, of which anything is stored."""
        names = self._files.names(self._folder.subfolder(SESSIONS, tenant))
        return heapq.nsmallest(limit, [name for name in names if name > after and _SESSION.fullmatch(name)])

    def remains(self, name: str, place: int) -> Sequence[Remain]:
        """See `JournalStore.remains`."""
        with Lock(self._folder, name, exclusive=False):
            log = self._open(name, make=False)
            if log is None:
                return ()
            try:
                marked = self._readable_mark(name)
                return log.remains(place, log.size if marked is None else min(marked, log.size))
            finally:
                log.close()

    def read(self, name: str, first: int | None, last: int | None) -> Sequence[bytes]:
        """Records from *first* on, see `JournalStore.read`; the last one if that is None."""
        with Lock(self._folder, name, exclusive=False) as lock:
            if lock.unfinished() is None and (name in self._logs or not self._redo_left(name)):
                return self._read(name, first, last)
        with Lock(self._folder, name, exclusive=True) as lock:
            self._settle(lock, name)
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
            found = self._files.stat_at(f"{_session(log.name)}/{LOG}", self._tenant(log.name))
        except (FileNotFoundError, NotADirectoryError):
            found = None
        except BaseException:
            log.close()
            raise
        if found is None or (found.st_dev, found.st_ino, found.st_nlink) != (*log.identity, 1):
            log.close()
            return False
        log.size = found.st_size
        return True

    def _keep(self, log: Log) -> None:
        if len(self._logs) >= LOGS_KEPT_MAX or self._logs.setdefault(log.name, log) is not log:
            log.close()

    def _open(self, name: str, *, make: bool) -> Log | None:
        folder = self._folder.open_folder(_session(name), self._tenant(name), make=make)
        if folder is None:
            return None
        try:
            fd = self._open_file(folder, make=make)
            return None if fd is None else self._log(fd, name)
        finally:
            self._files.close(folder)

    def _log(self, fd: int, name: str) -> Log:
        try:
            return Log(self._folder, fd, name)
        except BaseException:
            self._files.close(fd)
            raise

    def _open_file(self, folder: int, *, make: bool) -> int | None:
        try:
            return self._folder.open_file(LOG, folder, os.O_RDWR | os.O_CREAT if make else os.O_RDWR)
        except OSError as error:
            if make or error.errno not in (errno.EROFS, errno.EACCES):
                raise
            return self._folder.open_file(LOG, folder, os.O_RDONLY)  # a read-only disk can be read

    def _tenant(self, name: str) -> int:
        return self._folder.subfolder(SESSIONS, name[:NAME_SIZE])

    @contextmanager
    def _home(self, name: str) -> Generator[int]:
        """The folder of a journal that is there."""
        with self._folder.opened(_session(name), self._tenant(name)) as home:
            if home is None:
                raise StaleStore("the session's folder was removed")
            yield home

    @contextmanager
    def _opened(self, lock: Lock, name: str) -> Generator[Log | None]:
        """The log of a journal, to be changed; kept open where that succeeds."""
        self._settle(lock, name)
        log = self._take(name, make=False)
        try:
            yield log
        except BaseException:
            if log is not None:
                log.close()
            raise
        if log is not None:
            self._keep(log)

    # Erasures that a crash interrupted

    def _redo_left(self, name: str) -> bool:
        try:
            self._files.stat_at(f"{_session(name)}/{REDO}", self._tenant(name))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _do_again(self, log: Log) -> None:
        """Finish an erasure that was interrupted."""
        with self._home(log.name) as home:
            content = self._folder.read_file(REDO, home)
            if content is None:
                return
            redo = unchecked(content)
            if redo is None:
                raise CorruptJournal(f"the file {REDO} beside the log is damaged")
            self._files.sync(home)  # a killed writer may not have come to that, and the log is about to change
        log.overwrite(ormsgpack.unpackb(redo))
        self._forget_redo(log.name)

    def _forget_redo(self, name: str) -> None:
        with self._folder.opened(_session(name), self._tenant(name)) as home:
            if home is not None:
                self._unlink(home, REDO)
                self._files.sync(home)

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
        with self._folder.opened(_session(name), self._tenant(name)) as folder:
            marker = None if folder is None else self._folder.read_file(CUT, folder)
        if marker is None:
            return None
        if not marker.isdigit():
            raise CorruptJournal(f"the file {CUT} beside the log is damaged")
        return int(marker)

    def _readable_mark(self, name: str) -> int | None:
        try:
            return self._marked_end(name)
        except CorruptJournal:
            return None  # readers are refused; what lies there can be looked at all the same

    def _unmark(self, name: str) -> None:
        with self._home(name) as home:
            self._files.unlink(CUT, home)
            self._files.sync(home)

    def _sync_names(self, name: str) -> None:
        """Make a log's name, and its folder's, durable."""
        with self._home(name) as home:
            self._files.sync(home)
        self._files.sync(self._folder.durable_subfolder(SESSIONS, name[:NAME_SIZE]))

    def _take_back(self, log: Log, size: int) -> None:
        """Cut what a failed write left, durably: only then may the caller hear that nothing was written."""
        try:
            log.cut(size)
        except OSError as failure:
            try:
                with self._home(log.name) as home:
                    self._folder.write_file(CUT, home, str(size).encode())
            except OSError:
                raise OutcomeUnknown("the write failed, and so did taking it back: check the disk") from failure

    def _settle(self, lock: Lock, name: str) -> None:
        """Finish for a writer that was killed, and for one of this journal whose machine was switched off."""
        unfinished = lock.unfinished()
        if unfinished is not None:
            self._settle_one(unfinished)
            lock.finished()
        if name not in self._logs and self._redo_left(name):
            lock.note(name)
            self._settle_one(name)
            lock.finished()

    def _settle_one(self, name: str) -> None:
        log = self._open(name, make=False)
        if log is None:
            self._forget_redo(name)  # of a log that is removed: one that is made anew is not to meet it
            return
        try:
            self._do_again(log)
            self._make_durable(log)
        except CorruptJournal:
            pass  # whoever opens that session is told; others in its bucket are not held up
        finally:
            log.close()

    def _make_durable(self, log: Log) -> None:
        tail = self._tail(log, cut=True)
        if tail.slot >= 0:
            start, last = log.last_frame(tail)
            log.write(last, start)  # written anew: after a failed sync the system may believe it clean
        self._sync_names(log.name)


def _close_all(logs: dict[str, Log]) -> None:
    while logs:
        logs.popitem()[1].close()


def _may_hold_records(name: str) -> bool:
    """Whether a call that was interrupted left a file that holds records as they were before they are erased."""
    return name == REWRITE or name.startswith(f"{REDO}.")


def _session(name: str) -> str:
    return name[NAME_SIZE:]


def _gone(slot: int) -> StaleStore:
    return StaleStore(f"slot {slot - 1} is gone: the session's folder was removed or restored")
