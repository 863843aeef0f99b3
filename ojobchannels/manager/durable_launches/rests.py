"""The rests of a worker between its looks: while no launch is stored, it need not look each second.

Where the backend reports changes, a worker whose last two looks have found an empty channel rests
until a change is reported, or for as long as the backend allows. After a change it looks once a
second for a while: each launch makes several changes, and there may be many workers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import ChannelError

if TYPE_CHECKING:
    from ojobchannels.changes import Feed


class Rests:
    """The rests of one worker.

    Args:
        wake: Ends the rest that the worker takes; called on any thread.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._feed: Feed | None = None
        self._was_empty = self._has_changed = self._is_calm = self._is_long = False

    def before_look(self, channel: Channel) -> None:
        """Note the changes of the channel from now on, if there were none lately."""
        self._is_long = False
        self._is_calm = self._was_empty and not self._has_changed
        self._was_empty = self._has_changed = False
        if self._is_calm and "events_coalesced" in channel.capabilities:
            try:
                if self._feed is None:
                    self._feed = channel.hook.subscribe(notify=self._note)
                self._feed.take()
            except ChannelError:  # such as a user who may not listen
                self._is_calm = False

    def after_look(self, shortest: float, *, found_nothing: bool) -> float:
        """Return the seconds until the next look, at least `shortest`.

        Args:
            shortest: The seconds if launches are stored, or may be.
            found_nothing: Whether the channel was empty.
        """
        self._was_empty = found_nothing
        if self._feed is not None and self._is_calm and found_nothing:
            self._is_long = True  # before the next line: a change that it misses wakes the worker
            if not self._has_changed:
                return max(self._feed.pause or 0, shortest)
            self._is_long = False
        return shortest

    def close(self) -> None:
        """Note no more changes."""
        if self._feed is not None:
            self._feed.close()

    def _note(self) -> None:
        self._has_changed = True
        if self._is_long:
            self._wake()
