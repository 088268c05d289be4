"""The public sync API in the shape of the async one, so that one text tests both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from inspect import iscoroutinefunction
from typing import Any

from stepwell.client import AsyncClient
from stepwell.sync import Client


class Lifted:
    """A `Client` whose methods are awaited: the public sync method is called, and is over, when that happens."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return method(*args, **kwargs)

        async def iterate(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            for item in method(*args, **kwargs):
                yield item

        return call if iscoroutinefunction(getattr(AsyncClient, name)) else iterate

    def handle(self) -> Lifted:
        """Another handle, lifted as well."""
        return Lifted(self._client.handle())

    async def aclose(self) -> None:
        """What `Client` calls close."""
        self._client.close()
