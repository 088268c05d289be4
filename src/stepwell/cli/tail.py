"""`stepwell tail`: steps as they come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer
from rich.text import Text

from stepwell.cli.command import AsJson, Key, Run, SessionName, Tenant, Url, running
from stepwell.cli.content import described
from stepwell.cli.documents import step_document
from stepwell.cli.terminal import clock_time
from stepwell.models import InvocationStep, Position

LAST = 10
TEXT_MOST = 4000
"""Characters of each text; with --json all."""
_INVOCATION_SHOWN = 8


def tail(
    session: SessionName = None,
    key: Key = None,
    url: Url = None,
    tenant: Tenant = None,
    after: Annotated[
        str | None,
        typer.Option(metavar="POSITION", help="Begin behind this position, see `show --ids`.", show_default=False),
    ] = None,
    last: Annotated[
        int | None, typer.Option(min=0, help=f"Begin with so many steps. Default: {LAST}.", show_default=False)
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="End when nothing came for so long.", show_default=False),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Begin with the first step.")] = False,
    content: Annotated[bool, typer.Option("--content", help="With --json: bytes too, as base64.")] = False,
    as_json: AsJson = False,
) -> None:
    """Follow a session: its newest steps, then each new one, until it ends.

    When it is interrupted it prints the command that goes on where it stopped, and misses nothing.
    """
    if (after is not None) + (last is not None) + every > 1:
        raise typer.BadParameter("give one of --after, --last and --all")
    options = [*(["--timeout", f"{timeout:g}"] if timeout is not None else [])]
    options += [*(["--content"] if content else []), *(["--json"] if as_json else [])]
    with running(url, tenant, as_json=as_json, again="nothing was shown; start again with the same command") as run:
        session_id = run.session_id(session, key)
        begin = Position(after) if after is not None else None
        if begin is None and not every:
            begin = _begin(run, session_id, LAST if last is None else last)
        run.after = begin
        run.again = lambda: f"go on with: {_again(run, session_id, options)}"
        shown: datetime | None = None
        for step in run.client.tail(session_id, after=begin, timeout=timeout):
            if as_json:
                run.emit(step_document(step, content=content))
            else:
                run.screen.line(_line(step, shown))
            run.after, shown = step.position, step.invocation_step_time


def _begin(run: Run, session_id: str, last: int) -> Position | None:
    """The position before the newest *last* steps; None when there are no more than that."""
    newest = list(run.client.steps(session_id, limit=last + 1, reverse=True))
    return newest[last].position if len(newest) > last else None


def _again(run: Run, session_id: str, options: Sequence[str]) -> str:
    """What goes on behind the last step that was shown; with the first one if there was none to begin behind."""
    after = ("--after", run.after) if run.after else ("--all",)
    return run.command("tail", session_id, *after, *options)


def _line(step: InvocationStep, before: datetime | None) -> Text:
    line = Text(clock_time(step.invocation_step_time, before), style="dim")
    line.append(f" {step.invocation_id[-_INVOCATION_SHOWN:]} ", style="not dim cyan")
    return line.append(described(step, most=TEXT_MOST), style="not dim")
