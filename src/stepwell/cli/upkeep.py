"""`stepwell gc`, `audit`: what is to be done once a day, and what was done."""

from __future__ import annotations

from itertools import chain
from typing import Annotated

import typer

from stepwell.cli.command import AsJson, Tenant, Url, running
from stepwell.cli.documents import document
from stepwell.cli.terminal import shown_time
from stepwell.models import AuditRecord

_TOLD = {
    "sessions": "sessions looked at",
    "purged": "sessions were due, and purged",
    "finished": "interrupted operations, finished",
    "reclaimed": "purged sessions gave their space back",
    "trimmed": "trimmed histories gave their space back",
    "blobs": "blobs removed",
    "pending": "wait: a run a day later removes them",
    "skipped": "sessions could not be gone through, and were left alone: `stepwell verify --all` says why",
}
_NAMES = ("time (UTC)", "operation", "session", "what", "reason", "approver")


def gc(
    url: Url = None,
    tenant: Tenant = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Free what is not needed: purge sessions that are due, finish what was interrupted, give space back.

    Run it once a day: what it finds for the first time is removed by a run a day later. It may be stopped at any time.
    """
    again = "what was done stays done; go on with the same command"
    with running(url, tenant, as_json=as_json, again=again) as run:
        with run.progress("sessions done") as told:
            report = run.client.gc(dry_run=dry_run, on_progress=told)
        if as_json:
            run.emit(document(report))
            return
        if not report.sessions:
            run.remark(f"no sessions in {run.store}")
        if dry_run:
            run.screen.line("nothing was done; this would be:", "bold")
        counts = document(report)
        for name, words in _TOLD.items():
            if counts[name] or name == "sessions":
                run.screen.line(f"{counts[name]:>8}  {words}", "yellow" if name == "skipped" else "")


def audit(
    session: Annotated[
        str | None, typer.Argument(metavar="[SESSION]", help="Only this session's, by id or ARN.", show_default=False)
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="Only this session's, by its key.", show_default=False)
    ] = None,
    url: Url = None,
    tenant: Tenant = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Who deleted, brought back, redacted, trimmed or kept for longer, newest first. It outlives the sessions."""
    with running(url, tenant, as_json=as_json) as run:
        chosen = None if session is None and key is None else run.session_id(session, key, deleted=True)
        found = run.read("records found", run.client.audit_records(chosen), limit)
        first = next(found, None)
        if first is None:
            run.remark(f"no audit records{f' of session {chosen}' if chosen else ''} in {run.store}")
            return
        records = chain((first,), found)
        if as_json:
            for record in records:
                run.emit(document(record))
        else:
            run.screen.table(_NAMES, map(_row, records))


def _row(record: AuditRecord) -> tuple[str, ...]:
    what = [f"until {shown_time(record.until)}"] if record.until else []
    what += [f"step {record.invocation_step_id}"] if record.invocation_step_id else []
    what += [f"before {record.before}"] if record.before else []
    time = shown_time(record.time)
    return time, record.operation, record.session_id, ", ".join(what), record.reason, record.approver
