"""A document in the state channel that all processes change, one change after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import OutcomeUnknown
from ojobchannels.host.clock import now_ms

Memory: TypeAlias = dict[str, Any]

KINDS: Final = ("alerts", "metrics")
"""The keys by which memories are known in the state channel."""

_UNUSED_MS: Final = 90 * 86_400_000


class SharedMemory:
    """A memory that is changed by compare-and-set; its ``version`` grows with each change."""

    def __init__(self, kind: str, name: str, state: Callable[[], Channel]) -> None:
        self._key = {kind: name}
        self._state = state

    def get(self, begin: Callable[[], Memory]) -> Memory:
        """Return the memory; the first process makes it by `begin`."""
        state = self._state()
        while True:
            memory: Memory | None = state.get(self._key)
            if memory is not None:
                return memory
            state.add(self._key, {"version": 0, "at": now_ms(), **begin()})

    def change(self, begin: Callable[[], Memory], apply: Callable[[Memory], object]) -> Memory:
        """Change a copy of the memory by `apply`, which may be called several times; return it."""
        while True:
            present = self.get(begin)
            changed: Memory = _copied(present)
            apply(changed)
            if changed == present:
                return present
            changed |= {"version": present["version"] + 1, "at": now_ms()}
            match = {"version": present["version"]}
            try:
                if self._state().get_set(match, self._key, changed) is not None:
                    return changed
            except OutcomeUnknown:
                continue  # reading again shows whether it was stored


def outdated(state: Channel) -> list[Any]:
    """Return the keys of memories that have not changed for long."""
    oldest = now_ms() - _UNUSED_MS
    return [
        key
        for key, document in state.items()
        if isinstance(key, dict) and any(kind in key for kind in KINDS) and _at(document) < oldest
    ]


def _copied(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _copied(value) for key, value in part.items()}
    return [_copied(value) for value in part] if isinstance(part, list) else part


def _at(document: Any) -> float:
    at = document.get("at") if isinstance(document, dict) else None
    return at if isinstance(at, int) else float("inf")
