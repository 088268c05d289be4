"""All that a client shows of a tenant, in a form that can be compared.

Ids and times that a call makes up are left out: two pictures of the same call on copies of one store are equal.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple, TypeAlias

from stepwell.client import AsyncClient
from stepwell.errors import NotFound
from stepwell.ids import uuid_text
from stepwell.models import Session
from stepwell.stores.base import JournalStore
from stepwell.testing.bench import collected

NEW = "new"
_MANY = 1000

StepPicture: TypeAlias = tuple[str, str, tuple[object, ...]]


class SessionPicture(NamedTuple):
    """A session that can be read, or one that is deleted and can be undeleted: then it has no content."""

    name: str
    status: str
    listed: bool
    by_key: bool
    key: str | None
    metadata: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    expires_at: datetime | None = None
    invocations: tuple[str, ...] = ()
    steps: tuple[StepPicture, ...] = ()


class Picture(NamedTuple):
    """See the module."""

    sessions: tuple[SessionPicture, ...]
    audit: tuple[tuple[str, str, str], ...]

    @property
    def ids(self) -> frozenset[str]:
        """The ids in it."""
        steps = {step[1] for session in self.sessions for step in session.steps}
        invocations = {invocation for session in self.sessions for invocation in session.invocations}
        return frozenset(
            {session.name for session in self.sessions} | {of for _, of, _ in self.audit} | steps | invocations
        )


async def picture(client: AsyncClient, store: JournalStore, tenant: str, known: frozenset[str]) -> Picture:
    """What *client* shows; an id that is not *known* is `NEW`, all of them if that is empty.

    Sessions are found by what is stored, so that one that no list shows is found as well. They are read before the
    lists are, which mends these.
    """

    def name(id_: str) -> str:
        return id_ if not known or id_ in known else NEW

    visible: list[Session] = []
    for raw in await store.journals(tenant, None, _MANY):
        try:
            visible.append(await client.get_session(uuid_text(raw)))
        except NotFound:
            continue
    listed = {shown.session_id: shown for shown in await collected(client.sessions)}
    hidden = await collected(client.sessions, deleted=True)
    assert listed.keys() <= {session.session_id for session in visible}, "a session is listed that is not there"
    found = [await _session(client, session, name, listed=session.session_id in listed) for session in visible]
    found += [
        SessionPicture(name(shown.session_id), "deleted", listed=True, by_key=False, key=shown.key) for shown in hidden
    ]
    for session in visible:
        shown = listed.get(session.session_id)
        if shown is not None:
            said = (shown.session_status, shown.key, shown.tags)
            assert said == (session.session_status, session.key, session.tags), "a list shows a session as it is not"
    audit = [(r.operation, name(r.session_id), r.reason) for r in await collected(client.audit_records)]
    return Picture(tuple(sorted(found, key=repr)), tuple(sorted(audit)))


async def _session(
    client: AsyncClient, session: Session, name: Callable[[str], str], *, listed: bool
) -> SessionPicture:
    id_ = session.session_id
    invocations = (await client.list_invocations(id_, max_results=_MANY)).items
    steps = await collected(client.steps, id_)
    return SessionPicture(
        name(id_),
        session.session_status,
        listed,
        session.key is not None and await _named(client, session.key) == id_,
        session.key,
        tuple(sorted(session.metadata.items())),
        tuple(sorted((session.tags or {}).items())),
        None if name(id_) == NEW else session.expires_at,  # it is counted from when it was made
        tuple(name(invocation.invocation_id) for invocation in invocations),
        tuple((name(step.invocation_id), name(step.invocation_step_id), step.content) for step in steps),
    )


async def _named(client: AsyncClient, key: str) -> str | None:
    try:
        return (await client.get_session(key=key)).session_id
    except NotFound:
        return None
