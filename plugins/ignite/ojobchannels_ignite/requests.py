"""The requests to a cache, on one connection: each is one round trip."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Final

from pyignite.api.key_value import cache_get, cache_put_if_absent, cache_replace_if_equals
from pyignite.api.sql import resource_close, sql_fields
from pyignite.datatypes import Bool, ExpiryPolicy, Long, String
from pyignite.queries import Query, query_perform
from pyignite.queries.cache_info import CacheInfo

from ojobchannels.steps import Steps
from ojobchannels_ignite.errors import Refused
from ojobchannels_ignite.node import NodeConnection

FOREVER: Final = ExpiryPolicy.ETERNAL
_ADD: Final = 9004
_CREATE: Final = 9000


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
        """Return the value that a function of pyignite gets on the connection.

        Raises:
            Refused: The cluster replied with an error.
        """
        result = yield partial(function, self.connection, *arguments)
        if result.status:
            raise Refused(result.status, result.message)
        return result.value

    def get(self, key: str) -> Steps[str | None]:
        """Return the text of a key, or None; an expired one is not there."""
        return self.ask(cache_get, self.info(), key, String)

    def swap(self, key: str, old: str | None, new: str, ttl: int = FOREVER) -> Steps[bool]:
        """Store a text if the key still has the old one, or is still absent, in one atomic step.

        Args:
            key: The key.
            old: The text that was read.
            new: The text to store.
            ttl: Milliseconds after which the cluster removes it, by its own clock.
        """
        self.wrote = True
        info = self.info(ttl)
        if old is None:
            return self.ask(cache_put_if_absent, info, key, new, String, String)
        return self.ask(cache_replace_if_equals, info, key, old, new, String, String, String)

    def select(self, query: str, *arguments: str | int) -> Steps[list[list[Any]]]:
        """Return the rows of a query, which are few."""
        result = yield from self.ask(sql_fields, self.info(), query, _ROWS, list(arguments))
        if result["more"]:
            yield from self.ask(resource_close, result["cursor"])
            raise RuntimeError(f"{query!r} has more than {_ROWS} rows")
        rows: list[list[Any]] = result["data"]
        return rows

    def run(self, statement: str, *arguments: str | int) -> Steps[None]:
        """Run a statement that changes rows."""
        self.wrote = True
        yield from self.ask(sql_fields, self.info(), statement, _ROWS, list(arguments))

    def read(self, query: str, key: str) -> Steps[tuple[str | None, int]]:
        """Return the text of a key, and the milliseconds since 1970 just before it was read.

        Both come from the node that has the key, so that all clients see one clock.

        Args:
            query: Selects the text and the time for a key.
            key: The key.
        """
        rows = yield from self.select(query, key)
        return (rows[0][0], milliseconds(rows[0][1])) if rows else (None, 0)

    def now(self) -> Steps[int]:
        """Return the milliseconds since 1970 by the clock of the node that is connected."""
        return milliseconds((yield from self.select("SELECT CURRENT_TIMESTAMP"))[0][0])

    def nodes(self) -> Steps[int]:
        """Return the number of nodes in the cluster, as the node that is connected sees it."""
        rows = yield from self.select("SELECT COUNT(*) FROM SYS.NODES WHERE IS_CLIENT = FALSE")
        return int(rows[0][0])

    def create_counter(self, name: str, value: int) -> Steps[None]:
        """Create a counter, unless it exists."""
        fields = [("name", String), ("value", Long), ("configured", Bool)]
        values = {"name": name, "value": value, "configured": False}
        query = Query(_CREATE, fields)
        yield from self.ask(lambda at: query_perform(query, at, query_params=values))

    def add(self, name: str, number: int) -> Steps[int]:
        """Add to a counter and return its value; pyignite has no function for it.

        Raises:
            Refused: There is no such counter (see `errors.is_missing`).
        """
        query = Query(_ADD, [("name", String), ("group", String), ("number", Long)])
        values = {"name": name, "group": None, "number": number}
        reply = [("value", Long)]
        value = yield from self.ask(
            lambda at: query_perform(query, at, query_params=values, response_config=reply)
        )
        return int(value["value"])

    def info(self, ttl: int | None = None) -> CacheInfo:
        """Return what names the cache in a request, with an expiry policy if there is a ttl."""
        policy = None if ttl is None else ExpiryPolicy(create=ttl, update=ttl)
        return CacheInfo(
            cache_id=self._id,
            expiry_policy=policy,
            protocol_context=self.connection.protocol_context,
        )


_ROWS: Final = 1000
"""The most rows of a reply."""


def milliseconds(moment: tuple[datetime, int]) -> int:
    """Return the milliseconds since 1970 of a time that a query returned."""
    return round(moment[0].timestamp() * 1000)
