"""The whole suite on DynamoDB, on each adapter, with payloads as items and as objects in S3.

The cases of clients do without one adapter: boto3 in threads is boto3's, and the event loop is aiobotocore's.
"""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from stepwell.testing import Abilities, ClientCase, StoreCase, check_client, check_store, client_cases, store_cases
from tests.aws.moto import COLOUR, Service

pytestmark = pytest.mark.faults

ABILITIES = Abilities(forgets=True)


@pytest.mark.parametrize("case", store_cases())
def test_store(case: StoreCase, service: Service) -> None:
    asyncio.run(check_store(case, service.open_store, COLOUR[service.adapter]))


@pytest.mark.parametrize("case", store_cases())
def test_store_with_objects(case: StoreCase, alone: Service) -> None:
    asyncio.run(check_store(case, partial(alone.open_store, blobs=True), COLOUR[alone.adapter]))


@pytest.mark.parametrize("service", ["boto3", "aiobotocore"], indirect=True)
@pytest.mark.parametrize("case", client_cases())
def test_client(case: ClientCase, service: Service) -> None:
    asyncio.run(check_client(case, partial(service.open_store, blobs=True), COLOUR[service.adapter], ABILITIES))
