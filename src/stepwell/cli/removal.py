"""`stepwell rm`, `undelete`, `redact`: taking away, and bringing back."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from stepwell.cli import values
from stepwell.cli.command import Approver, AsJson, Key, Reason, Run, SessionName, Tenant, Url, Yes, running
from stepwell.cli.documents import document
from stepwell.cli.terminal import counted, shown_time
from stepwell.errors import CorruptJournal
from stepwell.models import Redacted

KEPT = "30d"


def rm(
    session: SessionName = None,
    key: Key = None,
    url: Url = None,
    tenant: Tenant = None,
    purge_after: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help=f"How long it can be brought back: 12h, 30d. Default: {KEPT}.", show_default=False
        ),
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="For good, at once. Asks first.")] = False,
    end: Annotated[bool, typer.Option("--end", help="Also when it is ACTIVE.")] = False,
    reason: Reason = "",
    approver: Approver = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete a session. `undelete` can bring it back for 30 days, unless --purge-after or --now says otherwise."""
    if now and purge_after is not None:
        raise typer.BadParameter("give either --now or --purge-after")
    kept = None if now else values.duration(KEPT if purge_after is None else purge_after)
    with running(url, tenant, as_json=as_json, again="it may be deleted or not; the same command again is safe") as run:
        session_id = run.session_id(session, key, deleted=now)
        if now:
            run.confirm(f"Delete session {session_id} for good?", yes=yes)
        run.client.delete_session(session_id, end=end, purge_after=kept, reason=reason, approver=approver)
        _tell_deleted(run, session_id, kept)


def _tell_deleted(run: Run, session_id: str, kept: timedelta | None) -> None:
    if kept is None:
        until, back = None, None
    else:
        record = next((one for one in run.client.audit_records(session_id) if one.operation == "delete"), None)
        until, back = record.until if record else None, run.command("undelete", session_id)
    if run.as_json:
        shown = until.isoformat().replace("+00:00", "Z") if until else None
        run.emit({"session_id": session_id, "purge_after": shown, "undelete": back})
    elif back is None:
        run.screen.line(
            f"{session_id} is deleted for good; `stepwell gc` frees its space, a day after it first saw that"
        )
    else:
        run.screen.line(f"{session_id} is deleted; until {shown_time(until)} UTC it can be brought back:")
        run.screen.line(f"  {back}", "bold")


def undelete(
    session: SessionName = None,
    key: Key = None,
    url: Url = None,
    tenant: Tenant = None,
    reason: Reason = "",
    approver: Approver = "",
    as_json: AsJson = False,
) -> None:
    """Bring back a deleted session; `ls --deleted` lists them."""
    again = "it may be back or not; the same command again is safe"
    with running(url, tenant, as_json=as_json, again=again) as run:
        session_id = run.session_id(session, key, deleted=True)
        found = run.client.undelete(session_id, reason=reason, approver=approver)
        if as_json:
            run.emit(document(found))
        else:
            run.screen.line(f"{found.session_id} is there, {found.session_status}")


def redact(
    session: Annotated[str, typer.Argument(help="The session's id or ARN.")],
    invocation: Annotated[str, typer.Argument(help="The invocation's id.")],
    step: Annotated[str, typer.Argument(help="The step's id: `show --ids` shows it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, for the audit.", show_default=False)],
    url: Url = None,
    tenant: Tenant = None,
    approver: Approver = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Erase the content of one step where it is stored, for good. The step stays, with its ids and times."""
    if not reason.strip():
        raise typer.BadParameter("--reason is empty: say why, for the audit")
    again = "it may be erased or not; the same command again finishes it"
    with running(url, tenant, as_json=as_json, again=again) as run:
        run.confirm(f"Erase the content of step {step!a} for good?", yes=yes)
        before = _is_redacted(run, session, invocation, step)
        done = run.client.redact(session, invocation, step, reason=reason, approver=approver)
        if as_json:
            run.emit(document(done))
            return
        how = "was redacted before" if before else "is redacted"
        run.screen.line(f"{done.invocation_step_id} {how}: {counted(done.blocks, 'content block')}")
        for place in done.remains:
            run.screen.line(f"copies may remain: {place}", "yellow")


def _is_redacted(run: Run, session: str, invocation: str, step: str) -> bool:
    try:
        found = run.client.get_invocation_step(session, invocation, step)
    except CorruptJournal:
        return False  # what is damaged can be erased all the same
    return all(isinstance(block, Redacted) for block in found.content)
