"""When to try again: the one owner of retries.

Full jitter, capped; a deadline; a budget that runs dry when everything fails, so that an outage is not answered with
a flood; the pause that the store asked for. Only errors with `retryable` are retried, and nothing that was frozen is
changed by it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from stepwell.errors import StepwellError, Throttled
from stepwell.io.ports import Ports

T = TypeVar("T")


def _never(error: StepwellError) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Times in seconds. *deadline* counts from the first attempt; *budget* is shared by all calls of a client."""

    first_wait: float = 0.05
    longest_wait: float = 10.0
    deadline: float = 30.0
    attempts: int = 10
    budget: int = 500
    cost: int = 5
    """What a retry takes from the budget; a success gives 1 back."""


class Retry:
    """A policy with its budget."""

    def __init__(self, policy: RetryPolicy, ports: Ports) -> None:
        self._policy = policy
        self._ports = ports
        self._budget = policy.budget  # threads may race for it: it is a brake, not an account

    async def __call__(
        self, attempt: Callable[[], Awaitable[T]], *, also: Callable[[StepwellError], bool] = _never
    ) -> T:
        """The result of *attempt*, tried again on errors that are retryable or that *also* accepts.

        Raises:
            StepwellError: the last attempt's error.
        """
        began = self._ports.clock.boot()
        try:
            result = await attempt()
        except StepwellError as error:
            if not (error.retryable or also(error)):
                raise
            result = await self._again(attempt, also, began, error)
        self._earn()
        return result

    async def _again(
        self,
        attempt: Callable[[], Awaitable[T]],
        also: Callable[[StepwellError], bool],
        began: int,
        first: StepwellError,
    ) -> T:
        # Imported here: it brings asyncio with it, and most programs never need it.
        from tenacity import DoSleep, RetryCallState, Retrying, retry_if_exception, wait_random_exponential

        jitter = wait_random_exponential(multiplier=self._policy.first_wait, max=self._policy.longest_wait)

        def again(error: BaseException) -> bool:
            return isinstance(error, StepwellError) and (error.retryable or also(error))

        def stop(state: RetryCallState) -> bool:
            elapsed = (self._ports.clock.boot() - began) / 1e6
            late = elapsed + state.upcoming_sleep >= self._policy.deadline
            return late or state.attempt_number >= self._policy.attempts or not self._spend()

        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.retry_after if isinstance(error, Throttled) and error.retry_after else 0.0
            return max(min(asked, self._policy.longest_wait), jitter(state))

        # The synchronous form decides, and we await: the asynchronous one inspects each of these functions at every
        # step, to learn whether to await it, which takes longer than most attempts.
        retrying = Retrying(retry=retry_if_exception(again), stop=stop, wait=wait, reraise=True)
        retrying.begin()
        state, error = RetryCallState(retrying, None, (), {}), first
        while True:
            state.set_exception((type(error), error, error.__traceback__))
            pause = retrying.iter(state)  # raises the error where it is not to be tried again
            assert isinstance(pause, DoSleep)
            state.prepare_for_next_attempt()
            await self._ports.tasks.sleep(pause)
            try:
                return await attempt()
            except StepwellError as failed:
                error = failed

    def _spend(self) -> bool:
        if self._budget < self._policy.cost:
            return False
        self._budget -= self._policy.cost
        return True

    def _earn(self) -> None:
        self._budget = min(self._budget + 1, self._policy.budget)
