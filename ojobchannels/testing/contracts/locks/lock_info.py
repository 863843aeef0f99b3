"""What people are told: who holds a lock, since when, until when; and how they put one out."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import InvalidValue, LockBusy
from ojobchannels.hookspecs import Busy
from ojobchannels.testing.contracts.base import Contract
from ojobchannels.testing.contracts.locks.requests import OTHER, ask
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.kit.time_control import TimeControl


class LockInfoContract(Contract):
    """`lock_info`, `locks`, `force_unlock`, LockBusy, and `previous`."""

    def test_a_free_lock_has_nothing_to_tell(self, channel: Channel) -> None:
        """One that was never taken, and one that was released."""
        assert channel.lock_info("never taken") is None
        channel.lock("nightly", ttl=60).release()
        assert channel.lock_info("nightly") is None
        assert channel.locks() == []

    def test_lock_info_tells_holder_and_fence(self, subject: Subject) -> None:
        """Whoever asks; host, pid and thread are told by themselves."""
        channel, other = subject.open(), subject.open()
        lease = channel.lock("nightly", ttl=60, holder={"job": "report"})
        info = other.lock_info("nightly")
        assert info is not None
        assert (info.name, info.fence) == ("nightly", lease.fence)
        assert info.holder["job"] == "report"
        assert (info.holder["host"], info.holder["pid"]) == (socket.gethostname(), os.getpid())
        assert "thread" in info.holder

    def test_a_holder_may_tell_any_json(self, channel: Channel) -> None:
        """It comes back as it went in, also from `locks` and a refusal."""
        told = {"é": {"n": [1, None, 2**53 + 1, []]}, "a.b": {}, "$x": "\0", "f": 1.0}
        channel.lock("nightly", ttl=60, holder=told)
        refused = ask(channel, token=OTHER)
        holders = [info.holder for info in channel.locks()] + [refused.holder]
        for holder in holders:
            assert repr({name: holder[name] for name in told}) == repr(told)

    @pytest.mark.parametrize("holder", [{"n": 2**70}, {1: 2}, {"n": object()}], ids="012")
    def test_a_holder_that_is_not_json_is_refused(self, channel: Channel, holder: Any) -> None:
        """Before the lock is taken."""
        with pytest.raises(InvalidValue):
            channel.lock("nightly", ttl=60, holder=holder)
        assert channel.lock_info("nightly") is None

    def test_lock_info_tells_since_and_until(self, channel: Channel, timing: TimeControl) -> None:
        """In milliseconds since 1970, UTC; `since` stays, `until` follows an extend."""
        lease = channel.lock("nightly", ttl=60)
        granted = timing.wall()
        timing.advance(0.3)
        lease.extend(90)
        renewed = timing.wall()
        info = channel.lock_info("nightly")
        assert info is not None
        assert isinstance(info.since, int)
        assert isinstance(info.until, int)
        assert abs(info.since / 1000 - granted) <= timing.slack
        assert abs(info.until / 1000 - renewed - 90) <= timing.slack

    def test_looking_changes_nothing(self, subject: Subject, timing: TimeControl) -> None:
        """However often people look, the lease ends when it ends."""
        channel, other = subject.open(), subject.open()
        ask(channel, ttl=timing.short)
        timing.advance(timing.short / 2)
        for _ in range(3):
            other.lock_info("nightly")
            other.locks()
        timing.advance(timing.short / 2)
        assert other.lock_info("nightly") is None
        assert other.lock_info("other") is None
        assert other.locks() == []

    def test_what_is_told_is_the_callers_own(self, channel: Channel) -> None:
        """Changing it changes nothing that others are told."""
        told: dict[str, Any] = {"list": [1]}
        channel.lock("nightly", ttl=60, holder=told)
        told["list"].append("spoiled")
        for holder in (
            channel.locks()[0].holder,
            ask(channel, token=OTHER).holder,
            (channel.lock_info("nightly") or channel.locks()[0]).holder,
        ):
            holder["list"].append("spoiled")
            holder["spoiled"] = True
        info = channel.lock_info("nightly")
        assert info is not None
        assert info.holder["list"] == [1]
        assert "spoiled" not in info.holder

    def test_locks_tells_of_all_that_are_held(self, subject: Subject) -> None:
        """And of none that is free; each as `lock_info` tells of it."""
        channel, other = subject.open(), subject.open()
        leases = [channel.lock(f"lock {n}", ttl=60) for n in range(12)]
        for lease in leases[::3]:
            lease.release()
        held = [lease.name for number, lease in enumerate(leases) if number % 3]
        infos = {info.name: info for info in other.locks()}
        assert sorted(infos) == sorted(held)
        for name, info in infos.items():
            one = other.lock_info(name)
            assert one is not None
            assert (info.fence, info.holder, info.since) == (one.fence, one.holder, one.since)

    def test_busy_says_who_holds_it_and_for_how_long(
        self, subject: Subject, timing: TimeControl
    ) -> None:
        """As attributes, and in the message together with what to do."""
        channel, other = subject.open(), subject.open()
        channel.lock("nightly", ttl=60, holder={"job": "report"})
        timing.advance(0.2)
        with pytest.raises(LockBusy) as refused:
            other.lock("nightly", ttl=1)
        busy = refused.value
        assert (busy.channel, busy.name) == (other.name, "nightly")
        assert busy.remaining == pytest.approx(59.8, abs=timing.slack)
        for part in ("'nightly'", "job report", f"pid {os.getpid()}", "force_unlock"):
            assert part in str(busy)

    def test_a_refusal_tells_what_remains_in_milliseconds(
        self, channel: Channel, timing: TimeControl
    ) -> None:
        """A whole number that others may wait for; it runs down."""
        fence = ask(channel, ttl=60).fence
        timing.advance(0.5)
        answer = ask(channel, token=OTHER)
        assert isinstance(answer, Busy)
        assert answer.fence == fence
        assert isinstance(answer.remaining, int)
        assert answer.remaining / 1000 == pytest.approx(59.5, abs=timing.slack)

    def test_force_unlock_tells_whom_it_put_out(self, subject: Subject) -> None:
        """As `lock_info` would have; and None for a free lock."""
        channel, admin = subject.open(), subject.open()
        assert admin.force_unlock("nightly") is None
        channel.lock("nightly", ttl=60, holder={"job": "report"})
        info = channel.lock_info("nightly")
        put_out = admin.force_unlock("nightly")
        assert put_out is not None
        assert info is not None
        assert put_out[:4] == info[:4]
        assert admin.force_unlock("nightly") is None

    def test_force_unlock_frees_the_lock_for_the_next(self, subject: Subject) -> None:
        """Whom it put out can neither extend nor unlock; the next one's fence is higher."""
        channel, admin = subject.open(), subject.open()
        lease = channel.lock("nightly", ttl=60)
        admin.force_unlock("nightly")
        assert admin.lock_info("nightly") is None
        assert channel.hook.extend(name="nightly", token=lease.token, ttl=60_000) is False
        with admin.lock("nightly", ttl=60) as current:
            assert current.fence > lease.fence
            assert channel.hook.unlock(name="nightly", token=lease.token) is False
            current.extend()

    def test_force_unlock_leaves_other_locks_alone(self, channel: Channel) -> None:
        """It frees the one that it names."""
        leases = [channel.lock(name, ttl=60) for name in ("a", "b", "A", "a ")]
        channel.force_unlock("a")
        assert sorted(info.name for info in channel.locks()) == ["A", "a ", "b"]
        for lease in leases[1:]:
            lease.release()

    def test_a_lease_tells_of_the_holder_that_never_unlocked(
        self, channel: Channel, timing: TimeControl
    ) -> None:
        """`previous` is its document, with its fence."""
        first = channel.lock("nightly", ttl=timing.short, holder={"job": "report"})
        timing.expire(first)
        second = channel.lock("nightly", ttl=60)
        assert second.previous is not None
        assert second.previous["job"] == "report"
        assert second.previous["fence"] == first.fence
        assert second.previous["pid"] == os.getpid()

    def test_a_lease_tells_of_nobody_after_an_unlock(
        self, channel: Channel, timing: TimeControl
    ) -> None:
        """The first lease has no previous, nor has one after a release; a loss is told once."""
        expired = channel.lock("nightly", ttl=timing.short)
        assert expired.previous is None
        timing.expire(expired)
        second = channel.lock("nightly", ttl=60)
        assert second.previous is not None
        second.release()
        with channel.lock("nightly", ttl=60) as third:
            assert third.previous is None

    def test_a_lease_tells_of_the_holder_that_was_put_out(self, channel: Channel) -> None:
        """It never unlocked either."""
        first = channel.lock("nightly", ttl=60, holder={"job": "report"})
        channel.force_unlock("nightly")
        second = channel.lock("nightly", ttl=60)
        assert second.previous is not None
        assert (second.previous["job"], second.previous["fence"]) == ("report", first.fence)
