"""An extension that loses requests and replies, and records the results of the backend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

from ojobchannels.errors import OutcomeUnknown
from ojobchannels.hookspecs import hookimpl

Loss: TypeAlias = Literal["the request", "the reply"]


class MessageLoss:
    """Wraps the lock operations of one handle, and passes everything unless a loss is set.

    Attributes:
        results: The last result of the backend by operation, also if the reply was lost.
        calls: The arguments of the last call by operation.
        locks: The arguments and results of `lock` that were not yet judged: one for each slot.
    """

    def __init__(self) -> None:
        self.results: dict[str, Any] = {}
        self.calls: dict[str, dict[str, Any]] = {}
        self.locks: list[tuple[dict[str, Any], Any]] = []
        self._armed: dict[str, Loss] = {}

    def lose(self, operation: str, what: Loss) -> None:
        """Lose the next request of that operation, or its reply."""
        self._armed[operation] = what

    def forget(self) -> None:
        """Clear the results."""
        self.results.clear()

    def heal(self) -> None:
        """Pass everything from now on."""
        self._armed.clear()

    def _pass(self, operation: str, **arguments: Any) -> Iterator[None]:
        self.calls[operation] = arguments
        self.results.pop(operation, None)
        loss = self._armed.pop(operation, None)
        if loss == "the request":
            raise OutcomeUnknown("test", operation, f"{loss} was lost")
        result = yield
        self.results[operation] = result
        if operation == "lock":
            self.locks.append((arguments, result))
        if loss == "the reply":
            raise OutcomeUnknown("test", operation, f"{loss} was lost")
        return result

    @hookimpl(wrapper=True)
    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Iterator[None]:
        """Pass or lose a call."""
        return (yield from self._pass("lock", name=name, token=token, ttl=ttl, holder=holder))

    @hookimpl(wrapper=True)
    def unlock(self, name: str, token: str) -> Iterator[None]:
        """Pass or lose a call."""
        return (yield from self._pass("unlock", name=name, token=token))

    @hookimpl(wrapper=True)
    def extend(self, name: str, token: str, ttl: int) -> Iterator[None]:
        """Pass or lose a call."""
        return (yield from self._pass("extend", name=name, token=token, ttl=ttl))

    @hookimpl(wrapper=True)
    def adopt(self, name: str, token: str, holder: dict[str, Any] | None) -> Iterator[None]:
        """Pass or lose a call."""
        return (yield from self._pass("adopt", name=name, token=token, holder=holder))
