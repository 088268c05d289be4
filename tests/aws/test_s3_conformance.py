"""The whole suite on S3, on each adapter; in segments so short that most journals have several."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from stepwell.testing import Abilities, ClientCase, StoreCase, check_client, check_store, client_cases, store_cases
from tests.aws.moto import COLOUR, Service

pytestmark = pytest.mark.faults

ABILITIES = Abilities(encryption_keys=True)
SHORT = 1000
"""Bytes of a segment: two or three records."""


@pytest.mark.parametrize("case", store_cases())
def test_store(case: StoreCase, service: Service) -> None:
    asyncio.run(check_store(case, service.open_s3, COLOUR[service.adapter]))


@pytest.mark.parametrize("case", store_cases())
def test_store_in_short_segments(case: StoreCase, alone: Service) -> None:
    asyncio.run(check_store(case, partial(alone.open_s3, segment_bytes=SHORT), COLOUR[alone.adapter]))


@pytest.mark.parametrize("case", client_cases())
def test_client(case: ClientCase, service: Service) -> None:
    opened = partial(service.open_s3, segment_bytes=SHORT)
    asyncio.run(check_client(case, opened, COLOUR[service.adapter], ABILITIES))
