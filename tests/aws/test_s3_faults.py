"""What may befall a conditional PUT, and what a client makes of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from stepwell.client import AsyncClient
from stepwell.errors import (
    CorruptJournal,
    NotFound,
    OutcomeUnknown,
    PermissionDenied,
    StepwellError,
    Throttled,
    Unavailable,
)
from stepwell.models import Data
from stepwell.stores.segments import parse
from stepwell.testing import FakeClock, attempt, collected, refused
from stepwell.testing.stores.records import journal, noise, written
from tests.aws.faults import Fault, Row, Sent, bare, closed, cut_in_headers, error, of, refusing, timed_out, unreachable
from tests.aws.moto import BUCKET, Service, client, ports, run

SHORT = 2000
KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER_KEY = KEY.replace("1234abcd", "99999999")
BIG = Data(data=os.urandom(40_000))
"""What no record holds."""
play = partial(run, s3=True, segment_bytes=SHORT)


def of_segments(*operations: str) -> Callable[[Sent], bool]:
    """Accepts requests of a journal's segments."""
    return lambda sent: sent.operation in operations and "/log/" in sent.url


async def _texts(service: Service, clock: FakeClock, session: str) -> list[str]:
    other = service.open_client(clock, s3=True)
    try:
        return [step.text async for step in other.steps(session)]
    finally:
        await other.aclose()


async def _begun(client: AsyncClient, *texts: str) -> tuple[str, str]:
    session = (await client.create_session()).session_id
    invocation = (await client.create_invocation(session)).invocation_id
    for text in texts:
        await client.put_invocation_step(session, invocation, text)
    return session, invocation


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("lost", [closed, timed_out, cut_in_headers])
def test_a_412_on_a_write_of_our_own_is_a_success(service: Service, lost: Fault, times: int) -> None:
    """The reply was lost, the PUT is sent again, and meets what it wrote: nobody else has won."""

    async def case(client: AsyncClient, clock: FakeClock) -> None:
        session, invocation = await _begun(client)
        service.fault = Row(lost, of_segments("PutObject"), times=times)
        service.calls.clear()
        await client.put_invocation_step(session, invocation, "once")
        assert len(service.called("put_object")) == times + 1
        assert len(service.called("get_object")) == 1
        assert await _texts(service, clock, session) == ["once"]

    play(service, case)


@pytest.mark.parametrize(
    "hidden",
    [refusing("AccessDenied", 403), refusing("NoSuchBucket", 404), refusing("SlowDown", 503), closed, unreachable],
)
def test_a_412_that_cannot_be_looked_into_is_unknown(alone: Service, hidden: Fault) -> None:
    """Not "somebody else's", and not "nothing was written": it may be ours. The token tells, once reading works."""

    async def case(client: AsyncClient, clock: FakeClock) -> None:
        session, invocation = await _begun(client)
        lost = Row(closed, of_segments("PutObject"), times=1)
        blind = Row(hidden, of_segments("GetObject"))
        alone.fault = lambda sent, ask: lost(sent, lambda: blind(sent, ask))
        error = await refused(OutcomeUnknown, client.put_invocation_step(session, invocation, "once"))
        alone.fault = None
        assert (await client.resolve(error.token)).outcome == "committed"
        assert await _texts(alone, clock, session) == ["once"]

    play(alone, case)


@pytest.mark.parametrize("code", ["ConditionalRequestConflict", "OperationAborted"])
def test_a_409_is_tried_again_and_never_taken_for_a_winner(service: Service, code: str) -> None:
    async def case(client: AsyncClient, clock: FakeClock) -> None:
        session, invocation = await _begun(client)
        service.fault = Row(refusing(code, 409), of("PutObject"), times=3)
        await client.put_invocation_step(session, invocation, "in the end")
        service.fault = Row(refusing(code, 409), of("PutObject"), times=3)
        key = (await client.create_session(key="k")).key
        assert await _texts(service, clock, session) == ["in the end"]
        assert key == "k"

    play(service, case)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (refusing("ConditionalRequestConflict", 409), Unavailable),
        (refusing("SlowDown", 503), Throttled),
        (refusing("BadDigest"), Unavailable),
        (refusing("InternalError", 500), OutcomeUnknown),
        (refusing("ServiceUnavailable", 503), OutcomeUnknown),
        (refusing("AccessDenied", 403), PermissionDenied),
        (refusing("NoSuchBucket", 404), Unavailable),
        (unreachable, Unavailable),
        (closed, OutcomeUnknown),
    ],
)
def test_what_lasts_is_told_as_what_it_is(service: Service, fault: Fault, kind: type[StepwellError]) -> None:
    """And where it is certain that nothing was written, nothing was."""

    async def case(client: AsyncClient, clock: FakeClock) -> None:
        session, invocation = await _begun(client, "before")
        stored = service.objects()
        service.fault = Row(fault, of_segments("PutObject", "GetObject"))
        raised = await refused(kind, client.put_invocation_step(session, invocation, "said"))
        service.fault = None
        assert raised.operation == "put_invocation_step"
        assert "said" not in str(raised)
        if kind is not OutcomeUnknown:
            assert service.objects() == stored

    play(service, case)


