"""What tells a subscription of changes to documents.

On a replica set each subscription reads a change stream of its own, on a thread of its own. A
server alone has none: there the newest place in the order and the number of entries are looked at.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from pymongo.change_stream import CollectionChangeStream
from pymongo.read_concern import ReadConcern

from ojobchannels.changes import Backlog, Change, Feed, Versions, started
from ojobchannels.documents import Key, decode, encode
from ojobchannels_mongo.codec import FIRST, position_of, row_id, value_of
from ojobchannels_mongo.connection import Line
from ojobchannels_mongo.errors import DRIVER_ERRORS, Operation, short
from ojobchannels_mongo.servers import Link, Row

_log = logging.getLogger("ojobchannels.mongo")

_SUBSCRIBE: Final = Operation("subscribe")
_LOOK: Final = Operation("look for changes")
_LOOK_AGAIN: Final = 0.25
_AWAIT_MS: Final = 500
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
_BEYOND_ALL_KEYS: Final = Key("\U0010ffff")
_Stream = CollectionChangeStream[Row]


def feed_of(line: Line, ring: Callable[[], None]) -> Feed:
    """Returns a feed of the channel's changes, as good as the server allows."""
    if line.server.replicated:
        return Changes(line, ring)
    return Versions(lambda: line.call(_LOOK, lambda link, _: _version(link, line)), _LOOK_AGAIN)


def _version(link: Link, line: Line) -> object:
    mine = {"c": line.channel, "o": {"$gt": FIRST}}
    newest = link.documents.find_one(mine, {"_id": 0, "o": 1}, sort=[("o", -1)])
    count = link.database.command({"count": link.documents.name, "query": mine})
    return newest, count["n"]


class Changes(Backlog):
    """A feed of each change, read from a change stream."""

    def __init__(self, line: Line, ring: Callable[[], None]) -> None:
        self._stop = threading.Event()
        super().__init__(ring, lambda _: self._stop.set())
        self._line = line
        self._before = len(row_id(line.channel, Key("")))
        stream = line.call(_SUBSCRIBE, lambda link, _: self._open(link))
        try:
            started(line.channel, "ojobchannels-mongo-changes", self._listen, stream)
        except BaseException:
            stream.close()
            raise

    def _open(self, link: Link) -> _Stream:
        channel = encode(self._line.channel)
        ids = {"$gt": channel, "$lt": channel + _BEYOND_ALL_KEYS}
        return link.documents.with_options(read_concern=ReadConcern("majority")).watch(
            [{"$match": {"documentKey._id": ids}}],
            full_document="updateLookup",
            max_await_time_ms=_AWAIT_MS,
        )

    def _listen(self, stream: _Stream | None) -> None:
        pause = _FIRST_PAUSE
        while not self._stop.is_set():
            try:
                if stream is None:
                    stream = self._open(self._line.server.link())
                    self.miss()
                    pause = _FIRST_PAUSE
                self._follow(stream)
            except DRIVER_ERRORS as error:
                _log.debug("a change stream broke: %s", short(error))
                self._stop.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            finally:
                if stream is not None:
                    stream.close()
                    stream = None

    def _follow(self, stream: _Stream) -> None:
        while stream.alive and not self._stop.is_set():  # it ends where the collection is dropped
            event = stream.try_next()
            change = None if event is None else self._change(event)
            if change is not None:
                self.add(change)

    def _change(self, event: Mapping[str, Any]) -> Change | None:
        """Returns what an event tells of an entry; None if it is about a mark alone."""
        row = event.get("fullDocument") or {}
        told = event.get("updateDescription")
        if told is None:
            return _stored(row) if "o" in row else self._gone(event)
        fields = told["updatedFields"]
        if "o" in fields:
            # What the change left as it was stands in the row, which may have changed since.
            new = {name: fields[name] for name in ("k", "v", "j", "o") if name in fields}
            kept = {"k"} if {"v", "j"} & set(new) else {"k", "v", "j"}
            rest = {name: value for name, value in row.items() if name in kept}
            whole = rest | new
            return _stored(whole) if "k" in whole else None
        return self._gone(event) if "o" in told["removedFields"] else None

    def _gone(self, event: Mapping[str, Any]) -> Change:
        when = event["clusterTime"]
        key = decode(event["documentKey"]["_id"][self._before :])
        return Change("unset", key, None, position_of(when))


def _stored(row: Mapping[str, Any]) -> Change | None:
    if "v" not in row and "j" not in row:
        return None  # it was taken out since, and that is told next
    return Change("set", decode(row["k"]), value_of(row), position_of(row["o"]))
