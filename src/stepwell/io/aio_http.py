"""aiobotocore's connections, made to try once.

aiohttp sends a PUT again by itself when a connection that was kept open is closed instead of answered, though the
server may have carried it out. What is refused then would pass for what was never written: retries are ours (retry.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiobotocore.httpsession import AIOHTTPSession

from stepwell.errors import NotSupported

_opened: Callable[[AIOHTTPSession, Any], Awaitable[Any]] = getattr(AIOHTTPSession, "_get_session")  # noqa: B009 - its types leave it out


class OneAttempt(AIOHTTPSession):
    """See the module."""

    async def _get_session(self, proxy_url: Any) -> Any:
        session = await _opened(self, proxy_url)
        if not hasattr(session, "_retry_connection"):
            raise NotSupported("aiohttp is too old to be kept from repeating requests: pip install 'aiohttp>=3.11'")
        session._retry_connection = False  # noqa: SLF001 - aiohttp has no public switch for it
        return session
