"""The standard output: tables for people who look, tab-separated lines for programs that read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from stepwell.cli.terminal import harmless, printable

_UNLIMITED = 1 << 15
_WIDE_EACH, _NARROW = 20, 80
"""Columns of a terminal that each column of a whole table needs, and that what is essential of one needs."""
_WHOLE = re.compile(r"session|status|time.*|.*\(UTC\)")
"""Columns whose values are short, and of no use when they are folded."""
_STYLES = {"ACTIVE": "green", "EXPIRED": "yellow", "ENDED": "cyan"}


class Screen:
    """The standard output. Everything that it is given as `str` is shown literally, on one line."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, emoji=False)
        self.looked_at = self._console.is_terminal
        if not self.looked_at:
            self._console.width = _UNLIMITED

    @property
    def width(self) -> int:
        """Columns; very many where nobody looks."""
        return self._console.width

    @property
    def ascii_only(self) -> bool:
        """Whether the terminal shows ASCII alone."""
        return self._console.options.ascii_only

    def line(self, text: str | Text, style: str = "") -> None:
        """A line, which may be folded; a `str` is a sentence, see `harmless`."""
        self._console.print(text if isinstance(text, Text) else Text(harmless(text), style=style), soft_wrap=True)

    def draw(self, drawing: RenderableType) -> None:
        """A drawing whose texts are printable."""
        self._console.print(drawing)

    def table(self, names: Sequence[str], rows: Iterable[Sequence[str]], essential: Sequence[int] = ()) -> None:
        """Rows: side by side where there is room, else one below the other; on no terminal, tabs and no headings.

        *essential* are the columns to be left out last: where there is room for these alone, they are shown.
        """
        if not self.looked_at:
            for row in rows:
                print("\t".join(map(printable, row)))  # rich would expand the tabs
        elif self._console.width >= _WIDE_EACH * len(names):
            self._side_by_side(names, rows)
        elif essential and self._console.width >= _NARROW:
            self._side_by_side([names[at] for at in essential], ([row[at] for at in essential] for row in rows))
        else:
            self._stacked(names, rows)

    def _side_by_side(self, names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        table = Table(header_style="bold", box=None, padding=(0, 2, 0, 0))
        for name in names:
            table.add_column(name, overflow="fold", no_wrap=bool(_WHOLE.fullmatch(name)))
        for row in rows:
            table.add_row(*map(styled, row))
        self._console.print(table)

    def _stacked(self, names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        for row in rows:
            for index, (name, value) in enumerate(zip(names, row, strict=True)):
                if value:
                    mark = "- " if index == 0 else "  "
                    self._console.print(Text(f"{mark}{name}: ").append_text(styled(value)), overflow="fold")


def styled(value: str) -> Text:
    """*value*, coloured if it is a status."""
    return Text(printable(value), style=_STYLES.get(value, ""))
