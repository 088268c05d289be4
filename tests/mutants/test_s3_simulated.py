"""The simulated bucket is held to what the store needs of S3: the whole suite passes on it."""

from __future__ import annotations

import asyncio

import pytest

from stepwell.testing import Abilities, ClientCase, StoreCase, check_client, check_store, client_cases, store_cases
from tests.mutants.dynamodb_service import Service


@pytest.mark.parametrize("case", store_cases())
def test_store(case: StoreCase) -> None:
    asyncio.run(check_store(case, Service().s3_store, "async"))


@pytest.mark.parametrize("case", client_cases())
def test_client(case: ClientCase) -> None:
    asyncio.run(check_client(case, Service().s3_store, "async", Abilities(encryption_keys=True)))
