"""`stepwell tail`: steps as they come."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from stepwell.cli.command import AsJson, Key, Run, SessionName, Tenant, Url, running
from stepwell.cli.content import described
from stepwell.cli.documents import step_document
from stepwell.models import InvocationStep, Position

LAST = 10
_INVOCATION_SHOWN = 8


def tail(
    session: SessionName = None,
    key: Key = None,
    url: Url = None,
    tenant: Tenant = None,
    after: Annotated[
        str | None, typer.Option(metavar="POSITION", help="Begin behind this position.", show_default=False)
    ] = None,
    last: Annotated[
        int | None, typer.Option(min=0, help=f"Begin with so many steps. Default: {LAST}.", show_default=False)
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="End when nothing came for so long.", show_default=False),
    ] = None,
    content: Annotated[bool, typer.Option("--content", help="With --json: bytes too, as base64.")] = False,
    as_json: AsJson = False,
) -> None:
    """Follow a session: its newest steps, then each new one, until it ends.

    When it is interrupted it prints the command that goes on where it stopped, and misses nothing.
    """
    if after is not None and last is not None:
        raise typer.BadParameter("give either --after or --last")
    with running(url, tenant, as_json=as_json) as run:
        session_id = run.session_id(session, key)
        run.again = lambda: f"go on with: {_again(run, session_id)}"
        begin = _begin(run, session_id, LAST if last is None else last) if after is None else Position(after)
        run.after = begin
        for step in run.client.tail(session_id, after=begin, timeout=timeout):
            if as_json:
                run.emit(step_document(step, content=content))
            else:
                run.screen.line(_line(step))
            run.after = step.position


def _begin(run: Run, session_id: str, last: int) -> Position | None:
    """The position before the newest *last* steps; None when there are no more than that."""
    newest = list(run.client.steps(session_id, limit=last + 1, reverse=True))
    return newest[last].position if len(newest) > last else None


def _again(run: Run, session_id: str) -> str:
    after = ("--after", run.after) if run.after else ()
    return run.command("tail", session_id, *after, *(["--json"] if run.as_json else []))


def _line(step: InvocationStep) -> Text:
    line = Text(f"{step.invocation_step_time:%H:%M:%S.%f}"[:-3], style="dim")
    line.append(f" {step.invocation_id[-_INVOCATION_SHOWN:]} ", style="not dim cyan")
    return line.append(described(step, most=4000), style="not dim")
