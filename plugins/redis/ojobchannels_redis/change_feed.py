"""The feed of one subscription to documents: it hears that something changed, and has it read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from ojobchannels.changes import News

_LOOK_AGAIN: Final = 5.0
_LOOK_UNTOLD: Final = 1.0


class Source(Protocol):
    """Where an ear hears."""

    def attend(self, ear: Ear) -> None:
        """Lets it hear, as soon as the server does."""

    def dismiss(self, ear: Ear) -> None:
        """Lets it hear no more."""


class Ear:
    """A feed. Now and then it has a look taken on its own, for what may not have been published.

    Attributes:
        name: What it listens to: every script that changes a document publishes there.
    """

    def __init__(self, source: Source, name: str, ring: Callable[[], None]) -> None:
        self.name = name
        self._source = source
        self._ring = ring
        self._hears = False
        self._gap = False
        source.attend(self)

    @property
    def pause(self) -> float:
        """Seconds to the next look if nothing is heard."""
        return _LOOK_AGAIN if self._hears else _LOOK_UNTOLD

    def take(self) -> News:
        """Has the channel read: asked without need, it costs a few small requests."""
        if not self._hears:
            self._source.attend(self)
        gap, self._gap = self._gap, False
        return News(look=True, gap=gap)

    def close(self) -> None:
        """Hears no more."""
        self._source.dismiss(self)

    def hear(self) -> None:
        """Takes note of a message, or that all that follow will be heard."""
        self._hears = True
        self._ring()

    def miss(self) -> None:
        """Takes note that messages get lost from now on."""
        if self._hears:
            self._hears = False
            self._gap = True
            self._ring()
