"""What a `dynamodb:` URL says, and what a client makes of it and of what its caller brings along."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config

from stepwell import AsyncClient, Client, Limits, aws_url
from stepwell.errors import InvalidRequest
from stepwell.io.aws import Given, check_given
from stepwell.io.ports import Ports
from stepwell.stores.base import JournalStore
from stepwell.stores.dynamodb_options import DynamoDBOptions
from stepwell.stores.memory import MemoryStore
from stepwell.stores.s3_options import S3Place
from stepwell.urls import Target, dynamodb_options, parse

DAY = timedelta(days=1)


def test_a_url_with_every_option_says_it_all() -> None:
    url = (
        "dynamodb://agent.sessions_1?region=eu-west-1&endpoint_url=http://localhost:8000&ttl=30d"
        "&blobs=s3://my-bucket/agents/a/&create=1&home_region=eu-west-1&tenant=acme"
    )
    expected = DynamoDBOptions(
        table="agent.sessions_1",
        region="eu-west-1",
        endpoint_url="http://localhost:8000",
        blobs=S3Place("my-bucket", "agents/a"),
        create=True,
        home_region="eu-west-1",
    )
    assert dynamodb_options(url) == expected


def test_a_table_is_all_that_a_url_needs() -> None:
    assert dynamodb_options("dynamodb://sessions") == DynamoDBOptions("sessions")
    assert dynamodb_options("dynamodb://sessions?blobs=s3://my-bucket").blobs == S3Place("my-bucket", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("45m", timedelta(minutes=45)),
        ("12h", timedelta(hours=12)),
        ("30d", timedelta(days=30)),
        ("2w", timedelta(weeks=2)),
    ],
)
def test_a_time_to_live_is_a_length_of_time(text: str, expected: timedelta) -> None:
    assert aws_url.retention({"ttl": text}) == expected


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        (":sessions", "use dynamodb://table"),
        ("://ab", "3 to 255 of"),
        ("://sessions/more", "3 to 255 of"),
        ("://sessions?tabel=x", "no option 'tabel' here; known: tenant, region"),
        ("://sessions?ttl=0d", "ttl=0d is no length of time such as 30d"),
        ("://sessions?ttl=soon", "ttl=soon is no length of time"),
        ("://sessions?ttl=999999999w", "no length of time"),
        ("://sessions?ttl=36526d", "up to 36525d"),
        ("://sessions?region=EU%20West", "region=EU West is no region"),
        ("://sessions?home_region=", "home_region= is no region"),
        ("://sessions?endpoint_url=localhost:8000", "http://host:port"),
        ("://sessions?endpoint_url=http://user:secret@host", "without a user"),
        ("://sessions?endpoint_url=http://[", "http://host:port"),
        ("://sessions?create=yes", "create is 0 or 1"),
        ("://sessions?blobs=my-bucket/prefix", "blobs=s3://bucket/prefix"),
        ("://sessions?blobs=s3://My_Bucket", "blobs=s3://bucket/prefix"),
        ("://sessions?blobs=s3://my-bucket//a", "blobs=s3://bucket/prefix"),
        ("://sessions?blobs=s3://my-bucket/a*", "blobs=s3://bucket/prefix"),
        ("://sessions?tenant=", "tenant"),
    ],
)
def test_what_is_malformed_is_refused_with_what_would_be_right(rest: str, told: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        dynamodb_options("dynamodb" + rest)
    assert told in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_url_of_another_store_names_no_table() -> None:
    with pytest.raises(InvalidRequest, match="is no dynamodb://table"):
        dynamodb_options("file:./sessions")


# Clients


class Opened:
    """Stands in for the store: keeps what it is opened with, and sessions in memory."""

    def __init__(self) -> None:
        self.options: list[DynamoDBOptions] = []
        self._memory = MemoryStore()

    def __call__(self, ports: Ports, options: DynamoDBOptions) -> JournalStore:
        self.options.append(options)
        return self._memory


@pytest.fixture(name="opened")
def _opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    opened = Opened()
    monkeypatch.setattr("stepwell.stores.dynamodb.DynamoDBStore", opened)
    return opened


def aws_client(service: str, region: str = "eu-west-1") -> Any:
    session: Any = boto3.Session("A", "b", region_name=region)
    return session.client(service)


def test_a_client_opens_the_store_with_what_url_and_caller_say(opened: Opened) -> None:
    session, dynamodb, s3, config = boto3.Session(), aws_client("dynamodb"), aws_client("s3"), Config()
    url = "dynamodb://sessions?blobs=s3://my-bucket&tenant=acme"
    brought: dict[str, Any] = {
        "boto3_session": session,
        "boto3_client": [dynamodb, s3],
        "botocore_config": config,
    }
    with Client(url, **brought) as client:
        assert "tenant='acme'" in repr(client)
    asyncio.run(AsyncClient(url, **brought).aclose())
    expected = replace(dynamodb_options(url), given=Given(session, (dynamodb, s3), config))
    assert opened.options == [expected, expected]


def test_the_times_of_a_session_are_its_own_or_its_clients_or_its_urls(opened: Opened) -> None:
    def kept(client: Client, **members: Any) -> timedelta:
        made = client.create_session(**members)
        assert made.expires_at is not None
        return made.expires_at - made.created_at

    with Client("dynamodb://sessions?ttl=3d") as client:
        assert kept(client) == 3 * DAY
        assert kept(client, retention=5 * DAY) == 5 * DAY
    with Client("dynamodb://sessions?ttl=3d", limits=Limits(retention=DAY)) as client:
        assert kept(client) == DAY
        assert kept(client, retention=5 * DAY) == 5 * DAY
    with Client("dynamodb://sessions") as client:
        assert client.create_session().expires_at is None
    asyncio.run(_kept_for(3 * DAY))


async def _kept_for(time: timedelta) -> None:
    async with AsyncClient("dynamodb://sessions?ttl=3d") as client:
        made = await client.open_session(key="k")
        assert made.expires_at == made.created_at + time


def test_the_time_to_live_leaves_other_limits_as_they_are() -> None:
    target = Target(lambda ports: MemoryStore(), "acme", DAY)
    bedrock = Limits.bedrock()
    assert target.limits(None) == Limits(retention=DAY)
    assert target.limits(bedrock) == bedrock
    assert target.limits(replace(bedrock, retention=None)) == replace(bedrock, retention=DAY)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("dynamodb://sessions", "one for s3 is never called"),
        ("dynamodb://sessions?blobs=s3://my-bucket&region=us-east-1", "region is that of the boto3_client, eu-west-1"),
        ("dynamodb://sessions?blobs=s3://my-bucket&endpoint_url=http://localhost:1", "endpoint_url is that of the"),
    ],
)
def test_a_client_that_contradicts_the_url_is_refused(url: str, told: str) -> None:
    given = check_given(client=[aws_client("dynamodb"), aws_client("s3")])
    with pytest.raises(InvalidRequest, match=told):
        parse(url, given=given)


def test_a_client_that_agrees_with_the_url_is_taken() -> None:
    client = aws_client("dynamodb")
    given = check_given(client=client)
    for options in ("region=eu-west-1", f"endpoint_url={client.meta.endpoint_url}/"):
        assert parse(f"dynamodb://sessions?{options}", given=given).tenant == "default"


@pytest.mark.parametrize("url", ["memory:", "file:./never-made"])
def test_a_store_that_calls_no_aws_refuses_what_is_for_it(url: str) -> None:
    config: Any = Config()
    for open_client in (Client, AsyncClient):
        with pytest.raises(InvalidRequest, match="makes no calls of AWS"):
            open_client(url, botocore_config=config)
