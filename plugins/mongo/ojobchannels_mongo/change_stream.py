"""Wakes the waiters for a lock.

On a replica set one change stream, read by one thread, serves all waiters of this process at a
server. It is opened for the first waiter, and ends half a second after the last one. On a
standalone server, and while the stream is not open, waiters poll their lock, at
growing intervals.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Final

from pymongo.collection import Collection
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from ojobchannels.remote import Backoff, waiters
from ojobchannels_mongo.errors import DRIVER_ERRORS, message_of

_log = logging.getLogger("ojobchannels.mongo")

AWAIT_MS: Final = 500
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 2.0
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


class Waiters(waiters.Waiters):
    """The waiters of this process at one server; `live` means that the change stream is open.

    Args:
        locks: Returns the collection of the locks.
        has_streams: Returns whether the server has change streams.
    """

    _thread: threading.Thread | None
    _stop: threading.Event

    def __init__(
        self, locks: Callable[[], Collection[dict[str, Any]]], has_streams: Callable[[], bool]
    ) -> None:
        self._locks = locks
        self._has_streams = has_streams
        self._refused = False
        self._warned = False
        super().__init__()

    def add(self, lock: str, waiter: waiters.Waiter) -> None:
        """Add a waiter, and start the thread if it is not running."""
        super().add(lock, waiter)
        with self._mutex:
            wanted = not self._refused and self._has_streams() and not self._stop.is_set()
            if wanted and self._thread is None:
                self._thread = threading.Thread(
                    target=self._listen, name="ojobchannels-mongo-waiters", daemon=True
                )
                self._thread.start()

    def stop(self) -> None:
        """End the thread, at most half a second later."""
        self._stop.set()

    def forget(self) -> None:
        """Leave the waiters to the parent, in a forked child."""
        super().forget()
        self._thread = None
        self._stop = threading.Event()

    def _listen(self) -> None:
        backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while not self._is_over():
            try:
                self._read_stream()
                backoff.reset()
            except DRIVER_ERRORS as error:
                self._set_live(False)
                if isinstance(error, OperationFailure):
                    self._note_refusal(error)
                self._stop.wait(backoff.grow())

    def _read_stream(self) -> None:
        locks = self._locks().with_options(read_concern=ReadConcern("majority"))
        with locks.watch(_EVENTS, max_await_time_ms=AWAIT_MS) as stream:
            self._set_live(True)
            while stream.alive and not self._is_over():  # it ends when the collection is dropped
                event = stream.try_next()
                if event is not None:
                    self._handle(event)

    def _handle(self, event: dict[str, Any]) -> None:
        lock = event["documentKey"]["_id"]
        if "fullDocument" in event or event.get("updateDescription", {}).get("updatedFields"):
            self.released(lock)
        else:
            self.changed(lock)

    def _note_refusal(self, error: OperationFailure) -> None:
        if not self._warned:
            _log.warning("no change stream, so waiters poll their locks: %s", message_of(error))
            self._warned = True
        if error.code in _NO_STREAMS:
            self._refused = True

    def _set_live(self, live: bool) -> None:
        """Set `live` and wake all: the stream does not report what happened before it was open."""
        self.live = live
        self.wake_all()

    def _is_over(self) -> bool:
        with self._mutex:
            over = self._stop.is_set() or not self._waiting or self._refused
            if over and self._thread is threading.current_thread():
                self._thread = None
                self.live = False
            return over
