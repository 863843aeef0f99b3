"""The floor of `mongo`: the bare commands through PyMongo."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final

from benchmarks.floors.common import TTL, Key, Value, encode, holder, new_token

_NOW_AS_FENCE: Final = {"$multiply": [{"$toLong": "$$NOW"}, 1000]}
_LIVE: Final = {"$and": [{"$gt": ["$token", ""]}, {"$gt": ["$until", "$$NOW"]}]}


class MongoLock:
    """Two findAndModify with a pipeline over $$NOW; a waiter is woken by a change stream."""

    def __init__(self, url: str, name: str) -> None:
        from pymongo import MongoClient

        self._client: Any = MongoClient(url)
        self._database = self._client["floor"]
        self._name = name
        self._concern = {"w": "majority"}
        self._token = ""
        self._stream: Any = None

    def lock(self) -> int:
        """One findAndModify with upsert."""
        self._token = new_token()
        lease = {
            "_id": "$_id",
            "n": {"$literal": self._name},
            "fence": {"$max": [{"$add": ["$fence", 1]}, _NOW_AS_FENCE]},
            "token": {"$literal": self._token},
            "ttl": TTL,
            "until": {"$add": ["$$NOW", TTL]},
            "since": "$$NOW",
            "holder": {"$literal": encode(holder())},
        }
        row = self._modify({"_id": self._name}, lease, upsert=True)
        return int(row["fence"]) if row["token"] == self._token else 0

    def wait(self) -> int:
        """One wake-up through a change stream, one findAndModify."""
        if self._stream is None:
            own = [{"$match": {"documentKey._id": self._name}}]
            self._stream = self._database["locks"].watch(own, max_await_time_ms=10_000)
        while not (fence := self.lock()):
            self._stream.try_next()
        return fence

    def unlock(self) -> bool:
        """One findAndModify."""
        freed = {"_id": "$_id", "n": "$n", "fence": "$fence", "token": "", "until": "$$NOW"}
        held = {"_id": self._name, "token": self._token}
        return self._modify(held, freed) is not None

    def _modify(self, wanted: dict[str, Any], row: dict[str, Any], upsert: bool = False) -> Any:
        change = row if not upsert else {"$cond": [_LIVE, "$$ROOT", row]}
        reply = self._database.command(
            {
                "findAndModify": "locks",
                "query": wanted,
                "update": [{"$replaceWith": change}],
                "fields": {"_id": 0, "fence": 1, "token": 1, "holder": 1},
                "new": True,
                "upsert": upsert,
                "writeConcern": self._concern,
            }
        )
        return reply["value"]

    def close(self) -> None:
        """Close the client."""
        self._client.close()


class MongoLockStandalone(MongoLock):
    """The same on a server without a replica set; a waiter polls every 10 ms.

    The majority is then the server itself, once it has written its journal. w:1 would not wait for
    that, and the channel does not offer it.
    """

    def wait(self) -> int:
        """Poll: such a server has no change streams."""
        while not (fence := self.lock()):
            time.sleep(0.01)
        return fence


class MongoStore:
    """One command through PyMongo, majority; the order is a timestamp of the server."""

    def __init__(self, url: str, name: str) -> None:
        from pymongo import MongoClient, WriteConcern

        self._client: Any = MongoClient(url)
        self._name = name
        majority = WriteConcern("majority")
        self._rows = self._client["floor"].get_collection(f"docs-{name}", write_concern=majority)
        self._rows.create_index([("c", 1), ("o", 1)])

    def get(self, key: Key) -> Any:
        """One find."""
        row: Any = self._rows.find_one(encode(key), {"_id": 0, "v": 1})
        return row["v"]

    def set(self, key: Key, value: Value) -> None:
        """One update with upsert."""
        text = encode(key)
        self._rows.update_one({"_id": text}, self._update(text, value), upsert=True)

    def unset(self, key: Key) -> None:
        """One delete."""
        self._rows.delete_one({"_id": encode(key)})

    def get_all(self) -> list[Any]:
        """One find in the order of change, from a snapshot."""
        with self._client.start_session(snapshot=True) as session:
            rows = self._rows.find({"c": "floor"}, {"_id": 0, "v": 1}, session=session)
            return [row["v"] for row in rows.sort("o", 1)]

    def set_all(self, items: Iterable[tuple[Key, Value]]) -> None:
        """One bulk write in a transaction."""
        from pymongo import UpdateOne

        writes = [
            UpdateOne({"_id": text}, self._update(text, value), upsert=True)
            for text, value in ((encode(key), value) for key, value in items)
        ]
        with self._client.start_session() as session, session.start_transaction():
            self._rows.bulk_write(writes, session=session)

    def newest(self, limit: int) -> list[Any]:
        """One find on the index of the order."""
        rows = self._rows.find({"c": "floor"}, {"_id": 0, "v": 1}).sort("o", -1).limit(limit)
        return [row["v"] for row in rows]

    def _update(self, text: str, value: Value) -> dict[str, Any]:
        return {
            "$set": {"c": "floor", "k": text, "v": value},
            "$currentDate": {"o": {"$type": "timestamp"}},
        }

    def close(self) -> None:
        """Close the client."""
        self._client.close()
