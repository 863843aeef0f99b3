"""Values: they come back unchanged, and as copies."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.documents import check_key
from ojobchannels.errors import InvalidValue
from ojobchannels.hookspecs import MISSING
from ojobchannels.testing.contracts.base import Contract, put_all
from ojobchannels.testing.kit.samples import NOT_JSON, NUMBERS, SHAPES, TEXTS, nested
from ojobchannels.testing.kit.subject import Subject


class DocumentContract(Contract):
    """`get`, `set`, `unset`, `get_all` and `size`."""

    def test_a_key_that_was_never_set_is_missing(self, channel: Channel) -> None:
        """`get` returns the default, and the hook returns MISSING."""
        assert channel.get("key") is None
        assert channel.get("key", default="nothing") == "nothing"
        assert channel.hook.get(key=check_key("key")) is MISSING

    def test_an_empty_channel_is_empty_for_every_operation(self, channel: Channel) -> None:
        """No operation that lists or removes entries finds one."""
        assert channel.size() == 0
        assert channel.get_all() == []
        assert channel.get_keys() == []
        assert list(channel.items()) == []
        assert channel.pop(default="nothing") == "nothing"
        assert channel.shift(default="nothing") == "nothing"

    def test_what_was_set_is_read_back(self, channel: Channel) -> None:
        """By each operation that reads."""
        channel.set({"id": 1}, {"state": "new"})
        assert channel.get({"id": 1}) == {"state": "new"}
        assert channel.get_all() == [{"state": "new"}]
        assert channel.get_keys() == [{"id": 1}]
        assert list(channel.items()) == [({"id": 1}, {"state": "new"})]
        assert channel.size() == 1

    def test_set_replaces_the_whole_value(self, channel: Channel) -> None:
        """No part of the old value remains."""
        channel.set("key", {"a": 1, "b": {"c": 2}})
        channel.set("key", {"b": {"d": 3}})
        assert channel.get("key") == {"b": {"d": 3}}
        channel.set("key", [1])
        channel.set("key", "text")
        assert channel.get_all() == ["text"]

    def test_numbers_keep_type_and_every_digit(self, subject: Subject) -> None:
        """64-bit integers and floats come back exactly, including -0.0."""
        self._assert_kept(subject, NUMBERS)

    def test_strings_keep_every_character(self, subject: Subject) -> None:
        """Any Unicode without lone surrogates comes back without normalization."""
        self._assert_kept(subject, list(TEXTS))

    def test_structures_come_back_unchanged(self, subject: Subject) -> None:
        """Empty lists and maps, nested nulls, unusual field names, a hundred levels."""
        self._assert_kept(subject, SHAPES)

    def test_the_order_of_fields_is_kept(self, channel: Channel) -> None:
        """A map comes back with its fields in the order in which they were written."""
        value = {name: number for number, name in enumerate("zyx_abc0Q")}
        channel.set("key", {"in": value})
        assert list(channel.get("key")["in"]) == list(value)

    def test_a_value_may_be_a_megabyte(self, channel: Channel) -> None:
        """Large documents work like small ones."""
        value = {"text": "é" * 500_000, "numbers": list(range(20_000))}
        channel.set("large", value)
        assert channel.get("large") == value, "the large value came back changed"
        assert channel.get_all(match={"text": value["text"]}) == [value], "no entry matches it"

    def test_a_stored_null_is_a_value(self, channel: Channel) -> None:
        """`get` returns null, not the default."""
        channel.set("key", None)
        assert channel.get("key", default="nothing") is None
        assert channel.add("key", 1) is False

    def test_a_stored_null_counts_and_is_listed(self, channel: Channel) -> None:
        """It is an entry like any other."""
        channel.set("key", None)
        assert channel.size() == 1
        assert channel.get_all() == [None]
        assert list(channel.items()) == [("key", None)]

    def test_unset_returns_whether_the_key_existed(self, channel: Channel) -> None:
        """The first call returns True, the second False."""
        channel.set("key", 1)
        assert channel.unset("key") is True
        assert channel.unset("key") is False

    def test_unset_of_a_falsy_value_returns_true(self, channel: Channel) -> None:
        """Null, zero, false and empty values are entries like any other."""
        values: list[Any] = [None, 0, False, "", [], {}]
        for value in values:
            channel.set("key", value)
            assert channel.unset("key") is True
            assert channel.get("key", default="nothing") == "nothing"

    def test_an_unset_key_is_gone_for_every_operation(self, channel: Channel) -> None:
        """Other keys remain."""
        put_all(channel, {"a": 1, "b": 2, "c": 3})
        channel.unset("b")
        assert channel.get("b", default="nothing") == "nothing"
        assert channel.get_all() == [1, 3]
        assert channel.get_keys() == ["a", "c"]
        assert [key for key, _ in channel.items()] == ["a", "c"]
        assert channel.size() == 2

    def test_size_counts_only_entries(self, channel: Channel) -> None:
        """It does not count writes, fence marks or locks."""
        for turn in range(3):
            channel.set("again", turn)
            channel.set({"turn": turn}, turn, fence=turn + 1)
        channel.unset("nothing", fence=9)
        lease = channel.lock("nightly", ttl=60)
        assert channel.size() == 4
        lease.release()
        channel.unset({"turn": 1}, fence=5)
        assert channel.size() == 3

    def test_stored_documents_are_copies(self, subject: Subject) -> None:
        """A change of a key or value after the call does not change what is stored."""
        channel = subject.open()
        key: dict[str, Any] = {"id": [1]}
        value: dict[str, Any] = {"list": [1]}
        channel.set(key, value)
        key["id"].append(2)
        value["list"].append(2)
        new: dict[str, Any] = {"list": [3]}
        channel.add({"id": 2}, new)
        new["list"].append("spoiled")
        expected = [({"id": [1]}, {"list": [1]}), ({"id": 2}, {"list": [3]})]
        assert list(channel.items()) == expected
        assert list(subject.open().items()) == expected

    def test_returned_documents_are_copies(self, channel: Channel) -> None:
        """A change of what one caller has read does not change what others read."""
        channel.set({"id": [1]}, {"list": [1]})
        reads: list[Callable[[], Any]] = [
            lambda: channel.get({"id": [1]}),
            lambda: channel.get_all()[0],
            lambda: channel.get_all(match={"list": [1]})[0],
            lambda: next(channel.items())[1],
            lambda: next(channel.items())[0],
            lambda: channel.get_keys()[0],
            lambda: channel.get_set({}, {"id": [1]}, {"list": [1]}),
        ]
        for read in reads:
            document = read()
            before = copy.deepcopy(document)
            document.get("list", document.get("id")).append("spoiled")
            document["spoiled"] = True
            assert read() == before, "a returned document is shared with other readers"
            assert list(channel.items()) == [({"id": [1]}, {"list": [1]})]

    def test_a_value_that_is_not_json_is_refused(self, channel: Channel) -> None:
        """Each operation raises InvalidValue with path and reason, and changes nothing."""
        channel.set("kept", 1)
        for document, path, reason in NOT_JSON:
            self._assert_refused(channel, document, path, reason)
        assert list(channel.items()) == [("kept", 1)]

    def test_a_value_may_be_a_hundred_levels_deep(self, channel: Channel) -> None:
        """A value with more levels, or one that contains itself, is refused."""
        channel.set("deep", nested(100))
        assert channel.get("deep") == nested(100)
        circle: dict[str, Any] = {}
        circle["again"] = circle
        for document in (nested(101), circle):
            with pytest.raises(InvalidValue, match="more than 100 levels"):
                channel.set("key", document)
        assert channel.size() == 1

    def _assert_kept(self, subject: Subject, values: list[Any]) -> None:
        channel, other = subject.open(), subject.open()
        for value in values:
            channel.set("key", value)
            for handle in (channel, other):
                assert repr(handle.get("key", default="nothing")) == repr(value)
            assert repr(other.get_all()) == repr([value])
            assert repr(list(other.items())) == repr([("key", value)])
        put_all(channel, enumerate(values))
        assert [repr(other.get(number)) for number in range(len(values))] == [*map(repr, values)]

    def _assert_refused(self, channel: Channel, document: Any, path: str, reason: str) -> None:
        attempts: list[Callable[[], object]] = [
            lambda: channel.set("new", document),
            lambda: channel.set_all([("new", document)]),
            lambda: channel.get_set(1, "kept", document),
            lambda: channel.get_set(document, "kept", 2),
            lambda: channel.add("new", document),
            lambda: channel.get_all(match=document),
            lambda: list(channel.items(match=document)),
        ]
        for attempt in attempts:
            with pytest.raises(InvalidValue) as refused:
                attempt()
            assert refused.value.path.startswith(f"${path}")
            assert reason in refused.value.reason
