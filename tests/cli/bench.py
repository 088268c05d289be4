"""What the tests of the commands work with: a store with sessions in it, and the command, in here or as a process."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

import stepwell
from stepwell.cli.app import app

HOSTILE = "\x1b]0;owned\x07[bold red]x[/] :boom: \u202e\r\n\t\x9b31m\x1b[31m"
HARM = ("\x1b", "\x07", "\x9b", "\u202e", "\r")
PROGRAM = (sys.executable, "-c", "from stepwell.cli import main; main()")
NOWHERE = "01980000-0000-7000-8000-000000000000"


@dataclass(frozen=True)
class Bench:
    """A store below *folder*."""

    folder: Path

    @property
    def url(self) -> str:
        """The store's."""
        return f"file:{self.folder}/sessions"

    @property
    def environment(self) -> dict[str, str]:
        """For a process of its own."""
        return os.environ | {"PYTHONPATH": str(Path(stepwell.__file__).parents[1]), "STEPWELL_URL": self.url}

    def open(self, tenant: str | None = None) -> stepwell.Client:
        """A client."""
        return stepwell.Client(self.url, tenant=tenant)

    def run(self, *words: str, typed: str | None = None, **environment: str) -> Result:
        """The command, in this process."""
        return CliRunner().invoke(app, words, input=typed, env={"STEPWELL_URL": self.url, **environment})

    def start(self, *words: str) -> subprocess.Popen[str]:
        """The command as a process."""
        pipe = subprocess.PIPE
        return subprocess.Popen([*PROGRAM, *words], env=self.environment, stdout=pipe, stderr=pipe, text=True)

    def filled(self, key: str | None = "INC-7", *, steps: int = 3, text: str = "step", invocations: int = 1) -> str:
        """The id of a new session with so many steps in each of its invocations."""
        with self.open() as client:
            session = client.create_session(key=key, metadata={"service": text}, tags={"team": text})
            for _ in range(invocations):
                invocation = client.create_invocation(session.session_id)
                for number in range(steps):
                    content: list[str | stepwell.Image | stepwell.Data] = [
                        f"{text} {number}",
                        stepwell.Image(format="png", data=b"pixels"),
                        stepwell.Data(data=b"\0\1"),
                    ]
                    client.put_invocation_step(session.session_id, invocation.invocation_id, content)
            return session.session_id

    def damage(self) -> None:
        """Flip a bit of the eleventh step, of the one session that has so many."""
        (journal,) = (path for path in self.folder.rglob("*") if path.is_file() and b"step 10" in path.read_bytes())
        data = bytearray(journal.read_bytes())
        data[data.index(b"step 10")] ^= 1
        journal.write_bytes(data)


def lines(result: Result) -> list[dict[str, Any]]:
    """The JSON objects on the standard output, one a line."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def error_of(result: Result) -> dict[str, Any]:
    """The one JSON object on the standard error."""
    (line,) = result.stderr.splitlines()
    error: dict[str, Any] = json.loads(line)["error"]
    return error
