"""The operations on a session, by name and by what they do to it; and a session to try them on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from stepwell.client import AsyncClient
from stepwell.testing.bench import collected


class Written(NamedTuple):
    """A session with a step in it."""

    session: str
    invocation: str
    step: str


Operation = Callable[[AsyncClient, Written], Awaitable[object]]

READS: dict[str, Operation] = {
    "get_session": lambda c, w: c.get_session(w.session),
    "list_invocations": lambda c, w: c.list_invocations(w.session),
    "list_invocation_steps": lambda c, w: c.list_invocation_steps(w.session, w.invocation),
    "get_invocation_step": lambda c, w: c.get_invocation_step(w.session, w.invocation, w.step),
    "list_tags_for_resource": lambda c, w: c.list_tags_for_resource(w.session),
    "steps": lambda c, w: collected(c.steps, w.session),
    "tail": lambda c, w: collected(c.tail, w.session, timeout=0),
    "verify": lambda c, w: c.verify(w.session),
}
TAGS: dict[str, Operation] = {
    "tag_resource": lambda c, w: c.tag_resource(w.session, {"colour": "red"}),
    "untag_resource": lambda c, w: c.untag_resource(w.session, ["colour"]),
}
ADDITIONS: dict[str, Operation] = {
    "update_session": lambda c, w: c.update_session(w.session, {"changed": "yes"}),
    "create_invocation": lambda c, w: c.create_invocation(w.session),
    "put_invocation_step": lambda c, w: c.put_invocation_step(w.session, w.invocation, "more"),
    "put_invocation_steps": lambda c, w: c.put_invocation_steps(w.session, w.invocation, ["more", "yet"]),
}
FORK: dict[str, Operation] = {"fork": lambda c, w: c.fork(w.session), "salvage": lambda c, w: c.salvage(w.session)}
LEASE: dict[str, Operation] = {"lease": lambda c, w: c.lease(w.session)}
END: dict[str, Operation] = {"end_session": lambda c, w: c.end_session(w.session)}
DELETION: dict[str, Operation] = {"delete_session": lambda c, w: c.delete_session(w.session)}


async def session_with_a_step(client: AsyncClient, **members: Any) -> Written:
    """A new session, an invocation in it and a step in that."""
    made = await client.create_session(**members)
    invocation = await client.create_invocation(made.session_id)
    step = await client.put_invocation_step(made.session_id, invocation.invocation_id, "said")
    return Written(made.session_id, invocation.invocation_id, step.invocation_step_id)
