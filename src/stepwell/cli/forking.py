"""`stepwell fork`: a copy to go on with."""

from __future__ import annotations

from typing import Annotated

import typer

from stepwell.cli.command import AsJson, Key, SessionName, Tenant, Url, running
from stepwell.cli.documents import document
from stepwell.models import Position


def fork(
    session: SessionName = None,
    key: Key = None,
    new_key: Annotated[
        str | None, typer.Option("--new-key", help="The key of the new session.", show_default=False)
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="POSITION", help="Up to here, see `show --ids`. Default: all of it.", show_default=False),
    ] = None,
    url: Url = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Make a new ACTIVE session with the history of this one, which stays as it is."""
    begun = "a new session may be there: see `stepwell ls`"
    with running(url, tenant, as_json=as_json, again=begun, settled=begun) as run:
        session_id = run.session_id(session, key)
        with run.progress("history is copied"):
            made = run.client.fork(session_id, at=None if at is None else Position(at), key=new_key)
        if as_json:
            run.emit(document(made))
        else:
            run.screen.line(f"{made.session_id} is a fork of {session_id}")
