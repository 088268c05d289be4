"""Fairness on an event loop: where many tasks are ready at once and each computes a little, others wait for them all.

Who begins what computes for a millisecond takes a turn before. There is one turn in each round of the loop, so that
whatever else the loop serves is served in between.
"""

from __future__ import annotations

import asyncio
from collections import deque
from weakref import WeakKeyDictionary


class Turns:
    """One loop's. First come, first served."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = False

    async def take(self) -> None:
        """Go on at once if nobody had a turn in this round, else in the next round that is free."""
        if self._taken:
            turn = self._loop.create_future()
            self._waiting.append(turn)
            await turn
        else:
            self._taken = True
            self._loop.call_soon(self._give)

    def _give(self) -> None:
        """A new round."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # its task may have been cancelled
                turn.set_result(None)
                self._loop.call_soon(self._give)
                return
        self._taken = False


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()


async def take_turn() -> None:
    """Wait for a turn on the loop that runs."""
    loop = asyncio.get_running_loop()
    if (turns := _turns.get(loop)) is None:
        turns = _turns[loop] = Turns(loop)
    await turns.take()
