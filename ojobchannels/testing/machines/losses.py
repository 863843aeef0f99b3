"""An extension that loses requests and replies, and knows what the backend answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

from ojobchannels.errors import OutcomeUnknown
from ojobchannels.hookspecs import hookimpl

Loss: TypeAlias = Literal["the request", "the reply"]


class Losses:
    """Stands between a handle and its backend, and lets everything pass until it is told.

    Attributes:
        answers: What the backend answered last, by operation, also when the reply was lost.
        calls: What it was asked last, by operation, with the token and all.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.calls: dict[str, dict[str, Any]] = {}
        self._armed: dict[str, Loss] = {}

    def lose(self, operation: str, what: Loss) -> None:
        """Loses the next request of that operation, or its reply."""
        self._armed[operation] = what

    def forget(self) -> None:
        """Forgets what was answered."""
        self.answers.clear()

    def heal(self) -> None:
        """Loses nothing more."""
        self._armed.clear()

    def _pass(self, operation: str, **arguments: Any) -> Iterator[None]:
        self.calls[operation] = arguments
        self.answers.pop(operation, None)
        loss = self._armed.pop(operation, None)
        if loss == "the request":
            raise OutcomeUnknown("test", operation, f"{loss} was lost")
        answer = yield
        self.answers[operation] = answer
        if loss == "the reply":
            raise OutcomeUnknown("test", operation, f"{loss} was lost")
        return answer

    @hookimpl(wrapper=True)
    def lock(self, name: str, token: str, ttl: int, holder: dict[str, Any]) -> Iterator[None]:
        """Passes or loses it."""
        return (yield from self._pass("lock", name=name, token=token, ttl=ttl, holder=holder))

    @hookimpl(wrapper=True)
    def unlock(self, name: str, token: str) -> Iterator[None]:
        """Passes or loses it."""
        return (yield from self._pass("unlock", name=name, token=token))

    @hookimpl(wrapper=True)
    def extend(self, name: str, token: str, ttl: int) -> Iterator[None]:
        """Passes or loses it."""
        return (yield from self._pass("extend", name=name, token=token, ttl=ttl))

    @hookimpl(wrapper=True)
    def adopt(self, name: str, token: str, holder: dict[str, Any] | None) -> Iterator[None]:
        """Passes or loses it."""
        return (yield from self._pass("adopt", name=name, token=token, holder=holder))
