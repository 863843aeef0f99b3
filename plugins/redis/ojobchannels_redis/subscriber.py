"""Wakes the waiters for a lock, and the subscriptions to documents.

The server keeps the queue of a lock's waiters, and calls one at a time: it publishes the waiter's
token on the Pub/Sub channel of its process. There is one subscriber connection and thread per
process and server. The thread starts with the first waiter. It ends, and its connection with it, a
moment after the last waiter and subscription, or when the last handle on the server is closed. Only
this thread reads and writes the connection; other threads wake it through a socket pair.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

from redis.exceptions import NoPermissionError, RedisError

from ojobchannels.remote import Backoff
from ojobchannels_redis.change_feed import ChangeFeed
from ojobchannels_redis.pubsub import Listener, SocketWakeup

_LOOK_WHEN_LISTENING: Final = 0.5
LOOK_WHEN_NOT: Final = 0.05
_LINGER: Final = 1.0
_LONGEST_PAUSE: Final = 1.0
_NO_PERMISSION_FOR: Final = 60.0
_log = logging.getLogger("ojobchannels.redis")


class _WakeChannel:
    """The waiters of this process that are woken on one Pub/Sub channel."""

    def __init__(self) -> None:
        self.waiters: dict[str, Waiter] = {}
        self.left_at = 0.0
        self.subscribed = threading.Event()


class Waiter:
    """One waiter for a lock, from when the server may call it until it leaves.

    Attributes:
        notify: Called when it is woken, for a waiter that does not `sleep`.
        token: The token of the lease that it waits for.
        lock: The name of the lock.
        queued_for: Seconds for which it need not look at the lock, since the refusal already put
            it into the queue; None if it did not.
    """

    def __init__(self, subscriber: Subscriber, channel: str, token: str, lock: str) -> None:
        self.notify: Callable[[], None] | None = None
        self.token = token
        self.lock = lock
        self.queued_for: float | None = None
        self._subscriber = subscriber
        self._channel = channel
        self._asleep = threading.Lock()  # released to wake; an Event costs three times as much
        self._asleep.acquire()
        self._wake_channel = subscriber.add(channel, self)

    def wake(self) -> None:
        """Wake the waiter, or keep it from falling asleep."""
        with suppress(RuntimeError):  # it is woken already
            self._asleep.release()
        if self.notify is not None:
            self.notify()

    def subscribe(self) -> threading.Event | None:
        """Have the subscriber listen; return what is set once it does, if it may."""
        if not self._subscriber.has_permission():
            return None
        self._wake_channel = self._subscriber.add(self._channel, self)
        return self._wake_channel.subscribed

    def is_listening(self) -> bool:
        """Return whether a call from now on would wake it."""
        return self._wake_channel.subscribed.is_set()

    def longest_sleep(self, listening: bool) -> float:
        """Return the seconds until it looks at the lock again although nothing woke it."""
        return _LOOK_WHEN_LISTENING if listening else LOOK_WHEN_NOT

    def sleep(self, seconds: float) -> bool:
        """Sleep for at most `seconds`; return whether it was woken."""
        return self._asleep.acquire(timeout=seconds)

    def leave(self) -> None:
        """End the wait."""
        self._subscriber.remove(self._wake_channel, self)


class Subscriber:
    """Receives what is published, and wakes the waiter or the subscriptions that it is for.

    Attributes:
        name: Unique to this process and server; part of the name of its wake channel.
    """

    def __init__(self, connect: Callable[[float], Any], timeout: float) -> None:
        self.name = uuid4().hex
        self._connect = connect
        self._timeout = timeout
        self._mutex = threading.Lock()
        self._wake_channels: dict[str, _WakeChannel] = {}
        self._feeds: list[ChangeFeed] = []
        self._wakeup: SocketWakeup | None = None
        self._thread: threading.Thread | None = None
        self._listener: Listener | None = None
        self._refused_until = 0.0
        self._closed = False

    def add(self, channel: str, waiter: Waiter) -> _WakeChannel:
        """Add a waiter, and start the thread if it is not running."""
        with self._mutex:
            wake_channel = self._wake_channels.setdefault(channel, _WakeChannel())
            wake_channel.waiters[waiter.token] = waiter
            if not wake_channel.subscribed.is_set():
                self._wake_thread()
            return wake_channel

    def is_subscribed(self, channel: str) -> bool:
        """Return whether a waiter that is added now would most likely be woken when called."""
        wake_channel = self._wake_channels.get(channel)
        return wake_channel is not None and wake_channel.subscribed.is_set()

    def remove(self, wake_channel: _WakeChannel, waiter: Waiter) -> None:
        """Remove a waiter."""
        with self._mutex:
            wake_channel.waiters.pop(waiter.token, None)
            wake_channel.left_at = time.monotonic()

    def add_feed(self, feed: ChangeFeed) -> None:
        """Deliver messages about changes to a feed."""
        with self._mutex:
            if feed not in self._feeds:
                self._feeds.append(feed)
            self._wake_thread()

    def remove_feed(self, feed: ChangeFeed) -> None:
        """Deliver no more messages to a feed."""
        with self._mutex, suppress(ValueError):
            self._feeds.remove(feed)

    def has_permission(self) -> bool:
        """Return whether the server allows us to subscribe, as far as is known."""
        return time.monotonic() >= self._refused_until

    def close(self) -> None:
        """End the thread and its connection."""
        with self._mutex:
            self._closed = True
            self._wake_channels = {}
            self._feeds = []
            if self._wakeup is not None:
                self._wakeup.wake()

    def forget(self) -> None:
        """Leave thread and connection to the parent, in a forked child."""
        self.name = uuid4().hex
        self._mutex = threading.Lock()
        self._wake_channels = {}
        self._feeds = []
        self._thread = None
        if self._wakeup is not None:
            self._wakeup.close()
            self._wakeup = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def wanted(self) -> set[str]:
        """Return the channels that have waiters or feeds, or had waiters a moment ago."""
        with self._mutex:
            return {*self._current(), *(feed.name for feed in self._feeds)}

    def subscribed(self, channel: str) -> None:
        """Note that messages of the channel arrive from now on."""
        with self._mutex:
            wake_channel = self._wake_channels.get(channel)
            if wake_channel is not None:
                wake_channel.subscribed.set()
            self._notify_feeds(channel)

    def receive(self, channel: str, message: str) -> None:
        """Wake the waiter whose token is the message, or the feeds of the channel."""
        with self._mutex:
            wake_channel = self._wake_channels.get(channel)
            if wake_channel is not None and message in wake_channel.waiters:
                wake_channel.waiters[message].wake()
            self._notify_feeds(channel)

    def _notify_feeds(self, channel: str) -> None:
        for feed in self._feeds:
            if feed.name == channel:
                feed.notify()

    def _disconnected(self) -> None:
        """Note that no messages arrive; wake everything, since some may have been missed."""
        with self._mutex:
            for wake_channel in self._wake_channels.values():
                if wake_channel.subscribed.is_set():
                    wake_channel.subscribed.clear()
                    for waiter in wake_channel.waiters.values():
                        waiter.wake()
            for feed in self._feeds:
                feed.disconnected()

    def _current(self) -> dict[str, _WakeChannel]:
        until = time.monotonic() - _LINGER
        self._wake_channels = {
            name: wake_channel
            for name, wake_channel in self._wake_channels.items()
            if wake_channel.waiters or wake_channel.left_at > until
        }
        return self._wake_channels

    def _wake_thread(self) -> None:
        if self._thread is None and not self._closed and self.has_permission():
            self._wakeup = SocketWakeup()
            self._listener = Listener(self, self._wakeup, self._timeout)
            self._thread = threading.Thread(
                target=self._run,
                args=(self._wakeup, self._listener),
                name="ojobchannels-redis-subscriber",
                daemon=True,
            )
            self._thread.start()
        elif self._wakeup is not None:
            self._wakeup.wake()

    def _run(self, wakeup: SocketWakeup, listener: Listener) -> None:
        backoff = Backoff(0, _LONGEST_PAUSE, 0.02)
        try:
            while self._continues():
                try:
                    listener.listen(self._connect)
                    backoff.reset()
                except NoPermissionError as error:
                    self._refused(error)
                    return
                except (RedisError, OSError) as error:
                    _log.debug("the subscriber lost its connection: %s", type(error).__name__)
                    listener.close()
                    self._disconnected()
                    wakeup.wait(backoff.grow())
        finally:
            listener.close()
            with self._mutex:
                if self._wakeup is wakeup:
                    self._thread = self._wakeup = self._listener = None
                wakeup.close()

    def _continues(self) -> bool:
        with self._mutex:
            if self._current() or self._feeds:
                return True
            self._thread = None  # the next waiter starts another
            if self._wakeup is not None:
                self._wakeup.close()
            self._wakeup = self._listener = None
            return False

    def _refused(self, error: NoPermissionError) -> None:
        _log.warning(
            "the server does not permit this user to subscribe (%s): waiters poll their lock "
            "every %d ms instead, subscriptions poll the channel every second; grant the user the "
            "permission &PREFIX:*, where PREFIX is the option prefix",
            error,
            LOOK_WHEN_NOT * 1000,
        )
        self._refused_until = time.monotonic() + _NO_PERMISSION_FOR
        self._disconnected()
