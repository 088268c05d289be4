"""What every command on a store has in common: its options, its client, its output, and how it ends.

with running(url, tenant, as_json=as_json, again="…") as run:
    ...
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Annotated, TypeAlias

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from stepwell.cli.exits import FAILED, INTERRUPTED, code_of, tell, tell_interrupted
from stepwell.cli.screen import Screen
from stepwell.cli.terminal import command_line
from stepwell.errors import Conflict, CorruptJournal, NotFound, OutcomeUnknown, StepwellError
from stepwell.models import Position
from stepwell.sync import Client

Url: TypeAlias = Annotated[
    str | None,
    typer.Option("--url", help="The store. Default: STEPWELL_URL, else a folder of yours.", show_default=False),
]
Tenant: TypeAlias = Annotated[
    str | None, typer.Option("--tenant", help="Whose sessions. Default: the URL's.", show_default=False)
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
SessionName: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="[SESSION]", help="Its id or ARN.", show_default=False)
]
Key: TypeAlias = Annotated[str | None, typer.Option("--key", help="The session, by its key.", show_default=False)]
Reason: TypeAlias = Annotated[str, typer.Option("--reason", help="Why, for the audit.", show_default=False)]
Approver: TypeAlias = Annotated[
    str, typer.Option("--approver", help="Who approved it, for the audit.", show_default=False)
]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

SETTLED = "what became of it is not known: the same command again is safe, and `stepwell gc` finishes what was begun"


class Run:
    """One command at work. *again* says how to go on if it is interrupted; *after* is a position to go on from."""

    def __init__(self, url: str | None, tenant: str | None, *, as_json: bool, again: str, settled: str) -> None:
        self.client = Client(url, tenant=tenant)
        self.screen = Screen()
        self.as_json = as_json
        self.again: Callable[[], str] = lambda: again
        self.settled = settled
        self.after: Position | None = None
        self._url, self._tenant = url, tenant

    def command(self, *words: str) -> str:
        """Another command on the same store, to type."""
        return command_line(*words, url=self._url, tenant=self._tenant)

    def emit(self, document: object) -> None:
        """One JSON document on a line of its own, in ASCII, at once."""
        print(json.dumps(document), flush=True)

    def session_id(self, session: str | None, key: str | None, *, deleted: bool = False) -> str:
        """The id of the session that was named; by its key also when it is damaged, or with *deleted*, deleted."""
        if (session is None) == (key is None):
            raise typer.BadParameter("give either SESSION or --key KEY")
        if session is not None or key is None:
            return session or ""
        try:
            return self.client.get_session(key=key).session_id
        except (CorruptJournal, NotFound):
            # The lists are read without the journals.
            found = next(self._listed(key, deleted=deleted), None)
            if found is None:
                raise
            return found

    def _listed(self, key: str, *, deleted: bool) -> Iterator[str]:
        for hidden in (False, True)[: 1 + deleted]:
            for listed in self.client.sessions(key_prefix=key, deleted=hidden):
                if listed.key == key:
                    yield listed.session_id

    def confirm(self, question: str, *, yes: bool) -> None:
        """Go on only if *yes* was given, or is answered now by somebody at a terminal."""
        if yes:
            return
        if self.as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise typer.BadParameter("this cannot be undone, and nobody is here to be asked: add --yes")
        if not typer.confirm(question, err=True):
            print("stepwell: nothing was done", file=sys.stderr)
            raise typer.Exit(FAILED)

    @contextmanager
    def progress(self, what: str) -> Generator[Callable[[int], None]]:
        """A count on stderr while something lasts, if somebody looks; otherwise nothing."""
        if self.as_json or not sys.stderr.isatty():
            yield lambda _: None
            return
        from rich.console import Console

        columns = (SpinnerColumn("line"), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
            task = shown.add_task(what, total=None)
            yield lambda count: shown.update(task, description=f"{what}: {count:,}")


@contextmanager
def running(
    url: str | None,
    tenant: str | None,
    *,
    as_json: bool,
    again: str = "nothing was changed",
    settled: str = SETTLED,
) -> Generator[Run]:
    """A command at work: what goes wrong is told in one line on stderr, and is its exit code."""
    run: Run | None = None
    try:
        run = Run(url, tenant, as_json=as_json, again=again, settled=settled)
        with run.client:
            yield run
        sys.stdout.flush()
    except BrokenPipeError:
        raise  # nobody reads any more: typer ends quietly
    except (StepwellError, OSError) as error:
        tell(error, as_json=as_json, hint=_hint(error, settled))
        raise typer.Exit(code_of(error)) from None
    except (KeyboardInterrupt, typer.Abort):
        tell_interrupted(run.again() if run else again, as_json=as_json, after=run.after if run else None)
        raise typer.Exit(INTERRUPTED) from None


def _hint(error: StepwellError | OSError, settled: str) -> str:
    if isinstance(error, OutcomeUnknown):
        return settled
    if isinstance(error, CorruptJournal):
        return "`stepwell verify` names every fault, `stepwell salvage` saves what is whole"
    if type(error) is Conflict and error.operation == "delete_session":
        return "on the command line that is --end"
    return "the same command may succeed later" if isinstance(error, StepwellError) and error.retryable else ""
