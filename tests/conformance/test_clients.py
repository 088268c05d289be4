from __future__ import annotations

import asyncio

import pytest

from stepwell.testing import COLOURS, ClientCase, Colour, OpenStore, check_client, client_cases


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("case", client_cases())
def test_client(case: ClientCase, open_store: OpenStore, colour: Colour) -> None:
    asyncio.run(check_client(case, open_store, colour))
