"""Calls of AWS services over aiobotocore, on asyncio.

Making a client takes a tenth of a second of computing, above all importing modules and reading service models: what can
be done beforehand is, in a thread, so that the event loop goes on meanwhile.
"""

from __future__ import annotations

import asyncio
from typing import Any

from stepwell.errors import NotSupported
from stepwell.io.aio_turns import take_turn
from stepwell.io.aws import AwsTarget, configured, known_endpoint, let_through, watch
from stepwell.io.aws_models import MODELS
from stepwell.io.ports import Tasks


class AioAws:
    """See `Aws`. Its client belongs to an event loop: on another one, `asyncio.run` again, it is made anew."""

    def __init__(self, target: AwsTarget, tasks: Tasks) -> None:
        self._target = target
        self._tasks = tasks
        self._client: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._making = tasks.lock()

    async def call(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        """See `Aws`."""
        client = await self._made()
        await take_turn()  # putting a request together and signing it takes a millisecond
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
        client = await self._made()
        return str(client.meta.region_name)

    async def endpoint(self) -> str:
        """See `Aws`."""
        client = await self._made()
        return str(client.meta.endpoint_url)

    async def _made(self) -> Any:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # the connections of the former one ended with it
            self._loop, self._client, self._making = loop, None, self._tasks.lock()
        if self._client is not None:
            return self._client
        async with self._making:
            if self._client is None:
                self._client = await self._make()
            return self._client

    async def _make(self) -> Any:
        target = self._target
        session, config = await self._tasks.run(_prepared, target)
        await take_turn()
        made = session.create_client(
            target.service, region_name=target.region, endpoint_url=target.endpoint_url, config=config
        )
        with known_endpoint(target.service):
            client = await made.__aenter__()
        watch(client)
        return client

    async def aclose(self) -> None:
        """See `Aws`."""
        client, self._client = self._client, None
        if client is not None and self._loop is asyncio.get_running_loop():
            await client.__aexit__(None, None, None)


def _prepared(target: AwsTarget) -> tuple[Any, Any]:
    """A session that has read what its client will need, and the client's settings."""
    try:
        from aiobotocore.config import AioConfig
        from aiobotocore.session import AioSession

        from stepwell.io.aio_http import OneAttempt
    except ImportError as error:
        raise NotSupported(
            "aiobotocore is installed, but cannot be imported: pip install 'stepwell[aio]', or remove it"
        ) from error
    session: Any = AioSession()
    MODELS.give(session, target.service)
    base: Any = AioConfig(http_session_cls=OneAttempt)
    return session, base.merge(configured(target, AioConfig, session.user_agent()))
