"""What every store and every client has to do, as plain functions: a store of your own certifies itself with them.

Write a test module that runs each case against your store, in both colours, and you are told by name what it gets
wrong. The suite needs no test framework; with pytest (`pip install 'stepwell[testing]'`) this is all of it:

    import asyncio, pytest
    from stepwell.testing import COLOURS, check_client, check_store, client_cases, store_cases

    @pytest.mark.parametrize("colour", COLOURS)
    @pytest.mark.parametrize("case", store_cases())
    def test_store(case, colour, tmp_path):
        asyncio.run(check_store(case, lambda ports: MyStore(tmp_path, ports), colour))

    @pytest.mark.parametrize("colour", COLOURS)
    @pytest.mark.parametrize("case", client_cases())
    def test_client(case, colour, tmp_path):
        asyncio.run(check_client(case, lambda ports: MyStore(tmp_path, ports), colour))

The function that opens your store is called for each handle or client that a case wants; all of them must lead to the
same store, which is empty at first. A store does its work through the ports it is given: then "sync" never suspends,
and "async" blocks no loop. With `pytest.register_assert_rewrite("stepwell.testing")` in conftest.py, a failure shows
the values that differ.

store_cases, check_store      what `JournalStore` asks for
client_cases, check_client    what the operations mean, through the public API of `Client` or `AsyncClient`
Abilities                     what a backend cannot do, it must refuse: the cases assert the refusal
Stores, Clients               what a case is given; for a backend that is no `JournalStore`, make `Clients` yourself
"""

from stepwell.testing.bench import (
    COLOURS,
    Abilities,
    Clients,
    Colour,
    FakeClock,
    OpenClient,
    OpenStore,
    Stores,
    all_refused,
    attempt,
    clients_on,
    collected,
    refused,
)
from stepwell.testing.lifted import Lifted
from stepwell.testing.suite import (
    ClientCase,
    StoreCase,
    check_client,
    check_store,
    client_cases,
    store_cases,
)

__all__ = [
    "COLOURS",
    "Abilities",
    "ClientCase",
    "Clients",
    "Colour",
    "FakeClock",
    "Lifted",
    "OpenClient",
    "OpenStore",
    "StoreCase",
    "Stores",
    "all_refused",
    "attempt",
    "check_client",
    "check_store",
    "client_cases",
    "clients_on",
    "collected",
    "refused",
    "store_cases",
]
