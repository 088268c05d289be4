"""`stepwell ls`: the sessions."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import chain
from typing import Annotated, Literal

import typer

from stepwell.cli import values
from stepwell.cli.command import AsJson, Tenant, Url, running
from stepwell.cli.documents import document
from stepwell.cli.terminal import shown_time
from stepwell.models import SessionSummary

AT_ONCE = 100
_NAMES = ("session", "status", "key", "created (UTC)", "updated (UTC)", "tags")
_ESSENTIAL = (0, 1, 2, 4)
"""The columns of a narrow table, of `_NAMES`; with --deleted the last one is when it is purged."""
_ESSENTIAL_DELETED = (0, 1, 2, 6)


def ls(
    url: Url = None,
    tenant: Tenant = None,
    status: Annotated[
        Literal["ACTIVE", "EXPIRED", "ENDED"] | None, typer.Option(help="Only such.", show_default=False)
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Only with this tag.", show_default=False)
    ] = None,
    key_prefix: Annotated[str, typer.Option(help="Only with a key that begins so.", show_default=False)] = "",
    since: Annotated[
        str | None, typer.Option(help="Only created after this time, or so long ago: 7d.", show_default=False)
    ] = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="Those that `undelete` can bring back, instead.")] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help=f"At most so many. Default: {AT_ONCE} on a terminal.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List sessions, newest first."""
    with running(url, tenant, as_json=as_json) as run:
        found = run.client.sessions(
            status=status,
            tags=values.tags(tag or []),
            key_prefix=key_prefix,
            created_after=None if since is None else values.moment(since, datetime.now(UTC)),
            deleted=deleted,
        )
        most = AT_ONCE if limit is None and run.screen.looked_at and not as_json else limit
        shown = run.read("sessions found", found, most)
        first = next(shown, None)
        if first is None:
            chosen = status or tag or key_prefix or since or deleted
            run.remark(f"no {'such ' if chosen else ''}sessions in {run.store}")
            return
        shown = chain((first,), shown)
        if as_json:
            for session in shown:
                run.emit(document(session))
            return
        names = (*_NAMES, "purged after (UTC)") if deleted else _NAMES
        essential = _ESSENTIAL_DELETED if deleted else _ESSENTIAL
        run.screen.table(names, (_row(session, deleted=deleted) for session in shown), essential)
        if limit is None and next(found, None) is not None:
            run.screen.line(f"... and more: --limit {10 * AT_ONCE} shows them", "dim")


def _row(session: SessionSummary, *, deleted: bool) -> tuple[str, ...]:
    row = (
        session.session_id,
        session.session_status,
        session.key or "",
        shown_time(session.created_at),
        shown_time(session.last_updated_at),
        " ".join(f"{name}={value}" for name, value in (session.tags or {}).items()),
    )
    return (*row, shown_time(session.purge_after)) if deleted else row
