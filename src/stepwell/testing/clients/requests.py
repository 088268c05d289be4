"""Session ARNs stand for session ids everywhere; what is malformed is refused and changes nothing."""

from __future__ import annotations

from stepwell.errors import InvalidRequest, NotFound
from stepwell.testing.bench import Clients, all_refused, collected, refused
from stepwell.testing.clients.operations import (
    ADDITIONS,
    DELETION,
    END,
    FORK,
    LEASE,
    READS,
    TAGS,
    session_with_a_step,
)

_MALFORMED = (
    "",
    ".",
    "..",
    "0198C0DE-0000-7000-8000-000000000000",
    "0198c0de-0000-7000-8000-00000000000",
    "0198c0de-0000-7000-8000-0000000000000",
    "0198c0de000070008000000000000000",
    "{0198c0de-0000-7000-8000-000000000000}",
    "0198c0de-0000-7000-8000-000000000000\n",
    "x0198c0de-0000-7000-8000-000000000000",
    "0198c0de-0000-7000-8000-00000000000\u0660",
    "../../../../../../../../../../etc/passwd",
    "0" * 10_000_000,
)
_ARN = "arn:aws:bedrock:us-east-1:000000000000:session/"


async def an_arn_is_taken_wherever_a_session_id_is(clients: Clients) -> None:
    """Of any Region, account and partition; what comes back names the session by its id."""
    client = clients.open()
    plain = await session_with_a_step(client)
    arns = (
        _ARN + plain.session,
        f"arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:session/{plain.session}",
        (await client.get_session(plain.session)).session_arn,
    )
    leases = LEASE if clients.abilities.leases else {}
    for operation in (READS | TAGS | ADDITIONS | leases).values():
        for arn in arns:
            answer = await operation(client, plain._replace(session=arn))
            assert getattr(answer, "session_id", plain.session) == plain.session
    assert {step.session_id async for step in client.steps(arns[0])} == {plain.session}
    assert (await client.fork(arns[0])).session_id not in (*arns, plain.session)
    assert (await client.end_session(arns[1])).session_id == plain.session
    await client.delete_session(arns[2])
    await refused(NotFound, client.get_session(plain.session))


async def a_malformed_session_id_is_refused(clients: Clients) -> None:
    """InvalidRequest from every operation, before anything is looked for."""
    client = clients.open()
    plain = await session_with_a_step(client)
    arns = (_ARN, _ARN + plain.session + "x", "x" + _ARN + plain.session, _ARN + plain.session.upper())
    leases = LEASE if clients.abilities.leases else {}
    for name, operation in (READS | TAGS | ADDITIONS | FORK | leases | END | DELETION).items():
        for bad in (*_MALFORMED, *arns):
            error = await refused(InvalidRequest, operation(client, plain._replace(session=bad)))
            assert error.operation == name
            assert str(error).startswith("session_id:")
            assert len(str(error)) < 300


async def a_malformed_invocation_or_step_id_is_refused(clients: Clients) -> None:
    """InvalidRequest names the argument; nothing is written."""
    client = clients.open()
    session, invocation, step = plain = await session_with_a_step(client)
    before = await client.get_session(session)
    for bad in _MALFORMED:
        of_invocations = await all_refused(
            InvalidRequest,
            client.create_invocation(session, invocation_id=bad),
            client.put_invocation_step(session, bad, "x"),
            client.put_invocation_step(session, bad, "x", create_invocation=True),
            client.put_invocation_steps(session, bad, ["x"]),
            client.get_invocation_step(session, bad, step),
            client.list_invocation_steps(session, bad),
            collected(client.steps, session, invocation_id=bad),
        )
        of_steps = await all_refused(
            InvalidRequest,
            client.get_invocation_step(session, invocation, bad),
            client.put_invocation_step(session, invocation, "x", invocation_step_id=bad),
        )
        assert {str(error).partition(":")[0] for error in of_invocations} == {"invocation_id"}
        assert {str(error).partition(":")[0] for error in of_steps} == {"invocation_step_id"}
    assert await client.get_session(session) == before
    assert len(await collected(client.steps, plain.session)) == 1


async def a_malformed_key_is_refused(clients: Clients) -> None:
    """Empty, too long, with control or bidirectional characters, or with a segment that climbs."""
    client = clients.open()
    origin = (await client.create_session()).session_id
    bad_keys = ("", "x" * 513, "a\0b", "a\nb", "\x7f", "a\u202eb", "\u2066", ".", "..", "../../etc", "a/../b", "\ud800")
    for bad in bad_keys:
        errors = await all_refused(
            InvalidRequest,
            client.create_session(key=bad),
            client.open_session(key=bad),
            client.get_session(key=bad),
            client.fork(origin, key=bad),
            collected(client.steps, key=bad),
            collected(client.tail, key=bad),
        )
        assert {str(error).partition(":")[0] for error in errors} == {"key"}
    assert [shown.session_id async for shown in client.sessions()] == [origin]


async def empty_content_is_refused(clients: Clients) -> None:
    """A text needs a character, a step needs a block; nothing is written."""
    client = clients.open()
    session, invocation, _ = await session_with_a_step(client)
    head = (await client.get_session(session)).head
    for content in ("", [], (), ["said", ""]):
        await all_refused(
            InvalidRequest,
            client.put_invocation_step(session, invocation, content),
            client.put_invocation_steps(session, invocation, ["said", content]),
        )
    await refused(InvalidRequest, client.create_invocation(session, description=""))
    assert (await client.get_session(session)).head == head


async def a_token_of_no_write_is_refused(clients: Clients) -> None:
    """`resolve` takes what `OutcomeUnknown` gave."""
    client = clients.open()
    for bad in ("", "garbage", "AAAA", "\u00e9", "x" * 10_000, "kQ", "lKRhY21l"):
        error = await refused(InvalidRequest, client.resolve(bad))
        assert (error.operation, str(error)[:6]) == ("resolve", "token:")


async def a_backend_that_works_answers_a_ping(clients: Clients) -> None:
    """Before anything was written, and after."""
    client = clients.open()
    await client.ping()
    await session_with_a_step(client)
    await client.ping()
    await clients.open(tenant="another").ping()
