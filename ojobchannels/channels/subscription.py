"""Subscriptions: a thread that reads the changes of a channel and calls the callback."""

import logging
import threading
from collections.abc import Callable, Iterable

from ojobchannels.changes import Change, start_thread
from ojobchannels.channels.changes import ChangeReader
from ojobchannels.channels.documents import DocumentStore
from ojobchannels.errors import ChannelClosed
from ojobchannels.host.wakeup import Wakeup

_log = logging.getLogger("ojobchannels.subscriptions")


class Subscription:
    """Calls a callback for the changes of a channel until it is closed; see `Channel.subscribe`.

    One thread calls it, one change at a time. An exception of the callback is logged, and the next
    change follows. A slow callback delays only its own subscription.
    """

    def __init__(
        self,
        channel: DocumentStore,
        callback: Callable[[Change], object],
        replay: bool,
        on_end: "Callable[[Subscription], None]",
    ) -> None:
        self._channel = channel
        self._on_end = on_end
        self._callback = callback
        self._wakeup = Wakeup()
        self._end = Wakeup()
        self._closing = False
        self._reader, entries = ChangeReader.begun(channel, self._wakeup.set, replay)
        try:
            self._thread = start_thread(
                channel.name, "ojobchannels-subscription", self._run, entries
            )
        except BaseException:
            self._reader.close()
            raise

    @property
    def closed(self) -> bool:
        """Whether the subscription has ended and no call is running; True in a forked child."""
        return not self._thread.is_alive()

    def close(self, *, wait: bool = True) -> None:
        """End the subscription: no new call starts. The callback may close its own subscription.

        Args:
            wait: Whether to wait for a call that is running.
        """
        self._closing = True
        self._end.set()
        self._wakeup.set()
        if wait and threading.current_thread() is not self._thread:
            self._thread.join()
            self._on_end(self)

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Subscription of {self._channel!r}{' closed' if self.closed else ''}>"

    def _run(self, entries: list[Change]) -> None:
        try:
            self._deliver(entries)
            while not self._closing:
                try:
                    changes = self._reader.read()
                except ChannelClosed:
                    return
                self._deliver(changes)
                self._end.wait(self._reader.rest)
                if not self._reader.failed:
                    self._wakeup.wait(self._reader.pause)
        finally:
            self._reader.close()
            self._on_end(self)

    def _deliver(self, changes: Iterable[Change]) -> None:
        for change in changes:
            if self._closing:
                return
            try:
                self._callback(change)
            except BaseException:  # noqa: BLE001  the next change must still be delivered
                _log.exception("a callback failed on channel %r, %r", self._channel.name, change)
