"""The requests to a cache, on one connection: each is one round trip."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from pyignite.queries.cache_info import CacheInfo

from ojobchannels.steps import Steps
from ojobchannels_ignite.errors import Refused
from ojobchannels_ignite.protocol import wire
from ojobchannels_ignite.protocol.node import NodeConnection
from ojobchannels_ignite.protocol.wire import FOREVER, Reply

_T = TypeVar("_T")
_ROWS: Final = 1000
"""The most rows of a reply."""


class Requests:
    """What a handle asks of its cache, as steps.

    Args:
        connection: A connection that no other call uses meanwhile.
        cache_id: The number of the cache.

    Attributes:
        wrote: Whether a request was sent that changes something.
    """

    def __init__(self, connection: NodeConnection, cache_id: int) -> None:
        self.connection = connection
        self.wrote = False
        self._id = cache_id

    def ask(self, function: Callable[..., Any], *arguments: Any) -> Steps[Any]:
        """Return the value that a function of pyignite gets on the connection, on a thread only.

        Raises:
            Refused: The cluster replied with an error.
        """
        result = yield partial(function, self.connection, *arguments)
        if result.status:
            raise Refused(result.status, result.message)
        return result.value

    def get(self, key: str) -> Steps[str | None]:
        """Return the text of a key, or None; an expired one is not there."""
        body = wire.cache(self._id) + wire.value(key)
        return self._call(wire.CACHE_GET, body, Reply.text)

    def swap(self, key: str, old: str | None, new: str, ttl: int = FOREVER) -> Steps[bool]:
        """Store a text if the key still has the old one, or is still absent, in one atomic step.

        Args:
            key: The key.
            old: The text that was read.
            new: The text to store.
            ttl: Milliseconds after which the cluster removes it, by its own clock.
        """
        self.wrote = True
        row = wire.cache(self._id, ttl) + wire.value(key)
        if old is None:
            return self._call(wire.CACHE_PUT_IF_ABSENT, row + wire.value(new), Reply.truth)
        body = row + wire.value(old) + wire.value(new)
        return self._call(wire.CACHE_REPLACE_IF_EQUALS, body, Reply.truth)

    def select(self, query: str, *arguments: str | int) -> Steps[list[list[Any]]]:
        """Return the rows of a query, which are few; a time is its milliseconds since 1970."""
        rows, cursor = yield from self._execute(query, arguments)
        if cursor is not None:
            yield from self._call(wire.RESOURCE_CLOSE, wire.long(cursor), Reply.nothing)
            raise RuntimeError(f"{query!r} has more than {_ROWS} rows")
        return rows

    def run(self, statement: str, *arguments: str | int) -> Steps[None]:
        """Run a statement that changes rows."""
        self.wrote = True
        yield from self._execute(statement, arguments)

    def read(self, query: str, key: str) -> Steps[tuple[str | None, int]]:
        """Return the text of a key, and the milliseconds since 1970 just before it was read.

        Both come from the node that has the key, so that all clients see one clock.

        Args:
            query: Selects the text and the time for a key.
            key: The key.
        """
        rows = yield from self.select(query, key)
        return (rows[0][0], rows[0][1]) if rows else (None, 0)

    def now(self) -> Steps[int]:
        """Return the milliseconds since 1970 by the clock of the node that is connected."""
        rows = yield from self.select("SELECT CURRENT_TIMESTAMP")
        return int(rows[0][0])

    def nodes(self) -> Steps[int]:
        """Return the number of nodes in the cluster, as the node that is connected sees it."""
        rows = yield from self.select("SELECT COUNT(*) FROM SYS.NODES WHERE IS_CLIENT = FALSE")
        return int(rows[0][0])

    def create_counter(self, name: str, value: int) -> Steps[None]:
        """Create a counter, unless it exists."""
        body = wire.value(name) + wire.long(value) + wire.FALSE
        return self._call(wire.ATOMIC_LONG_CREATE, body, Reply.nothing)

    def add(self, name: str, number: int) -> Steps[int]:
        """Add to a counter and return its value.

        Raises:
            Refused: There is no such counter (see `errors.is_missing`).
        """
        body = wire.value(name) + wire.value(None) + wire.long(number)
        return self._call(wire.ATOMIC_LONG_VALUE_ADD_AND_GET, body, Reply.long)

    def info(self) -> CacheInfo:
        """Return what names the cache for pyignite."""
        return CacheInfo(cache_id=self._id, protocol_context=self.connection.protocol_context)

    def _execute(
        self, statement: str, arguments: tuple[str | int, ...]
    ) -> Steps[tuple[list[list[Any]], int | None]]:
        body = wire.cache(self._id) + wire.query(statement, arguments, _ROWS)
        return self._call(wire.QUERY_SQL_FIELDS, body, Reply.rows)

    def _call(self, code: int, body: bytes, read: Callable[[Reply], _T]) -> Steps[_T]:
        request = wire.request(code, body)
        reply = yield partial(self.connection.exchange, request)
        return wire.result(request, reply, read)
