"""The least policy: it allows what a client needs, and nothing else; conftest.py checks the calls of every test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias
from uuid import UUID

import pytest
from botocore.exceptions import ClientError

from stepwell import Client, Image
from stepwell.blocking import run_sync
from stepwell.errors import NotFound, PermissionDenied
from stepwell.io.aws import Aws, AwsTarget, open_aws
from stepwell.io.clock import SystemClock
from stepwell.io.ports import Ports, Tasks
from stepwell.stores import dynamodb_iam, s3_iam
from stepwell.stores.base import JournalId, JournalStore
from stepwell.stores.dynamodb import DynamoDBStore
from stepwell.stores.dynamodb_options import DynamoDBOptions
from stepwell.stores.iam import Mode
from stepwell.stores.s3 import S3Store
from stepwell.stores.s3_options import S3Options, S3Place
from tests.aws.allowed import asked, finds, refused
from tests.aws.moto import BUCKET, PREFIX, REGION, TABLE, client, ports, services
from tests.aws.service import refusal

PICTURE = Image(format="png", data=bytes(50_000))
OPTIONS = DynamoDBOptions(TABLE, REGION, blobs=S3Place(BUCKET, PREFIX))
S3 = S3Options(S3Place(BUCKET, PREFIX), REGION)
TAGGED = replace(S3, tags={"team": "support"})
EVERY = (OPTIONS, S3, TAGGED)
LAX = "https://server.example"
"""Not one of AWS's, so that a store looks first what it makes of conditions."""

Options: TypeAlias = DynamoDBOptions | S3Options


@pytest.fixture
def account() -> Iterator[None]:
    with services("boto3"):
        yield


def of_url(options: Options, mode: Mode) -> dict[str, Any]:
    """The least policy."""
    if isinstance(options, S3Options):
        return s3_iam.policy(options, mode)
    return dynamodb_iam.policy(options, mode)


