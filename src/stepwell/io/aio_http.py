"""aiobotocore's connections, made to try once.

aiohttp sends a PUT again by itself when a connection that was kept open is closed instead of answered, though the
server may have carried it out. What is refused then would pass for what was never written: retries are ours (retry.py).
"""

from __future__ import annotations

from typing import Any

from aiobotocore.httpsession import AIOHTTPSession


class OneAttempt(AIOHTTPSession):
    """See the module."""

    async def _get_session(self, proxy_url: Any) -> Any:
        session: Any = await super()._get_session(proxy_url)  # type: ignore[misc] # its stubs leave it out
        session._retry_connection = False  # noqa: SLF001 - aiohttp has no public switch for it
        made: Any = session
        return made
