"""What an `s3:` URL says, and what a client makes of it and of what its caller brings along."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.config import Config

from stepwell import AsyncClient, Client
from stepwell.errors import InvalidRequest, NotSupported
from stepwell.io.aws import Given, check_given
from stepwell.io.ports import Ports
from stepwell.stores.base import JournalStore
from stepwell.stores.memory import MemoryStore
from stepwell.stores.s3_options import S3Options, S3Place
from stepwell.urls import parse, s3_options

KEY = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def test_a_url_with_every_option_says_it_all() -> None:
    url = (
        "s3://my-bucket/agents/a/?region=eu-west-1&endpoint_url=http://localhost:8333&ttl=30d&segment=65536"
        f"&kms_key_arn={KEY}&tags=team=agents,stage=a%20b&storage_class=GLACIER_IR&bucket_owner=111122223333&tenant=acme"
    )
    assert s3_options(url) == S3Options(
        place=S3Place("my-bucket", "agents/a"),
        region="eu-west-1",
        endpoint_url="http://localhost:8333",
        segment_bytes=65536,
        kms_key_arn=KEY,
        tags={"team": "agents", "stage": "a b"},
        storage_class="GLACIER_IR",
        bucket_owner="111122223333",
    )


def test_a_bucket_is_all_that_a_url_needs() -> None:
    assert s3_options("s3://my-bucket") == s3_options("s3://my-bucket/") == S3Options(S3Place("my-bucket", ""))
    assert s3_options("s3://my.bucket-1/a/b").place == S3Place("my.bucket-1", "a/b")


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        (":my-bucket", "use s3://bucket/prefix"),
        ("://", "use s3://bucket/prefix"),
        ("://My_Bucket", "use s3://bucket/prefix"),
        ("://my-bucket//a", "use s3://bucket/prefix"),
        ("://my-bucket/a*", "use s3://bucket/prefix"),
        ("://my-bucket/..", "use s3://bucket/prefix"),
        ("://my-bucket/a/../b", "use s3://bucket/prefix"),
        ("://my-bucket/./b", "use s3://bucket/prefix"),
        ("://my-bucket/" + "x" * 513, "use s3://bucket/prefix"),
        ("://my-bucket?segmnet=1", "no option 'segmnet' here; known: tenant, region"),
        ("://my-bucket?segment=4095", "from 4096 to 1048576"),
        ("://my-bucket?segment=1048577", "from 4096 to 1048576"),
        ("://my-bucket?segment=128KB", "from 4096 to 1048576"),
        ("://my-bucket?segment=-5000", "from 4096 to 1048576"),
        ("://my-bucket?kms_key_arn=alias/mine", "no ARN of a KMS key such as arn:aws:kms:"),
        ("://my-bucket?kms_key_arn=arn:aws:kms:eu-west-1:111122223333:alias/mine", "no ARN of a KMS key"),
        ("://my-bucket?tags=team", "tags=team=support"),
        ("://my-bucket?tags==x", "tags=team=support"),
        ("://my-bucket?tags=a=1,a=2", "tags=team=support"),
        ("://my-bucket?tags=aws:a=1", "tags=team=support"),
        ("://my-bucket?tags=a=<b>", "tags=team=support"),
        ("://my-bucket?tags=" + ",".join(f"t{at}=1" for at in range(11)), "S3 allows 10"),
        ("://my-bucket?storage_class=DEEP_ARCHIVE", "use one of STANDARD, STANDARD_IA"),
        ("://my-bucket?storage_class=", "use one of STANDARD, STANDARD_IA"),
        ("://my-bucket?bucket_owner=me", "account of 12 digits"),
        ("://my-bucket?ttl=soon", "ttl=soon is no length of time"),
        ("://my-bucket?region=EU%20West", "region=EU West is no region"),
        ("://my-bucket?endpoint_url=localhost:8000", "http://host:port"),
        ("://my-bucket?endpoint_url=http://user:secret@host", "without a user"),
        ("://my-bucket?tenant=", "tenant"),
    ],
)
def test_what_is_malformed_is_refused_with_what_would_be_right(rest: str, told: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        s3_options("s3" + rest)
    assert told in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["s3://my-agents--euw1-az1--x-s3", "dynamodb://t12?blobs=s3://a--euw1-az1--x-s3"])
def test_a_directory_bucket_is_refused_with_the_reason(url: str) -> None:
    with pytest.raises(NotSupported, match="lists are in no order: use a general purpose bucket"):
        parse(url)


def test_a_url_of_another_store_names_no_bucket() -> None:
    with pytest.raises(InvalidRequest, match="is no s3://bucket/prefix"):
        s3_options("file:./sessions")


class Opened:
    """Stands in for the store: keeps what it is opened with."""

    def __init__(self) -> None:
        self.options: list[S3Options] = []

    def __call__(self, ports: Ports, options: S3Options) -> JournalStore:
        self.options.append(options)
        return MemoryStore()


def aws_client(service: str) -> Any:
    session: Any = boto3.Session("A", "b", region_name="eu-west-1")
    return session.client(service)


def test_a_client_opens_the_store_with_what_url_and_caller_say(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Opened()
    monkeypatch.setattr("stepwell.stores.s3.S3Store", opened)
    session, s3, config = boto3.Session(), aws_client("s3"), Config()
    url = "s3://my-bucket/agents?tenant=acme&ttl=3d"
    brought: dict[str, Any] = {"boto3_session": session, "boto3_client": s3, "botocore_config": config}
    with Client(url, **brought) as client:
        assert "tenant='acme'" in repr(client)
        made = client.create_session()
        assert made.expires_at is not None
        assert (made.expires_at - made.created_at).days == 3
    asyncio.run(AsyncClient(url, **brought).aclose())
    expected = replace(s3_options(url), given=Given(session, (s3,), config))
    assert opened.options == [expected, expected]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://my-bucket", "one for dynamodb is never called; known: s3"),
        ("s3://my-bucket?region=us-east-1", "one for dynamodb is never called"),
    ],
)
def test_a_client_that_nobody_would_call_is_refused(url: str, told: str) -> None:
    given = check_given(client=[aws_client("dynamodb"), aws_client("s3")])
    with pytest.raises(InvalidRequest, match=told):
        parse(url, given=given)


def test_a_client_that_contradicts_the_url_is_refused_and_one_that_agrees_is_taken() -> None:
    client = aws_client("s3")
    given = check_given(client=client)
    with pytest.raises(InvalidRequest, match="region is that of the boto3_client, eu-west-1"):
        parse("s3://my-bucket?region=us-east-1", given=given)
    for options in ("region=eu-west-1", f"endpoint_url={client.meta.endpoint_url}/"):
        assert parse(f"s3://my-bucket?{options}", given=given).tenant == "default"
