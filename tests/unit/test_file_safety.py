"""What a file store does on a disk that fails or is full, in a folder that is not its own, and with planted files."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stepwell.errors import NotFound, OutcomeUnknown, PermissionDenied, StepwellError, Unavailable
from stepwell.io.files import Files
from stepwell.io.ports import Ports
from stepwell.models import Data, Session
from stepwell.stores.base import JournalStore
from stepwell.stores.file import FileStore
from stepwell.sync import Client

ID = "00000000-0000-0000-0000-000000000001"
LARGE = Data(data=os.urandom(200_000))

CHANGES = frozenset({"make_root", "make_folder", "write_at", "truncate", "rename", "unlink", "share"})
NOTHING = frozenset[str]()
SYNCS = frozenset({"sync_data", "sync"})
READS = frozenset({"open_folder", "stat", "read_at", "names", "file_system"})


class FaultyFiles(Files):
    """Some calls fail: from the *first* one on, once or for good. It can be repaired."""

    def __init__(self, code: int, calls: frozenset[str], *, first: int = 0, once: bool = False) -> None:
        self.code, self.calls, self.left, self.once = code, calls, first, once
        self.failed = 0

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name in super().__getattribute__("calls"):
            self.meet(name)
        return super().__getattribute__(name)

    def meet(self, call: str) -> None:
        self.left -= 1
        if self.left < 0 and not (self.once and self.failed):
            self.failed += 1
            raise OSError(self.code, f"simulated in {call}")

    def open(self, name: str, folder: int, flags: int) -> int:
        if flags & (os.O_RDWR | os.O_CREAT) and self.calls & CHANGES:
            self.meet("open")
        return super().open(name, folder, flags)

    def repair(self) -> None:
        self.calls = NOTHING


class LeapingClock:
    """A minute passes at every look, so that nothing is tried again for long."""

    def __init__(self) -> None:
        self.now = 1_900_000_000_000_000

    def wall(self) -> int:
        self.now += 60_000_000
        return self.now

    boot = wall


@contextmanager
def client_with(root: Path, files: Files | None = None) -> Generator[Client]:
    def open_store(ports: Ports) -> JournalStore:
        return FileStore(str(root), ports if files is None else replace(ports, files=files))

    with Client.from_store(open_store, clock=None if files is None else LeapingClock()) as client:
        yield client


def filled(root: Path) -> str:
    """A session with everything that a store keeps."""
    with client_with(root) as client:
        session = client.create_session(key="there", metadata={"m": "1"}, tags={"t": "1"}).session_id
        client.put_invocation_step(session, ID, ["said", LARGE], create_invocation=True)
        return session


def tree(root: Path) -> dict[str, bytes | None]:
    """Everything below a folder but the locks."""
    paths = (path for path in root.rglob("*") if path.parent.name != "locks")
    return {str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in paths}


Operation = Callable[[Client, str], object]

READING: dict[str, Operation] = {
    "get_session": lambda c, s: c.get_session(s),
    "get_session by key": lambda c, s: c.get_session(key="there"),
    "list_sessions": lambda c, s: c.list_sessions(),
    "list_invocations": lambda c, s: c.list_invocations(s),
    "list_invocation_steps": lambda c, s: c.list_invocation_steps(s),
    "steps": lambda c, s: list(c.steps(s)),
}
WRITING: dict[str, Operation] = {
    "create_session": lambda c, s: c.create_session(key="new"),
    "put_invocation_step": lambda c, s: c.put_invocation_step(s, ID, "more"),
    "put_invocation_step with a blob": lambda c, s: c.put_invocation_step(s, ID, ["more", LARGE]),
    "create_invocation": lambda c, s: c.create_invocation(s),
    "update_session": lambda c, s: c.update_session(s, {"m": "2"}),
    "tag_resource": lambda c, s: c.tag_resource(s, {"t": "2"}),
    "fork": lambda c, s: c.fork(s, key="forked"),
    "end_session": lambda c, s: c.end_session(s),
    "delete_session": lambda c, s: c.delete_session(s, end=True),
}


def refusal(operation: Operation, client: Client, session: str) -> StepwellError | None:
    try:
        operation(client, session)
    except StepwellError as error:
        return error
    return None


# Disks


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        (errno.EROFS, PermissionDenied, "Read-only"),
        (errno.EACCES, PermissionDenied, "Permission"),
        (errno.ENOSPC, Unavailable, "free some space"),
        (errno.EDQUOT, Unavailable, "free some space"),
        (errno.EFBIG, Unavailable, "free some space"),
        (errno.EIO, Unavailable, "EIO"),
        (errno.EMFILE, Unavailable, "ulimit"),
        (errno.ENFILE, Unavailable, "ulimit"),
    ],
)
@pytest.mark.parametrize("name", WRITING)
def test_a_write_that_the_system_refuses_is_told_and_changes_nothing(
    name: str, code: int, kind: type[StepwellError], says: str, tmp_path: Path
) -> None:
    session = filled(tmp_path / "s")
    before = tree(tmp_path / "s")
    with client_with(tmp_path / "s", FaultyFiles(code, CHANGES)) as client:
        error = refusal(WRITING[name], client, session)
    assert error is not None
    assert type(error) is kind
    assert says in str(error)
    assert error.operation == name.split(maxsplit=1)[0]
    assert isinstance(error.__cause__, OSError)
    assert error.retryable == (code in (errno.EMFILE, errno.ENFILE))
    assert tree(tmp_path / "s") == before


def test_a_read_only_disk_can_be_read(tmp_path: Path) -> None:
    session = filled(tmp_path / "s")
    with client_with(tmp_path / "s") as client:
        wanted = {name: operation(client, session) for name, operation in READING.items()}
    with client_with(tmp_path / "s", FaultyFiles(errno.EROFS, CHANGES | SYNCS)) as client:
        assert {name: operation(client, session) for name, operation in READING.items()} == wanted
        with pytest.raises(PermissionDenied):
            client.ping()


def test_a_new_store_on_a_read_only_disk_is_refused(tmp_path: Path) -> None:
    with client_with(tmp_path / "s", FaultyFiles(errno.EROFS, CHANGES)) as client:
        for name, operation in (READING | WRITING).items():
            error = refusal(operation, client, ID)
            assert type(error) is PermissionDenied
            assert error.operation == name.split(maxsplit=1)[0]
    assert not (tmp_path / "s").exists()


def test_reading_from_a_disk_that_fails_is_told(tmp_path: Path) -> None:
    session = filled(tmp_path / "s")
    with client_with(tmp_path / "s", FaultyFiles(errno.EIO, READS)) as client:
        for name, operation in (READING | WRITING).items():
            error = refusal(operation, client, session)
            assert type(error) in (Unavailable, OutcomeUnknown)
            assert error is not None
            assert error.operation == name.split(maxsplit=1)[0]


def test_a_client_goes_on_once_there_is_space_again(tmp_path: Path) -> None:
    session = filled(tmp_path / "s")
    files = FaultyFiles(errno.ENOSPC, CHANGES)
    with client_with(tmp_path / "s", files) as client:
        for _ in range(3):
            with pytest.raises(Unavailable):
                client.put_invocation_step(session, ID, "refused")
        files.repair()
        client.put_invocation_step(session, ID, "accepted")
        assert [step.text for step in client.steps(session)] == ["said", "accepted"]


def outcome(root: Path) -> list[tuple[str, ...]]:
    """All that somebody who was not there can read, by key and in the list, which readers mend."""
    with client_with(root) as client:
        named = [found(client, key=key) for key in ("there", "new", "forked")]
        for shown in client.sessions():
            found(client, shown.session_id)
        listed = [client.get_session(shown.session_id) for shown in client.sessions()]
        assert {session.session_id for session in listed} == {each.session_id for each in named if each}
        return [told(client, session) for session in listed]


def found(client: Client, session: str | None = None, *, key: str | None = None) -> Session | None:
    try:
        return client.get_session(session, key=key)
    except NotFound:
        return None


def told(client: Client, session: Session) -> tuple[str, ...]:
    texts = [step.text for step in client.steps(session.session_id)]
    invocations = client.list_invocations(session.session_id, max_results=100).items
    marks = [*session.metadata.values(), *(session.tags or {}).values()]
    return (session.key or "", session.session_status, *marks, *texts, str(len(invocations)))


@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("name", WRITING)
def test_whichever_call_fails_a_write_is_whole_or_absent_and_the_next_one_succeeds(
    name: str, once: bool, tmp_path: Path
) -> None:
    session = filled(tmp_path / "origin")
    absent = outcome(tmp_path / "origin")
    shutil.copytree(tmp_path / "origin", tmp_path / "done")
    with client_with(tmp_path / "done") as client:
        WRITING[name](client, session)
    whole = outcome(tmp_path / "done")
    assert whole != absent
    kinds: set[type[StepwellError] | None] = set()
    for first in range(200):
        root = tmp_path / f"{first}"
        shutil.copytree(tmp_path / "origin", root)
        files = FaultyFiles(errno.EIO, CHANGES | SYNCS, first=first, once=once)
        with client_with(root, files) as client:
            error = refusal(WRITING[name], client, session)
        kinds.add(None if error is None else type(error))
        allowed: dict[type[StepwellError] | None, list[list[tuple[str, ...]]]] = {
            None: [whole],
            OutcomeUnknown: [whole, absent],
            Unavailable: [absent],
        }
        assert outcome(root) in allowed[None if error is None else type(error)]
        with client_with(root) as client:
            assert client.create_session(key="later").key == "later"
        shutil.rmtree(root)
        if not files.failed:
            break
    assert None in kinds
    assert Unavailable in kinds


def test_the_shared_notes_have_their_place_on_the_disk(tmp_path: Path) -> None:
    """Memory that is mapped from a file with holes kills the process when the disk is full."""
    filled(tmp_path / "s")
    found = (tmp_path / "s" / "locks" / "notes").stat()
    assert found.st_blocks * 512 >= found.st_size


FULL_DISK = """
import sys, stepwell
client = stepwell.Client("file:" + sys.argv[1])
made = []
try:
    while len(made) < 1000:
        made.append(client.create_session().session_id)
