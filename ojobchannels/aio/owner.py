"""The event loop to which a channel, or a manager, belongs."""

from __future__ import annotations

import asyncio

from ojobchannels.errors import WrongEventLoop


def running_loop(what: str) -> asyncio.AbstractEventLoop:
    """Return the running event loop of asyncio.

    Args:
        what: What is used in it, for the message.

    Raises:
        WrongEventLoop: No event loop of asyncio is running, as in a program of trio.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise WrongEventLoop(
            what,
            "no event loop of asyncio is running",
            "use it in asyncio.run; in a program of trio or of threads, use open_channel",
        ) from None


class Owner:
    """The event loop in which something was first used.

    Args:
        what: What belongs to it, for messages.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._loop: asyncio.AbstractEventLoop | None = None

    def check(self, *, ending: bool = False) -> None:
        """Check that it is the running one.

        Args:
            ending: Whether any loop will do once that one is closed.

        Raises:
            WrongEventLoop: It is not; or this process was forked meanwhile.
        """
        loop = running_loop(self._what)
        if self._loop is None:
            self._loop = loop
        elif loop is not self._loop and not (ending and self._loop.is_closed()):
            raise WrongEventLoop(
                self._what,
                "it belongs to another event loop, in which it was first used",
                "open one in each event loop; on other threads, use its attribute sync",
            )
