"""Keys: when two are the same, and that nothing else makes them so."""

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
    """Equality is by canonical form; what comes back is the key as last written."""

    def test_keys_equal_in_canonical_form_are_one_key(self, channel: Channel) -> None:
        """Order in maps, 1 and 1.0, 0 and -0.0 make no other key."""
        for one, other in SAME_KEYS:
            channel.set(one, "first")
            channel.set(other, "second")
            assert channel.size() == 1
            assert channel.get(one) == channel.get(other) == "second"
            assert channel.add(one, "third") is False
            assert channel.unset(one) is True
            assert channel.unset(other) is False

    def test_a_key_reads_as_it_was_last_written(self, channel: Channel) -> None:
        """An equal key in another notation replaces the notation."""
        for one, other in SAME_KEYS:
            channel.set(one, 1)
            channel.set(other, 2)
            assert repr(channel.get_keys()) == repr([other])
            assert repr(list(channel.items())) == repr([(other, 2)])
            channel.unset(one)

    def test_a_write_that_was_refused_leaves_the_notation(self, channel: Channel) -> None:
        """Neither `add` nor `get_set` that do not store replace the key as written."""
        channel.set({"b": 1, "a": 2.0}, 1)
        assert channel.add({"a": 2, "b": 1}, 2) is False
        assert channel.get_set("other", {"a": 2, "b": 1}, 3) is None
        assert repr(channel.get_keys()) == repr([{"b": 1, "a": 2.0}])

    def test_keys_that_differ_at_all_are_different_keys(self, subject: Subject) -> None:
        """No type, order, case, Unicode form or special character makes two fall together."""
        channel, other = subject.open(), subject.open()
        put_all(channel, [(key, position) for position, key in enumerate(DIFFERENT_KEYS)])
        assert other.size() == len(DIFFERENT_KEYS)
        assert [other.get(key) for key in DIFFERENT_KEYS] == list(range(len(DIFFERENT_KEYS)))
        assert repr(other.get_keys()) == repr(DIFFERENT_KEYS)

    def test_one_and_the_text_1_and_true_are_three_keys(self, channel: Channel) -> None:
        """Types are part of a key, also within a map."""
        keys: list[Any] = [1, "1", True, {"id": 1}, {"id": "1"}, {"id": True}]
        for number, key in enumerate(keys):
            assert channel.add(key, number) is True
        assert [channel.get(key) for key in keys] == list(range(6))

    def test_nought_and_false_and_the_empty_text_are_keys(self, channel: Channel) -> None:
        """And each another one; so is the empty map."""
        keys: list[Any] = [0, False, "", {}, {"": ""}, "0", "false"]
        for number, key in enumerate(keys):
            channel.set(key, number)
        assert repr(channel.get_keys()) == repr(keys)
        assert [channel.get(key) for key in keys] == list(range(7))

    def test_case_and_unicode_form_make_another_key(self, channel: Channel) -> None:
        """Texts are compared by their characters, as they are."""
        keys = ["a", "A", "é", "e\u0301", "É", "ß", "ss", "\u017f", "s", "\ufb01", "fi", "İ", "i"]
        for key in keys:
            assert channel.add(key, key) is True
            assert channel.add({"in": key}, key) is True
        assert channel.size() == 2 * len(keys)

    def test_neighbours_beyond_53_bits_are_different_keys(self, channel: Channel) -> None:
        """No key goes through a float that is not one."""
        keys = [2**53, 2**53 + 1, 2**62, 2**62 + 1, 2**63 - 2, 2**63 - 1, -(2**63), 1 - 2**63]
        for key in keys:
            assert channel.add(key, key) is True
            assert channel.add({"id": [key]}, key) is True
        assert [channel.get({"id": [key]}) for key in keys] == keys
        assert [channel.get(key) for key in keys] == keys

    def test_every_odd_key_takes_every_operation(self, channel: Channel) -> None:
        """It is added with a fence, compared, listed and removed."""
        for position, key in enumerate(DIFFERENT_KEYS):
            assert channel.add(key, position, fence=position + 1) is True
            assert channel.get_set(position, key, [position], fence=position + 1) == position
            with pytest.raises(StaleFence):
                channel.set(key, "late", fence=position)
        assert [repr(key) for key, _ in channel.items()] == [*map(repr, DIFFERENT_KEYS)]
        assert all(channel.unset(key) for key in DIFFERENT_KEYS)
        assert channel.size() == 0

    @pytest.mark.parametrize(("key", "kind"), [(None, "null"), ([], "a list"), ([1], "a list")])
    def test_null_and_lists_are_no_keys(self, channel: Channel, key: Any, kind: str) -> None:
        """They may stand inside a map, but are no keys of their own."""
        with pytest.raises(InvalidKey, match=f"{kind} is not a valid key"):
            channel.get(key)
        channel.set({"inside": key}, 1)
        assert channel.get({"inside": key}) == 1

    def test_a_key_that_is_not_json_is_refused(self, channel: Channel) -> None:
        """The error names the place and why; nothing is changed, whichever operation brought it."""
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
        """And no deeper."""
        channel.set({"in": nested(99)}, "deep")
        assert channel.get({"in": nested(99)}) == "deep"
        assert channel.get_keys() == [{"in": nested(99)}]
        with pytest.raises(InvalidKey, match="more than 100 levels"):
            channel.set({"in": nested(100)}, 1)
