"""Wakes those who wait for a lock, and those who listen to documents.

The server keeps the queue of a lock's waiters, and calls one at a time by its token, on the channel
of its process. There is one subscriber connection and thread per process and server. The thread
starts with the first waiter. It ends, and its connection with it, when nobody has waited or
listened for a moment, or when the last handle on the server is closed. Only this thread reads and
writes the connection; others ring its bell, a pipe.
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

from ojobchannels_redis.change_feed import Ear
from ojobchannels_redis.pubsub import Bell, Listener

_LOOK_AGAIN: Final = 0.5
_LOOK_UNTOLD: Final = 0.05
_LINGER: Final = 1.0
_LONGEST_PAUSE: Final = 1.0
_NO_PERMISSION_FOR: Final = 60.0
_log = logging.getLogger("ojobchannels.redis")


class _Room:
    """Those in this process who wait to hear their token called."""

    def __init__(self) -> None:
        self.seats: dict[str, Seat] = {}
        self.left_at = 0.0
        self.told = threading.Event()


class Seat:
    """The place of one waiter, from when it may be called until it leaves.

    Attributes:
        token: By which it is called.
        lock: The name of the lock.
        placed_for: Seconds for which it need not look, since the refusal gave it its place in the
            queue; None if it did not.
    """

    def __init__(self, subscriber: Subscriber, channel: str, token: str, lock: str) -> None:
        self.token = token
        self.lock = lock
        self.placed_for: float | None = None
        self._subscriber = subscriber
        self._channel = channel
        self._bell = threading.Lock()  # released is rung; an Event costs three times as much
        self._bell.acquire()
        self._room = subscriber.seat(channel, self)

    def ring(self) -> None:
        """Wakes the waiter, or has it not fall asleep."""
        with suppress(RuntimeError):  # it rings already
            self._bell.release()

    def settle(self, seconds: float) -> None:
        """Has the subscriber listen, and gives it a moment to subscribe."""
        if self._subscriber.has_permission():
            self._room = self._subscriber.seat(self._channel, self)
            self._room.told.wait(min(seconds, _LOOK_UNTOLD))

    def hears(self) -> bool:
        """Tells whether it would be rung if it was called from now on."""
        return self._room.told.is_set()

    def patience(self, hears: bool) -> float:
        """Returns for how long a look at the lock is good."""
        return _LOOK_AGAIN if hears else _LOOK_UNTOLD

    def doze(self, seconds: float) -> bool:
        """Waits to be rung, for some time at most; answers whether it was."""
        return self._bell.acquire(timeout=seconds)

    def leave(self) -> None:
        """Makes room: it will not wait any more."""
        self._subscriber.unseat(self._room, self)


class Subscriber:
    """Listens for what is published, and wakes the waiter whose token it is.

    Attributes:
        name: Like no other's.
    """

    def __init__(self, connect: Callable[[float], Any], timeout: float) -> None:
        self.name = uuid4().hex
        self._connect = connect
        self._timeout = timeout
        self._mutex = threading.Lock()
        self._rooms: dict[str, _Room] = {}
        self._ears: list[Ear] = []
        self._bell: Bell | None = None
        self._thread: threading.Thread | None = None
        self._listener: Listener | None = None
        self._refused_until = 0.0
        self._closed = False

    def seat(self, channel: str, seat: Seat) -> _Room:
        """Gives a waiter a seat."""
        with self._mutex:
            room = self._rooms.setdefault(channel, _Room())
            room.seats[seat.token] = seat
            if not room.told.is_set():
                self._wake_thread()
            return room

    def hears(self, channel: str) -> bool:
        """Tells whether who takes a seat now would most likely be rung if it was called."""
        room = self._rooms.get(channel)
        return room is not None and room.told.is_set()

    def unseat(self, room: _Room, seat: Seat) -> None:
        """Takes the seat away."""
        with self._mutex:
            room.seats.pop(seat.token, None)
            room.left_at = time.monotonic()

    def attend(self, ear: Ear) -> None:
        """Lets somebody who listens to documents hear."""
        with self._mutex:
            if ear not in self._ears:
                self._ears.append(ear)
            self._wake_thread()

    def dismiss(self, ear: Ear) -> None:
        """Lets them hear no more."""
        with self._mutex, suppress(ValueError):
            self._ears.remove(ear)

    def has_permission(self) -> bool:
        """Tells whether the server lets us subscribe, as far as is known."""
        return time.monotonic() >= self._refused_until

    def close(self) -> None:
        """Ends the thread and its connection."""
        with self._mutex:
            self._closed = True
            self._rooms = {}
            self._ears = []
            if self._bell is not None:
                self._bell.ring()

    def forget(self) -> None:
        """Leaves thread and connection to the parent, in a forked child."""
        self.name = uuid4().hex
        self._mutex = threading.Lock()
        self._rooms = {}
        self._ears = []
        self._thread = None
        if self._bell is not None:
            self._bell.close()
            self._bell = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def wanted(self) -> set[str]:
        """Returns what to listen to: where somebody waits or listens, or waited a moment ago."""
        with self._mutex:
            return {*self._current(), *(ear.name for ear in self._ears)}

    def told(self, channel: str) -> None:
        """Takes note that messages arrive from now on."""
        with self._mutex:
            room = self._rooms.get(channel)
            if room is not None:
                room.told.set()
            self._have_heard(channel)

    def ring(self, channel: str, message: str) -> None:
        """Wakes the waiter who is called, or all who listen to the documents."""
        with self._mutex:
            room = self._rooms.get(channel)
            if room is not None and message in room.seats:
                room.seats[message].ring()
            self._have_heard(channel)

    def _have_heard(self, channel: str) -> None:
        for ear in self._ears:
            if ear.name == channel:
                ear.hear()

    def _deaf(self) -> None:
        """Takes note that no message arrives, and has everybody look: some may have been missed."""
        with self._mutex:
            for room in self._rooms.values():
                if room.told.is_set():
                    room.told.clear()
                    for seat in room.seats.values():
                        seat.ring()
            for ear in self._ears:
                ear.miss()

    def _current(self) -> dict[str, _Room]:
        until = time.monotonic() - _LINGER
        self._rooms = {
            channel: room
            for channel, room in self._rooms.items()
            if room.seats or room.left_at > until
        }
        return self._rooms

    def _wake_thread(self) -> None:
        if self._thread is None and not self._closed and self.has_permission():
            self._bell = Bell()
            self._listener = Listener(self, self._bell, self._timeout)
            self._thread = threading.Thread(
                target=self._run,
                args=(self._bell, self._listener),
                name="ojobchannels-redis-waking",
                daemon=True,
            )
            self._thread.start()
        elif self._bell is not None:
            self._bell.ring()

    def _run(self, bell: Bell, listener: Listener) -> None:
        pause = 0.0
        try:
            while self._goes_on():
                try:
                    listener.listen(self._connect)
                    pause = 0.0
                except NoPermissionError as error:
                    self._refused(error)
                    return
                except (RedisError, OSError) as error:
                    _log.debug("the subscriber lost its connection: %s", type(error).__name__)
                    listener.close()
                    self._deaf()
                    bell.wait(pause)
                    pause = min(2 * pause + 0.02, _LONGEST_PAUSE)
        finally:
            listener.close()
            with self._mutex:
                if self._bell is bell:
                    self._thread = self._bell = self._listener = None
                bell.close()

    def _goes_on(self) -> bool:
        with self._mutex:
            if self._current() or self._ears:
                return True
            self._thread = None  # whoever comes from now on starts another
            if self._bell is not None:
                self._bell.close()
            self._bell = self._listener = None
            return False

    def _refused(self, error: NoPermissionError) -> None:
        _log.warning(
            "the server does not let us subscribe (%s): waiters look at their lock every %d ms "
            "instead, subscriptions at the channel every second; give the user the permission "
            "&PREFIX:* for the option prefix",
            error,
            _LOOK_UNTOLD * 1000,
        )
        self._refused_until = time.monotonic() + _NO_PERMISSION_FOR
        self._deaf()
