"""`dynamodb://table?…` -> `DynamoDBOptions`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import unquote, urlsplit

from stepwell.errors import InvalidRequest
from stepwell.ids import shown
from stepwell.io.aws import Given
from stepwell.limits import TIME_MOST, check_time
from stepwell.stores.dynamodb_options import DynamoDBOptions, S3Place
from stepwell.stores.dynamodb_table import check_table_name

OPTIONS = ("region", "endpoint_url", "ttl", "blobs", "create", "home_region")
PREFIX_MAX_CHARACTERS = 512
"""S3 allows 1024 for a name as a whole."""

_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[a-zA-Z0-9!_.'()-]+(/[a-zA-Z0-9!_.'()-]+)*")


def parse(rest: str, options: Mapping[str, str], given: Given | None = None) -> DynamoDBOptions:
    """What stands behind `dynamodb:`, and the options; *given* is what the caller brings along.

    Raises:
        InvalidRequest: something is malformed, or contradicts a client that was given; the message says what would be
            right.
    """
    if not rest.startswith("//"):
        raise InvalidRequest(f"url: {shown('dynamodb:' + rest)}; use dynamodb://table")
    if options.get("create", "0") not in ("0", "1"):
        raise InvalidRequest("url: create is 0 or 1")
    retention(options)
    parsed = DynamoDBOptions(
        table=check_table_name(unquote(rest[2:])),
        region=_region(options, "region"),
        endpoint_url=_endpoint(options.get("endpoint_url")),
        blobs=_s3_place(options["blobs"]) if "blobs" in options else None,
        create=options.get("create") == "1",
        home_region=_region(options, "home_region"),
        given=given or Given(),
    )
    _check_clients(parsed)
    return parsed


def _check_clients(options: DynamoDBOptions) -> None:
    """Refuse clients that nobody would call, and a region or endpoint that a client would not."""
    known = {"dynamodb", "s3"} if options.blobs else {"dynamodb"}
    if useless := options.given.services() - known:
        raise InvalidRequest(
            f"boto3_client: one for {min(useless)} is never called; known: dynamodb, and s3 with ?blobs="
        )
    client = options.given.client("dynamodb")
    if client is None:
        return
    theirs = {"region": client.meta.region_name, "endpoint_url": client.meta.endpoint_url}
    for name, asked in (("region", options.region), ("endpoint_url", options.endpoint_url)):
        if asked is not None and asked.rstrip("/") != theirs[name].rstrip("/"):
            raise InvalidRequest(f"url: {name} is that of the boto3_client, {theirs[name]}: leave it out")


def retention(options: Mapping[str, str]) -> timedelta | None:
    """How long sessions are kept that say nothing else: `?ttl=30d`.

    Raises:
        InvalidRequest: it is no length of time.
    """
    if "ttl" not in options:
        return None
    found = _DURATION.fullmatch(options["ttl"])
    try:
        if found:
            return check_time("url: ttl", timedelta(**{_UNITS[found[2]]: int(found[1])}))
    except (OverflowError, InvalidRequest):
        pass  # it is told below
    raise InvalidRequest(
        f"url: ttl={shown(options['ttl'])[1:-1]} is no length of time such as 30d, 12h, 45m, 90s or 2w, "
        f"up to {TIME_MOST.days}d"
    )


def _region(options: Mapping[str, str], name: str) -> str | None:
    region = options.get(name)
    if region is not None and not _REGION.fullmatch(region):
        raise InvalidRequest(f"url: {name}={shown(region)[1:-1]} is no region such as eu-west-1")
    return region


def _endpoint(url: str | None) -> str | None:
    try:
        parts = urlsplit(url or "http://localhost")
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.username is None
    except ValueError:
        fits = False
    if not fits:
        raise InvalidRequest("url: endpoint_url is http://host:port or https://host:port, without a user")
    return url


def _s3_place(url: str) -> S3Place:
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    prefix = prefix.removesuffix("/")
    fits = not prefix or (len(prefix) <= PREFIX_MAX_CHARACTERS and _PREFIX.fullmatch(prefix))
    if not url.startswith("s3://") or not _BUCKET.fullmatch(bucket) or not fits:
        raise InvalidRequest(f"url: blobs={shown(url)[1:-1]}; use blobs=s3://bucket/prefix")
    return S3Place(bucket, prefix)
