"""Calls of AWS services over aiobotocore, on asyncio.

Making a client takes a tenth of a second of computing, above all reading service models: what can be imported and read
beforehand is, in a thread, so that the event loop goes on meanwhile.
"""

from __future__ import annotations

import gzip
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stepwell.errors import NotSupported
from stepwell.io.aws import AwsTarget, configured, let_through, watch
from stepwell.io.ports import Tasks


class AioAws:
    """See `Aws`. It belongs to the event loop of its first call, which a forked child does not have."""

    def __init__(self, target: AwsTarget, tasks: Tasks) -> None:
        self._target = target
        self._tasks = tasks
        self._client: Any = None
        self._making = tasks.lock()

    async def call(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        """See `Aws`."""
        client = self._client or await self._made()
        try:
            answer: dict[str, Any] = await getattr(client, operation)(**arguments)
            if "Body" in answer:
                async with answer["Body"] as _:
                    answer["Body"] = await answer["Body"].read()
        except Exception as error:
            if ours := let_through(error):
                raise ours from error
            raise
        return answer

    async def region(self) -> str:
        """See `Aws`."""
        client = self._client or await self._made()
        return str(client.meta.region_name)

    async def _made(self) -> Any:
        async with self._making:
            if self._client is None:
                self._client = await self._make()
            return self._client

    async def _make(self) -> Any:
        target = self._target
        session, config = await self._tasks.run(_prepared, target)
        made = session.create_client(
            target.service, region_name=target.region, endpoint_url=target.endpoint_url, config=config
        )
        client = await made.__aenter__()
        watch(client)
        return client

    async def aclose(self) -> None:
        """See `Aws`."""
        client, self._client = self._client, None
        if client is not None:
            await client.__aexit__(None, None, None)


def _prepared(target: AwsTarget) -> tuple[Any, Any]:
    """A session that has read what its client will need, and the client's settings."""
    try:
        from aiobotocore.config import AioConfig
        from aiobotocore.session import AioSession
    except ImportError as error:
        raise NotSupported(
            "aiobotocore is installed, but cannot be imported: pip install 'stepwell[aio]', or remove it"
        ) from error
    session: Any = AioSession()
    loader = session.get_component("data_loader")
    loader.file_loader = _PoliteReader()
    for name in _DATA:
        loader.load_data(name)
    for kind in _OF_SERVICE:
        loader.load_service_model(target.service, kind)
    return session, configured(target, AioConfig, session.user_agent())


_DATA = ("endpoints", "partitions", "sdk-default-configuration")
_OF_SERVICE = ("service-2", "endpoint-rule-set-1")
"""What botocore reads when it makes a client. What is missing here is read then, and holds up the loop."""


class _PoliteReader:
    """Reads botocore's models as its own reader does, only that other threads have their turns meanwhile.

    json reads a whole text without letting go of the interpreter, unless it calls a function on the way.
    """

    def exists(self, file_path: str) -> bool:
        """Whether there is such a model; the path lacks its suffix."""
        return any(Path(file_path + suffix).is_file() for suffix in _OPENED_BY)

    def load_file(self, file_path: str) -> Any:
        """The model, or None."""
        for suffix, opened in _OPENED_BY.items():
            if Path(file_path + suffix).is_file():
                with opened(file_path + suffix, "rb") as file:
                    return json.loads(file.read(), object_pairs_hook=_in_order)
        return None


_OPENED_BY: Mapping[str, Callable[..., Any]] = {".json": open, ".json.gz": gzip.open}


def _in_order(pairs: list[tuple[str, Any]]) -> OrderedDict[str, Any]:
    return OrderedDict(pairs)
