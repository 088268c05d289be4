"""`stepwell verify`, `salvage`: whether all is there, and saving what is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

import typer

from stepwell.cli.command import AsJson, Key, Run, SessionName, Tenant, Url, running
from stepwell.cli.documents import document
from stepwell.cli.exits import DAMAGED, DONE, code_of, tell
from stepwell.cli.terminal import counted
from stepwell.errors import CorruptJournal, NotFound, StepwellError
from stepwell.models import Fault, Verification

UNFINISHED = (
    "behind the end lies a write that was not finished, or an end that was cut off from outside; "
    "the next write removes it"
)


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
            if session is None and key is None:
                raise typer.BadParameter("give SESSION, --key KEY or --all")
            found = _verified(run, run.session_id(session, key))
            raise typer.Exit(DONE if found.intact else DAMAGED)
        if session is not None or key is not None:
            raise typer.BadParameter("give either a session or --all")
        codes = set(_codes(run))
        if not codes:
            run.remark(f"no sessions in {run.store}")
        raise typer.Exit(DAMAGED if DAMAGED in codes else max(codes, default=DONE))


def _codes(run: Run) -> Iterator[int]:
    """What each of all sessions comes to."""
    absent: set[str] = set()
    for listed in run.client.sessions():
        yield _code(run, listed.session_id, absent)
    if absent:  # those that were deleted since they were listed are listed no more
        for listed in run.client.sessions():
            if listed.session_id in absent:
                reason = "session {} is listed, but nothing of it is stored: its journal was removed from outside"
                gone = CorruptJournal(reason.format(listed.session_id), session_id=listed.session_id)
                tell(gone, as_json=run.as_json)
                yield DAMAGED


def _code(run: Run, session_id: str, absent: set[str]) -> int:
    """What one of many comes to: a failure is told, and the others are looked at all the same."""
    try:
        return DONE if _verified(run, session_id).intact else DAMAGED
    except NotFound:
        absent.add(session_id)
        return DONE
    except StepwellError as error:
        tell(error, as_json=run.as_json, hint=f"this was session {session_id}")
        return code_of(error)


def _verified(run: Run, session_id: str) -> Verification:
    with run.progress(f"{session_id}: places checked") as told:
        found = run.client.verify(session_id, on_progress=told)
    if run.as_json:
        run.emit(document(found) | {"intact": found.intact})
        return found
    parts = ((found.records, "record"), (found.steps, "step"), (found.blobs, "blob"))
    whole = ", ".join(counted(count, what) for count, what in parts)
    causes = by_cause(found.faults)
    verdict = f"DAMAGED in {counted(len(causes), 'place')}" if causes else "intact"
    run.screen.line(f"{found.session_id}  {verdict}: {whole} are whole", "bold red" if causes else "green")
    if found.unfinished:
        run.screen.line(f"  {UNFINISHED}", "dim")
    _tell_faults(run, causes)
    if causes and (folder := run.session_folder(found.session_id)):
        run.screen.line(f"  its files are in {folder}")
    return found


def by_cause(faults: Iterable[Fault]) -> list[list[Fault]]:
    """Faults, those together that speak of one slot or place: one damaged byte is noticed in several ways."""
    causes: list[list[Fault]] = []
    for fault in faults:
        same = (one for one in causes if any(_of_one_place(fault, other) for other in one))
        # What is no record has no slot; the slot that is missed next was there.
        nameless = causes[-1] if causes and fault.slot is not None and causes[-1][-1].slot is None else None
        cause = next(same, nameless)
        if cause is None:
            causes.append([fault])
        else:
            cause.append(fault)
    return causes


def _of_one_place(one: Fault, other: Fault) -> bool:
    return (one.slot is not None and one.slot == other.slot) or (one.place is not None and one.place == other.place)


def _tell_faults(run: Run, causes: Iterable[list[Fault]]) -> None:
    for first, *others in causes:
        slot = next((fault.slot for fault in (first, *others) if fault.slot is not None), None)
        where = ", ".join(f"{name} {of}" for name, of in (("slot", slot), ("place", first.place)) if of is not None)
        run.screen.line(f"  {where}: {first.reason}" if where else f"  {first.reason}")
        for fault in others:
            run.screen.line(f"    and so: {fault.reason}", "dim")


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
            run.screen.line(f"{done.session.session_id} holds {counted(done.steps, 'step')} of {session_id}")
            if done.faults:
                run.screen.line("  left out:", "bold red")
            _tell_faults(run, by_cause(done.faults))
        raise typer.Exit(DAMAGED if done.faults else DONE)
