"""Mutual exclusion: at most one valid lease per name (rule 1)."""

from __future__ import annotations

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import LockBusy
from ojobchannels.hookspecs import Busy, Granted
from ojobchannels.testing.contracts.base import Contract
from ojobchannels.testing.contracts.locks.requests import OTHER, TOKEN, ask
from ojobchannels.testing.kit.background import Background
from ojobchannels.testing.kit.samples import LOCK_NAMES
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.kit.time_control import TimeControl


class LockContract(Contract):
    """Acquisition is one atomic step, separately for each name."""

    def test_a_free_lock_is_granted(self, channel: Channel) -> None:
        """With a fence, and without a previous holder."""
        result = ask(channel)
        assert isinstance(result, Granted)
        assert result.fence > 0
        assert result.previous is None

    def test_a_held_lock_is_refused(self, subject: Subject) -> None:
        """On the same handle and on others."""
        one, other = subject.open(), subject.open()
        granted = ask(one)
        for handle in (one, other):
            refused = ask(handle, token=OTHER)
            assert isinstance(refused, Busy)
            assert refused.fence == granted.fence
            assert handle.try_lock("nightly", ttl=30) is None
            with pytest.raises(LockBusy):
                handle.lock("nightly", ttl=30)

    def test_a_refusal_changes_nothing(self, subject: Subject, timing: TimeControl) -> None:
        """Holder, fence and deadline stay the same."""
        one, other = subject.open(), subject.open()
        ask(one, ttl=60)
        before = one.lock_info("nightly")
        for _ in range(3):
            assert other.try_lock("nightly", ttl=600, holder={"job": "other"}) is None
        after = one.lock_info("nightly")
        assert before is not None
        assert after is not None
        assert (after.fence, after.holder, after.since) == before[1:4]
        assert abs(after.until - before.until) <= timing.slack * 1000
        assert one.hook.unlock(name="nightly", token=TOKEN) is True

    def test_a_released_lock_is_granted_again(self, subject: Subject) -> None:
        """To any handle, repeatedly."""
        handles = [subject.open() for _ in range(2)]
        for turn in range(10):
            lease = handles[turn % 2].lock("nightly", ttl=30)
            assert handles[(turn + 1) % 2].try_lock("nightly", ttl=30) is None
            lease.release()

    def test_a_lock_is_not_reentrant(self, channel: Channel) -> None:
        """A request with another token is refused, also from the same thread."""
        with channel.lock("nightly", ttl=30, holder={"job": "a"}):
            assert channel.try_lock("nightly", ttl=30, holder={"job": "a"}) is None

    def test_lock_names_are_independent(self, subject: Subject) -> None:
        """Each name is a separate lock, whatever its characters and length."""
        one, other = subject.open(), subject.open()
        leases = [one.lock(name, ttl=60) for name in LOCK_NAMES]
        taken = [name for name in LOCK_NAMES if other.try_lock(name, ttl=60)]
        assert taken == []
        assert sorted(info.name for info in other.locks()) == sorted(LOCK_NAMES)
        for lease in leases:
            info = other.lock_info(lease.name)
            assert info is not None
            assert (info.name, info.fence) == (lease.name, lease.fence)
            lease.release()
            assert other.lock_info(lease.name) is None
        assert other.locks() == []

    @pytest.mark.usefixtures("races")
    def test_one_of_many_threads_gets_the_lock(
        self, subject: Subject, background: Background
    ) -> None:
        """Of eight requests at the same moment, on four handles, one is granted."""
        handles = [subject.open() for _ in range(4)]
        for turn in range(15):
            leases = background.together(
                *(
                    lambda n=n, turn=turn: handles[n % 4].try_lock(f"{turn}", ttl=60)
                    for n in range(8)
                )
            )
            granted = [number for number, lease in enumerate(leases) if lease is not None]
            assert len(granted) == 1, f"turn {turn}: threads {granted} all got the lock"

    @pytest.mark.usefixtures("races")
    def test_one_thread_at_a_time_is_inside(self, subject: Subject, background: Background) -> None:
        """Threads that increment a counter under the lock lose no increment."""
        handles = [subject.open() for _ in range(4)]
        state = {"counter": 0, "inside": 0}

        def work(number: int) -> None:
            for _ in range(8):
                with handles[number % 4].lock("nightly", ttl=60, wait=30):
                    state["inside"] += 1
                    seen = state["counter"]
                    assert state["inside"] == 1, "two threads were inside at once"
                    state["counter"] = seen + 1
                    state["inside"] -= 1

        background.together(*(lambda n=n: work(n) for n in range(6)))
        assert state["counter"] == 48
