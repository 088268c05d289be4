"""An outcome -> terminal or JSON. Nothing that was stored or measured is ever taken for markup or an escape."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stepwell.cli.demo.outcome import Moment, Outcome, shortened
from stepwell.cli.demo.place import Place
from stepwell.cli.terminal import harmless

ROWS_PER_ENGINEER = 10
_STYLES = {1: "cyan", 2: "yellow", 3: "green"}


class Spinner:
    """Progress on the standard error: what happens, in lines that stay, and a count that moves."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._status = self._console.status(Text("starting"), spinner="line")

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._status.stop()

    def says(self, engineer: int, what: str) -> None:
        """A line that stays."""
        line = Text(f"engineer {engineer} ", style=_STYLES[engineer]).append(harmless(what), style="default")
        self._console.print(line)
        self._status.update(line)

    def counts(self, engineer: int, steps: int) -> None:
        """How many steps were acknowledged so far."""
        self._status.update(Text(f"engineer {engineer}: {steps} steps acknowledged", style=_STYLES[engineer]))


def show(outcome: Outcome, place: Place, picture: Path | None, console: Console) -> None:
    """Print the timeline, the counts, and how to look at it again."""
    console.print()
    console.print(_timeline(outcome, place.key))
    console.print(_counts(outcome))
    for failure in outcome.failures:
        console.print(Text(f"FAILED: {harmless(failure)}", style="bold red"))
    console.print()
    if picture is not None:
        console.print(Text(f"The plot: {harmless(str(picture))}"), soft_wrap=True)
    console.print(Text(f"The session is in {harmless(place.url)}; to look at it again:"), soft_wrap=True)
    command = "\n".join(harmless(line) for line in place.look_again.split("\n"))
    console.print(Text(command, style="bold"), soft_wrap=True)
    console.print(Text(f"or: {place.show_again}", style="bold"), soft_wrap=True)


def as_json(outcome: Outcome, place: Place, picture: Path | None) -> str:
    """The same for machines, in ASCII."""
    durable = outcome.in_doubt & {step.invocation_step_id for step in outcome.steps}
    document = {
        "ok": not outcome.failures,
        "failures": outcome.failures,
        "url": place.url,
        "key": place.key,
        "session_id": outcome.session_id,
        "status": outcome.status,
        "engineers": [
            {"engineer": e.number, "pid": e.pid, "exit_code": e.exit_code, "acknowledged": len(e.acknowledged)}
            for e in outcome.engineers
        ],
        "acknowledged": {one.step: one.digest for one in outcome.acknowledged},
        "read_back": outcome.read_back,
        "in_flight": sorted(outcome.in_doubt),
        "in_flight_durable": sorted(durable),
        "refused": outcome.refused.error if outcome.refused else None,
        "picture": str(picture) if picture else None,
        "look_again": place.look_again,
        "timeline": [_row(moment) for moment in outcome.timeline],
    }
    return json.dumps(document, indent=2)


def _row(moment: Moment) -> dict[str, object]:
    return {
        "at": moment.at.isoformat(),
        "engineer": moment.engineer,
        "pid": moment.pid,
        "what": moment.what,
        "slot": moment.slot,
    }


def _timeline(outcome: Outcome, key: str) -> Table:
    caption = Text(
        "The slots in between hold the session itself and the beginning of each engineer's work.", style="dim"
    )
    table = Table(title=Text(f"Incident {key}"), caption=caption, header_style="bold", expand=True)
    table.add_column("time (UTC)", no_wrap=True)
    table.add_column("engineer", justify="right", no_wrap=True)
    table.add_column("pid", justify="right", no_wrap=True)
    table.add_column("what", ratio=1)
    table.add_column("slot", justify="right", no_wrap=True)
    for row in shortened(outcome.timeline, ROWS_PER_ENGINEER):
        if isinstance(row, int):
            table.add_row("", "", "", Text(f"... {row} more steps ...", style="dim"), "")
            continue
        table.add_row(
            f"{row.at:%H:%M:%S.%f}"[:-3],
            Text(str(row.engineer), style=_STYLES[row.engineer]),
            str(row.pid),
            Text(harmless(row.what), style="bold" if row.slot is None else ""),
            "" if row.slot is None else str(row.slot),
        )
    return table


def _counts(outcome: Outcome) -> Table:
    one, two = (len(engineer.acknowledged) for engineer in outcome.engineers[:2])
    back = len(outcome.acknowledged) - len(outcome.lost)
    durable = len(outcome.in_doubt & {step.invocation_step_id for step in outcome.steps})
    refused = f"refused, {outcome.refused.error}" if outcome.refused else "not refused"
    rows = (
        (one + two, f"steps were acknowledged before the kill: {one} of engineer 1, {two} of engineer 2"),
        (back, "of them were read back by engineer 3, by id and by digest of their content"),
        (
            len(outcome.in_doubt),
            f"not yet acknowledged at the kill, of which {durable} stored: nobody was told, so both are right",
        ),
        (1, f"write after the end: {refused}"),
    )
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right")
    for number, what in rows:
        table.add_row(str(number), Text(harmless(what)))
    return table
