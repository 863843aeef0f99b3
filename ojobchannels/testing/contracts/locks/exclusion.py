"""Locks: at most one live lease per name (rule 1)."""

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
    """Acquisition is one atomic step, for every name by itself."""

    def test_a_free_lock_is_granted(self, channel: Channel) -> None:
        """With a fence, and nothing to tell of a holder before."""
        answer = ask(channel)
        assert isinstance(answer, Granted)
        assert answer.fence > 0
        assert answer.previous is None

    def test_a_held_lock_is_refused(self, subject: Subject) -> None:
        """On the same handle as on another."""
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
        """Neither holder, nor fence, nor the time that is left."""
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
        """To anyone, ten times over."""
        handles = [subject.open() for _ in range(2)]
        for turn in range(10):
            lease = handles[turn % 2].lock("nightly", ttl=30)
            assert handles[(turn + 1) % 2].try_lock("nightly", ttl=30) is None
            lease.release()

    def test_a_lock_is_not_reentrant(self, channel: Channel) -> None:
        """Who asks with another token is another, whatever thread or process it is."""
        with channel.lock("nightly", ttl=30, holder={"job": "a"}):
            assert channel.try_lock("nightly", ttl=30, holder={"job": "a"}) is None

    def test_names_are_independent(self, subject: Subject) -> None:
        """Every name is a lock of its own, however odd or long it is, and reads back unchanged."""
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
    def test_of_many_threads_one_gets_it(self, subject: Subject, background: Background) -> None:
        """Eight try at the same moment, on four handles; one is granted it."""
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
    def test_of_many_threads_one_is_inside(self, subject: Subject, background: Background) -> None:
        """They increment a counter under the lock, and lose nothing."""
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
