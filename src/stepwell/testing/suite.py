"""The cases by name, and how one is run: see the package's docstring for an example."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from types import ModuleType
from typing import Any, TypeAlias

from stepwell.testing.bench import Abilities, Clients, Colour, OpenStore, Stores, clients_on
from stepwell.testing.clients import (
    content,
    deletion,
    forks,
    invocations,
    limits,
    lists,
    reading,
    removal,
    requests,
    sessions,
    status,
    steps,
    tags,
    tenants,
    verification,
    writers,
)
from stepwell.testing.stores import blobs, entries, journals, keys, races
from stepwell.testing.stores import removal as store_removal

StoreCase: TypeAlias = Callable[[Stores], Awaitable[None]]
ClientCase: TypeAlias = Callable[[Clients], Awaitable[None]]

_STORES = (journals, races, blobs, keys, entries, store_removal)
_CLIENTS = (
    *(sessions, status, invocations, steps, reading, content, lists, tags, tenants, writers, forks),
    *(deletion, removal, verification),
    *(limits, requests),
)


def store_cases() -> list[StoreCase]:
    """What every `JournalStore` has to do."""
    return [case for module in _STORES for case in _cases(module)]


def client_cases() -> list[ClientCase]:
    """What every client has to do, on every backend."""
    return [case for module in _CLIENTS for case in _cases(module)]


def _cases(module: ModuleType) -> list[Any]:
    """The public coroutine functions that a module defines."""
    own = (case for case in vars(module).values() if getattr(case, "__module__", "") == module.__name__)
    return [case for case in own if iscoroutinefunction(case) and not case.__name__.startswith("_")]


async def check_store(case: StoreCase, open_store: OpenStore, colour: Colour) -> None:
    """Run a case on a store that is empty, and close what it opened."""
    stores = Stores(open_store, colour)
    try:
        await case(stores)
    finally:
        await stores.aclose()


async def check_client(
    case: ClientCase, open_store: OpenStore, colour: Colour, abilities: Abilities | None = None
) -> None:
    """Run a case with clients on a store that is empty, and close what it opened."""
    clients = Clients(clients_on(open_store, colour), colour, abilities)
    try:
        await case(clients)
    finally:
        await clients.aclose()
