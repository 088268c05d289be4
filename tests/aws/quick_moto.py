"""moto as it is, but for the spots that take most of its time: what answers there instead answers the same.

`account` is `mock_aws` without its interception of other HTTP libraries, which takes longer than most tests.
"""

from __future__ import annotations

import inspect
import itertools
import re
import time
from collections.abc import Generator
from contextlib import contextmanager
from email.utils import formatdate
from functools import cache, lru_cache, wraps
from types import SimpleNamespace
from typing import Any

from botocore.awsrequest import AWSResponse
from moto import backend_index
from moto.core import responses
from moto.core.base_backend import BackendDict, BaseBackend
from moto.core.botocore_stubber import MockRawResponse
from moto.core.model_instances import reset_model_data
from moto.core.models import DEFAULT_ACCOUNT_ID, botocore_stubber
from moto.core.serialize import SERVICE_SPECIFIC_SERIALIZERS, JSONSerializer
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table
from moto.dynamodb.responses import DynamoHandler

SERVICES = frozenset({"dynamodb", "kms", "s3"})
"""moto tries the addresses of every service that it knows, for each request: these are the ones that are asked here."""


@contextmanager
def account() -> Generator[None]:
    """An empty account; clients reach it by `botocore_stubber`."""
    _forget()
    botocore_stubber.enabled = True
    try:
        yield
    finally:
        botocore_stubber.enabled = False
        _forget()


def answered(event_name: str, request: Any) -> Any:
    """moto's answer to a client's request.

    One to DynamoDB is handed to its handler as it is. moto looks among the addresses of its services, and makes a WSGI
    request of it, before it does the same.
    """
    there = _DYNAMODB.match(request.url) if botocore_stubber.enabled else None
    if there is None:
        return botocore_stubber(event_name, request)
    status, headers, body = _handler(request, there[1]).call_action()
    raw: Any = MockRawResponse(body)
    return AWSResponse(request.url, int(status), headers, raw)


_DYNAMODB = re.compile(r"https://dynamodb\.([a-z0-9-]+)\.amazonaws\.com/$")


def _handler(request: Any, region: str) -> Any:
    headers = {name: told.decode() if isinstance(told, bytes) else told for name, told in request.headers.items()}
    handler: Any = DynamoHandler()
    handler.headers, handler.region, handler.current_account = headers, region, DEFAULT_ACCOUNT_ID
    handler.querystring, handler.uri_match = {}, {}
    handler.response_headers = {"server": "amazon.com", "date": _date(int(time.time()))}
    handler.parse_parameters(
        SimpleNamespace(
            method=request.method,
            content_type=headers["Content-Type"],
            headers=headers,
            values={},
            data=request.body,
            path="/",
        )
    )
    return handler


@lru_cache(maxsize=1)
def _date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


def _forget() -> None:
    BackendDict.reset()
    reset_model_data()


class _Serializer(JSONSerializer):
    """A dict with the names of a shape's members is taken as it is: moto looks for each member that the shape has,
    under any name that it might go by."""

    def _serialize_type_structure(self, serialized: Any, value: Any, shape: Any, key: str) -> None:
        if type(value) is not dict or not value.keys() <= shape.members.keys():
            super()._serialize_type_structure(serialized, value, shape, key)
            return
        members: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        wrapper: dict[str, Any] = {} if key else serialized
        for name, held in members.items():
            if held is not None:
                self._serialize(wrapper, held, shape.members[name], name)
        if key:
            self._default_serialize(serialized, wrapper, shape, key)


def _narrowed(query: Any) -> Any:
    """A query sees only what it could answer with: moto sorts all that is in the table first, and drops the rest."""

    @wraps(query)
    def narrowed(self: Any, hash_key: Any, *args: Any, **kwargs: Any) -> Any:
        index = inspect.signature(query).bind(self, hash_key, *args, **kwargs).arguments.get("index_name")
        every = self.items
        self.items = {hash_key: every.get(hash_key, {})} if index is None else _indexed(self, every, index)
        try:
            return query(self, hash_key, *args, **kwargs)
        finally:
            self.items = every

    return narrowed


def _indexed(table: Any, every: Any, index: str) -> Any:
    names = {key["AttributeName"] for key in table.get_index(index).schema}
    return {
        partition: {sort: item for sort, item in items.items() if names <= item.attrs.keys()}
        for partition, items in every.items()
    }


def _of_texts(cast: Any) -> property:
    """What a value is compared by: that of a text or of bytes is asked for most, and is itself."""

    def quicker(self: Any) -> Any:
        return self.value if self.type in _AS_THEY_ARE else cast(self)

    return property(quicker)


_AS_THEY_ARE = frozenset({"S", "B"})
_requests = itertools.count(1)


def _request_id(headers: dict[str, str] | None = None) -> str:
    """One that is drawn letter by letter takes longer than some requests."""
    name = f"{next(_requests):052}"
    if headers is not None:
        headers["x-amzn-requestid"] = name
    return name


def _found_once(urls: Any) -> property:
    """What a service's addresses are: moto puts them together for each request."""
    known: dict[type, Any] = {}

    def found(self: Any) -> Any:
        if type(self) not in known:
            known[type(self)] = urls(self)
        return known[type(self)]

    return property(found)


def quicken() -> None:
    """Do so once. Whoever asks moto afterwards does it from one thread at a time."""
    backend_index.backend_url_patterns[:] = [
        (service, pattern) for service, pattern in backend_index.backend_url_patterns if service in SERVICES
    ]
    backend: Any = BaseBackend
    backend.urls = _found_once(backend.urls.fget)
    quicker: Any = responses
    quicker.method_names_from_class = cache(quicker.method_names_from_class)
    quicker.gen_amzn_requestid_long = _request_id
    value: Any = DynamoType
    value.cast_value = _of_texts(value.cast_value.fget)
    SERVICE_SPECIFIC_SERIALIZERS["dynamodb"] = {"json": _Serializer}
    table: Any = Table
    table.query = _narrowed(table.query)
