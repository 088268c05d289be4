"""The command as a whole: words in, an exit code out, and whatever goes wrong in between in one line on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import typer
from typer.core import TyperGroup

from stepwell.cli import interruption
from stepwell.cli.exits import FAILED, INTERRUPTED, USAGE, tell_interrupted, tell_usage

# typer brings a copy of click, or uses the one that is installed: it has either's error for what was not understood.
_UsageError: Final[type[Exception]] = typer.BadParameter.__mro__[1]


class OneLineGroup(TyperGroup):
    """Commands that tell their errors in one line."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command that *args* name, by default those of the process, and end the process."""
        del prog_name, complete_var, standalone_mode, windows_expand_args
        words = sys.argv[1:] if args is None else list(args)
        as_json, helpless = "--json" in words, not words
        try:
            with self.make_context("stepwell", ["--help"] if helpless else words, **extra) as context:
                self.invoke(context)
            sys.exit(0)
        except typer.Exit as done:
            sys.exit(USAGE if helpless else done.exit_code)
        except _UsageError as error:
            tell_usage(_in_one_line(error), as_json=as_json)
            sys.exit(USAGE)
        except KeyboardInterrupt:  # before a command was at work, or when it had ended
            interruption.caught()
            tell_interrupted(as_json=as_json)
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            _discard_output()
            sys.exit(FAILED)


def _in_one_line(error: Any) -> str:
    context, param = getattr(error, "ctx", None), getattr(error, "param", None)
    ours = isinstance(error, typer.BadParameter) and param is None and error.param_hint is None
    words = (error.message if ours else error.format_message()).replace("Value error, ", "").split()
    message = " ".join(words).rstrip(".")
    return f"{message}; see `{context.command_path} --help`" if context else message


def _discard_output() -> None:
    """What nobody reads any more is not complained about when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
