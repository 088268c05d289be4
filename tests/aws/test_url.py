"""What a `dynamodb:` URL says."""

from datetime import timedelta

import pytest

from stepwell import dynamodb_url
from stepwell.errors import InvalidRequest
from stepwell.stores.dynamodb_options import DynamoDBOptions, S3Place
from stepwell.urls import dynamodb_options


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
    assert dynamodb_url.retention({"ttl": text}) == expected


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
