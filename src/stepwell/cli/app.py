"""The table of contents: the commands, each a function whose parameters are its options."""

from __future__ import annotations

from typing import Annotated

import typer

from stepwell import __version__
from stepwell.cli import checking, forking, provision, removal, upkeep
from stepwell.cli.group import OneLineGroup
from stepwell.cli.ls import ls
from stepwell.cli.show import show
from stepwell.cli.tail import tail

app = typer.Typer(
    cls=OneLineGroup,
    help="Agent sessions that survive their process.",
    epilog="Exit codes: 0 done, 1 failed, 2 not understood, 3 not found, 4 damage found, 5 outcome unknown, "
    "130 interrupted.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"stepwell {__version__}")
        raise typer.Exit


@app.callback()
def stepwell(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Agent sessions that survive their process."""


for command in (
    ls,
    show,
    tail,
    forking.fork,
    removal.rm,
    removal.undelete,
    removal.redact,
    checking.verify,
    checking.salvage,
    upkeep.gc,
    upkeep.audit,
    provision.provision,
    provision.iam_policy,
):
    app.command()(command)


@app.command()
def demo(
    url: Annotated[
        str | None,
        typer.Option(
            help="Where the session goes, e.g. file:./sessions. Default: a new folder below ./stepwell-demo, "
            "which stays there, so that you can look at it again.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what happened as JSON, for machines.")] = False,
) -> None:
    """Diagnose this machine, handing over between three engineers, one of whom is killed while writing.

    Each engineer is a process of its own. What is measured and stored: CPU, load, memory and disk, and of processes
    their names, CPU and memory; never command lines or environments. It takes about ten seconds.
    """
    from stepwell.extras import require

    require("demo", "PIL", "psutil")
    from stepwell.cli.demo.command import demonstrate

    if not demonstrate(url, as_json_document=as_json):
        raise typer.Exit(1)
