"""The commands, each a function whose parameters are its options."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    help="Agent sessions that survive their process.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def stepwell() -> None:
    """Keep `demo` a command of its own for as long as it is the only one."""


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
