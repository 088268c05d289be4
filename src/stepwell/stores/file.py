"""A local folder as a store: one append-only log per session, durable when an append returns.

    locks/BUCKET                    flock; locks/notes, whose write is under way (folder.py)
    sessions/TENANT/SESSION/…       journal.log (journals.py, log.py); blobs/HEX, or HEX.blank, beside it
    keys/TENANT/NAME                key -> session
    entries/TENANT/SESSION          what lists show; the names, UUIDv7, sort by creation

NAME and TENANT are hashes, and session ids are hexadecimal: nothing that a caller makes up reaches a path. All files
but logs are written whole, synced and renamed.
"""

from __future__ import annotations

import base64
import errno
import heapq
import re
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from typing import ParamSpec, TypeVar

from stepwell.errors import CorruptJournal
from stepwell.io.ports import Ports
from stepwell.stores.base import JournalId, ListingEntry, Remain, SlotTaken
from stepwell.stores.folder import NAME_SIZE, Folder, Lock, translated
from stepwell.stores.journals import BLOBS, SESSIONS, Journals
from stepwell.stores.small import entry_data, entry_of, key_data, key_session

P = ParamSpec("P")
T = TypeVar("T")

NAMES_REMEMBERED_MAX = 4096
BLANK = ".blank"
"""Behind the name of a blob: an empty file that keeps the name taken."""


