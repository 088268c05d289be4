"""The command itself: where, run, show."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from rich.console import Console

from stepwell.cli import interruption
from stepwell.cli.demo import place
from stepwell.cli.demo.run import run
from stepwell.cli.demo.show import Spinner, as_json, show
from stepwell.cli.exits import INTERRUPTED, tell_interrupted


def demonstrate(url: str | None, *, as_json_document: bool) -> bool:
    """Run the demo and show what happened, as a document for machines if so wished; whether every check holds."""
    where = place.find(url, place.new_key(datetime.now(UTC)))
    try:
        with Spinner() as progress:
            outcome = run(where, progress)
    except KeyboardInterrupt:
        interruption.caught()
        kept = f"what was stored until then stays in {where.url}, under the key {where.key}"
        tell_interrupted(kept, as_json=as_json_document)
        sys.exit(INTERRUPTED)
    picture = place.save(outcome.picture, where) if outcome.picture else None
    if as_json_document:
        print(as_json(outcome, where, picture))
    else:
        show(outcome, where, picture, Console())
    return not outcome.failures
