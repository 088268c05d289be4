"""Items that come in batches, iterated one by one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Batched(AsyncIterator[T], Generic[T]):
    """An async iterator over the items of *batches*. Whoever takes a batch at a time is spared a step per item."""

    def __init__(self, batches: AsyncGenerator[Sequence[T]]) -> None:
        self.batches = batches
        self._items: Iterator[T] = iter(())

    async def __anext__(self) -> T:
        for item in self._items:
            return item
        async for batch in self.batches:
            self._items = iter(batch)
            for item in self._items:
                return item
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop reading."""
        await self.batches.aclose()