except stepwell.StepwellError as error:
    print(type(error).__name__)
other = stepwell.Client("file:" + sys.argv[1])
for _ in range(50):
    try:
        other.create_session()
    except stepwell.StepwellError:
        pass
print(sorted(made) == sorted(other.get_session(id_).session_id for id_ in made))
"""


@pytest.mark.faults
def test_a_disk_that_is_full_is_told_and_what_was_written_can_be_read(tmp_path: Path) -> None:
    mounted = f"mount -t tmpfs -o size=200k tmpfs {tmp_path} && "
    within = ["unshare", "--mount", "sh", "-c"]
    if subprocess.run([*within, f"{mounted} true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs more rights")
    program = f'{mounted} exec "{sys.executable}" -c "$0" {tmp_path}/s'
    ran = subprocess.run([*within, program, FULL_DISK], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.split()) == (0, ["Unavailable", "True"]), ran.stderr


# Folders of others


def test_what_is_made_is_for_its_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        filled(tmp_path / "above" / "further" / "s")
    finally:
        os.umask(before)
    modes = {path: path.stat().st_mode & 0o777 for path in (tmp_path / "above").rglob("*")}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert (tmp_path / "above").stat().st_mode & 0o022 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    session = filled(tmp_path / "s")
    os.chown(tmp_path / "s", 12_345, 12_345)
    before = tree(tmp_path / "s")
    assert_refused_by_all(tmp_path / "s", session, "belongs to another user")
    assert tree(tmp_path / "s") == before


@pytest.mark.parametrize("mode", [0o770, 0o720, 0o702, 0o777, 0o1777])
def test_a_folder_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    session = filled(tmp_path / "s")
    (tmp_path / "s").chmod(mode)
    before = tree(tmp_path / "s")
    assert_refused_by_all(tmp_path / "s", session, "chmod go-w")
    assert tree(tmp_path / "s") == before


def assert_refused_by_all(root: Path, session: str, says: str) -> None:
    with client_with(root) as client:
        for name, operation in (READING | WRITING).items():
            error = refusal(operation, client, session)
            assert type(error) is PermissionDenied
            assert says in str(error)
            assert error.operation == name.split(maxsplit=1)[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("part", ["sessions", "keys", "entries", "locks"])
def test_a_file_of_somebody_else_is_refused(tmp_path: Path, part: str) -> None:
    session = filled(tmp_path / "s")
    for path in (tmp_path / "s" / part).rglob("*"):
        if path.is_file():
            os.chown(path, 12_345, 12_345)
    with client_with(tmp_path / "s") as client:
        refused = {type(refusal(operation, client, session)) for operation in (READING | WRITING).values()}
    assert PermissionDenied in refused
    assert refused <= {PermissionDenied, type(None), NotFound}


# Planted files


def _link(path: Path, outside: Path) -> None:
    path.rename(outside)
    path.symlink_to(outside)


def _hard_link(path: Path, outside: Path) -> None:
    outside.hardlink_to(path)


def _fifo(path: Path, outside: Path) -> None:
    path.rename(outside)
    os.mkfifo(path, 0o600)


def _folder(path: Path, outside: Path) -> None:
    path.rename(outside)
    path.mkdir(0o700)


def _file(path: Path, outside: Path) -> None:
    path.rename(outside)
    path.write_bytes(b"")
    path.chmod(0o600)


def _dangling(path: Path, outside: Path) -> None:
    path.rename(outside)
    path.symlink_to(outside.with_name("nowhere"))


FILES = {"link": _link, "hard link": _hard_link, "fifo": _fifo, "folder": _folder, "dangling link": _dangling}
FOLDERS = {"link": _link, "fifo": _fifo, "file": _file, "dangling link": _dangling}
PARTS = {
    "root": ".",
    "locks": "locks",
    "a lock": "locks/[0-9a-f]??",
    "notes": "locks/notes",
    "sessions": "sessions",
    "a tenant's sessions": "sessions/*",
    "a session": "sessions/*/*",
    "a journal": "sessions/*/*/journal.log",
    "blobs": "sessions/*/*/blobs",
    "a blob": "sessions/*/*/blobs/*",
    "keys": "keys",
    "a tenant's keys": "keys/*",
    "a key": "keys/*/*",
    "entries": "entries",
    "a tenant's entries": "entries/*",
    "an entry": "entries/*/*",
}
IS_FILE = {"a lock", "notes", "a journal", "a blob", "a key", "an entry"}
PLANTS = [(part, kind) for part in PARTS for kind in (FILES if part in IS_FILE else FOLDERS)]


@pytest.mark.parametrize(("part", "kind"), PLANTS)
def test_what_somebody_planted_is_refused_and_leads_nowhere(part: str, kind: str, tmp_path: Path) -> None:
    root, outside = tmp_path / "s", tmp_path / "outside"
    session = filled(root)
    outside.mkdir()
    plant = (FILES if part in IS_FILE else FOLDERS)[kind]
    for at, path in enumerate([root] if part == "root" else sorted(root.glob(PARTS[part]))):
        plant(path, outside / str(at))
    before = tree(outside)
    assert before
    began = time.monotonic()
    refused: dict[str, type[StepwellError] | None] = {}
    for name, operation in (READING | WRITING).items():
        with client_with(root) as client:
            error = refusal(operation, client, session)
            refused[name] = None if error is None else type(error)
            assert error is None or error.operation == name.split(maxsplit=1)[0]
    expected: set[type[StepwellError] | None] = {PermissionDenied, *([Unavailable] if kind == "folder" else [])}
    assert expected & set(refused.values())
    # A delete that cannot write its audit record is durable all the same.
    assert set(refused.values()) <= expected | {NotFound, OutcomeUnknown, None}
    assert [name for name, kind in refused.items() if kind is OutcomeUnknown] in ([], ["delete_session"])
    assert tree(outside) == before
    assert not (outside / "nowhere").exists()
    assert time.monotonic() - began < 10


def test_a_folder_that_a_link_leads_to_can_be_above_the_store(tmp_path: Path) -> None:
    """Only what lies in the store must be its own: homes and temporary folders are often behind links."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    session = filled(tmp_path / "link" / "s")
    with client_with(tmp_path / "real" / "s") as client:
        assert client.get_session(session).key == "there"
