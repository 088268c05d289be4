"""URL -> store.

    file:./dir  file:/abs/dir  file:///abs/dir  file:~/dir
        ?network=1 accepts a network file system whose locks are reliable
    memory:  memory:name
    dynamodb://table
        ?region= endpoint_url= blobs=s3://bucket/prefix ttl=30d create=1 home_region=
    s3://bucket/prefix
        ?region= endpoint_url= segment= ttl=30d kms_key_arn= tags=team=support storage_class= bucket_owner=
    every one: ?tenant=NAME

Without a URL: the environment variable `STEPWELL_URL`, else a folder in the user's data directory.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from stepwell.errors import InvalidRequest, NotSupported
from stepwell.ids import TENANT_MAX_CHARACTERS, check_name, check_tenant, check_text, shown
from stepwell.io.aws import Given
from stepwell.io.ports import Ports
from stepwell.limits import Limits, check_limits
from stepwell.stores.base import JournalStore

if TYPE_CHECKING:
    from stepwell.stores.dynamodb_options import DynamoDBOptions
    from stepwell.stores.s3_options import S3Options

ENVIRONMENT = "STEPWELL_URL"
DEFAULT_TENANT = "default"
URL_MAX_CHARACTERS = 4096
_KNOWN = "file:./dir, file:///abs/dir, dynamodb://table, s3://bucket/prefix, memory: or memory:name"
_LATER = frozenset({"bedrock"})
_WITHOUT_AWS = frozenset({"file", "memory"})


@dataclass(frozen=True, slots=True)
class Target:
    """What a URL says: how to open the store, and whose sessions."""

    open: Callable[[Ports], JournalStore]
    tenant: str
    retention: timedelta | None = None
    """How long sessions are kept for which nothing else is said."""

    def limits(self, given: Limits | None) -> Limits:
        """A client's limits: those it was given, with this retention where they have none."""
        limits = check_limits(given)
        return replace(limits, retention=self.retention) if limits.retention is None else limits


def default_url() -> str:
    """The URL of a client that is given none."""
    return os.environ.get(ENVIRONMENT) or "file:" + quote(str(_data_folder() / "stepwell"))


def parse(url: str, tenant: str | None = None, given: Given | None = None) -> Target:
    """What *url* says; *tenant* is the caller's own, *given* what it brings along for calls of AWS.

    Raises:
        InvalidRequest: it is malformed, or does not go with *given*; the message says what would be right.
        NotSupported: a store that this version has not.
    """
    scheme, rest, options = _split(url)
    whose = _tenant(options.pop("tenant", None), tenant)
    if given and scheme in _WITHOUT_AWS:
        raise InvalidRequest(f"boto3_session, boto3_client, botocore_config: {scheme}: makes no calls of AWS")
    match scheme:
        case "file":
            return Target(_file(rest, options), whose)
        case "memory":
            return Target(_memory(rest, options), whose)
        case "dynamodb":
            return Target(_dynamodb(rest, options, given), whose, _retention(options))
        case "s3":
            return Target(_s3(rest, options, given), whose, _retention(options))
        case later if later in _LATER:
            raise NotSupported(f"url: this version of stepwell has no {later}: store; use {_KNOWN}")
        case _:
            raise InvalidRequest(f"url: the scheme {shown(scheme)} is unknown; use {_KNOWN}")


def _split(url: str) -> tuple[str, str, dict[str, str]]:
    """Scheme, what follows it, and the options."""
    check_text("url", url)
    if not 0 < len(url) <= URL_MAX_CHARACTERS or any(c < " " for c in url):
        raise InvalidRequest(f"url: {shown(url)}; use {_KNOWN}")
    scheme, colon, rest = url.partition(":")
    if not colon or "/" in scheme or "." in scheme:
        raise InvalidRequest(f"url: {shown(url)} has no scheme; a folder is file:{shown(url)[1:-1]}, else use {_KNOWN}")
    rest, _, query = rest.partition("?")
    return scheme, rest, _options(query)


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for option in query.split("&") if query else ():
        name, equals, value = option.partition("=")
        if not name or not equals:
            raise InvalidRequest(f"url: {shown('?' + query)}; options look like ?tenant=acme&network=1")
        if name in options:
            raise InvalidRequest(f"url: the option {shown(name)} is given twice")
        options[name] = unquote(value)
    return options


