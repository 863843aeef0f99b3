"""Isolation: handles of one channel share a storage, and other channels are separate."""

from __future__ import annotations

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import InvalidName, StaleFence
from ojobchannels.testing.contracts.base import Contract, put_all, requires
from ojobchannels.testing.kit.background import Background
from ojobchannels.testing.kit.subject import Subject

_ODD_ENDINGS = ("-2", "2", ".é", ".e\u0301", "/..", " ", "%", "$", ":", "{}", "\n", "*", "A", "a")


class IsolationContract(Contract):
    """Handles of one channel see each other's changes, and no others."""

    def test_handles_see_each_others_changes_at_once(self, subject: Subject) -> None:
        """A read on one handle returns what another handle has just written."""
        one, other = subject.open(), subject.open()
        for turn in range(20):
            one.set("key", turn)
            assert other.get("key") == turn
            assert other.get_set(turn, "key", -turn) == turn
            assert one.get("key") == -turn
            one.set(turn, turn)
            assert other.get_all() == [-turn, turn]
            assert other.unset(turn) is True
            assert one.size() == 1

    def test_listings_include_the_last_write(self, subject: Subject) -> None:
        """A listing is not cached beyond a change through another handle."""
        one, other = subject.open(), subject.open()
        for turn in range(10):
            assert other.get_keys() == list(range(turn))
            assert [value for _, value in other.items()] == list(range(turn))
            assert other.get_all(match=turn) == []
            one.set(turn, turn)
            assert other.get_all(match=turn) == [turn]
            assert other.size() == turn + 1

    def test_handles_share_locks(self, subject: Subject) -> None:
        """A lock that one handle holds is held for all handles of the channel."""
        one, other = subject.open(), subject.open()
        lease = one.lock("nightly", ttl=60)
        assert other.try_lock("nightly", ttl=60) is None
        assert [info.name for info in other.locks()] == ["nightly"]
        lease.release()
        assert other.locks() == []

    def test_channels_do_not_share_documents(self, subject: Subject) -> None:
        """Channels with similar names have separate documents."""
        one = subject.open()
        one.set("key", "one")
        others = [subject.open(f"{subject.name}{ending}") for ending in _ODD_ENDINGS]
        for number, other in enumerate(others):
            assert (other.size(), other.get_all(), other.get_keys()) == (0, [], [])
            other.set("key", number)
        assert [other.get_all() for other in others] == [[n] for n in range(len(others))]
        assert one.get("key") == "one"
        assert others[0].pop() == 0
        assert (one.size(), others[1].size()) == (1, 1)

    def test_channels_do_not_share_locks(self, subject: Subject) -> None:
        """The same lock name in another channel is another lock."""
        one = subject.open()
        lease = one.lock("nightly", ttl=60)
        others = [subject.open(f"{subject.name}{ending}") for ending in _ODD_ENDINGS]
        for other in others:
            assert other.lock_info("nightly") is None
            assert other.locks() == []
            assert other.force_unlock("nightly") is None
            other.lock("nightly", ttl=60)
        assert len(one.locks()) == 1
        lease.release()
        assert [len(other.locks()) for other in others] == [1] * len(others)

    def test_channel_and_lock_names_are_not_concatenated(self, subject: Subject) -> None:
        """Lock `b:c` of channel `a` is not lock `c` of channel `a:b`, for any separator."""
        for sign in (":", "/", ".", "-", "|", " ", "#", "_"):
            one, other = subject.open(), subject.open(f"{subject.name}{sign}b")
            held = one.lock(f"b{sign}c", ttl=60)
            assert other.lock_info("c") is None
            other.lock("c", ttl=60).release()
            assert one.lock_info(held.name) is not None

    def test_documents_and_locks_are_separate(self, channel: Channel) -> None:
        """A lock and a key can have the same name."""
        channel.set("nightly", 1)
        lease = channel.lock("nightly", ttl=60)
        assert channel.get_keys() == ["nightly"]
        assert channel.unset("nightly") is True
        assert channel.lock_info("nightly") is not None
        lease.release()
        assert channel.size() == 0

    def test_destroy_removes_all_documents(self, subject: Subject) -> None:
        """Each handle sees an empty channel, which can be used afterwards."""
        channel, other = subject.open(), subject.open()
        put_all(channel, [(n, n) for n in range(10)])
        channel.destroy()
        for handle in (channel, other):
            assert (handle.size(), handle.get_all(), handle.get_keys()) == (0, [], [])
            assert list(handle.items()) == []
        channel.set("new", 1)
        assert other.get_all() == [1]
        channel.destroy()
        channel.destroy()
        assert other.size() == 0

    def test_destroy_removes_no_lock(self, subject: Subject) -> None:
        """A holder can still extend and release its lease."""
        channel, other = subject.open(), subject.open()
        lease = channel.lock("nightly", ttl=60)
        other.destroy()
        assert other.try_lock("nightly", ttl=60) is None
        info = other.lock_info("nightly")
        assert info is not None
        assert info.fence == lease.fence
        lease.extend(90)
        lease.release()

    def test_destroy_does_not_affect_other_channels(self, subject: Subject) -> None:
        """Documents, fence marks and locks of other channels remain."""
        one, other = subject.open(), subject.open(f"{subject.name}-2")
        other.set("key", 1, fence=5)
        lease = other.lock("nightly", ttl=60)
        one.set("key", 2)
        one.destroy()
        assert other.get_all() == [1]
        with pytest.raises(StaleFence):
            other.set("key", 2, fence=4)
        lease.extend()

    @pytest.mark.usefixtures("races")
    def test_threads_can_share_one_handle(self, channel: Channel, background: Background) -> None:
        """Many threads can use one channel without lost updates or wrong reads."""

        def write(number: int) -> None:
            for turn in range(15):
                channel.set({"by": number, "turn": turn}, [number, turn])
                assert channel.get({"by": number, "turn": turn}) == [number, turn]

        background.together(*(lambda n=n: write(n) for n in range(8)))
        assert channel.size() == 120
        keys = {(key["by"], key["turn"]) for key in channel.get_keys()}
        assert keys == {(number, turn) for number in range(8) for turn in range(15)}

    @pytest.mark.usefixtures("races")
    def test_a_key_exists_while_it_is_overwritten(
        self, subject: Subject, background: Background
    ) -> None:
        """A reader gets the old or the new value, complete and exactly once."""
        channel, other = subject.open(), subject.open()
        channel.set("key", [0] * 200)

        def write() -> None:
            for turn in range(60):
                channel.set("key", [turn] * 200)

        writer = background(write)
        while not writer.done():
            values = [other.get("key"), *other.get_all(), *(value for _, value in other.items())]
            assert len(values) == 3, f"{len(values)} reads of one key found it"
            for value in values:
                assert value is not None, "the key was gone for a moment"
                assert len(value) == 200
                assert len(set(value)) == 1, "the value was of two writes"
            assert other.size() == 1
        writer.result()

    @pytest.mark.usefixtures("races")
    def test_positions_are_unique(self, subject: Subject, background: Background) -> None:
        """Concurrent writes get different positions, in the order of each writer."""
        handles = [subject.open() for _ in range(4)]

        def write(number: int) -> None:
            for turn in range(10):
                handles[number % 4].set(f"{number} {turn}", [number, turn])

        background.together(*(lambda n=n: write(n) for n in range(8)))
        items = list(handles[0].items())
        assert len({item.position for item in items}) == len(items) == 80
        for number in range(8):
            turns = [turn for by, turn in handles[0].get_all() if by == number]
            assert turns == list(range(10)), f"the writes of thread {number} are not in order"

    @pytest.mark.parametrize("name", ["", "a\0b", "\ud800", "é" * 2049, None, 7], ids=ascii)
    def test_an_invalid_lock_name_is_refused(self, subject: Subject, name: object) -> None:
        """Each operation that takes a lock name raises InvalidName, with the rule for names."""
        channel = subject.open()
        for attempt in (
            lambda: channel.lock(name, ttl=1),  # type: ignore[arg-type]  # what is tested
            lambda: channel.try_lock(name, ttl=1),  # type: ignore[arg-type]  # likewise
            lambda: channel.lock_info(name),  # type: ignore[arg-type]  # likewise
            lambda: channel.force_unlock(name),  # type: ignore[arg-type]  # likewise
        ):
            with pytest.raises(InvalidName, match="1 to 4096 bytes of UTF-8 without NUL"):
                attempt()
        assert channel.locks() == []

    @requires("durable")
    def test_documents_and_marks_survive_closing(self, subject: Subject) -> None:
        """A channel that is closed and opened again has the same entries in the same order."""
        with subject.open() as channel:
            put_all(channel, {"a": 1, "b": {"n": 2}})
            channel.set({"id": 1}, {"n": 1}, fence=7)
            channel.set("a", 3)
        with subject.open() as channel:
            items = [("b", {"n": 2}), ({"id": 1}, {"n": 1}), ("a", 3)]
            assert list(channel.items()) == items
            with pytest.raises(StaleFence):
                channel.set({"id": 1}, 2, fence=6)
            channel.set("c", 4)
            assert channel.get_keys() == ["b", {"id": 1}, "a", "c"]
