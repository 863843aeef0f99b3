"""The feed of one subscription to documents.

On a replica set each subscription reads a change stream of its own, on a thread of its own. A
standalone server has none: there the newest position and the number of entries are compared.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from pymongo.change_stream import CollectionChangeStream
from pymongo.read_concern import ReadConcern

from ojobchannels.changes import Backlog, Change, Feed, Versions, start_thread
from ojobchannels.documents import Key, decode
from ojobchannels.remote import Backoff, Operation
from ojobchannels_mongo.change_stream import AWAIT_MS, FIRST_PAUSE, LONGEST_PAUSE
from ojobchannels_mongo.codec import FIRST, ids_of, position_of, row_id, value_of
from ojobchannels_mongo.connection import Connection
from ojobchannels_mongo.errors import DRIVER_ERRORS, message_of
from ojobchannels_mongo.servers import Collections, Row

_log = logging.getLogger("ojobchannels.mongo")

_SUBSCRIBE: Final = Operation("subscribe")
_LOOK: Final = Operation("look for changes")
_LOOK_AGAIN: Final = 0.25
_Stream = CollectionChangeStream[Row]


def feed_of(connection: Connection, notify: Callable[[], None]) -> Feed:
    """Return a feed of the channel's changes, of the kind that the server allows."""
    if connection.server.replicated:
        return StreamFeed(connection, notify)
    return Versions(
        lambda: connection.call(_LOOK, lambda at, _: _version(at, connection.channel)), _LOOK_AGAIN
    )


def _version(at: Collections, channel: str) -> object:
    own = {"c": channel, "o": {"$gt": FIRST}}
    newest = at.documents.find_one(own, {"_id": 0, "o": 1}, sort=[("o", -1)])
    count = at.database.command({"count": at.documents.name, "query": own})
    return newest, count["n"]


class StreamFeed(Backlog):
    """A feed of each change, read from a change stream."""

    def __init__(self, connection: Connection, notify: Callable[[], None]) -> None:
        self._stop = threading.Event()
        super().__init__(notify, lambda _: self._stop.set())
        self._connection = connection
        self._prefix_length = len(row_id(connection.channel, Key("")))
        stream = connection.call(_SUBSCRIBE, lambda at, _: self._open(at))
        try:
            start_thread(connection.channel, "ojobchannels-mongo-changes", self._listen, stream)
        except BaseException:
            stream.close()
            raise

    def _open(self, at: Collections) -> _Stream:
        ids = ids_of(self._connection.channel)
        return at.documents.with_options(read_concern=ReadConcern("majority")).watch(
            [{"$match": {"documentKey._id": ids}}],
            full_document="updateLookup",
            max_await_time_ms=AWAIT_MS,
        )

    def _listen(self, stream: _Stream | None) -> None:
        backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while not self._stop.is_set():
            try:
                if stream is None:
                    stream = self._open(self._connection.server.collections())
                    self.add_gap()
                    backoff.reset()
                self._follow(stream)
            except DRIVER_ERRORS as error:
                _log.debug("a change stream ended: %s", message_of(error))
                self._stop.wait(backoff.grow())
            finally:
                if stream is not None:
                    stream.close()
                    stream = None

    def _follow(self, stream: _Stream) -> None:
        while stream.alive and not self._stop.is_set():  # it ends when the collection is dropped
            event = stream.try_next()
            change = None if event is None else self._change(event)
            if change is not None:
                self.add(change)

    def _change(self, event: Mapping[str, Any]) -> Change | None:
        """Return the change of an entry that an event reports; None if only a mark changed."""
        row = event.get("fullDocument") or {}
        update = event.get("updateDescription")
        if update is None:
            return _stored(row) if "o" in row else self._removed(event)
        fields = update["updatedFields"]
        if "o" in fields:
            # Fields that the update did not change are taken from the row as it is now, which may
            # have changed since.
            new = {name: fields[name] for name in ("k", "v", "j", "o") if name in fields}
            kept = {"k"} if {"v", "j"} & set(new) else {"k", "v", "j"}
            rest = {name: value for name, value in row.items() if name in kept}
            whole = rest | new
            return _stored(whole) if "k" in whole else None
        return self._removed(event) if "o" in update["removedFields"] else None

    def _removed(self, event: Mapping[str, Any]) -> Change:
        when = event["clusterTime"]
        key = decode(event["documentKey"]["_id"][self._prefix_length :])
        return Change("unset", key, None, position_of(when))


def _stored(row: Mapping[str, Any]) -> Change | None:
    if "v" not in row and "j" not in row:
        return None  # it was removed since, which the next event reports
    return Change("set", decode(row["k"]), value_of(row), position_of(row["o"]))