def _tenant(of_url: str | None, of_caller: str | None) -> str:
    if of_url is not None and of_caller is not None and of_url != of_caller:
        raise InvalidRequest("tenant: the URL names another one; give it once")
    given = of_caller if of_url is None else of_url
    return check_tenant(DEFAULT_TENANT if given is None else given)


def _only(options: Mapping[str, str], *known: str) -> None:
    for name in options:
        if name not in known:
            raise InvalidRequest(f"url: no option {shown(name)} here; known: {', '.join(('tenant', *known))}")


def _file(rest: str, options: Mapping[str, str]) -> Callable[[Ports], JournalStore]:
    from stepwell.stores.file import FileStore

    _only(options, "network")
    network = options.get("network", "0")
    if network not in ("0", "1"):
        raise InvalidRequest("url: network is 0 or 1")
    host, path = "", rest
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        path = slash + path
    path = unquote(path)
    if host not in ("", "localhost") or not path or "\0" in path:
        raise InvalidRequest(f"url: {shown('file:' + rest)} names no folder here; use file:./dir or file:///abs/dir")
    try:
        folder = str(Path(path).expanduser())
    except RuntimeError:
        raise InvalidRequest(f"url: {shown(path)} names the home of a user who has none") from None
    return lambda ports: FileStore(folder, ports, network=network == "1")


def _memory(rest: str, options: Mapping[str, str]) -> Callable[[Ports], JournalStore]:
    from stepwell.stores.memory import named

    _only(options)
    name = unquote(rest)
    if "/" in name:
        raise InvalidRequest(f"url: {shown('memory:' + rest)}; use memory: or memory:name, without slashes")
    if name:
        check_name("url", name, TENANT_MAX_CHARACTERS)
    return lambda ports: named(name)


def dynamodb_options(url: str) -> DynamoDBOptions:
    """What a `dynamodb:` URL says of its table.

    Raises:
        InvalidRequest: it is malformed, or of another store; the message says what would be right.
    """
    scheme, rest, options = _split(url)
    if scheme != "dynamodb":
        raise InvalidRequest(f"url: {shown(url)} is no dynamodb://table")
    _tenant(options.pop("tenant", None), None)
    return _dynamodb_options(rest, options)


def _dynamodb_options(rest: str, options: Mapping[str, str], given: Given | None = None) -> DynamoDBOptions:
    from stepwell import dynamodb_url

    _only(options, *dynamodb_url.OPTIONS)
    return dynamodb_url.parse(rest, options, given)


def _dynamodb(rest: str, options: Mapping[str, str], given: Given | None) -> Callable[[Ports], JournalStore]:
    from stepwell.stores.dynamodb import DynamoDBStore

    chosen = _dynamodb_options(rest, options, given)
    return lambda ports: DynamoDBStore(ports, chosen)


def s3_options(url: str) -> S3Options:
    """What an `s3:` URL says of its bucket.

    Raises:
        InvalidRequest: it is malformed, or of another store; the message says what would be right.
        NotSupported: a directory bucket.
    """
    scheme, rest, options = _split(url)
    if scheme != "s3":
        raise InvalidRequest(f"url: {shown(url)} is no s3://bucket/prefix")
    _tenant(options.pop("tenant", None), None)
    return _s3_options(rest, options)


def _s3_options(rest: str, options: Mapping[str, str], given: Given | None = None) -> S3Options:
    from stepwell import s3_url

    _only(options, *s3_url.OPTIONS)
    return s3_url.parse(rest, options, given)


def _s3(rest: str, options: Mapping[str, str], given: Given | None) -> Callable[[Ports], JournalStore]:
    from stepwell.stores.s3 import S3Store

    chosen = _s3_options(rest, options, given)
    return lambda ports: S3Store(ports, chosen)


def _retention(options: Mapping[str, str]) -> timedelta | None:
    from stepwell import aws_url

    return aws_url.retention(options)


def _data_folder() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    configured = Path(os.environ.get("XDG_DATA_HOME", ""))  # freedesktop.org: a relative one is to be ignored
    return configured if configured.is_absolute() else Path.home() / ".local" / "share"