class Guarded:
    """Calls that *document* allows; all others are refused, as IAM does. What is not there is told as S3 does."""

    def __init__(self, below: Aws, document: Mapping[str, Any]) -> None:
        self._below = below
        self._document = document
        self.operations: set[str] = set()
        self.actions: set[str] = set()

    async def call(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        self.operations.add(operation)
        self.actions |= {action for action, _, _ in asked(operation, arguments, REGION)}
        if refused(self._document, operation, arguments, REGION):
            raise refusal("AccessDeniedException", operation)
        try:
            return await self._below.call(operation, **arguments)
        except ClientError as error:
            absent = error.response.get("Error", {}).get("Code") in ("NoSuchKey", "404")
            if absent and not finds(self._document, arguments["Bucket"], arguments["Key"]):
                raise refusal("AccessDenied", operation) from error
            raise

    async def region(self) -> str:
        return await self._below.region()

    async def endpoint(self) -> str:
        return LAX

    async def aclose(self) -> None:
        await self._below.aclose()


def opening(document: Mapping[str, Any], made: list[Guarded]) -> Callable[[AwsTarget, Tasks], Aws]:
    """What opens the calls of a user with a policy."""

    def open_guarded(target: AwsTarget, tasks: Tasks) -> Aws:
        made.append(Guarded(open_aws(target, tasks), document))
        return made[-1]

    return open_guarded


def opened(given: Ports, options: Options, document: Mapping[str, Any], made: list[Guarded]) -> JournalStore:
    """A store of a user with a policy."""
    if isinstance(options, S3Options):
        return S3Store(given, options, open_aws=opening(document, made))
    return DynamoDBStore(given, options, open_aws=opening(document, made))


def guarded(
    mode: Mode, options: Options, made: list[Guarded] | None = None, document: Mapping[str, Any] | None = None
) -> Client:
    """A client of a user with a policy: the least one, if *document* is none."""
    calls = [] if made is None else made
    return Client.from_store(lambda given: opened(given, options, document or of_url(options, mode), calls))


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("options", EVERY)
def test_nothing_is_allowed_that_no_call_needs(options: Options) -> None:
    made: list[Guarded] = []
    with guarded("rw", options, made) as writer:
        session = writer.open_session(key="INC-7").session_id
        step = writer.put_invocation_step(session, session, [PICTURE], create_invocation=True)
        writer.fork(session)
        assert list(writer.steps(session)) == [step]
        writer.redact(session, session, step.invocation_step_id, reason="a test says so")
    store = opened(ports("boto3", SystemClock()), options, of_url(options, "rw"), made)
    journal = JournalId("default", UUID(session).bytes)
    run_sync(store.remove_blob(journal, "00"))
    run_sync(store.remove(journal))
    run_sync(store.aclose())
    called = set[str]().union(*(one.operations for one in made))
    others = set[str]() if isinstance(options, S3Options) else dynamodb_iam.ACTIONS["rw"].keys()
    assert called == s3_iam.ACTIONS["rw"].keys() | others
    needed = set[str]().union(*(one.actions for one in made))
    assert needed == {action for one in of_url(options, "rw")["Statement"] for action in one["Action"]}


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("options", EVERY)
def test_who_may_read_reads_everything_and_writes_nothing(options: Options) -> None:
    with guarded("rw", options) as writer:
        session = writer.open_session(key="INC-7", tags={"team": "a"})
        invocation = writer.create_invocation(session.session_id)
        step = writer.put_invocation_step(session.session_id, invocation.invocation_id, ["p99 is 4 s", PICTURE])
        writer.end_session(session.session_id)
    with guarded("ro", options) as reader:
        reader.ping()
        found = reader.get_session(key="INC-7")
        assert list(reader.steps(found.session_id)) == [step]
        assert [one.session_id for one in reader.sessions()] == [session.session_id]
        assert reader.verify(found.session_id).intact
        assert list(reader.tail(found.session_id)) == [step]
        assert list(reader.audit_records()) == []
        assert reader.gc(dry_run=True).sessions == 1
        assert len(list(reader.list_invocations(found.session_id).items)) == 1
        with pytest.raises(NotFound):
            reader.get_session(key="nobody's")
        with pytest.raises(PermissionDenied):
            reader.create_session()


@pytest.mark.usefixtures("account")
def test_who_uses_one_prefix_is_kept_from_every_other() -> None:
    elsewhere = replace(S3, place=S3Place(BUCKET, "some/where-else"))
    with guarded("rw", S3) as writer:
        writer.create_session(key="INC-7")
    with guarded("rw", elsewhere, document=of_url(S3, "rw")) as stranger:
        for call in (stranger.ping, stranger.create_session, lambda: stranger.get_session(key="INC-7")):
            with pytest.raises(PermissionDenied):
                call()


@pytest.mark.usefixtures("account")
def test_without_the_permission_to_list_what_is_not_there_looks_forbidden() -> None:
    document = of_url(S3, "rw")
    unlisted = {**document, "Statement": [one for one in document["Statement"] if one["Sid"] != "Names"]}
    with guarded("rw", S3, document=unlisted) as writer, pytest.raises(PermissionDenied):
        writer.get_session(key="nobody's")


@pytest.mark.usefixtures("account")
def test_a_fork_by_who_names_no_tags_copies_none_and_may_do_so() -> None:
    with guarded("rw", TAGGED) as writer:
        session = writer.create_session().session_id
        writer.put_invocation_step(session, session, [PICTURE], create_invocation=True)
    with guarded("rw", S3) as forker:
        copy = forker.fork(session).session_id
    s3 = client("s3")
    keys = [found["Key"] for found in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    tags = {key: s3.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"] for key in keys if "/blobs/" in key}
    assert sorted((copy in key, len(held)) for key, held in tags.items()) == [(False, 1), (True, 0)]


@pytest.mark.usefixtures("account")
def test_only_who_has_create_in_the_url_makes_the_table() -> None:
    made: list[Guarded] = []
    options = DynamoDBOptions("another", REGION, create=True)
    with guarded("rw", options, made) as creator:
        creator.create_session()
    assert made[0].operations >= dynamodb_iam.CREATING.keys()
    assert sorted(client("dynamodb").list_tables()["TableNames"]) == ["another", TABLE]
