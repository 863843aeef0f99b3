"""Compare-and-set: `get_set` and `add` are atomic."""

from __future__ import annotations

from typing import Any

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.documents import check_key
from ojobchannels.errors import StaleFence
from ojobchannels.hookspecs import ABSENT, MISSING
from ojobchannels.testing.contracts.base import Contract
from ojobchannels.testing.kit.background import Background
from ojobchannels.testing.kit.subject import Subject


class CompareAndSetContract(Contract):
    """`get_set` stores if the present value matches, and returns the present value."""

    def test_get_set_stores_if_the_value_matches(self, channel: Channel) -> None:
        """It returns the value that it replaced."""
        channel.set("job", {"state": "new", "tries": 0})
        taken = {"state": "taken", "tries": 1}
        assert channel.get_set({"state": "new"}, "job", taken) == {"state": "new", "tries": 0}
        assert channel.get("job") == taken

    def test_get_set_does_not_change_a_value_that_does_not_match(self, channel: Channel) -> None:
        """Value and position stay the same, and the default is returned."""
        channel.set("job", {"state": "new"})
        channel.set("other", 1)
        assert channel.get_set({"state": "done"}, "job", "wrong", default="no") == "no"
        assert list(channel.items()) == [("job", {"state": "new"}), ("other", 1)]

    def test_get_set_never_creates_an_entry(self, channel: Channel) -> None:
        """Only ABSENT matches a missing key; `{}` and null do not."""
        matches: list[Any] = [{}, None, [], "", 0, False]
        for match in matches:
            assert channel.get_set(match, "key", 1, default=MISSING) is MISSING
        assert channel.size() == 0

    def test_absent_matches_only_a_missing_key(self, channel: Channel) -> None:
        """ABSENT does not match a stored null."""
        assert channel.get_set(ABSENT, "key", None, default="no") is MISSING
        assert channel.get_set(ABSENT, "key", 1, default="no") == "no"
        assert channel.get("key", default="nothing") is None

    def test_add_returns_whether_it_stored(self, channel: Channel) -> None:
        """It returns True for a missing key, also after a removal, and False otherwise."""
        assert channel.add("key", {"n": 1}) is True
        assert channel.add("key", {"n": 2}) is False
        assert channel.get("key") == {"n": 1}
        channel.unset("key")
        assert channel.add("key", {"n": 3}) is True
        assert channel.get("key") == {"n": 3}

    def test_null_is_compared_as_a_value(self, channel: Channel) -> None:
        """`get_set(None, …)` stores if the present value is null."""
        channel.set("key", None)
        assert channel.get_set(None, "key", 1, default="no") is None
        assert channel.get_set(None, "key", 2, default="no") == "no"
        assert channel.get("key") == 1

    def test_the_hook_returns_stored_and_previous(self, channel: Channel) -> None:
        """`previous` is the present value, whether it matched or not, or MISSING."""

        def ask(match: object, value: object) -> tuple[bool, object]:
            result = channel.hook.get_set(
                match=match, key=check_key("key"), value=value, fence=None
            )
            return (result.stored, result.previous)

        assert ask("one", "two") == (False, MISSING)
        assert ask(ABSENT, "one") == (True, MISSING)
        assert ask(ABSENT, "two") == (False, "one")
        assert ask("two", "three") == (False, "one")
        assert ask("one", "three") == (True, "one")

    def test_a_comparison_that_fails_leaves_no_fence_mark(self, channel: Channel) -> None:
        """Only a write marks its key with the fence, and only a write is refused for it."""
        channel.set("key", 1, fence=5)
        assert channel.get_set("other", "key", 2, fence=4) is None
        assert channel.get_set("other", "key", 2, fence=9) is None
        assert channel.add("key", 2, fence=9) is False
        channel.set("key", 3, fence=5)
        assert channel.get("key") == 3

    def test_a_comparison_that_succeeds_leaves_a_fence_mark(self, channel: Channel) -> None:
        """Afterwards, `set` and `get_set` with a lower fence are refused."""
        assert channel.add("key", 1, fence=5) is True
        assert channel.get_set(1, "key", 2, fence=7) == 1
        with pytest.raises(StaleFence):
            channel.set("key", 3, fence=6)
        with pytest.raises(StaleFence):
            channel.get_set(2, "key", 3, fence=6)
        assert channel.get("key") == 2

    @pytest.mark.usefixtures("races")
    def test_one_of_many_adds_stores(self, subject: Subject, background: Background) -> None:
        """If many threads and handles add a key at once, exactly one gets True."""
        handles = [subject.open() for _ in range(4)]
        for turn in range(8):
            stored = background.together(
                *(lambda n=n, turn=turn: handles[n % 4].add(turn, n) for n in range(8))
            )
            assert sum(stored) == 1, f"turn {turn}: {sum(stored)} of 8 adds returned True"
            assert handles[0].get(turn) == stored.index(True)

    @pytest.mark.usefixtures("races")
    def test_one_of_many_get_sets_succeeds(self, subject: Subject, background: Background) -> None:
        """If many compare-and-sets expect the same value, exactly one of them stores."""
        handles = [subject.open() for _ in range(4)]
        for turn in range(8):
            handles[0].set(turn, {"taken": False})

            def take(number: int, turn: int = turn) -> object:
                value = {"by": number, "taken": True}
                return handles[number % 4].get_set({"taken": False}, turn, value)

            results = background.together(*(lambda n=n, take=take: take(n) for n in range(8)))
            winners = [number for number, result in enumerate(results) if result is not None]
            assert len(winners) == 1, f"turn {turn}: threads {winners} all stored"
            assert handles[3].get(turn) == {"by": winners[0], "taken": True}

    @pytest.mark.usefixtures("races")
    def test_no_update_is_lost_between_threads(
        self, subject: Subject, background: Background
    ) -> None:
        """Threads that increment a counter by compare-and-set lose no increment."""
        handles = [subject.open() for _ in range(2)]
        handles[0].set("counter", {"n": 0})

        def count(handle: Channel) -> None:
            for _ in range(20):
                seen = handle.get("counter")
                while handle.get_set(seen, "counter", {"n": seen["n"] + 1}) is None:
                    seen = handle.get("counter")

        background.together(*(lambda n=n: count(handles[n % 2]) for n in range(4)))
        assert handles[0].get("counter") == {"n": 80}
