from __future__ import annotations

import asyncio

import pytest

from stepwell.testing import COLOURS, Colour, OpenStore, StoreCase, check_store, store_cases


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("case", store_cases())
def test_store(case: StoreCase, open_store: OpenStore, colour: Colour) -> None:
    asyncio.run(check_store(case, open_store, colour))
