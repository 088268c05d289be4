"""What URLs of stores on AWS have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import urlsplit

from stepwell.errors import InvalidRequest, NotSupported
from stepwell.ids import shown
from stepwell.io.aws import Given
from stepwell.limits import TIME_MOST, check_time
from stepwell.stores.s3_options import S3Place

PREFIX_MAX_CHARACTERS = 512
"""S3 allows 1024 for a name as a whole."""

_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[a-zA-Z0-9!_.'()-]+(/[a-zA-Z0-9!_.'()-]+)*")
_DIRECTORY_BUCKET = "--x-s3"


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


def region(options: Mapping[str, str], name: str = "region") -> str | None:
    """A region, or None for the one of AWS's own configuration.

    Raises:
        InvalidRequest: it is none.
    """
    found = options.get(name)
    if found is not None and not _REGION.fullmatch(found):
        raise InvalidRequest(f"url: {name}={shown(found)[1:-1]} is no region such as eu-west-1")
    return found


def endpoint(options: Mapping[str, str]) -> str | None:
    """`endpoint_url`, or None for the one of AWS's own configuration.

    Raises:
        InvalidRequest: it is no URL of a server.
    """
    url = options.get("endpoint_url")
    try:
        parts = urlsplit(url or "http://localhost")
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.username is None
    except ValueError:
        fits = False
    if not fits:
        raise InvalidRequest("url: endpoint_url is http://host:port or https://host:port, without a user")
    return url


def s3_place(url: str, use: str) -> S3Place:
    """`s3://bucket/prefix`. *use* is where it belongs in what a message shows, such as "blobs=".

    Raises:
        InvalidRequest: it is malformed.
        NotSupported: a directory bucket.
    """
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    prefix = prefix.removesuffix("/")
    fits = not prefix or (len(prefix) <= PREFIX_MAX_CHARACTERS and _PREFIX.fullmatch(prefix))
    fits = fits and not {".", ".."} & set(prefix.split("/"))
    if not url.startswith("s3://") or not _BUCKET.fullmatch(bucket) or not fits:
        raise InvalidRequest(f"url: {use}{shown(url)[1:-1]}; use {use}s3://bucket/prefix")
    if bucket.endswith(_DIRECTORY_BUCKET):
        raise NotSupported(
            f"url: {bucket} is a directory bucket, whose lists are in no order: use a general purpose bucket"
        )
    return S3Place(bucket, prefix)


def check_clients(
    given: Given, service: str, options: Mapping[str, str | None], *, besides: frozenset[str], hint: str
) -> None:
    """Refuse clients that nobody would call, and a region or endpoint that a client would not.

    *options* are those of the URL that a client of *service* has itself; *besides*, what else is called. *hint* says
    what is known.

    Raises:
        InvalidRequest: they do not go together.
    """
    if useless := given.services() - besides - {service}:
        raise InvalidRequest(f"boto3_client: one for {min(useless)} is never called; known: {hint}")
    client = given.client(service)
    if client is None:
        return
    theirs = {"region": client.meta.region_name, "endpoint_url": client.meta.endpoint_url}
    for name, asked in options.items():
        if asked is not None and asked.rstrip("/") != theirs[name].rstrip("/"):
            raise InvalidRequest(f"url: {name} is that of the boto3_client, {theirs[name]}: leave it out")
