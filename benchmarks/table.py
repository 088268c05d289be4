"""What every benchmark shares: its options, its table, and the figures of many rounds.

Row      one line: a name, what was measured, and a target where there is one
Table    a title and its rows, as text or as JSON
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure is to be; *met* says whether it was, in this run on this machine."""

    text: str
    met: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. *values* are by column; a column that is not named stays empty."""

    name: str
    values: Mapping[str, float]
    target: Target | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """The result of a benchmark."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]

    def show(self, *, as_json: bool) -> None:
        """Print it."""
        print(self._json() if as_json else self._text())

    def _json(self) -> str:
        rows = [
            {"name": row.name, **row.values}
            | ({} if row.target is None else {"target": row.target.text, "met": row.target.met})
            for row in self.rows
        ]
        return json.dumps({"title": self.title, "machine": _machine(), "rows": rows}, indent=2)

    def _text(self) -> str:
        width = max(len(row.name) for row in self.rows)
        lines = ["".ljust(width) + "".join(f"{column:>14}" for column in self.columns) + "  target"]
        for row in self.rows:
            cells = (_number(row.values[c]) if c in row.values else "" for c in self.columns)
            lines.append(row.name.ljust(width) + "".join(f"{cell:>14}" for cell in cells) + _verdict(row))
        return "\n".join([self.title, _machine(), "", *(line.rstrip() for line in lines)])


def _verdict(row: Row) -> str:
    if row.target is None:
        return ""
    return f"  {row.target.text}: {'met' if row.target.met else 'MISSED'}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _machine() -> str:
    load = f"{os.getloadavg()[0]:.1f}"
    return f"Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} CPUs, load {load}"


def median(samples: Sequence[float]) -> float:
    """The middle of *samples*."""
    return statistics.median(samples)


def ninth_decile(samples: Sequence[float]) -> float:
    """What nine in ten of *samples* do not exceed."""
    return sorted(samples)[len(samples) * 9 // 10]


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    quick: bool
    as_json: bool


def options(doc: str | None) -> Options:
    """Parse the command line; *doc* is the module's docstring."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    return Options(quick=given.quick, as_json=given.json)
