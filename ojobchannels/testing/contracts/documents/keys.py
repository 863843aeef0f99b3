"""Keys: which keys are equal, and which are different."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import InvalidKey, StaleFence
from ojobchannels.testing.contracts.base import Contract, put_all
from ojobchannels.testing.kit.samples import DIFFERENT_KEYS, NOT_JSON, SAME_KEYS, nested
from ojobchannels.testing.kit.subject import Subject


class KeyContract(Contract):
    """Keys are equal by their canonical form, and are returned as last written."""

    def test_keys_equal_in_canonical_form_are_one_key(self, channel: Channel) -> None:
        """The order in maps, 1 and 1.0, 0 and -0.0 make no difference."""
        for one, other in SAME_KEYS:
            channel.set(one, "first")
            channel.set(other, "second")
            assert channel.size() == 1
            assert channel.get(one) == channel.get(other) == "second"
            assert channel.add(one, "third") is False
            assert channel.unset(one) is True
            assert channel.unset(other) is False

    def test_a_key_is_returned_as_last_written(self, channel: Channel) -> None:
        """A write with an equal key in another notation replaces the notation."""
        for one, other in SAME_KEYS:
            channel.set(one, 1)
            channel.set(other, 2)
            assert repr(channel.get_keys()) == repr([other])
            assert repr(list(channel.items())) == repr([(other, 2)])
            channel.unset(one)

    def test_a_failed_comparison_keeps_the_notation(self, channel: Channel) -> None:
        """`add` and `get_set` that do not store do not replace the notation of the key."""
        channel.set({"b": 1, "a": 2.0}, 1)
        assert channel.add({"a": 2, "b": 1}, 2) is False
        assert channel.get_set("other", {"a": 2, "b": 1}, 3) is None
        assert repr(channel.get_keys()) == repr([{"b": 1, "a": 2.0}])

    def test_different_keys_are_never_confused(self, subject: Subject) -> None:
        """Types, order, case, Unicode form and special characters make keys different."""
        channel, other = subject.open(), subject.open()
        put_all(channel, [(key, position) for position, key in enumerate(DIFFERENT_KEYS)])
        assert other.size() == len(DIFFERENT_KEYS)
        assert [other.get(key) for key in DIFFERENT_KEYS] == list(range(len(DIFFERENT_KEYS)))
        assert repr(other.get_keys()) == repr(DIFFERENT_KEYS)

    def test_number_string_and_boolean_are_different_keys(self, channel: Channel) -> None:
        """`1`, `"1"` and `true` are three keys, also within a map."""
        keys: list[Any] = [1, "1", True, {"id": 1}, {"id": "1"}, {"id": True}]
        for number, key in enumerate(keys):
            assert channel.add(key, number) is True
        assert [channel.get(key) for key in keys] == list(range(6))

    def test_zero_false_and_empty_string_are_different_keys(self, channel: Channel) -> None:
        """So is the empty map."""
        keys: list[Any] = [0, False, "", {}, {"": ""}, "0", "false"]
        for number, key in enumerate(keys):
            channel.set(key, number)
        assert repr(channel.get_keys()) == repr(keys)
        assert [channel.get(key) for key in keys] == list(range(7))

    def test_case_and_unicode_form_make_different_keys(self, channel: Channel) -> None:
        """Strings are compared by their characters, without normalization."""
        keys = ["a", "A", "é", "e\u0301", "É", "ß", "ss", "\u017f", "s", "\ufb01", "fi", "İ", "i"]
        for key in keys:
            assert channel.add(key, key) is True
            assert channel.add({"in": key}, key) is True
        assert channel.size() == 2 * len(keys)

    def test_large_integers_are_different_keys(self, channel: Channel) -> None:
        """Integer keys beyond 2**53 are not converted to floats."""
        keys = [2**53, 2**53 + 1, 2**62, 2**62 + 1, 2**63 - 2, 2**63 - 1, -(2**63), 1 - 2**63]
        for key in keys:
            assert channel.add(key, key) is True
            assert channel.add({"id": [key]}, key) is True
        assert [channel.get({"id": [key]}) for key in keys] == keys
        assert [channel.get(key) for key in keys] == keys

    def test_every_operation_accepts_every_key(self, channel: Channel) -> None:
        """Difficult keys can be added with a fence, compared, listed and removed."""
        for position, key in enumerate(DIFFERENT_KEYS):
            assert channel.add(key, position, fence=position + 1) is True
            assert channel.get_set(position, key, [position], fence=position + 1) == position
            with pytest.raises(StaleFence):
                channel.set(key, "late", fence=position)
        assert [repr(key) for key, _ in channel.items()] == [*map(repr, DIFFERENT_KEYS)]
        assert all(channel.unset(key) for key in DIFFERENT_KEYS)
        assert channel.size() == 0

    @pytest.mark.parametrize(("key", "kind"), [(None, "null"), ([], "a list"), ([1], "a list")])
    def test_null_and_lists_are_not_keys(self, channel: Channel, key: Any, kind: str) -> None:
        """They can be inside a map, but are not keys themselves."""
        with pytest.raises(InvalidKey, match=f"{kind} is not a valid key"):
            channel.get(key)
        channel.set({"inside": key}, 1)
        assert channel.get({"inside": key}) == 1

    def test_a_key_that_is_not_json_is_refused(self, channel: Channel) -> None:
        """InvalidKey gives the path and the reason, and nothing is changed."""
        channel.set("kept", 1)
        for document, path, reason in NOT_JSON:
            self._assert_refused(channel, document, path.removeprefix(".deep"), reason)
        assert list(channel.items()) == [("kept", 1)]

    def _assert_refused(self, channel: Channel, document: Any, path: str, reason: str) -> None:
        attempts: list[Callable[[], object]] = [
            lambda: channel.set({"in": document}, 1),
            lambda: channel.set_all([({"in": document}, 1)]),
            lambda: channel.unset({"in": document}),
            lambda: channel.unset_all([{"in": document}]),
            lambda: channel.get_set(1, {"in": document}, 1),
            lambda: channel.add({"in": document}, 1),
            lambda: channel.get({"in": document}),
        ]
        for attempt in attempts:
            with pytest.raises(InvalidKey) as refused:
                attempt()
            assert refused.value.path.startswith(f"$.in{path}")
            assert reason in refused.value.reason

    def test_a_key_may_be_a_hundred_levels_deep(self, channel: Channel) -> None:
        """A key with more levels is refused."""
        channel.set({"in": nested(99)}, "deep")
        assert channel.get({"in": nested(99)}) == "deep"
        assert channel.get_keys() == [{"in": nested(99)}]
        with pytest.raises(InvalidKey, match="more than 100 levels"):
            channel.set({"in": nested(100)}, 1)
