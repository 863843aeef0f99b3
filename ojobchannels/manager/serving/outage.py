"""Pauses of work in the background while a store cannot be reached."""

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from ojobchannels.errors import ChannelError

Level: TypeAlias = Literal["info", "warn", "error"]

_PAUSE_MS: Final = (1_000, 30_000)


class Outage:
    """The pauses of one worker.

    Args:
        what: What pauses, for messages.
        log: Reports that an outage has begun, and that it is over.
    """

    def __init__(self, what: str, log: Callable[[Level, str], None]) -> None:
        self._what = what
        self._log = log
        self._pause = 0

    def pause(self, error: ChannelError) -> int:
        """Return the milliseconds after which to try again; they grow from a second to 30."""
        if not self._pause:
            self._log("error", f"{self._what} paused until the store is reachable: {error}")
        self._pause = min(max(2 * self._pause, _PAUSE_MS[0]), _PAUSE_MS[1])
        return self._pause

    def end(self) -> None:
        """Note that the store is reachable."""
        if self._pause:
            self._pause = 0
            self._log("info", f"{self._what} resumed")
