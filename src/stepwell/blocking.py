"""The sync client drives the async text: one `send(None)` per call.

A coroutine suspends only where something it awaits does, and the blocking ports never do: they block the thread
instead. So a single `send` runs the operation to its end, on the caller's own thread, inside or outside an event loop.
`blocking` makes one method of `Client` out of one of `AsyncClient`, with its signature and its documentation.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from functools import wraps
from inspect import signature
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from stepwell.batched import Batched

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)

_SUSPENDED = "a coroutine suspended: an async port was given to a sync client"


class Driven(Protocol[A_co]):
    """A sync facade over an async object whose ports block."""

    @property
    def driven(self) -> A_co:
        """The async object."""
        ...


def run_sync(call: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends.

    Raises:
        RuntimeError: it did: somebody gave an async port to a sync client.
    """
    try:
        call.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    call.close()
    raise RuntimeError(_SUSPENDED)


def blocking(
    method: Callable[Concatenate[A, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Driven[A], P], T]:
    """The blocking form of an async method."""

    @wraps(method)
    def call(self: Driven[A], /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return run_sync(method(self.driven, *args, **kwargs))
        except TypeError:
            _check_arguments(call, self, *args, **kwargs)
            raise

    return _named(call)


def blocking_iter(
    method: Callable[Concatenate[A, P], AsyncIterator[T]],
) -> Callable[Concatenate[Driven[A], P], Iterator[T]]:
    """The blocking form of an async generator method; leaving the loop early closes it."""

    @wraps(method)
    def call(self: Driven[A], /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        try:
            items = method(self.driven, *args, **kwargs)
        except TypeError:
            _check_arguments(call, self, *args, **kwargs)
            raise
        if isinstance(items, Batched):
            return _flattened(items.batches)
        return _drained(items)

    call.__annotations__ = dict(call.__annotations__)
    call.__annotations__["return"] = str(call.__annotations__["return"]).replace("AsyncIterator", "Iterator")
    return _named(call)


def _check_arguments(call: Callable[..., object], /, *args: object, **kwargs: object) -> None:
    """Name the method that was called, not the one that it drives, where arguments do not fit it."""
    try:
        signature(call).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{call.__qualname__}(): {error}") from None


def _named(call: Callable[P, T]) -> Callable[P, T]:
    """*call*, named after the class that it is a method of."""
    call.__qualname__ = call.__qualname__.replace("AsyncClient", "Client")
    return call


def _flattened(batches: AsyncIterator[Iterable[T]]) -> Iterator[T]:
    for batch in _drained(batches):
        yield from batch


def _drained(items: AsyncIterator[T]) -> Iterator[T]:
    try:
        while True:
            try:
                items.__anext__().__await__().send(None)
            except StopIteration as stop:
                yield stop.value
            except StopAsyncIteration:
                return
            else:
                raise RuntimeError(_SUSPENDED)
    finally:
        if isinstance(items, AsyncGenerator):
            run_sync(items.aclose())
