"""Entries in the database: stored intact, apart and in order, and matched by the server."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
from bson.timestamp import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ojobchannels as oc
from ojobchannels.documents import check_key
from ojobchannels_mongo.codec import row_id, stored
from ojobchannels_mongo.reader import filter_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from conftest import Storage
    from ojobchannels.testing.servers import MongoServer

    Background = Callable[..., Future[Any]]

LIMIT = 16 * 1024 * 1024

ODD = [
    {"$ref": "orders", "$id": 1},
    {"in": [{"$ref": "orders", "$id": 1, "$db": None, "more": True}]},
    {"first": 1, "$ref": "orders", "$id": {"b": 1, "a": 2}},
    {"$date": 1, "$oid": "0" * 24, "$numberLong": "1", "$uuid": "x", "$binary": {}},
    {"$set": {"$inc": {"$$ROOT": "$$NOW"}}, "$literal": "$v", "$expr": ["$", "$$", "$v.a"]},
    {"": {"": ""}, ".": {"..": "."}, "a.b": {"c.d": 1}, "0": {"1": 2}, "_id": 7},
    {"v": 1, "j": 2, "o": 3, "c": 4, "f": 5, "gone": 6, "by": 7, "was": 8},
    [2**31, 2**31 - 1, -(2**31) - 1, 2**53, 2**63 - 1, -(2**63), 1.0, 2.0**40, -0.0, 5e-324],
]


@pytest.mark.parametrize("fence", [2**63, -(2**63) - 1, 2**80])
def test_a_fence_beyond_64_bits_is_refused(storage_alone: Storage, fence: int) -> None:
    """By every operation with a fence; fences of 64 bits are kept exactly."""
    channel = storage_alone.open()
    for attempt in (
        lambda: channel.set("key", 1, fence=fence),
        lambda: channel.add("key", 1, fence=fence),
        lambda: channel.unset("key", fence=fence),
    ):
        with pytest.raises(oc.InvalidOption, match="fence"):
            attempt()
    channel.set("key", 1, fence=2**63 - 1)
    with pytest.raises(oc.StaleFence):
        channel.set("key", 1, fence=2**63 - 2)


@pytest.mark.parametrize("value", ODD, ids=lambda value: ascii(value)[:20])
def test_values_with_a_meaning_to_the_database_are_stored_intact(
    storage: Storage, value: Any
) -> None:
    """Also as a key and by compare and set, with types, digits and the order of fields."""
    channel, other = storage.open(), storage.open()
    channel.set("key", value)
    assert channel.get_set(value, "key", [value]) == value
    for handle in (channel, other):
        assert repr(handle.get("key")) == repr([value])
        assert repr(handle.get_all()) == repr([[value]])
    channel.set({"in": value}, value)
    assert repr(other.get_keys()) == repr(["key", {"in": value}])
    assert repr(other.pop()) == repr(value)
    assert type(other.get("key")) is list


def test_integers_are_plain_integers(storage: Storage) -> None:
    """Not of a class of the driver."""
    channel = storage.open()
    channel.set("key", {"deep": [2**40]})
    assert type(channel.get("key")["deep"][0]) is int
    assert type(channel.get_all()[0]["deep"][0]) is int
    with channel.lock("nightly", ttl=30) as lease:
        assert type(lease.fence) is int
        info = channel.lock_info("nightly")
        assert info is not None
        assert {type(part) for part in (info.fence, info.since, info.until)} == {int}
    assert type(next(channel.items()).position) is int
    assert type(channel.pop()["deep"][0]) is int


def test_values_can_be_queried_by_other_programs(storage: Storage) -> None:
    """They are stored as documents, not as text."""
    channel = storage.open()
    channel.set({"id": 1}, {"state": "new", "lines": [{"n": 2}]})
    with storage.client() as client:
        rows = client[storage.config["args"]["database"]]["ojob_documents"]
        row = rows.find_one({"c": storage.name, "v.lines.n": 2})
    assert row is not None
    assert row["v"] == {"state": "new", "lines": [{"n": 2}]}
    assert row["k"] == '{"id":1}'


def test_the_largest_value_is_stored_and_a_larger_one_is_refused_before_it_is_sent(
    own_server: MongoServer,
) -> None:
    """As a new entry, over another, and on a replica set in a batch."""
    with pymongo.MongoClient[dict[str, Any]](own_server.url) as client:
        # the default of the test server is less than two of them need
        client.admin.command("setParameter", 1, wiredTigerEngineRuntimeConfig="cache_size=1GB")
    with oc.open_channel("orders", own_server.url) as channel:
        largest = "x" * (LIMIT - 300)
        channel.set("key", largest)
        channel.set("key", largest[:-1] + "y")
        assert channel.get("key") == largest[:-1] + "y"
        assert channel.pop() == largest[:-1] + "y"
        channel.set("key", largest, fence=1)
        assert channel.unset("key", fence=1)
        channel.set("key", largest)
        if own_server.replica_set:
            channel.set_all({"one": largest, "other": largest})
            assert channel.unset_all(["one", "other"]) == 2
        for attempt in (
            lambda: channel.set("key", "x" * LIMIT),
            lambda: channel.set("k" * 5000, "x" * (LIMIT - 5000)),
            lambda: channel.set({"k": "é" * LIMIT}, 1),
            lambda: channel.get_set(largest, "key", {"$ref": "x" * LIMIT}),
            lambda: channel.add("other", ["x" * LIMIT]),
        ):
            with pytest.raises(oc.InvalidValue, match="MongoDB accepts 16777216"):
                attempt()
        assert channel.size() == 1


def test_an_entry_that_moves_to_the_end_is_counted_once(
    storage: Storage, in_background: Background
) -> None:
    """Where the server counts in the order of change, it may meet the entry there again."""
    number, done = 4_000, threading.Event()
    channel, other = storage.open(), storage.open()
    with storage.client() as client:
        rows = client[storage.config["args"]["database"]]["ojob_documents"]
        rows.insert_many(
            {"_id": row_id(storage.name, str(key)), "c": storage.name, "k": key, "v": 0, "o": order}
            for key, order in ((str(n), Timestamp(1, n)) for n in range(number))
        )

    def move_the_oldest() -> None:
        for key in itertools.cycle(range(number)):
            other.set(key, 1)
            if done.is_set():
                return

    writing = in_background(move_the_oldest)
    counted = {channel.size() for _ in range(25)}
    done.set()
    writing.result()
    assert counted == {number}


def test_two_prefixes_are_separate(storage: Storage) -> None:
    """Channels of one name in different collections are independent."""
    one, other = storage.open(), storage.open(prefix="other")
    one.set("key", 1, fence=9)
    one.lock("nightly", ttl=30)
    other.set("key", 2, fence=1)
    with other.lock("nightly", ttl=30):
        assert (one.get("key"), other.get("key")) == (1, 2)


def test_a_channel_whose_name_continues_in_the_key_is_another_channel(storage: Storage) -> None:
    """The end of the name in an `_id` is unambiguous."""
    names = [f"{storage.name}{rest}" for rest in ("", '"', '""', '"a', "\\", '\\"', '"{', "{")]
    channels = [storage.open(name) for name in names]
    for number, channel in enumerate(channels):
        for key in ("", '"', "a", {}, {"": ""}):
            channel.set(key, number)
    assert [set(channel.get_all()) for channel in channels] == [{n} for n in range(len(names))]
    assert {channel.size() for channel in channels} == {5}


def test_removed_entries_leave_no_entry(storage: Storage) -> None:
    """No operation returns rows that remain for a while or permanently."""
    channel = storage.open()
    for number in range(4):
        channel.set(number, number, fence=7 if number % 2 else None)
    assert (channel.pop(), channel.shift()) == (3, 0)
    assert channel.unset(1)
    assert not channel.unset(1)
    assert channel.unset(2, fence=1)
    assert (channel.size(), channel.get_all(), channel.get_keys()) == (0, [], [])
    assert list(channel.items()) == []
    assert channel.get(3, default="no") == "no"
    assert channel.add(0, "again")
    assert channel.add(3, "again")
    assert channel.get_keys() == [0, 3]
    with pytest.raises(oc.StaleFence):
        channel.set(3, "late", fence=6)
    with storage.client() as client:
        rows = client[storage.config["args"]["database"]]["ojob_documents"]
        (broom,) = (index for index in rows.list_indexes() if index["name"] == "broom")
        swept = rows.count_documents({"c": storage.name, "gone": {"$exists": True}})
        marks = rows.count_documents({"c": storage.name, "f": {"$exists": True}})
    assert broom["expireAfterSeconds"] == 60
    assert (swept, marks) == (0, 3)


def test_two_entries_never_have_the_same_position(storage: Storage) -> None:
    """A standalone server that restarts within a second may repeat one: the write is repeated."""
    channel = storage.open()
    channel.set("one", 1)
    with storage.client() as client:
        rows = client[storage.config["args"]["database"]]["ojob_documents"]
        row = rows.find_one({"c": storage.name})
        assert row is not None
        with pytest.raises(pymongo.errors.DuplicateKeyError):
            rows.insert_one({"_id": f"{storage.name} two", "c": storage.name, "o": row["o"]})


def test_the_server_filters_matches(storage: Storage) -> None:
    """Of a thousand entries it sends only those that may match."""
    channel = storage.open()
    with storage.client() as client:
        database = client[storage.config["args"]["database"]]
        database["ojob_documents"].bulk_write(
            [
                pymongo.UpdateOne(
                    {"_id": row_id(storage.name, check_key(n))},
                    stored(storage.name, check_key(n), {"n": n, "in": {"odd": n % 2}}, None),
                    upsert=True,
                )
                for n in range(1000)
            ]
        )
        matching = database["ojob_documents"].count_documents(
            {"c": storage.name} | filter_for({"in": {"odd": 1}, "n": 7.0})
        )
    assert matching == 1
    assert channel.get_all({"n": 7.0}) == [{"n": 7, "in": {"odd": 1}}]
    assert len(channel.get_all({"in": {"odd": 1}})) == 500
    assert [key for key, _ in channel.items({"in": {"odd": 0}}, limit=2)] == [0, 2]


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3) | st.sampled_from([2**53, 2**53 + 1, 2**63 - 1]),
    st.sampled_from([0.0, -0.0, 1.0, 1.5, float(2**53)]),
    st.sampled_from(["", "a", "$a", "1", "true"]),
)
FIELDS = st.sampled_from(["a", "b", "0", "1", "", ".", "a.b", "$a", "$ref", "$id", "v", "_id", "é"])
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=3),
    max_leaves=6,
)


def parts_of(document: Any) -> st.SearchStrategy[Any]:
    """Matches that are likely to match: the document with fields left out."""
    if not isinstance(document, dict) or not document:
        return st.just(document)
    parts = {name: parts_of(part) for name, part in document.items()}
    return st.fixed_dictionaries({}, optional=parts)


@pytest.fixture
def empty_rows(storage: Storage) -> Iterator[oc.Channel]:
    channel = storage.open()
    yield channel
    channel.destroy()


@given(data=st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_result_is_that_of_matches(empty_rows: oc.Channel, data: Any) -> None:
    """For any stored values and any match; the server only preselects."""
    channel = empty_rows
    channel.destroy()
    values = data.draw(st.lists(DOCUMENTS, min_size=1, max_size=4))
    for number, value in enumerate(values):
        channel.set(number, value)
    match = data.draw(st.one_of(DOCUMENTS, *(parts_of(value) for value in values)))
    if match is None:
        return
    expected = [value for value in values if oc.matches(match, value)]
    assert repr(channel.get_all(match)) == repr(expected)
    assert repr([value for _, value in channel.items(match)]) == repr(expected)


def test_a_deep_or_large_match_works(storage: Storage) -> None:
    """A hundred levels, a thousand fields, and a text of a megabyte."""
    channel = storage.open()
    deep: Any = "core"
    for _ in range(99):
        deep = {"in": deep}
    for value in (deep, {str(n): n for n in range(1000)}, {"text": "x" * 1_000_000}):
        channel.set("key", value)
        assert channel.get_all(value) == [value]
        assert channel.get_set(value, "key", 1) == value
