"""`stepwell verify`, `salvage`: whether all is there, and saving what is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from stepwell.cli.command import AsJson, Key, Run, SessionName, Tenant, Url, running
from stepwell.cli.documents import document
from stepwell.cli.exits import DAMAGED, DONE, code_of, tell
from stepwell.errors import NotFound, StepwellError
from stepwell.models import Fault, Verification


def verify(
    session: SessionName = None,
    key: Key = None,
    url: Url = None,
    tenant: Tenant = None,
    every: Annotated[bool, typer.Option("--all", help="Every session of the tenant.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check every stored byte of a session, and name every fault. It changes nothing. Exit code 4: damage was found."""
    with running(url, tenant, as_json=as_json, again="nothing was changed; start again with the same command") as run:
        if not every:
            found = _verified(run, run.session_id(session, key))
            raise typer.Exit(DONE if found.intact else DAMAGED)
        if session is not None or key is not None:
            raise typer.BadParameter("give either a session or --all")
        codes = {_code(run, listed.session_id) for listed in run.client.sessions()}
        raise typer.Exit(DAMAGED if DAMAGED in codes else max(codes, default=DONE))


def _code(run: Run, session_id: str) -> int:
    """What one of many comes to: a failure is told, and the others are looked at all the same."""
    try:
        return DONE if _verified(run, session_id).intact else DAMAGED
    except NotFound:
        return DONE  # deleted since it was listed
    except StepwellError as error:
        tell(error, as_json=run.as_json, hint=f"this was session {session_id}")
        return code_of(error)


def _verified(run: Run, session_id: str) -> Verification:
    with run.progress(f"{session_id}: places checked") as told:
        found = run.client.verify(session_id, on_progress=told)
    if run.as_json:
        run.emit(document(found) | {"intact": found.intact})
        return found
    counts = f"{found.records} records, {found.steps} steps, {found.blobs} blobs"
    verdict, style = ("intact", "green") if found.intact else (f"DAMAGED, {_faults(len(found.faults))}", "bold red")
    run.screen.line(f"{found.session_id}  {verdict}: {counts} are whole", style)
    if found.unfinished:
        run.screen.line("  behind the end lies a write that was never acknowledged; the next one removes it", "dim")
    _tell_faults(run, found.faults)
    return found


def _faults(count: int) -> str:
    return f"{count} fault{'' if count == 1 else 's'}"


def _tell_faults(run: Run, faults: Iterable[Fault]) -> None:
    for fault in faults:
        places = (("slot", fault.slot), ("place", fault.place))
        where = ", ".join(f"{name} {number}" for name, number in places if number is not None)
        run.screen.line(f"  {where}: {fault.reason}" if where else f"  {fault.reason}")


def salvage(
    session: SessionName = None,
    key: Key = None,
    new_key: Annotated[
        str | None, typer.Option("--new-key", help="The key of the new session.", show_default=False)
    ] = None,
    url: Url = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Make a new session of all that is whole of a damaged one, which stays. Exit code 4: some was not whole."""
    begun = "an unfinished copy may be left, which `stepwell gc` removes"
    with running(
        url, tenant, as_json=as_json, again=f"{begun}; start again with the same command", settled=begun
    ) as run:
        session_id = run.session_id(session, key)
        with run.progress("steps copied") as told:
            done = run.client.salvage(session_id, key=new_key, on_progress=told)
        if as_json:
            run.emit(document(done))
        else:
            run.screen.line(f"{done.session.session_id} holds {done.steps} steps of {session_id}")
            if done.faults:
                run.screen.line(f"  {_faults(len(done.faults))}, left out:", "bold red")
            _tell_faults(run, done.faults)
        raise typer.Exit(DAMAGED if done.faults else DONE)
