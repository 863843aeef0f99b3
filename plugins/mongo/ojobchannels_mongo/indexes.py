"""Indexes on fields of the values of one channel, for reads with a match.

They are partial indexes of the server, which programs of every version keep.
"""

from hashlib import sha256
from itertools import islice
from typing import Any, Final

from pymongo.errors import OperationFailure

from ojobchannels import remote
from ojobchannels.documents import Document, Item, indexed_text, is_below
from ojobchannels.remote import Operation, Rule
from ojobchannels_mongo import codec
from ojobchannels_mongo.connection import Connection
from ojobchannels_mongo.servers import Collections
from ojobchannels_mongo.statements import EXISTS

_INDEX: Final = Operation("index", Rule.REPEATABLE)
_SECONDS: Final = 300.0  # for a large collection; it is done once
_NOT_ALLOWED: Final = 13


class FieldIndexes:
    """The indexes of one channel that this process knows of."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._fields: tuple[str, ...] = ()

    def create(self, fields: tuple[str, ...]) -> bool:
        """Create what is missing; return whether all exist."""
        if not self._prepare(fields):
            return False
        self._fields = fields
        return True

    def below(self, field: str, bound: int, limit: int) -> list[Item] | None:
        """Return items with a number below `bound`; None if the index may not be created."""
        if not self._prepare((field,)):
            return None
        own = {"c": self._connection.channel, "o": {"$gt": codec.FIRST}}
        wanted = {"$or": [own | {f"v.{field}": {"$lt": bound}}, own | {"j": EXISTS}]}
        fields = {"k": 1, "v": 1, "j": 1, "o": 1}

        def find(at: Collections, _: bool) -> list[Item]:
            with at.documents.find(wanted, fields, batch_size=limit) as cursor:
                rows = (row for row in cursor if is_below(codec.value_of(row), field, bound))
                return codec.items_of([*islice(rows, limit)])

        return self._connection.call(remote.ITEMS, find)

    def _prepare(self, fields: tuple[str, ...]) -> bool:
        def create(at: Collections, _: bool) -> bool:
            indexes = [*map(self._by_field, fields), self._of_texts()]
            command = {"createIndexes": at.documents.name, "indexes": indexes}
            try:
                at.database.command(command)
            except OperationFailure as error:
                if error.code == _NOT_ALLOWED:
                    return False
                raise
            return True

        return self._connection.call(_INDEX, create, _SECONDS)

    def filter(self, own: dict[str, Any], match: Document) -> dict[str, Any] | None:
        """Return the filter that selects by an index; None if none helps.

        Args:
            own: The filter that selects the channel, and a part of the order.
            match: What the values must match.
        """
        found = indexed_text(match, self._fields)
        if found is None:
            return None
        field, text = found
        # The server reads both in order, and merges them.
        return {"$or": [own | {f"v.{field}": {"$eq": text}}, own | {"j": EXISTS}]}

    def _by_field(self, field: str) -> dict[str, Any]:
        own = {"c": self._connection.channel}
        key = {"c": 1, f"v.{field}": 1, "o": 1}
        return {"name": self._name(field), "key": key, "partialFilterExpression": own}

    def _of_texts(self) -> dict[str, Any]:
        """Return the index of values that are stored as JSON text."""
        own = {"c": self._connection.channel, "j": EXISTS}
        key = {"c": 1, "o": 1}
        return {"name": self._name("text"), "key": key, "partialFilterExpression": own}

    def _name(self, field: str) -> str:
        return f"by_{field}_{sha256(self._connection.channel.encode()).hexdigest()[:20]}"
