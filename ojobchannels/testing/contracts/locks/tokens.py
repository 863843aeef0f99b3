"""Tokens: only the token unlocks or extends, and only while the lease is valid (rule 2)."""

from __future__ import annotations

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import LockLost
from ojobchannels.hookspecs import Busy, Granted, LeaseRequest
from ojobchannels.testing.contracts.base import Contract
from ojobchannels.testing.contracts.locks.requests import OTHER, TOKEN, ask
from ojobchannels.testing.kit import rivals
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.kit.time_control import TimeControl


class TokenContract(Contract):
    """Late operations, and operations with another token, change nothing and report that."""

    def test_unlock_with_the_token_frees_the_lock(self, channel: Channel) -> None:
        """It returns True, and False for a second call."""
        ask(channel)
        assert channel.hook.unlock(name="nightly", token=TOKEN) is True
        assert channel.lock_info("nightly") is None
        assert channel.hook.unlock(name="nightly", token=TOKEN) is False

    def test_unlock_with_another_token_changes_nothing(self, subject: Subject) -> None:
        """It returns False, also for similar tokens and the token of another lock."""
        one, other = subject.open(), subject.open()
        granted = ask(one)
        for token in ("", OTHER, TOKEN.upper(), TOKEN[:-1], TOKEN + "a", "*", "%"):
            for handle in (one, other):
                assert handle.hook.unlock(name="nightly", token=token) is False
        assert other.hook.unlock(name="other", token=TOKEN) is False
        info = other.lock_info("nightly")
        assert info is not None
        assert info.fence == granted.fence

    def test_extend_with_another_token_changes_nothing(
        self, subject: Subject, timing: TimeControl
    ) -> None:
        """It returns False."""
        one, other = subject.open(), subject.open()
        ask(one, ttl=60)
        before = one.lock_info("nightly")
        for token in ("", OTHER, TOKEN.upper(), TOKEN[:-1]):
            for handle in (one, other):
                assert handle.hook.extend(name="nightly", token=token, ttl=600_000) is False
                assert handle.hook.extend(name="nightly", token=token, ttl=10) is False
        after = one.lock_info("nightly")
        assert before is not None
        assert after is not None
        assert abs(after.until - before.until) <= timing.slack * 1000

    def test_any_handle_can_unlock_with_the_token(self, subject: Subject) -> None:
        """The token proves ownership, not the connection."""
        one, other = subject.open(), subject.open()
        ask(one)
        assert other.hook.extend(name="nightly", token=TOKEN, ttl=60_000) is True
        assert other.hook.unlock(name="nightly", token=TOKEN) is True
        assert one.lock_info("nightly") is None

    def test_an_expired_lock_is_free(self, subject: Subject, timing: TimeControl) -> None:
        """For each client, without a clean-up."""
        one, other = subject.open(), subject.open()
        ask(one, ttl=timing.short)
        timing.advance(timing.short)
        assert other.lock_info("nightly") is None
        assert one.locks() == []
        assert isinstance(ask(other, token=OTHER), Granted)

    def test_a_late_unlock_changes_nothing(self, subject: Subject, timing: TimeControl) -> None:
        """It returns False, and the next holder keeps the lock."""
        one, other = subject.open(), subject.open()
        late = one.lock("nightly", ttl=timing.short)
        timing.expire(late)
        current = other.lock("nightly", ttl=60)
        assert one.hook.unlock(name="nightly", token=late.token) is False
        with pytest.raises(LockLost):
            late.release()
        info = one.lock_info("nightly")
        assert info is not None
        assert info.fence == current.fence
        current.release()

    def test_a_late_unlock_of_a_free_lock_returns_false(
        self, channel: Channel, timing: TimeControl
    ) -> None:
        """The lease had expired, even if no other process took the lock."""
        ask(channel, ttl=timing.short)
        timing.advance(timing.short)
        assert channel.hook.unlock(name="nightly", token=TOKEN) is False

    def test_a_late_extend_never_revives_a_lease(
        self, subject: Subject, timing: TimeControl
    ) -> None:
        """Whether the lock is free by then or taken."""
        one, other = subject.open(), subject.open()
        ask(one, ttl=timing.short)
        timing.advance(timing.short)
        assert one.hook.extend(name="nightly", token=TOKEN, ttl=60_000) is False
        assert other.lock_info("nightly") is None
        with other.lock("nightly", ttl=60) as current:
            assert one.hook.extend(name="nightly", token=TOKEN, ttl=60_000) is False
            current.extend()

    @pytest.mark.parametrize("end", ["unlock", "force_unlock", "expiry"])
    def test_the_token_of_an_ended_lease_does_nothing_to_the_next(
        self, subject: Subject, timing: TimeControl, end: str
    ) -> None:
        """Also if it has unlocked before, on each handle, for each operation, repeatedly."""
        one, other = subject.open(), subject.open()
        ask(one, ttl=timing.short)
        if end == "unlock":
            assert rivals.unlock(one, "nightly") is True
        elif end == "force_unlock":
            other.force_unlock("nightly")
        else:
            timing.advance(timing.short)
        fence = ask(other, token=OTHER).fence
        for operation in ("unlock", "extend", "extend_all", "adopt", "share", "unlock"):
            for handle in (one, other):
                assert rivals.perform(handle, operation, "nightly", TOKEN) is False, operation
                info = one.lock_info("nightly")
                assert info is not None, f"{operation} freed the lock of the next holder"
                assert info.fence == fence
                assert info.until / 1000 - timing.wall() < 60 + timing.slack
        assert rivals.unlock(other, "nightly", OTHER) is True

    def test_a_token_of_two_locks_is_two_leases(self, subject: Subject) -> None:
        """Unlocking one leaves the other."""
        one, other = subject.open(), subject.open()
        for name in ("a", "b"):
            ask(one, name=name)
        assert rivals.unlock(other, "a") is True
        assert rivals.extend(one, "a") is False
        assert [info.name for info in one.locks()] == ["b"]
        assert rivals.extend(other, "b") is True

    def test_extend_of_an_unlocked_lease_is_refused(self, channel: Channel) -> None:
        """It does not take the lock again."""
        ask(channel)
        channel.hook.unlock(name="nightly", token=TOKEN)
        assert channel.hook.extend(name="nightly", token=TOKEN, ttl=60_000) is False
        assert channel.hook.extend(name="never taken", token=TOKEN, ttl=60_000) is False
        assert channel.locks() == []

    def test_extend_sets_the_remaining_time(self, channel: Channel, timing: TimeControl) -> None:
        """To the ttl from now, which can be longer or shorter."""
        ask(channel, ttl=60)
        for ttl in (600, 30, 90):
            assert channel.hook.extend(name="nightly", token=TOKEN, ttl=ttl * 1000) is True
            info = channel.lock_info("nightly")
            assert info is not None
            assert abs(info.until / 1000 - timing.wall() - ttl) <= timing.slack

    def test_a_shortened_lease_ends_early(self, subject: Subject, timing: TimeControl) -> None:
        """At the end that the extend set."""
        one, other = subject.open(), subject.open()
        ask(one, ttl=3600)
        short = round(timing.short * 1000)
        assert one.hook.extend(name="nightly", token=TOKEN, ttl=short) is True
        timing.advance(timing.short)
        assert isinstance(ask(other, token=OTHER), Granted)

    def test_extend_holds_a_lease_beyond_its_first_end(
        self, subject: Subject, timing: TimeControl
    ) -> None:
        """With the same fence, for the same holder."""
        one, other = subject.open(), subject.open()
        granted = ask(one, ttl=timing.short)
        assert one.hook.extend(name="nightly", token=TOKEN, ttl=60_000) is True
        timing.advance(timing.short)
        refused = ask(other, token=OTHER)
        assert isinstance(refused, Busy)
        assert refused.fence == granted.fence

    def test_extend_all_extends_each_lease_independently(
        self, channel: Channel, timing: TimeControl
    ) -> None:
        """Each gets its own ttl and its own result, also after one that has ended."""
        leases = [channel.lock(f"lock {n}", ttl=60) for n in range(5)]
        leases[1].release()
        channel.force_unlock("lock 3")
        requests = [
            LeaseRequest(one.name, one.token, (n + 10) * 60_000) for n, one in enumerate(leases)
        ]
        requests.append(LeaseRequest("lock 0", OTHER, 10))
        results = channel.hook.extend_all(leases=requests, timeout=5000)
        assert results == [True, False, True, False, True, False]
        left = {info.name: info.until / 1000 - timing.wall() for info in channel.locks()}
        assert left == {
            f"lock {n}": pytest.approx((n + 10) * 60, abs=timing.slack) for n in (0, 2, 4)
        }

    def test_extend_all_of_nothing_returns_an_empty_list(self, channel: Channel) -> None:
        """An empty list needs no request."""
        assert channel.hook.extend_all(leases=[], timeout=1000) == []
