"""The least policy: it allows what a client needs, and nothing else; conftest.py checks the calls of every test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from uuid import UUID

import pytest

from stepwell import Client, Image
from stepwell.blocking import run_sync
from stepwell.errors import PermissionDenied
from stepwell.io.aws import Aws, AwsTarget, open_aws
from stepwell.io.clock import SystemClock
from stepwell.io.ports import Tasks
from stepwell.stores.base import JournalId
from stepwell.stores.dynamodb import DynamoDBStore
from stepwell.stores.dynamodb_options import DynamoDBOptions
from stepwell.stores.iam import ACTIONS, CREATING, Mode, policy
from stepwell.stores.s3_options import S3Place
from tests.aws.allowed import refused
from tests.aws.moto import BUCKET, PREFIX, REGION, TABLE, client, ports, services
from tests.aws.service import refusal

PICTURE = Image(format="png", data=bytes(20_000))
OPTIONS = DynamoDBOptions(TABLE, REGION, blobs=S3Place(BUCKET, PREFIX))


@pytest.fixture
def account() -> Iterator[None]:
    with services("boto3"):
        yield


class Guarded:
    """Calls that *document* allows; all others are refused, as IAM does."""

    def __init__(self, below: Aws, document: Mapping[str, Any]) -> None:
        self._below = below
        self._document = document
        self.operations: set[str] = set()

    async def call(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        self.operations.add(operation)
        if refused(self._document, operation, arguments, REGION):
            raise refusal("AccessDeniedException", operation)
        return await self._below.call(operation, **arguments)

    async def region(self) -> str:
        return await self._below.region()

    async def endpoint(self) -> str:
        return await self._below.endpoint()

    async def aclose(self) -> None:
        await self._below.aclose()


def opening(mode: Mode, options: DynamoDBOptions, made: list[Guarded]) -> Callable[[AwsTarget, Tasks], Aws]:
    """What opens the calls of a user with the least policy."""

    def open_guarded(target: AwsTarget, tasks: Tasks) -> Aws:
        made.append(Guarded(open_aws(target, tasks), policy(options, mode)))
        return made[-1]

    return open_guarded


def guarded(mode: Mode, options: DynamoDBOptions = OPTIONS, made: list[Guarded] | None = None) -> Client:
    """A client of a user with the least policy."""
    opened = opening(mode, options, [] if made is None else made)
    return Client.from_store(lambda ports: DynamoDBStore(ports, options, open_aws=opened))


@pytest.mark.usefixtures("account")
def test_nothing_is_allowed_that_no_call_needs() -> None:
    made: list[Guarded] = []
    with guarded("rw", made=made) as writer:
        session = writer.open_session(key="INC-7").session_id
        step = writer.put_invocation_step(session, session, [PICTURE], create_invocation=True)
        writer.fork(session)
        assert list(writer.steps(session)) == [step]
        writer.redact(session, session, step.invocation_step_id, reason="a test says so")
    store = DynamoDBStore(ports("boto3", SystemClock()), OPTIONS, open_aws=opening("rw", OPTIONS, made))
    journal = JournalId("default", UUID(session).bytes)
    run_sync(store.remove_blob(journal, "00"))
    run_sync(store.remove(journal))
    run_sync(store.aclose())
    assert set[str]().union(*(one.operations for one in made)) == ACTIONS["rw"].keys()


@pytest.mark.usefixtures("account")
def test_who_may_read_reads_everything_and_writes_nothing() -> None:
    with guarded("rw") as writer:
        session = writer.open_session(key="INC-7", tags={"team": "a"})
        invocation = writer.create_invocation(session.session_id)
        step = writer.put_invocation_step(session.session_id, invocation.invocation_id, ["p99 is 4 s", PICTURE])
        writer.end_session(session.session_id)
    with guarded("ro") as reader:
        reader.ping()
        found = reader.get_session(key="INC-7")
        assert list(reader.steps(found.session_id)) == [step]
        assert [one.session_id for one in reader.sessions()] == [session.session_id]
        assert reader.verify(found.session_id).intact
        assert list(reader.tail(found.session_id)) == [step]
        assert list(reader.audit_records()) == []
        assert reader.gc(dry_run=True).sessions == 1
        assert len(list(reader.list_invocations(found.session_id).items)) == 1
        with pytest.raises(PermissionDenied):
            reader.create_session()


@pytest.mark.usefixtures("account")
def test_only_who_has_create_in_the_url_makes_the_table() -> None:
    made: list[Guarded] = []
    options = DynamoDBOptions("another", REGION, create=True)
    with guarded("rw", options, made) as creator:
        creator.create_session()
    assert made[0].operations >= CREATING.keys()
    assert sorted(client("dynamodb").list_tables()["TableNames"]) == ["another", TABLE]
