"""Compare and set: `get_set` and `add` are one step, whoever else writes."""

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
    """`get_set` stores where the present value matches, and answers what stood there."""

    def test_get_set_stores_where_the_value_matches(self, channel: Channel) -> None:
        """And answers the value that it replaced."""
        channel.set("job", {"state": "new", "tries": 0})
        taken = {"state": "taken", "tries": 1}
        assert channel.get_set({"state": "new"}, "job", taken) == {"state": "new", "tries": 0}
        assert channel.get("job") == taken

    def test_get_set_leaves_alone_what_does_not_match(self, channel: Channel) -> None:
        """Value and place stay, and the default is answered."""
        channel.set("job", {"state": "new"})
        channel.set("other", 1)
        assert channel.get_set({"state": "done"}, "job", "wrong", default="no") == "no"
        assert list(channel.items()) == [("job", {"state": "new"}), ("other", 1)]

    def test_get_set_never_makes_an_entry_where_none_was(self, channel: Channel) -> None:
        """No match but ABSENT holds of a missing key: not `{}`, not null."""
        matches: list[Any] = [{}, None, [], "", 0, False]
        for match in matches:
            assert channel.get_set(match, "key", 1, default=MISSING) is MISSING
        assert channel.size() == 0

    def test_absent_stores_only_where_nothing_stands(self, channel: Channel) -> None:
        """It matches a missing key, never a null."""
        assert channel.get_set(ABSENT, "key", None, default="no") is MISSING
        assert channel.get_set(ABSENT, "key", 1, default="no") == "no"
        assert channel.get("key", default="nothing") is None

    def test_add_tells_whether_it_stored(self, channel: Channel) -> None:
        """True the first time, and again after the key was removed."""
        assert channel.add("key", {"n": 1}) is True
        assert channel.add("key", {"n": 2}) is False
        assert channel.get("key") == {"n": 1}
        channel.unset("key")
        assert channel.add("key", {"n": 3}) is True
        assert channel.get("key") == {"n": 3}

    def test_null_compares_as_a_value(self, channel: Channel) -> None:
        """`get_set(None, …)` stores where null stands."""
        channel.set("key", None)
        assert channel.get_set(None, "key", 1, default="no") is None
        assert channel.get_set(None, "key", 2, default="no") == "no"
        assert channel.get("key") == 1

    def test_the_hook_tells_stored_and_previous(self, channel: Channel) -> None:
        """`previous` is what stood there, whether it matched or not, or MISSING."""

        def ask(match: object, value: object) -> tuple[bool, object]:
            answer = channel.hook.get_set(
                match=match, key=check_key("key"), value=value, fence=None
            )
            return (answer.stored, answer.previous)

        assert ask("one", "two") == (False, MISSING)
        assert ask(ABSENT, "one") == (True, MISSING)
        assert ask(ABSENT, "two") == (False, "one")
        assert ask("two", "three") == (False, "one")
        assert ask("one", "three") == (True, "one")

    def test_a_comparison_that_fails_leaves_no_mark(self, channel: Channel) -> None:
        """A fence marks its key with the write, not with the attempt."""
        channel.set("key", 1, fence=5)
        assert channel.get_set("other", "key", 2, fence=9) is None
        assert channel.add("key", 2, fence=9) is False
        channel.set("key", 3, fence=5)
        assert channel.get("key") == 3

    def test_a_comparison_that_holds_leaves_its_mark(self, channel: Channel) -> None:
        """Then a lower fence is refused, by `set` and by `get_set`."""
        assert channel.add("key", 1, fence=5) is True
        assert channel.get_set(1, "key", 2, fence=7) == 1
        with pytest.raises(StaleFence):
            channel.set("key", 3, fence=6)
        with pytest.raises(StaleFence):
            channel.get_set(2, "key", 3, fence=6)
        assert channel.get("key") == 2

    @pytest.mark.usefixtures("races")
    def test_one_of_many_adds(self, subject: Subject, background: Background) -> None:
        """However many threads and handles add at once, one is told that it stored."""
        handles = [subject.open() for _ in range(4)]
        for turn in range(8):
            told = background.together(
                *(lambda n=n, turn=turn: handles[n % 4].add(turn, n) for n in range(8))
            )
            assert sum(told) == 1, f"turn {turn}: {sum(told)} of 8 were told that they stored"
            assert handles[0].get(turn) == told.index(True)

    @pytest.mark.usefixtures("races")
    def test_one_of_many_takes(self, subject: Subject, background: Background) -> None:
        """However many compare and set at once, one finds the value that it expects."""
        handles = [subject.open() for _ in range(4)]
        for turn in range(8):
            handles[0].set(turn, {"taken": False})

            def take(number: int, turn: int = turn) -> object:
                value = {"by": number, "taken": True}
                return handles[number % 4].get_set({"taken": False}, turn, value)

            answers = background.together(*(lambda n=n, take=take: take(n) for n in range(8)))
            winners = [number for number, answer in enumerate(answers) if answer is not None]
            assert len(winners) == 1, f"turn {turn}: threads {winners} all took it"
            assert handles[3].get(turn) == {"by": winners[0], "taken": True}

    @pytest.mark.usefixtures("races")
    def test_no_update_is_lost_between_threads(
        self, subject: Subject, background: Background
    ) -> None:
        """Threads count one document up by compare and set, and arrive at the sum."""
        handles = [subject.open() for _ in range(2)]
        handles[0].set("counter", {"n": 0})

        def count(handle: Channel) -> None:
            for _ in range(20):
                seen = handle.get("counter")
                while handle.get_set(seen, "counter", {"n": seen["n"] + 1}) is None:
                    seen = handle.get("counter")

        background.together(*(lambda n=n: count(handles[n % 2]) for n in range(4)))
        assert handles[0].get("counter") == {"n": 80}
