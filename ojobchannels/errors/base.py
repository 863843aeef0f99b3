"""The root of all errors."""

from __future__ import annotations

from typing import Any


class ChannelError(Exception):
    """Root of all errors that this package raises on purpose.

    Every subclass stores the facts as attributes, also derives from the closest builtin exception,
    and can be pickled.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (type(self), self.args, dict(self.__dict__))


def _revive(kind: type[ChannelError], args: tuple[Any, ...], facts: dict[str, Any]) -> ChannelError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(facts)
    return error
