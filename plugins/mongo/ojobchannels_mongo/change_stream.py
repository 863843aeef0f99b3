"""What wakes those who wait for a lock.

On a replica set one change stream, read by one thread, serves all waiters of this process at a
server. It is opened for the first waiter, and ends half a second after the last one. Elsewhere, and
while the stream is not there, waiters look again on their own, more and more seldom.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from ojobchannels.host.forks import forget_in_children
from ojobchannels_mongo.errors import DRIVER_ERRORS, short

if TYPE_CHECKING:
    from ojobchannels_mongo.servers import Server

_log = logging.getLogger("ojobchannels.mongo")

_AWAIT_MS: Final = 500
_LOOK_WITH_STREAM: Final = (0.25, 2.0)
_LOOK_WITHOUT: Final = (0.005, 0.05)
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
_NO_STREAMS: Final = {13, 20, 40573}  # not allowed, not supported, no replica set

_HOLDER: Final = "updateDescription.updatedFields.token"
_END: Final = "updateDescription.updatedFields.until"
_EVENTS: Final[list[dict[str, Any]]] = [
    {
        "$match": {
            "$or": [
                {_HOLDER: ""},
                {"operationType": "replace", "fullDocument.token": ""},
                {_HOLDER: {"$exists": False}, _END: {"$exists": True}},
            ]
        }
    },
    {"$project": {"documentKey": 1, _HOLDER: 1, "fullDocument.token": 1}},
]


class Seat:
    """One waiter's place.

    Attributes:
        called: Whether the lock was freed and it is this waiter's turn to try.
    """

    def __init__(self, bells: Bells, lock: str) -> None:
        self.called = False
        self._bells = bells
        self._lock = lock
        self._bell = threading.Event()
        self._pause = 0.0

    def doze(self, longest: float) -> bool:
        """Sleeps until it rings, or it is time to look again; returns whether to try at once."""
        shortest, limit = _LOOK_WITH_STREAM if self._bells.live else _LOOK_WITHOUT
        self._pause = min(max(self._pause * 1.5, shortest), limit)
        self._bell.wait(max(min(self._pause, longest), 0))
        self._bell.clear()
        return self.called

    def ring(self, called: bool = False) -> None:
        """Wakes the waiter, to try if it is `called`, else to look again."""
        self.called = self.called or called
        self._bell.set()

    def __enter__(self) -> Seat:
        self._bells.add(self._lock, self)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._bells.remove(self._lock, self)
        if kind is not None and self.called:
            self._bells.free(self._lock)


class Bells:
    """The waiters of this process at one server.

    Attributes:
        live: Whether the change stream tells of every release.
    """

    def __init__(self, server: Server) -> None:
        self.live = False
        self._server = server
        self._mutex = threading.Lock()
        self._seats: dict[str, deque[Seat]] = {}
        self._thread: threading.Thread | None = None
        self._streams = True
        self._complained = False
        self._stop = threading.Event()
        forget_in_children(self)

    def add(self, lock: str, seat: Seat) -> None:
        """Takes in a waiter, and sees to it that somebody listens."""
        with self._mutex:
            self._seats.setdefault(lock, deque()).append(seat)
            wanted = self._streams and self._server.replicated and not self._stop.is_set()
            if wanted and self._thread is None:
                self._thread = threading.Thread(
                    target=self._listen, name="ojobchannels-mongo-wakes", daemon=True
                )
                self._thread.start()

    def remove(self, lock: str, seat: Seat) -> None:
        """Forgets a waiter."""
        with self._mutex:
            seats = self._seats[lock]
            seats.remove(seat)
            if not seats:
                del self._seats[lock]

    def free(self, lock: str) -> None:
        """Calls the longest waiting, since the lock was freed."""
        if lock not in self._seats:
            return
        with self._mutex:
            for seat in self._seats.get(lock, ()):
                if not seat.called:
                    seat.ring(called=True)
                    return

    def look(self, lock: str) -> None:
        """Has all who wait for the lock look again, since its time has changed."""
        if lock not in self._seats:
            return
        with self._mutex:
            for seat in self._seats.get(lock, ()):
                seat.ring()

    def stop(self) -> None:
        """Ends the thread, half a second later at most."""
        self._stop.set()

    def forget(self) -> None:
        """Leaves the waiters to the parent, in a forked child."""
        self.live = False
        self._mutex = threading.Lock()
        self._seats = {}
        self._thread = None
        self._stop = threading.Event()

    def _listen(self) -> None:
        pause = _FIRST_PAUSE
        while not self._is_over():
            try:
                self._read_stream()
                pause = _FIRST_PAUSE
            except DRIVER_ERRORS as error:
                self._turn_live(False)
                if isinstance(error, OperationFailure):
                    self._complain(error)
                self._stop.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _read_stream(self) -> None:
        locks = self._server.link().locks.with_options(read_concern=ReadConcern("majority"))
        with locks.watch(_EVENTS, max_await_time_ms=_AWAIT_MS) as stream:
            self._turn_live(True)
            while stream.alive and not self._is_over():  # it ends where the collection is dropped
                event = stream.try_next()
                if event is not None:
                    self._tell(event)

    def _tell(self, event: dict[str, Any]) -> None:
        lock = event["documentKey"]["_id"]
        if "fullDocument" in event or event.get("updateDescription", {}).get("updatedFields"):
            self.free(lock)
        else:
            self.look(lock)

    def _complain(self, error: OperationFailure) -> None:
        if not self._complained:
            _log.warning("no change stream, so that waiters look on their own: %s", short(error))
            self._complained = True
        if error.code in _NO_STREAMS:
            self._streams = False

    def _turn_live(self, live: bool) -> None:
        """Has everybody look: what happened before the stream was there, it does not tell."""
        self.live = live
        with self._mutex:
            for seats in self._seats.values():
                for seat in seats:
                    seat.ring()

    def _is_over(self) -> bool:
        with self._mutex:
            over = self._stop.is_set() or not self._seats or not self._streams
            if over and self._thread is threading.current_thread():
                self._thread = None
                self.live = False
            return over