def _as_412(sent: Sent, ask: Callable[[], Any]) -> Any:
    """Some servers tell a failed condition of an object that is not there."""
    told = ask()
    return error(sent, "PreconditionFailed", 412) if told.status_code == 404 else told


@pytest.mark.parametrize("gone", [None, _as_412], ids=["404", "412"])
@pytest.mark.parametrize("texts", [("one",), tuple(map(str, range(12)))], ids=["open first segment", "several"])
def test_an_append_to_what_is_not_there_any_more_says_so(
    alone: Service, gone: Fault | None, texts: tuple[str, ...]
) -> None:
    async def case(client: AsyncClient, clock: FakeClock) -> None:
        session, invocation = await _begun(client, *texts)
        for key in alone.objects():
            if "/log/" in key:
                s3.delete_object(Bucket=BUCKET, Key=key)
        alone.fault = None if gone is None else Row(gone, of("PutObject"))
        await refused(NotFound, client.put_invocation_step(session, invocation, "too late"))
        assert not [key for key in alone.objects() if "/log/" in key]

    s3 = client("s3")
    play(alone, case)


def _a_proxys(sent: Sent, ask: Callable[[], Any]) -> Any:
    """What knows no way answers 404, and nothing else: S3 gives each of its replies an id."""
    return bare(sent, 404)


@pytest.mark.parametrize("operation", ["GetObject", "HeadObject", "PutObject"])
def test_an_answer_that_is_not_s3s_tells_nothing_of_an_object(service: Service, operation: str) -> None:
    """Neither that a session is not there, nor that others have won."""

    async def case(client: AsyncClient, clock: FakeClock) -> None:
        session = (await client.create_session(key="k")).session_id
        invocation = (await client.create_invocation(session)).invocation_id
        await client.put_invocation_step(session, invocation, "one")
        other = service.open_client(clock, s3=True)
        service.fault = Row(_a_proxys, of(operation))
        for call in (
            other.get_session(session),
            other.get_session(key="k"),
            collected(partial(other.steps, session)),
            other.put_invocation_step(session, invocation, "two"),
            client.put_invocation_step(session, invocation, "three"),
            client.fork(session),
        ):
            told = await attempt(call)
            assert not isinstance(told, NotFound | CorruptJournal) or (
                operation != "GetObject" and told.session_id is None
            )
        service.fault = None
        assert (await _texts(service, clock, session))[0] == "one"
        await other.aclose()

    play(service, case)


def test_a_key_that_was_let_go_is_nowhere_to_be_read(alone: Service) -> None:
    async def case() -> None:
        store = alone.open_s3(ports("boto3", FakeClock()))
        held = set[bytes]()
        for at in range(3):
            session = bytes([at]) * 16
            assert await store.swap_key("acme", "alice@example.com", session, expected=None) is None
            assert await store.swap_key("acme", "alice@example.com", None, expected=session) == session
            assert await store.get_key("acme", "alice@example.com") is None
            held |= set(alone.objects().values())
        assert len(held) == 3
        assert not any(b"alice" in body for body in held)

    asyncio.run(case())


def test_what_was_erased_is_not_read_from_memory(alone: Service) -> None:
    """A head that was read before the erasure does not count any more."""

    async def case() -> None:
        store, here = alone.open_s3(ports("boto3", FakeClock()), segment_bytes=1000), journal("erased")
        records = await written(store, here, *(noise(300, str(at)) for at in range(8)))
        cold = alone.open_s3(ports("boto3", FakeClock()))
        assert await cold.head(here) == records[-1]
        await cold.erase(here, 0, [(len(records[0]) - 10, 10)])
        assert (await cold.read(here, 0, 0))[0].endswith(b"\xee" * 10)

    asyncio.run(case())


