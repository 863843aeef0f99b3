"""Lock info: the holder of a lock, since when, until when, and how to evict it."""

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
from ojobchannels.testing.kit import rivals
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.kit.time_control import TimeControl


class LockInfoContract(Contract):
    """`lock_info`, `locks`, `force_unlock`, LockBusy, and `previous`."""

    def test_a_free_lock_has_no_lock_info(self, channel: Channel) -> None:
        """Whether it was never taken or was released."""
        assert channel.lock_info("never taken") is None
        channel.lock("nightly", ttl=60).release()
        assert channel.lock_info("nightly") is None
        assert channel.locks() == []

    def test_lock_info_has_holder_and_fence(self, subject: Subject) -> None:
        """On each handle; host, pid and thread are added to the holder document."""
        channel, other = subject.open(), subject.open()
        lease = channel.lock("nightly", ttl=60, holder={"job": "report"})
        info = other.lock_info("nightly")
        assert info is not None
        assert (info.name, info.fence) == ("nightly", lease.fence)
        assert info.holder["job"] == "report"
        assert (info.holder["host"], info.holder["pid"]) == (socket.gethostname(), os.getpid())
        assert "thread" in info.holder

    def test_a_holder_document_may_be_any_map(self, channel: Channel) -> None:
        """It comes back unchanged from `lock_info`, `locks` and a refusal."""
        document = {"é": {"n": [1, None, 2**53 + 1, []]}, "a.b": {}, "$x": "\0", "f": 1.0}
        channel.lock("nightly", ttl=60, holder=document)
        refused = ask(channel, token=OTHER)
        holders = [info.holder for info in channel.locks()] + [refused.holder]
        for holder in holders:
            assert repr({name: holder[name] for name in document}) == repr(document)

    @pytest.mark.parametrize("holder", [{"n": 2**70}, {1: 2}, {"n": object()}], ids="012")
    def test_a_holder_that_is_not_json_is_refused(self, channel: Channel, holder: Any) -> None:
        """Before the lock is taken."""
        with pytest.raises(InvalidValue):
            channel.lock("nightly", ttl=60, holder=holder)
        assert channel.lock_info("nightly") is None

    def test_lock_info_has_since_and_until(self, channel: Channel, timing: TimeControl) -> None:
        """In ms since 1970, UTC; `since` stays, and `until` changes with an extend."""
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

    def test_lock_info_does_not_affect_leases(self, subject: Subject, timing: TimeControl) -> None:
        """A lease expires at its end, however often it is looked at."""
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

    def test_holder_documents_are_copies(self, channel: Channel) -> None:
        """Changing one does not change what others get."""
        document: dict[str, Any] = {"list": [1]}
        channel.lock("nightly", ttl=60, holder=document)
        document["list"].append("spoiled")
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

    def test_locks_lists_all_held_locks(self, subject: Subject) -> None:
        """Without free locks, and each as `lock_info` returns it."""
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

    def test_lock_busy_names_the_holder_and_the_remaining_time(
        self, subject: Subject, timing: TimeControl
    ) -> None:
        """As attributes, and in the message, which says what to do."""
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

    def test_a_refusal_has_the_remaining_milliseconds(
        self, channel: Channel, timing: TimeControl
    ) -> None:
        """As an integer, which decreases."""
        fence = ask(channel, ttl=60).fence
        timing.advance(0.5)
        result = ask(channel, token=OTHER)
        assert isinstance(result, Busy)
        assert result.fence == fence
        assert isinstance(result.remaining, int)
        assert result.remaining / 1000 == pytest.approx(59.5, abs=timing.slack)

    def test_force_unlock_returns_the_evicted_holder(self, subject: Subject) -> None:
        """As `lock_info` returns it, or None for a free lock."""
        channel, admin = subject.open(), subject.open()
        assert admin.force_unlock("nightly") is None
        channel.lock("nightly", ttl=60, holder={"job": "report"})
        info = channel.lock_info("nightly")
        evicted = admin.force_unlock("nightly")
        assert evicted is not None
        assert info is not None
        assert evicted[:4] == info[:4]
        assert admin.force_unlock("nightly") is None

    def test_force_unlock_frees_the_lock(self, subject: Subject) -> None:
        """The evicted holder cannot extend or unlock, and the next fence is higher."""
        channel, admin = subject.open(), subject.open()
        lease = channel.lock("nightly", ttl=60)
        admin.force_unlock("nightly")
        assert admin.lock_info("nightly") is None
        assert channel.hook.extend(name="nightly", token=lease.token, ttl=60_000) is False
        with admin.lock("nightly", ttl=60) as current:
            assert current.fence > lease.fence
            assert channel.hook.unlock(name="nightly", token=lease.token) is False
            current.extend()

    def test_force_unlock_does_not_affect_other_locks(self, channel: Channel) -> None:
        """It frees only the named lock."""
        leases = [channel.lock(name, ttl=60) for name in ("a", "b", "A", "a ")]
        channel.force_unlock("a")
        assert sorted(info.name for info in channel.locks()) == ["A", "a ", "b"]
        for lease in leases[1:]:
            lease.release()

    def test_previous_names_a_holder_that_never_unlocked(
        self, channel: Channel, timing: TimeControl
    ) -> None:
        """Its holder document, with its fence."""
        first = channel.lock("nightly", ttl=timing.short, holder={"job": "report"})
        timing.expire(first)
        second = channel.lock("nightly", ttl=60)
        assert second.previous is not None
        assert second.previous["job"] == "report"
        assert second.previous["fence"] == first.fence
        assert second.previous["pid"] == os.getpid()

    def test_no_previous_holder_is_reported_after_an_unlock(
        self, channel: Channel, timing: TimeControl
    ) -> None:
        """Also for the first lease; a loss is reported once."""
        expired = channel.lock("nightly", ttl=timing.short)
        assert expired.previous is None
        timing.expire(expired)
        second = channel.lock("nightly", ttl=60)
        assert second.previous is not None
        second.release()
        with channel.lock("nightly", ttl=60) as third:
            assert third.previous is None

    def test_looking_at_an_expired_lock_changes_nothing(
        self, subject: Subject, timing: TimeControl
    ) -> None:
        """Nor does a late operation: the next holder still gets the previous one, and its fence."""
        channel, other = subject.open(), subject.open()
        fence = ask(channel, ttl=timing.short).fence
        timing.advance(timing.short)
        for handle in (other, channel):
            assert handle.lock_info("nightly") is None
            assert handle.locks() == []
            assert handle.force_unlock("nightly") is None
            for operation in ("unlock", "extend", "extend_all", "adopt", "share"):
                assert rivals.perform(handle, operation, "nightly") is False
        granted = ask(other, token=OTHER)
        assert granted.fence > fence
        assert granted.previous == {"n": 1, "fence": fence}

    def test_previous_names_an_evicted_holder(self, channel: Channel) -> None:
        """An evicted holder has not unlocked either."""
        first = channel.lock("nightly", ttl=60, holder={"job": "report"})
        channel.force_unlock("nightly")
        second = channel.lock("nightly", ttl=60)
        assert second.previous is not None
        assert (second.previous["job"], second.previous["fence"]) == ("report", first.fence)
