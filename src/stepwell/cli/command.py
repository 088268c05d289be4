"""What every command on a store has in common: its options, its client, its output, and how it ends.

with running(url, tenant, as_json=as_json, again="…") as run:
    ...
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, TypeAlias, TypeVar

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from stepwell.cli import interruption
from stepwell.cli.exits import FAILED, INTERRUPTED, code_of, remark, tell, tell_interrupted
from stepwell.cli.place import check_there, session_folder, store_name
from stepwell.cli.screen import Screen
from stepwell.cli.terminal import command_line
from stepwell.errors import CorruptJournal, NotFound, OutcomeUnknown, StepwellError
from stepwell.models import Position
from stepwell.sync import Client

T = TypeVar("T")

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

SAVED = "`stepwell verify` names every fault, `stepwell salvage` saves what is whole"
BY_HAND = "`stepwell salvage` what is whole, then remove its files by hand, as docs/reliability.md says"


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

    @property
    def store(self) -> str:
        """What to call the store in a message."""
        return store_name(self._url, self._tenant)

    def session_folder(self, session_id: str) -> Path | None:
        """Where a session's files are, in a store of files."""
        return session_folder(self._url, session_id)

    def remark(self, sentence: str) -> None:
        """Say on stderr what is worth knowing and no error; not to programs."""
        remark(sentence, as_json=self.as_json)

    def command(self, *words: str) -> str:
        """Another command on the same store, to type."""
        return command_line(*words, url=self._url, tenant=self._tenant)

    def emit(self, document: object) -> None:
        """One JSON document on a line of its own, in ASCII, at once."""
        print(json.dumps(document), flush=True)

    def session_id(self, session: str | None, key: str | None, *, deleted: bool = False) -> str:
        """The id of the session that was named; by its key also when it is damaged, or with *deleted*, deleted."""
        if (session is None) == (key is None):
            raise typer.BadParameter("give SESSION, or else --key KEY")
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
        try:
            agreed = typer.confirm(question, err=True)
        except (KeyboardInterrupt, typer.Abort):
            interruption.caught()
            self.again = lambda: "nothing was done"
            print(file=sys.stderr)  # ends the line of the question
            raise
        if not agreed:
            self.remark("nothing was done")
            raise typer.Exit(FAILED)

    def read(self, what: str, found: Iterator[T], most: int | None) -> Iterator[T]:
        """At most so many of what is *found*; with progress on a terminal, where a table is drawn when all is read."""
        some = islice(found, most)
        if self.as_json or not self.screen.looked_at:
            return some
        with self.progress(what) as told:
            rows: list[T] = []
            for row in some:
                rows.append(row)
                told(len(rows))
        return iter(rows)

    def progress(self, what: str) -> AbstractContextManager[Callable[[int], None]]:
        """See `progress`."""
        return progress(what, as_json=self.as_json)


@contextmanager
def progress(what: str, *, as_json: bool) -> Generator[Callable[[int], None]]:
    """A count on stderr while something lasts, if somebody looks; otherwise nothing."""
    if as_json or not sys.stderr.isatty():
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

    def hint(error: StepwellError | OSError) -> str:
        return _hint(error, settled, store_name(url, tenant) if run else "")

    def interrupted() -> tuple[str, Position | None]:
        return (run.again(), run.after) if run else (again, None)

    with telling(as_json=as_json, hint=hint, interrupted=interrupted):
        run = Run(url, tenant, as_json=as_json, again=again, settled=settled)
        check_there(url, tenant)
        with run.client:
            yield run


@contextmanager
def telling(
    *,
    as_json: bool,
    hint: Callable[[StepwellError | OSError], str],
    interrupted: Callable[[], tuple[str, Position | None]],
) -> Generator[None]:
    """What goes wrong inside is told in one line on stderr, and is the exit code.

    *interrupted* says how to go on after an interruption, and behind which position.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise  # nobody reads any more: typer ends quietly
    except (StepwellError, OSError) as error:
        tell(error, as_json=as_json, hint=hint(error))
        raise typer.Exit(code_of(error)) from None
    except (KeyboardInterrupt, typer.Abort):
        interruption.caught()
        how_to_go_on, after = interrupted()
        tell_interrupted(how_to_go_on, as_json=as_json, after=after)
        raise typer.Exit(INTERRUPTED) from None


def _hint(error: StepwellError | OSError, settled: str, store: str) -> str:
    if isinstance(error, OutcomeUnknown):
        return settled
    if isinstance(error, CorruptJournal):
        return BY_HAND if error.operation == "delete_session" else SAVED
    if isinstance(error, NotFound) and store not in str(error):
        return f"the store is {store}"
    return "the same command may succeed later" if isinstance(error, StepwellError) and error.retryable else ""
