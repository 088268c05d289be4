"""Calls of AWS services.

Aws         calls of one service, by the names of its client's methods; the errors are botocore's own (aws_errors.py)
AwsTarget   what the URL and the caller say of a service
Given       what the caller brings along: a session, clients, a `Config`
Boto3Aws    over boto3: it blocks where tasks block, and runs in threads on asyncio
open_aws    the adapter that fits: this one, or the one over aiobotocore (aio_aws.py)

Nothing is imported or made before the first call. A call is one attempt: retries are ours (retry.py), for botocore does
not know that a conditional write which it repeats may have succeeded before.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol
from zlib import crc32

from stepwell.errors import InvalidRequest, NotSupported
from stepwell.io.aws_models import MODELS
from stepwell.io.blocking import BlockingTasks
from stepwell.io.fork import after_fork
from stepwell.io.ports import Tasks

CONNECT_SECONDS = 2.0
READ_SECONDS = {"dynamodb": 5.0, "s3": 30.0}
"""How long a service may be silent, by service."""
CONNECTIONS_MAX = 64
"""Kept open per client."""
ATTEMPT_ONCE = {"mode": "standard", "total_max_attempts": 1}
"""botocore's retries. The mode is named: its default changes between releases."""
_UNIQUE = "stepwell"


class Aws(Protocol):
    """Calls of one AWS service in one region."""

    async def call(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        """Call an operation by its method's name, such as "put_item"; once. A streamed `Body` is read whole, as bytes.

        Raises:
            botocore.exceptions.ClientError: what the service answers; `aws_errors.translated` says what it means.
            botocore.exceptions.BotoCoreError: there is no answer, or nothing was sent.
        """
        ...

    async def region(self) -> str:
        """The region that is called."""
        ...

    async def endpoint(self) -> str:
        """The URL that is called."""
        ...

    async def aclose(self) -> None:
        """Let go of connections. The next call makes them anew."""
        ...


@dataclass(frozen=True, slots=True)
class Given:
    """What the caller brings along.

    *session* is a boto3 session. *clients* are boto3 clients, each for its own service, used as they are: their region,
    endpoint and timeouts are theirs. *config* is a botocore `Config`: it wins in everything but retries.
    """

    session: Any = None
    clients: tuple[Any, ...] = ()
    config: Any = None

    def __bool__(self) -> bool:
        return self.session is not None or bool(self.clients) or self.config is not None

    def services(self) -> set[str]:
        """Those that there is a client for."""
        return {str(_service(client)) for client in self.clients}

    def client(self, service: str) -> Any:
        """The caller's client for a service, or None."""
        return next((client for client in self.clients if _service(client) == service), None)


@dataclass(frozen=True, slots=True)
class AwsTarget:
    """One service, as the URL and the caller describe it; None is what AWS's own configuration says."""

    service: str
    region: str | None = None
    endpoint_url: str | None = None
    given: Given = Given()


def check_given(session: Any = None, client: Any = None, config: Any = None) -> Given:
    """What a caller gave. *client* is one, or a sequence of them.

    Raises:
        InvalidRequest: something else than what boto3 makes.
    """
    if session is not None and not callable(getattr(session, "client", None)):
        raise InvalidRequest("boto3_session: a boto3.Session, or None")
    if config is not None and not callable(getattr(config, "merge", None)):
        raise InvalidRequest("botocore_config: a botocore.config.Config, or None")
    clients = () if client is None else tuple(client) if hasattr(client, "__iter__") else (client,)
    for one in clients:
        if _service(one) is None or hasattr(one, "__aenter__"):
            raise InvalidRequest("boto3_client: a client made by boto3, or a sequence of them")
    if len({_service(one) for one in clients}) < len(clients):
        raise InvalidRequest("boto3_client: one client for each service")
    return Given(session, clients, config)


def _service(client: Any) -> str | None:
    meta = getattr(client, "meta", None)
    return getattr(getattr(meta, "service_model", None), "service_name", None)


def open_aws(target: AwsTarget, tasks: Tasks) -> Aws:
    """Calls of *target*: over aiobotocore on asyncio where it is installed and nothing of boto3's was given."""
    if not isinstance(tasks, BlockingTasks) and _can_await(target):
        from stepwell.io.aio import AsyncioTasks
        from stepwell.io.aio_aws import AioAws

        if isinstance(tasks, AsyncioTasks):
            return AioAws(target, tasks)
    return Boto3Aws(target, tasks)


def _can_await(target: AwsTarget) -> bool:
    given = target.given
    return given.session is None and given.client(target.service) is None and find_spec("aiobotocore") is not None


class Boto3Aws:
    """Calls over boto3. Thread-safe, as its clients are. After `fork()` a client is made anew, unless it was given."""

    def __init__(self, target: AwsTarget, tasks: Tasks) -> None:
        self._target = target
        self._tasks = tasks
        self._client: Any = None
        self._making = tasks.lock()
        after_fork(self._forget)

    def _forget(self) -> None:
        self._client = None
        self._making = self._tasks.lock()

    async def call(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        """See `Aws`."""
        client = self._client or await self._made()
        return await self._tasks.run(_answer, getattr(client, operation), arguments)

    async def region(self) -> str:
        """See `Aws`."""
        client = self._client or await self._made()
        return str(client.meta.region_name)

    async def endpoint(self) -> str:
        """See `Aws`."""
        client = self._client or await self._made()
        return str(client.meta.endpoint_url)

    async def _made(self) -> Any:
        async with self._making:
            if self._client is None:
                self._client = await self._tasks.run(_make, self._target)
            return self._client

    async def aclose(self) -> None:
        """See `Aws`; a client that was given is its owner's to close."""
        client, self._client = self._client, None
        if client is not None and self._target.given.client(self._target.service) is None:
            await self._tasks.run(client.close)


def _answer(method: Callable[..., dict[str, Any]], arguments: Mapping[str, Any]) -> dict[str, Any]:
    try:
        with _once():
            answer = method(**arguments)
            if "Body" in answer:
                with closing(answer["Body"]) as body:
                    answer["Body"] = body.read()
    except Exception as error:
        if ours := let_through(error):
            raise ours from error
        raise
    return answer


def let_through(error: Exception) -> Exception | None:
    """What botocore lets through of its parser's and its HTTP library's errors, as one of its own; None for others."""
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
    from botocore.parsers import ResponseParserError

    if isinstance(error, BotoCoreError | ClientError):  # some of them are OSErrors too
        return None
    foreign = type(error).__module__.partition(".")[0] in _HTTP_LIBRARIES
    return HTTPClientError(error=error) if foreign or isinstance(error, OSError | ResponseParserError) else None


_HTTP_LIBRARIES = frozenset({"urllib3", "aiohttp", "httpx"})


def _make(target: AwsTarget) -> Any:
    client = target.given.client(target.service)
    if client is None:
        with known_endpoint(target.service):
            client = _made(target)
    else:
        client.meta.events.register_first(f"needs-retry.{target.service}", _no_retry, unique_id=f"{_UNIQUE}-once")
    watch(client)
    return client


@contextmanager
def known_endpoint(service: str) -> Generator[None]:
    """Tell an endpoint that is no URL, which botocore finds when a client is made.

    Raises:
        InvalidRequest: it is none.
    """
    from botocore.exceptions import BotoCoreError

    try:
        yield
    except ValueError as error:
        if isinstance(error, BotoCoreError):
            raise  # a region that is none, and its kin
        variables = f"AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_{service.upper()}, endpoint_url in AWS's configuration"
        raise InvalidRequest(f"the endpoint of {service} is no URL: correct {variables}, or ?endpoint_url=") from error


def _made(target: AwsTarget) -> Any:
    try:
        from botocore.config import Config
        from botocore.session import Session
    except ImportError as error:
        raise NotSupported("botocore cannot be imported: pip install boto3") from error

    where = {"region_name": target.region, "endpoint_url": target.endpoint_url}
    if target.given.session is not None:
        return target.given.session.client(target.service, **where, config=configured(target, Config, None))
    # A session of our own: boto3's default one is not made for threads, and belongs to the program.
    session: Any = Session()
    MODELS.give(session, target.service)
    return session.create_client(target.service, **where, config=configured(target, Config, session.user_agent()))


def configured(target: AwsTarget, config_class: Any, user_agent: str | None) -> Any:
    """Our settings, then the caller's, then what is ours to say: no retries, and who calls.

    A *user_agent* that is fixed spares botocore from putting it together for every request, a fifth of its time.
    """
    theirs = target.given.config
    config = config_class(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS[target.service],
        max_pool_connections=CONNECTIONS_MAX,
        tcp_keepalive=True,
        parameter_validation=False,  # our calls are right by construction, and looking through them costs time
        **({} if user_agent is None else {"user_agent": user_agent}),
    )
    if theirs is not None:
        config = config.merge(theirs)
    return config.merge(config_class(retries=ATTEMPT_ONCE, user_agent_extra=_user_agent_extra(theirs)))


def _user_agent_extra(config: Any) -> str:
    from stepwell import __version__

    theirs = getattr(config, "user_agent_extra", None)
    ours = f"stepwell/{__version__}"
    return f"{theirs} {ours}" if theirs else ours


def watch(client: Any) -> None:
    """Let a client's calls fail when their reply was cut or damaged on its way."""
    checks = {"dynamodb": _check_sum, **{f"s3.{operation}": _check_body for operation in _WITH_BODIES}}
    for name, check in checks.items():
        if name.partition(".")[0] == _service(client):
            client.meta.events.register(f"response-received.{name}", check, unique_id=f"{_UNIQUE}-{name}")


_WITH_BODIES = ("GetObject", "ListObjectsV2", "CopyObject")
"""Of S3: where a success without a body is none."""


def _check_sum(response_dict: Mapping[str, Any] | None = None, **_: Any) -> None:
    """Compare a reply with its checksum.

    botocore notes a mismatch only to try again. And a reply that is cut within its headers looks to it like an empty
    one, "no such item", so that one of success without the checksum, which DynamoDB always sends, is none.
    """
    if response_dict is None:
        return
    told, actual = response_dict["headers"].get("x-amz-crc32"), str(crc32(response_dict["body"]))
    if told == actual or (told is None and response_dict["status_code"] != _OK):
        return
    from botocore.exceptions import ChecksumError

    raise ChecksumError(checksum_type="x-amz-crc32", expected_checksum=str(told), actual_checksum=actual)


def _check_body(response_dict: Mapping[str, Any] | None = None, **_: Any) -> None:
    """Refuse a reply of success that says nothing.

    botocore compares a body with the length that is told. A reply that is cut within its headers may tell none: it
    would be an empty object, an empty list, a copy that nobody knows to be made.
    """
    if response_dict is None or response_dict["status_code"] != _OK:
        return
    body, headers = response_dict["body"], response_dict["headers"]
    if bool(body) if isinstance(body, bytes) else "content-length" in headers or "transfer-encoding" in headers:
        return
    from botocore.exceptions import HTTPClientError

    if not isinstance(body, bytes):
        body.close()  # nobody will read it
    raise HTTPClientError(error="the reply was cut within its headers")


_OK = 200
_ours: ContextVar[bool] = ContextVar("stepwell_call", default=False)


@contextmanager
def _once() -> Generator[None]:
    """Mark what is called within as ours: a client that was given serves others too, with the retries they chose."""
    token = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(token)


def _no_retry(response: tuple[Any, Mapping[str, Any]] | None = None, **_: Any) -> bool | None:
    """End botocore's asking whether to repeat a call of ours, unless that is how S3 leads to a bucket's own region."""
    return False if _ours.get() and not _leads_elsewhere(response) else None


def _leads_elsewhere(response: tuple[Any, Mapping[str, Any]] | None) -> bool:
    if response is None:
        return False
    http, parsed = response
    return http.status_code in _REDIRECTS or parsed.get("Error", {}).get("Code") in _OTHER_REGION


_REDIRECTS = frozenset({301, 302, 307})
_OTHER_REGION = frozenset({"AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"})