def test_a_redaction_moves_the_version_and_an_append_follows_it(service: Service) -> None:
    """The slot is free: the same record goes behind the bytes as they are now, and what was erased stays erased."""

    async def case(client: AsyncClient, clock: FakeClock) -> None:
        session = (await client.create_session()).session_id
        invocation = (await client.create_invocation(session)).invocation_id
        secret = await client.put_invocation_step(session, invocation, "a secret")
        other = service.open_client(clock, s3=True, segment_bytes=SHORT)
        await other.redact(session, invocation, secret.invocation_step_id, reason="asked for")
        await other.aclose()
        await client.put_invocation_step(session, invocation, "behind it")
        assert await _texts(service, clock, session) == ["", "behind it"]
        segments = [parse(body).frames for key, body in service.objects().items() if "/log/" in key]
        assert any(b"behind it" in frames for frames in segments)
        assert not any(b"a secret" in frames for frames in segments)

    play(service, case)


def test_clients_of_different_segments_agree_where_a_record_goes(service: Service) -> None:
    """Each begins segments of its own length; where one ends, its own header says."""

    async def case(client: AsyncClient, clock: FakeClock) -> None:
        writers = [service.open_client(clock, s3=True, segment_bytes=size) for size in (700, 1500, 4000)]
        session, invocation = await _begun(client)
        said = [f"{turn} {at}" for turn in range(12) for at in range(3)]
        for text in said:
            await writers[int(text[-1])].put_invocation_step(session, invocation, text)
        assert await _texts(service, clock, session) == said
        assert (await client.verify(session)).faults == ()
        await asyncio.gather(*[writer.aclose() for writer in writers])

    play(service, case)
    assert len([key for key in service.objects() if "/log/" in key]) > 2


# Keys


def _heads(service: Service, part: str) -> list[dict[str, Any]]:
    s3 = client("s3")
    return [s3.head_object(Bucket=BUCKET, Key=key) for key in service.objects() if part in key]


def test_everything_of_a_session_is_written_with_its_own_key(service: Service) -> None:
    """By every process, in every segment, its blobs, what is redacted, and its forks."""

    async def case(client: AsyncClient, clock: FakeClock) -> None:
        made = await client.create_session(encryption_key_arn=KEY)
        invocation = (await client.create_invocation(made.session_id)).invocation_id
        other = service.open_client(clock, s3=True, segment_bytes=SHORT)
        for at in range(10):
            writer = (client, other)[at % 2]
            await writer.put_invocation_step(made.session_id, invocation, f"step {at} " + "x" * 300)
        big = await other.put_invocation_step(made.session_id, invocation, BIG)
        forked = await client.fork(made.session_id)
        await client.redact(made.session_id, invocation, big.invocation_step_id, reason="asked for")
        assert (await other.get_session(forked.session_id)).encryption_key_arn == KEY
        await other.aclose()

    play(service, case)
    heads = _heads(service, "/sessions/")
    assert len(heads) > 4
    for head in heads:
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"], head["BucketKeyEnabled"]) == ("aws:kms", KEY, True)


def test_a_store_has_a_key_for_what_has_none_of_its_own(service: Service) -> None:
    async def case(client: AsyncClient, clock: FakeClock) -> None:
        await client.create_session(key="k")
        await client.create_session(encryption_key_arn=KEY)

    play(service, case, kms_key_arn=OTHER_KEY)
    assert {head["SSEKMSKeyId"] for head in _heads(service, "/log/")} == {KEY, OTHER_KEY}
    assert {head["SSEKMSKeyId"] for part in ("/keys/", "/list/") for head in _heads(service, part)} == {OTHER_KEY}


def test_objects_have_the_tags_the_class_and_the_owner_that_the_url_names(service: Service) -> None:
    async def case(client: AsyncClient, clock: FakeClock) -> None:
        session, invocation = await _begun(client, "one")
        await client.put_invocation_step(session, invocation, BIG)
        await client.fork(session)

    play(service, case, tags={"team": "a b", "stage": "x=y"}, storage_class="GLACIER_IR", bucket_owner="123456789012")
    s3 = client("s3")
    for key in service.objects():
        tags = s3.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "a b", "stage": "x=y"}, key
        assert s3.head_object(Bucket=BUCKET, Key=key)["StorageClass"] == "GLACIER_IR"
    assert all(arguments["ExpectedBucketOwner"] == "123456789012" for _, arguments in service.calls)
    copies = service.called("copy_object")
    assert [arguments["ExpectedSourceBucketOwner"] for arguments in copies] == ["123456789012"]


