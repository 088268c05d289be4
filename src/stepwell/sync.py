"""Client: AsyncClient's text, driven synchronously. One line per operation."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from stepwell import urls
from stepwell.blocking import blocking, blocking_iter, run_sync
from stepwell.client import AsyncClient
from stepwell.io.aws import check_given
from stepwell.io.blocking import BlockingTasks
from stepwell.io.ports import Clock, Ports
from stepwell.limits import Limits
from stepwell.stores.base import JournalStore


class Client:
    """Sessions in a store. Use as `with stepwell.Client(url) as client:`; thread-safe; usable after `fork()`.

    Args:
        url: where, see docs/urls.md; default: `STEPWELL_URL`, else a folder in the user's data directory.
        tenant: whose sessions; nobody sees another tenant's. Default: the URL's, else "default".
        limits: quotas and times, applied to what this client writes and recorded in sessions that it creates.
        linger: seconds that a write waits for others to share its record; 0 shares only what piles up by itself.
        boto3_session: for a store on AWS: the session whose credentials and region are used.
        boto3_client: for a store on AWS: a client to call through, or one for each service, used as they are.
        botocore_config: for a store on AWS: a `botocore.config.Config`, which wins in all but retries.
        clock: the time, for tests.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        tenant: str | None = None,
        limits: Limits | None = None,
        linger: float = 0.0,
        boto3_session: Any = None,
        boto3_client: Any = None,
        botocore_config: Any = None,
        clock: Clock | None = None,
    ) -> None:
        given = check_given(boto3_session, boto3_client, botocore_config)
        target = urls.parse(urls.default_url() if url is None else url, tenant, given)
        self._driven = AsyncClient.from_store(
            target.open,
            tenant=target.tenant,
            limits=target.limits(limits),
            linger=linger,
            clock=clock,
            tasks=BlockingTasks(),
        )

    @classmethod
    def from_store(
        cls,
        open_store: Callable[[Ports], JournalStore],
        *,
        tenant: str | None = None,
        limits: Limits | None = None,
        linger: float = 0.0,
        clock: Clock | None = None,
    ) -> Client:
        """A client over a store of your own: *open_store* gets the ports that it is to use."""
        return cls.over(
            AsyncClient.from_store(
                open_store, tenant=tenant, limits=limits, linger=linger, clock=clock, tasks=BlockingTasks()
            )
        )

    @classmethod
    def over(cls, driven: AsyncClient) -> Client:
        """The sync face of an async client whose ports block."""
        client = cls.__new__(cls)
        client._driven = driven
        return client

    @property
    def driven(self) -> AsyncClient:
        """The client whose operations these are; its ports block."""
        return self._driven

    def __repr__(self) -> str:
        return repr(self._driven).replace("AsyncClient", "Client", 1)

    def handle(self) -> Client:
        """Another handle on the same connection, with leases and an `if_head` of its own."""
        return self.over(self._driven.handle())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the store, for every handle on it. Using one again opens it anew."""
        run_sync(self._driven.aclose())

    create_session = blocking(AsyncClient.create_session)
    open_session = blocking(AsyncClient.open_session)
    get_session = blocking(AsyncClient.get_session)
    update_session = blocking(AsyncClient.update_session)
    end_session = blocking(AsyncClient.end_session)
    delete_session = blocking(AsyncClient.delete_session)
    undelete = blocking(AsyncClient.undelete)
    extend_retention = blocking(AsyncClient.extend_retention)
    list_sessions = blocking(AsyncClient.list_sessions)
    sessions = blocking_iter(AsyncClient.sessions)
    create_invocation = blocking(AsyncClient.create_invocation)
    list_invocations = blocking(AsyncClient.list_invocations)
    put_invocation_step = blocking(AsyncClient.put_invocation_step)
    put_invocation_steps = blocking(AsyncClient.put_invocation_steps)
    get_invocation_step = blocking(AsyncClient.get_invocation_step)
    list_invocation_steps = blocking(AsyncClient.list_invocation_steps)
    steps = blocking_iter(AsyncClient.steps)
    tail = blocking_iter(AsyncClient.tail)
    tag_resource = blocking(AsyncClient.tag_resource)
    untag_resource = blocking(AsyncClient.untag_resource)
    list_tags_for_resource = blocking(AsyncClient.list_tags_for_resource)
    lease = blocking(AsyncClient.lease)
    fork = blocking(AsyncClient.fork)
    redact = blocking(AsyncClient.redact)
    trim = blocking(AsyncClient.trim)
    audit_records = blocking_iter(AsyncClient.audit_records)
    gc = blocking(AsyncClient.gc)
    resolve = blocking(AsyncClient.resolve)
    verify = blocking(AsyncClient.verify)
    salvage = blocking(AsyncClient.salvage)
    ping = blocking(AsyncClient.ping)
