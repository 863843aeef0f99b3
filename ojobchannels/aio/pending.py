"""What can be awaited, or used in ``async with``: a channel to open, a lock to acquire."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, Protocol, Self, TypeVar


class Closeable(Protocol):
    """What ``async with`` ends."""

    async def __aenter__(self) -> Self:
        """Begin."""

    async def __aexit__(self, *error: Any) -> None:
        """End."""


_T = TypeVar("_T", bound=Closeable)


class Pending(Coroutine[Any, Any, _T], Generic[_T]):
    """The result of a call that may be awaited, or used in ``async with``; begun by either.

    Args:
        what: What there is after that, for the warning that it was not awaited.
        begin: Returns the coroutine.
    """

    def __init__(self, what: str, begin: Callable[[], Coroutine[Any, Any, _T]]) -> None:
        self._what = what
        self._begin = begin
        self._used = False
        self._coroutine: Coroutine[Any, Any, _T] | None = None
        self._value: _T | None = None

    def __await__(self) -> Generator[Any, Any, _T]:
        return self._started().__await__()

    async def __aenter__(self) -> _T:
        self._used = True
        self._value = await self._begin()
        return await self._value.__aenter__()

    async def __aexit__(self, *error: Any) -> None:
        if self._value is not None:
            await self._value.__aexit__(*error)

    def send(self, value: Any) -> Any:
        """Continue the coroutine, for `asyncio.create_task`."""
        return self._started().send(value)

    def throw(self, *error: Any) -> Any:
        """Raise an exception in the coroutine."""
        return self._started().throw(*error)

    def close(self) -> None:
        """End the coroutine."""
        self._used = True
        if self._coroutine is not None:
            self._coroutine.close()

    def __del__(self) -> None:
        if not self._used:
            text = f"{self._what} was never awaited: write `await` or `async with` before it"
            warnings.warn(text, RuntimeWarning, stacklevel=2, source=self)

    def _started(self) -> Coroutine[Any, Any, _T]:
        self._used = True
        if self._coroutine is None:
            self._coroutine = self._begin()
        return self._coroutine
