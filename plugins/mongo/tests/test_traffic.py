"""How the server executes the commands: by its profiler and its query plans."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ojobchannels_mongo.codec import FIRST

if TYPE_CHECKING:
    from conftest import Storage


def test_the_server_sees_one_command_to_lock_and_one_to_unlock(storage: Storage) -> None:
    """By its own profiler; neither of them scans anything."""
    name = f"{storage.config['args']['database']}_profiled"
    channel = storage.open(database=name)
    with channel.lock("nightly", ttl=30):
        pass
    with storage.client() as client:
        database = client[name]
        database.command("profile", 2)
        with channel.lock("nightly", ttl=30):
            pass
        database.command("profile", 0)
        seen = list(database["system.profile"].find({"appName": "ojobchannels"}))
        client.drop_database(name)
    assert Counter(entry["op"] for entry in seen) == {"command": 1, "update": 1}
    assert {entry["planSummary"] for entry in seen} == {"IDHACK", "IXSCAN { _id: 1 }"} or all(
        "_id" in entry["planSummary"] or entry["planSummary"] == "IDHACK" for entry in seen
    )
    assert max(entry.get("docsExamined", 0) for entry in seen) <= 1


def test_reading_in_order_uses_the_index(storage: Storage) -> None:
    """No page sorts entries, or scans those of another page."""
    channel = storage.open()
    for number in range(20):
        channel.set(number, number)
    with storage.client() as client:
        rows = client[storage.config["args"]["database"]]["ojob_documents"]
        for end in (1, -1):
            query = rows.find({"c": storage.name, "o": {"$gt": FIRST}}).sort("o", end).limit(5)
            plan = query.explain()
            assert plan["executionStats"]["totalDocsExamined"] == 5
            assert "'stage': 'SORT'" not in str(plan["queryPlanner"]["winningPlan"])
