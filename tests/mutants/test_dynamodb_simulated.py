"""The simulated services are held to what the store needs of the real ones: the whole suite passes on them."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from stepwell.testing import Abilities, ClientCase, StoreCase, check_client, check_store, client_cases, store_cases
from tests.mutants.dynamodb_service import Service


@pytest.mark.parametrize("objects", [False, True], ids=["items", "objects"])
@pytest.mark.parametrize("case", store_cases())
def test_store(case: StoreCase, objects: bool) -> None:
    asyncio.run(check_store(case, partial(Service().store, objects=objects), "async"))


@pytest.mark.parametrize("case", client_cases())
def test_client(case: ClientCase) -> None:
    asyncio.run(check_client(case, partial(Service().store, objects=True), "async", Abilities(forgets=True)))
