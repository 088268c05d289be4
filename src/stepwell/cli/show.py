"""`stepwell show`: one session as a tree, each invocation with a picture of when its steps came."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Annotated

import typer
from rich.text import Text
from rich.tree import Tree

from stepwell.cli.command import AsJson, Key, Run, SessionName, Tenant, Url, running
from stepwell.cli.content import described, size_of
from stepwell.cli.documents import document, step_document
from stepwell.cli.screen import Screen, styled
from stepwell.cli.terminal import clock_time, counted, printable, shown_time, size
from stepwell.models import InvocationStep, InvocationSummary, Session

LAST = 200
PAGE = 1000
CELLS = 24
_NARROW = 80
"""Columns below which texts are folded rather than cut."""
_INDENT = 4
_BARS, _ASCII_BARS = " ▁▂▃▄▅▆▇█", " .:-=+*#@"


def show(
    session: SessionName = None,
    key: Key = None,
    url: Url = None,
    tenant: Tenant = None,
    last: Annotated[
        int | None,
        typer.Option(
            min=1, help=f"Only so many of the newest steps. Default: {LAST}, with --json all.", show_default=False
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All steps.")] = False,
    show_ids: Annotated[bool, typer.Option("--ids", help="The ids and positions of steps too.")] = False,
    content: Annotated[bool, typer.Option("--content", help="With --json: bytes too, as base64.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a session: its invocations, and their steps.

    A row of bars shows when an invocation's steps came, from the first step shown to the last.
    """
    if every and last is not None:
        raise typer.BadParameter("give either --all or --last")
    with running(url, tenant, as_json=as_json) as run:
        found = run.client.get_session(run.session_id(session, key))
        most = None if every or (as_json and last is None) else last or LAST
        with run.progress("invocations read") as told:
            invocations = list(_invocations(run, found.session_id, told))
        if as_json:
            _print_json(found, invocations, _steps(run, found.session_id, most), content=content)
            return
        with run.progress("steps read") as told:
            steps: list[InvocationStep] = []
            for step in _steps(run, found.session_id, None if most is None else most + 1):
                steps.append(step)
                told(len(steps))
        older = most is not None and len(steps) > most
        run.screen.draw(_tree(found, invocations, steps[older:], run.screen, show_ids=show_ids))
        if older:
            newest = "newest step" if most == 1 else f"{most:,} newest steps"
            run.screen.line(f"the {newest}; --all shows older ones too", "dim")


def _invocations(run: Run, session_id: str, told: Callable[[int], None]) -> Iterator[InvocationSummary]:
    token: str | None = None
    count = 0
    while True:
        page = run.client.list_invocations(session_id, max_results=PAGE, next_token=token)
        yield from page.items
        count += len(page.items)
        told(count)
        if (token := page.next_token) is None:
            return


def _steps(run: Run, session_id: str, most: int | None) -> Iterator[InvocationStep]:
    """Oldest first; the newest ones are few enough to be turned around."""
    if most is None:
        return run.client.steps(session_id)
    return reversed(list(run.client.steps(session_id, limit=most, reverse=True)))


def _print_json(
    session: Session, invocations: list[InvocationSummary], steps: Iterator[InvocationStep], *, content: bool
) -> None:
    """One object, written as it is read: a session need not fit into memory."""
    head = {"session": document(session), "invocations": [document(one) for one in reversed(invocations)]}
    print(json.dumps(head)[:-1], end=', "steps": [')
    for index, step in enumerate(steps):
        print(", " if index else "", json.dumps(step_document(step, content=content)), sep="", end="")
    print("]}")


def _tree(
    session: Session,
    invocations: list[InvocationSummary],
    steps: list[InvocationStep],
    screen: Screen,
    *,
    show_ids: bool,
) -> Tree:
    tree = Tree(_root(session, len(invocations)))
    for label, entries in (("metadata", session.metadata), ("tags", session.tags or {})):
        if entries:
            branch = tree.add(Text(label, style="dim"))
            for name, value in entries.items():
                branch.add(Text(f"{printable(name)}: {printable(value)}"))
    of_each: dict[str, list[InvocationStep]] = {one.invocation_id: [] for one in reversed(invocations)}
    for step in steps:
        of_each.setdefault(step.invocation_id, []).append(step)
    created = {one.invocation_id: one.created_at for one in invocations}
    times = [step.invocation_step_time for step in steps]
    span = (min(times), max(times)) if times else None
    for invocation_id, its in of_each.items():
        shown = created.get(invocation_id)
        branch = tree.add(_heading(invocation_id, shown, its, span, screen))
        for step in its:
            branch.add(_leaf(step, shown, show_id=show_ids, cut=screen.width >= _NARROW))
            shown = step.invocation_step_time
    return tree


def _heading(
    invocation_id: str,
    created_at: datetime | None,
    its: list[InvocationStep],
    span: tuple[datetime, datetime] | None,
    screen: Screen,
) -> Text:
    """In one line if there is room, else in two; the bars are left out where they would be folded."""
    heading = Text(invocation_id, style="bold").append(f"  {shown_time(created_at)}", style="not bold")
    held = sum(size_of(block) for step in its for block in step.content)
    told = f"{counted(len(its), 'step')}, {size(held)}"
    bars = Text()
    if span and its:
        row = sparkline([step.invocation_step_time for step in its], span, ascii_only=screen.ascii_only)
        bars = Text("  |", style="dim").append(row, style="not dim cyan").append("|", style="dim")
    room = screen.width - _INDENT
    in_one_line = heading.cell_len + 2 + len(told) + bars.cell_len <= room
    heading.append(f"{'  ' if in_one_line else chr(10)}{told}", style="not bold")
    return heading.append_text(bars) if in_one_line or len(told) + bars.cell_len <= room else heading


def _root(session: Session, invocations: int) -> Text:
    root = Text(printable(session.key or session.session_id), style="bold").append("  ")
    root.append_text(styled(session.session_status))
    if session.key:
        root.append(f"\n{session.session_id}", style="not bold")
    told = f"\ncreated {shown_time(session.created_at)}, updated {shown_time(session.last_updated_at)} UTC"
    root.append(f"{told}, {counted(invocations, 'invocation')}", style="not bold")
    if session.expires_at:
        root.append(f"\ndeleted for good at {shown_time(session.expires_at)} UTC", style="not bold yellow")
    return root


def _leaf(step: InvocationStep, before: datetime | None, *, show_id: bool, cut: bool) -> Text:
    time = clock_time(step.invocation_step_time, before)
    leaf = Text(time, style="dim", no_wrap=cut and not show_id, overflow="ellipsis" if cut else "fold")
    if show_id:
        leaf.append(f" {step.position} {step.invocation_step_id}", style="not dim")
    return leaf.append(f" {described(step)}", style="not dim")


def sparkline(times: list[datetime], span: tuple[datetime, datetime], *, ascii_only: bool) -> str:
    """How many of *times* fall into each part of *span*, as a row of bars; a part with any has one."""
    bars = _ASCII_BARS if ascii_only else _BARS
    first, whole = span[0], (span[1] - span[0]).total_seconds() or 1.0
    counts = [0] * CELLS
    for time in times:
        counts[min(CELLS - 1, int((time - first).total_seconds() / whole * CELLS))] += 1
    most = max(counts)
    return "".join(bars[-(-count * (len(bars) - 1) // most)] for count in counts)