@pytest.mark.parametrize("operation", ["GetObject", "PutObject"])
@pytest.mark.parametrize(
    "disabled",
    [
        refusing("KMS.DisabledException", 400, f"{KEY} is disabled."),
        refusing("KMS.KMSInvalidStateException", 400, f"{KEY} is pending deletion."),
        refusing(
            "AccessDenied",
            403,
            f"User: arn:aws:iam::1:user/a is not authorized to perform: kms:Decrypt on resource: {KEY} because no "
            "identity-based policy allows the kms:Decrypt action",
        ),
    ],
    ids=["disabled", "pending deletion", "not allowed"],
)
def test_a_key_that_refuses_is_named_and_nothing_looks_missing(
    service: Service, disabled: Fault, operation: str
) -> None:
    async def case(client: AsyncClient, clock: FakeClock) -> None:
        made = await client.create_session(encryption_key_arn=KEY, key="k")
        invocation = (await client.create_invocation(made.session_id)).invocation_id
        service.fault = Row(disabled, of_segments(operation))
        other = service.open_client(clock, s3=True)
        put = other.put_invocation_step(made.session_id, invocation, "said")
        reads = [other.get_session(made.session_id), collected(partial(other.steps, key="k"))]
        for call in [put, *(reads if operation == "GetObject" else ())]:
            told = await refused(PermissionDenied, call)
            assert KEY in str(told)
        for read in reads if operation == "PutObject" else ():
            await read
        await other.aclose()

    play(service, case)


def _denied_if_missing(sent: Sent, ask: Callable[[], Any]) -> Any:
    """What S3 tells of an object that is not there to whoever may not list the whole bucket."""
    told = ask()
    return error(sent, "AccessDenied", 403) if told.status_code == 404 else told


def test_what_is_not_there_is_found_to_be_missing_by_who_may_not_list_the_whole_bucket(service: Service) -> None:
    async def case(client: AsyncClient, clock: FakeClock) -> None:
        service.fault = Row(_denied_if_missing, of("GetObject", "HeadObject"))
        await refused(NotFound, client.get_session(key="k"))
        made = await client.create_session(key="k")
        await client.put_invocation_step(made.session_id, made.session_id, BIG, create_invocation=True)
        await client.fork(made.session_id)
        assert (await client.get_session(key="k")).session_id == made.session_id
        assert len(await collected(client.sessions)) == 2
        await refused(NotFound, client.get_session("01890000-0000-7000-8000-000000000000"))

    play(service, case)


# Lists


def test_a_list_opens_no_session_and_is_newest_first(service: Service) -> None:
    async def case(client: AsyncClient, clock: FakeClock) -> None:
        made: list[str] = []
        for at in range(7):
            made.append((await client.create_session(metadata={"at": str(at)})).session_id)
            clock.advance(timedelta(seconds=1))
        service.calls.clear()
        page = await client.list_sessions(max_results=3)
        assert [one.session_id for one in page.items] == made[:3:-1]
        assert len(service.called("list_objects_v2")) == 1
        assert len(service.called("get_object")) <= 4
        assert not [call for _, call in service.calls if "/log/" in call.get("Key", "") + call.get("Prefix", "")]
        rest = await client.list_sessions(max_results=100, next_token=page.next_token)
        assert [one.session_id for one in rest.items] == made[3::-1]

    play(service, case)


def test_what_others_put_there_is_no_session_and_no_segment(alone: Service) -> None:
    async def case(client: AsyncClient, clock: FakeClock) -> None:
        session, invocation = await _begun(client, *map(str, range(8)))
        folder = next(key for key in alone.objects() if "/log/" in key).rpartition("/")[0]
        for key in (f"{folder}/README", f"{folder}/9", "some/where/acme/list/x", "some/where/acme/sessions/x/log/0"):
            s3.put_object(Bucket=BUCKET, Key=key, Body=b"not ours")
        await client.put_invocation_step(session, invocation, "8")
        assert await _texts(alone, clock, session) == [str(at) for at in range(9)]
        assert [one.session_id for one in await collected(client.sessions)] == [session]
        await client.gc()

    s3 = client("s3")
    play(alone, case)


@pytest.mark.parametrize("part", ["/log/", "/keys/"])
def test_an_object_that_is_something_else_is_corrupt(alone: Service, part: str) -> None:
    async def case(client: AsyncClient, clock: FakeClock) -> None:
        session = (await client.create_session(key="k")).session_id
        key = next(key for key in alone.objects() if part in key)
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"not ours")
        other = alone.open_client(clock, s3=True)
        await refused(CorruptJournal, other.get_session(key="k") if part == "/keys/" else other.get_session(session))
        await other.aclose()

    s3 = client("s3")
    play(alone, case)


def test_a_damaged_entry_of_a_list_is_written_anew(alone: Service) -> None:
    async def case(client: AsyncClient, clock: FakeClock) -> None:
        made = await client.create_session(metadata={"a": "b"})
        key = next(key for key in alone.objects() if "/list/" in key)
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"not ours")
        await client.get_session(made.session_id)
        listed = await collected(client.sessions)
        assert [(one.session_id, one.session_status) for one in listed] == [(made.session_id, "ACTIVE")]

    s3 = client("s3")
    play(alone, case)
