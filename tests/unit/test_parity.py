"""`Client` is `AsyncClient`, driven synchronously: the same operations, signatures and documentation."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from stepwell.blocking import blocking, blocking_iter, run_sync
from stepwell.client import AsyncClient
from stepwell.io.aio import AsyncioTasks
from stepwell.stores.memory import MemoryStore
from stepwell.sync import Client

RENAMED = {"aclose": "close"}
SYNC_ONLY = {"driven", "over"}
"""What lets `blocking` find the async object, and a client be made of one."""


def public(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


def operations() -> list[str]:
    found = [name for name, _ in inspect.getmembers(AsyncClient, inspect.isfunction) if not name.startswith("_")]
    return [name for name in found if name not in (*RENAMED, "handle")]


def is_async(member: object) -> bool:
    return inspect.iscoroutinefunction(member) or inspect.isasyncgenfunction(member)


def test_both_clients_have_the_same_public_names() -> None:
    assert public(Client) - SYNC_ONLY == {RENAMED.get(name, name) for name in public(AsyncClient)}


def test_the_fourteen_operations_are_there() -> None:
    sessions = {f"{verb}_session" for verb in ("create", "get", "update", "end", "delete")} | {"list_sessions"}
    invocations = {"create_invocation", "list_invocations"}
    steps = {"put_invocation_step", "get_invocation_step", "list_invocation_steps"}
    tags = {"tag_resource", "untag_resource", "list_tags_for_resource"}
    fourteen = sessions | invocations | steps | tags
    assert len(fourteen) == 14
    assert fourteen <= set(operations())


@pytest.mark.parametrize("name", operations())
def test_an_operation_has_the_same_signature_and_documentation(name: str) -> None:
    theirs, ours = getattr(AsyncClient, name), getattr(Client, name)
    assert inspect.signature(ours).parameters == inspect.signature(theirs).parameters
    assert ours.__doc__ == theirs.__doc__
    assert (ours.__name__, ours.__qualname__) == (name, f"Client.{name}")


@pytest.mark.parametrize("name", operations())
def test_an_operation_of_the_sync_client_does_not_have_to_be_awaited(name: str) -> None:
    assert not is_async(getattr(Client, name))


def without_return(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def test_both_clients_are_made_of_the_same_arguments() -> None:
    assert without_return(Client.__init__) == without_return(AsyncClient.__init__)
    assert Client.__doc__ == (AsyncClient.__doc__ or "").replace("async with", "with").replace(
        "AsyncClient(url) as client:`.", "Client(url) as client:`; thread-safe; usable after `fork()`."
    )
    ours, theirs = without_return(Client.from_store), without_return(AsyncClient.from_store)
    assert ours == [parameter for parameter in theirs if parameter.name != "tasks"]


async def two() -> int:
    return 2


async def twice() -> int:
    return 2 * await two()


def test_run_sync_returns_what_a_coroutine_that_never_suspends_returns() -> None:
    assert run_sync(twice()) == 4


def test_run_sync_raises_what_a_coroutine_raises() -> None:
    async def fail() -> None:
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        run_sync(fail())


def test_run_sync_refuses_a_coroutine_that_suspends_and_closes_it() -> None:
    closed: list[bool] = []

    async def wait() -> None:
        try:
            await AsyncioTasks().sleep(0)
        finally:
            closed.append(True)

    with pytest.raises(RuntimeError, match="suspended"):
        run_sync(wait())
    assert closed == [True]


def test_a_sync_client_over_async_ports_is_refused() -> None:
    class Wrong(Client):
        @property
        def driven(self) -> AsyncClient:
            return AsyncClient.from_store(lambda ports: MemoryStore())

    with pytest.raises(RuntimeError, match="async port"):
        Wrong("memory:").create_session()


class Source:
    """An async object, whose iterations say when they are over."""

    def __init__(self) -> None:
        self.closed = 0

    async def add(self, one: int, /, *, other: int = 1) -> int:
        """Add."""
        return one + other

    async def count(self, to: int) -> AsyncIterator[int]:
        """Count."""
        try:
            for number in range(to):
                yield number
        finally:
            self.closed += 1


class Facade:
    def __init__(self) -> None:
        self.driven = Source()

    add = blocking(Source.add)
    count = blocking_iter(Source.count)


def test_a_blocking_method_takes_and_returns_what_the_async_one_does() -> None:
    assert Facade().add(2, other=3) == 5
    assert Facade().add(2) == 3
    assert Facade.add.__doc__ == "Add."


def test_a_blocking_iterator_yields_what_the_async_one_does_and_closes_it() -> None:
    facade = Facade()
    assert list(facade.count(3)) == [0, 1, 2]
    assert facade.driven.closed == 1


def test_a_blocking_iterator_that_is_left_early_closes_the_async_one() -> None:
    facade = Facade()
    counting = facade.count(3)
    assert isinstance(counting, Iterator)
    assert next(counting) == 0
    counting.close()  # type: ignore[attr-defined]  # it is a generator, as a loop that is left finds out
    assert facade.driven.closed == 1