class FileStore:
    """See the module. *network*: accept a network file system whose locks are known to work."""

    inline_bytes = 64 * 1024
    forgets = False
    sees_gaps = True
    server_time: int | None = None
    copies: tuple[str, ...] = (
        "snapshots and backups of the disk",
        "blocks of the disk that were freed and not yet written anew",
        "blocks that an SSD or a copy-on-write file system keeps",
    )

    def __init__(self, path: str, ports: Ports, *, network: bool = False) -> None:
        self.name = f"file:{path}"
        self._folder = Folder(path, ports, network=network)
        self._files = ports.files
        self._tasks = ports.tasks
        self._journals = Journals(self._folder)
        self._durable_keys: dict[str, bytes] = {}

    async def append(self, journal: JournalId, slot: int, record: bytes) -> SlotTaken | None:
        """See `JournalStore`."""
        return await self._run(self._journals.append, _journal_name(journal), slot, record)

    async def head(self, journal: JournalId) -> bytes | None:
        """See `JournalStore`."""
        records = await self._run(self._journals.read, _journal_name(journal), None, None)
        return records[-1] if records else None

    async def read(self, journal: JournalId, first: int, last: int | None = None) -> Sequence[bytes]:
        """See `JournalStore`."""
        return await self._run(self._journals.read, _journal_name(journal), first, last)

    def check_blob(self, size: int) -> None:
        """Any will do."""

    async def put_blob(self, journal: JournalId, name: str, data: bytes) -> None:
        """See `JournalStore`."""
        await self._run(self._put_blob, _journal_name(journal), name, data)

    async def get_blob(self, journal: JournalId, name: str) -> bytes:
        """See `JournalStore`."""
        return await self._run(self._get_blob, _journal_name(journal), name)

    async def copy_blob(self, source: JournalId, name: str, target: JournalId) -> None:
        """See `JournalStore`."""
        await self._run(self._copy_blob, _journal_name(source), name, _journal_name(target))

    async def erase(self, journal: JournalId, slot: int, spans: Sequence[tuple[int, int]]) -> None:
        """See `JournalStore`."""
        await self._run(self._journals.erase, _journal_name(journal), slot, spans)

    async def remove(self, journal: JournalId, below: int | None = None) -> None:
        """See `JournalStore`."""
        if below is None:
            await self._run(self._journals.remove, _journal_name(journal))
        else:
            await self._run(self._journals.remove_below, _journal_name(journal), below)

    async def journals(self, tenant: str, after: bytes | None, limit: int) -> Sequence[bytes]:
        """See `JournalStore`."""
        names = await self._run(self._journals.names, _name(tenant), "" if after is None else after.hex(), limit)
        return [bytes.fromhex(name) for name in names]

    async def blobs(self, journal: JournalId) -> Sequence[str]:
        """See `JournalStore`."""
        return await self._run(self._list_blobs, _journal_name(journal))

    async def blank_blob(self, journal: JournalId, name: str) -> None:
        """See `JournalStore`."""
        await self._run(self._blank_blob, _journal_name(journal), name)

    async def remove_blob(self, journal: JournalId, name: str) -> None:
        """See `JournalStore`."""
        await self._run(self._remove_blob, _journal_name(journal), name)

    async def remains(self, journal: JournalId, place: int) -> Sequence[Remain]:
        """See `JournalStore`; a place is an offset in the log."""
        return await self._run(self._journals.remains, _journal_name(journal), place)

    async def keep(self, journal: JournalId, until: int) -> None:
        """Nothing expires by itself."""

    async def get_key(self, tenant: str, key: str) -> bytes | None:
        """See `JournalStore`."""
        return await self._run(self._get_key, tenant, key)

    async def swap_key(self, tenant: str, key: str, session: bytes | None, *, expected: bytes | None) -> bytes | None:
        """See `JournalStore`."""
        return await self._run(self._swap_key, tenant, key, session, expected)

    async def put_entry(self, listing: str, entry: ListingEntry) -> None:
        """See `JournalStore`."""
        await self._run(self._put_entry, listing, entry)

    async def get_entry(self, listing: str, session: bytes) -> ListingEntry | None:
        """See `JournalStore`."""
        return await self._run(self._get_entry, listing, session)

    async def remove_entry(self, listing: str, session: bytes) -> None:
        """See `JournalStore`."""
        await self._run(self._remove_entry, listing, session)

    async def entries(self, listing: str, before: bytes | None, limit: int) -> Sequence[ListingEntry]:
        """See `JournalStore`."""
        return await self._run(self._entries, listing, before, limit)

    async def encrypts_with(self, key_arn: str) -> bool:
        """Nothing is encrypted here; the disk below may be."""
        return False

    async def ping(self) -> None:
        """Whether the folder is there, ours, and can be locked."""
        await self._run(self._ping)

    async def aclose(self) -> None:
        """Close what was kept open."""
        await self._run(self._close)

    async def _run(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await self._tasks.run(call, *args, **kwargs)
        except OSError as error:
            raise translated(error, f"{call.__name__.strip('_')} in {self.name}") from error

    # Blobs

    def _put_blob(self, name: str, blob: str, data: bytes) -> None:
        with self._free(name, blob) as folder:
            if folder is not None:
                # What lies there is the same, but may not be durable: it is written anew.
                self._folder.write_file(blob, folder, data)

    def _get_blob(self, name: str, blob: str) -> bytes:
        with self._blobs(name, make=False) as folder:
            data = None if folder is None else self._folder.read_file(blob, folder)
            if data is None:
                raise CorruptJournal("a blob is gone")
            return data

    def _list_blobs(self, name: str) -> list[str]:
        with self._blobs(name, make=False) as folder:
            names = [] if folder is None else self._files.names(folder)
            return list({name.removesuffix(BLANK) for name in names})

    def _blank_blob(self, name: str, blob: str) -> None:
        with Lock(self._folder, blob, exclusive=True), self._blobs(name, make=True) as folder:
            assert folder is not None
            self._folder.write_file(blob + BLANK, folder, b"")  # first: from here on no put writes
            names = self._files.names(folder)  # also what a put that failed may have left
            self._unlink(folder, *(each for each in names if each.partition(".")[0] == blob and each != blob + BLANK))

    def _remove_blob(self, name: str, blob: str) -> None:
        with self._blobs(name, make=False) as folder:
            if folder is not None:
                self._unlink(folder, blob, blob + BLANK)

    def _unlink(self, folder: int, *names: str) -> None:
        for name in names:
            try:
                self._files.unlink(name, folder)
            except FileNotFoundError:
                continue  # removed before, though perhaps not durably
        self._files.sync(folder)

    def _copy_blob(self, source: str, blob: str, target: str) -> None:
        with self._blobs(source, make=False) as here, self._free(target, blob) as there:
            if there is not None and (here is None or not self._folder.clone_file(blob, here, there)):
                self._folder.write_file(blob, there, self._get_blob(source, blob))

    @contextmanager
    def _free(self, name: str, blob: str) -> Generator[int | None]:
        """The folder to write a blob into; None where it is blank. Nobody blanks it inside `with`."""
        with Lock(self._folder, blob, exclusive=True), self._blobs(name, make=True) as folder:
            assert folder is not None
            yield folder if self._folder.read_file(blob + BLANK, folder) is None else None

    @contextmanager
    def _blobs(self, name: str, *, make: bool) -> Generator[int | None]:
        tenant = self._folder.subfolder(SESSIONS, name[:NAME_SIZE])
        with self._folder.opened(name[NAME_SIZE:], tenant, make=make) as folder:
            if folder is None:
                yield None
                return
            with self._folder.opened(BLOBS, folder, make=make) as blobs:
                yield blobs

    # Keys and entries

    def _get_key(self, tenant: str, key: str) -> bytes | None:
        name, folder = _name(tenant, key), self._folder.subfolder("keys", _name(tenant))
        found = self._key(name, folder, key)
        if found is not None and self._durable_keys.get(name) != found:
            self._make_durable(folder)  # whoever wrote it may have been killed before it was
            if len(self._durable_keys) >= NAMES_REMEMBERED_MAX:
                self._durable_keys.clear()
            self._durable_keys[name] = found
        return found

    def _make_durable(self, folder: int) -> None:
        try:
            self._files.sync(folder)
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EINVAL):  # what cannot be written is durable already
                raise

    def _swap_key(self, tenant: str, key: str, session: bytes | None, expected: bytes | None) -> bytes | None:
        name = _name(tenant, key)
        with Lock(self._folder, name, exclusive=True):
            folder = self._folder.subfolder("keys", _name(tenant))
            former = self._key(name, folder, key)
            if former == expected and session is None:
                self._unlink(folder, name)
            elif former == expected and session is not None:
                folder = self._folder.durable_subfolder("keys", _name(tenant))
                self._folder.write_file(name, folder, key_data(key, session))
            return former

    def _key(self, name: str, folder: int, key: str) -> bytes | None:
        data = self._folder.read_file(name, folder)
        return None if data is None else key_session(key, data)

    def _put_entry(self, tenant: str, entry: ListingEntry) -> None:
        name = entry.session.hex()
        with Lock(self._folder, _name(tenant, name), exclusive=True):
            folder = self._folder.subfolder("entries", _name(tenant))
            former = self._entry(name, folder)
            if former is None or former.version <= entry.version:
                folder = self._folder.durable_subfolder("entries", _name(tenant))
                self._folder.write_file(name, folder, entry_data(entry))

    def _remove_entry(self, listing: str, session: bytes) -> None:
        with Lock(self._folder, _name(listing, session.hex()), exclusive=True):
            self._unlink(self._folder.subfolder("entries", _name(listing)), session.hex())

    def _get_entry(self, tenant: str, session: bytes) -> ListingEntry | None:
        return self._entry(session.hex(), self._folder.subfolder("entries", _name(tenant)))

    def _entry(self, name: str, folder: int) -> ListingEntry | None:
        data = self._folder.read_file(name, folder)
        return None if data is None else entry_of(bytes.fromhex(name), data)

    def _entries(self, tenant: str, before: bytes | None, limit: int) -> Sequence[ListingEntry]:
        folder = self._folder.subfolder("entries", _name(tenant))
        below = None if before is None else before.hex()
        names = (n for n in self._files.names(folder) if _ENTRY.fullmatch(n) and (below is None or n < below))
        newest = heapq.nlargest(limit, names)
        return [entry for entry in (self._entry(name, folder) for name in newest) if entry is not None]

    def _ping(self) -> None:
        with Lock(self._folder, "ping", exclusive=True):
            self._folder.subfolder(SESSIONS)

    def _close(self) -> None:
        self._journals.close()
        self._folder.close()


_ENTRY = re.compile("[0-9a-f]{32}")


@lru_cache(maxsize=NAMES_REMEMBERED_MAX)
def _name(*parts: str) -> str:
    digest = sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return base64.b32encode(digest.digest()[: NAME_SIZE * 5 // 8]).decode().lower()


def _journal_name(journal: JournalId) -> str:
    return _name(journal.tenant) + journal.session.hex()
