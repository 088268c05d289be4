"""Where the session and the picture go, such that people find them again."""

from __future__ import annotations

import secrets
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from stepwell.cli.terminal import command_line
from stepwell.errors import InvalidRequest, NotSupported, PermissionDenied, StepwellError, Unavailable
from stepwell.sync import Client

FOLDER = "stepwell-demo"
STORE = "sessions"


@dataclass(frozen=True, slots=True)
class Place:
    """A store that can be used, the session's key in it, and the folders for the picture, the best one first."""

    url: str
    key: str
    folders: tuple[Path, ...]

    @property
    def look_again(self) -> str:
        """A shell command that prints the session."""
        program = (
            "\nimport stepwell\n"
            f"with stepwell.Client({_literal(self.url)}) as client:\n"
            f"    for step in client.steps(key={_literal(self.key)}):\n"
            "        print(step.slot, step.invocation_step_time, step.text)\n"
        )
        return f"{shlex.quote(sys.executable)} -c {shlex.quote(program)}"

    @property
    def show_again(self) -> str:
        """The same with the command."""
        return command_line("show", "--key", self.key, url=self.url, tenant=None)


def _literal(text: str) -> str:
    """Python for *text*, in double quotes where that needs no escapes: the shell's are single ones."""
    return f'"{text}"' if text.isprintable() and not set(text) & set('"\\') else repr(text)


def new_key(now: datetime) -> str:
    """The name of an incident, which nobody else takes."""
    return f"INC-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def find(url: str | None, key: str) -> Place:
    """The place for *key*: in *url*'s store, else in a new folder.

    Raises:
        StepwellError: the store, or every folder that was tried, cannot be used; the message says why.
    """
    if url is not None:
        _check(url)
        return Place(url, key, (_beside(url), Path.cwd(), Path(tempfile.gettempdir())))
    return _fresh(key)


def save(picture: bytes, place: Place) -> Path:
    """Write the picture to the first folder that takes it.

    Raises:
        Unavailable: none does.
    """
    refused: OSError | None = None
    for folder in place.folders:
        try:
            return _write(folder / f"{place.key}.png", picture)
        except OSError as error:
            refused = error
    raise Unavailable(f"the picture cannot be saved: {refused}", retryable=False) from refused


def _write(path: Path, picture: bytes) -> Path:
    with path.open("xb") as file:
        file.write(picture)
    return path


def _fresh(key: str) -> Place:
    """A new folder below the working folder, or else below one for temporary files: it need not be writable."""
    refused: StepwellError | None = None
    for folder in _folders(key):
        try:
            folder.mkdir(mode=0o700, parents=True)
            url = f"file:{quote(str(folder / STORE))}"
            _check(url)
        except OSError as error:
            refused = PermissionDenied(f"{folder} cannot be made: {error.strerror}")
        except (NotSupported, PermissionDenied, Unavailable) as error:
            refused = error
        else:
            return Place(url, key, (folder,))
    raise refused or Unavailable("there is no folder to write to")


def _folders(key: str) -> Iterator[Path]:
    yield Path.cwd() / FOLDER / key
    yield Path(tempfile.mkdtemp(prefix=f"{FOLDER}-")) / key


def _check(url: str) -> None:
    if url.startswith("memory:"):
        raise InvalidRequest("url: memory: ends with its process, and the demo has three; use file:./dir")
    with Client(url) as client:
        client.ping()


def _beside(url: str) -> Path:
    """The folder that holds a file store; the working folder for any other."""
    scheme, _, rest = url.partition(":")
    if scheme != "file":
        return Path.cwd()
    return Path(unquote(urlsplit(rest, allow_fragments=False).path)).expanduser().absolute().parent
