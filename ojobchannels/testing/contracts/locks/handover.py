"""Hand-over: a lease moves by its document, or is shared with a child process (rule 9)."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import InvalidOption, LockLost
from ojobchannels.hookspecs import Adopted
from ojobchannels.testing.contracts.base import Contract, requires, without
from ojobchannels.testing.contracts.locks.requests import OTHER, TOKEN, ask
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.kit.time_control import TimeControl


class HandoverContract(Contract):
    """`to_document`, `lease_from` and `share`, and the hooks `adopt` and `share`."""

    def test_to_document_detaches_the_lease(self, subject: Subject) -> None:
        """The document is JSON, and the original lease cannot be used any more."""
        channel, other = subject.open(), subject.open()
        with channel.lock("nightly", ttl=60) as lease:
            document = lease.to_document()
            assert json.loads(json.dumps(document)) == document
            assert (lease.held, lease.remaining()) == (False, 0)
            for attempt in (lease.check, lease.extend, lease.to_document, lease.share):
                with pytest.raises(LockLost, match="handed over"):
                    attempt()
        lease.release()
        assert other.try_lock("nightly", ttl=1) is None

    def test_a_detached_lease_survives_its_channel(self, subject: Subject) -> None:
        """Closing the handle does not release it."""
        channel, other = subject.open(), subject.open()
        document = channel.lock("nightly", ttl=60).to_document()
        channel.close()
        assert other.try_lock("nightly", ttl=1) is None
        other.lease_from(document).release()

    def test_a_detached_lease_ends_with_its_ttl(
        self, subject: Subject, timing: TimeControl
    ) -> None:
        """It expires if no process adopts it."""
        channel, other = subject.open(), subject.open()
        lease = channel.lock("nightly", ttl=timing.short)
        lease.to_document()
        channel.close()
        timing.advance(lease.ttl)
        assert other.lock_info("nightly") is None
        with other.lock("nightly", ttl=60) as current:
            assert current.fence > lease.fence

    def test_lease_from_adopts_a_valid_lease(self, subject: Subject, timing: TimeControl) -> None:
        """With the same fence and ttl, and the remaining time."""
        channel, other = subject.open(), subject.open()
        lease = channel.lock("nightly", ttl=60)
        document = json.loads(json.dumps(lease.to_document()))
        timing.advance(0.3)
        adopted = other.lease_from(document)
        assert (adopted.fence, adopted.ttl, adopted.name) == (lease.fence, 60, "nightly")
        assert adopted.remaining() <= 59.7 - 0.6 + 0.002
        assert adopted.remaining() == pytest.approx(59.7 - 0.6, abs=timing.slack)
        channel.close()
        adopted.extend()
        with adopted:
            adopted.check()
        assert other.lock_info("nightly") is None

    def test_lock_info_shows_the_new_holder(self, subject: Subject) -> None:
        """Until a lease is adopted, `lock_info` shows the old holder."""
        channel, other = subject.open(), subject.open()
        lease = channel.lock("nightly", ttl=60, holder={"job": "report"})
        document = lease.to_document()
        info = other.lock_info("nightly")
        assert info is not None
        assert info.holder["job"] == "report"
        assert info.fence == lease.fence
        other.lease_from(document)
        info = channel.lock_info("nightly")
        assert info is not None
        assert info.holder["pid"] == os.getpid()

    def test_closing_the_adopting_channel_releases_the_lease(self, subject: Subject) -> None:
        """An adopted lease belongs to the handle that adopted it."""
        channel, other = subject.open(), subject.open()
        document = channel.lock("nightly", ttl=60).to_document()
        other.lease_from(document)
        other.close()
        assert channel.lock_info("nightly") is None

    def test_an_adopted_lease_can_be_handed_over_again(self, subject: Subject) -> None:
        """With the same fence."""
        channel = subject.open()
        lease = channel.lock("nightly", ttl=60)
        fence = lease.fence
        for _ in range(3):
            lease = subject.open().lease_from(lease.to_document())
            assert lease.fence == fence
        lease.release()
        assert channel.lock_info("nightly") is None

    def test_adopt_returns_fence_ttl_and_remaining_time(
        self, channel: Channel, timing: TimeControl
    ) -> None:
        """In milliseconds; the deadline stays the same."""
        fence = ask(channel, ttl=60).fence
        timing.advance(0.5)
        for holder in (None, {"n": 2}):
            result = channel.hook.adopt(name="nightly", token=TOKEN, holder=holder)
            assert isinstance(result, Adopted)
            assert (result.fence, result.ttl) == (fence, 60_000)
            assert result.remaining / 1000 == pytest.approx(59.5, abs=timing.slack)

    def test_adopt_returns_the_last_ttl(self, channel: Channel) -> None:
        """After an extend, the ttl of the extend."""
        ask(channel, ttl=60)
        channel.hook.extend(name="nightly", token=TOKEN, ttl=90_000)
        result = channel.hook.adopt(name="nightly", token=TOKEN, holder={})
        assert isinstance(result, Adopted)
        assert result.ttl == 90_000

    def test_adopt_with_another_token_is_refused(self, subject: Subject) -> None:
        """It changes nothing."""
        channel, other = subject.open(), subject.open()
        ask(channel)
        for token in (OTHER, "", TOKEN.upper()):
            assert other.hook.adopt(name="nightly", token=token, holder={}) is False
        assert other.hook.adopt(name="other", token=TOKEN, holder={}) is False
        info = other.lock_info("nightly")
        assert info is not None
        assert info.holder == {"n": 1}
        assert channel.hook.unlock(name="nightly", token=TOKEN) is True

    @pytest.mark.parametrize("end", ["expired", "evicted", "taken by another"])
    def test_lease_from_refuses_a_lease_that_has_ended(
        self, subject: Subject, timing: TimeControl, end: str
    ) -> None:
        """It is never revived, and the present holder keeps the lock."""
        channel = subject.open()
        lease = channel.lock("nightly", ttl=timing.short)
        document = lease.to_document()
        if end == "evicted":
            channel.force_unlock("nightly")
        else:
            timing.advance(lease.ttl)
        current = channel.lock("nightly", ttl=60) if end == "taken by another" else None
        with pytest.raises(LockLost) as lost:
            channel.lease_from(document)
        assert lost.value.fence == lease.fence
        if current:
            current.release()
        assert channel.lock_info("nightly") is None

    def test_to_document_of_an_evicted_lease_is_refused(self, channel: Channel) -> None:
        """LockLost is raised, and the lease is lost."""
        lease = channel.lock("nightly", ttl=60)
        channel.force_unlock("nightly")
        with pytest.raises(LockLost):
            lease.to_document()
        assert lease.lost

    @pytest.mark.parametrize("document", [{}, {"name": "nightly"}, None, 7, "text", []], ids=repr)
    def test_lease_from_refuses_other_documents(self, channel: Channel, document: Any) -> None:
        """InvalidOption names `to_document`."""
        with pytest.raises(InvalidOption, match="to_document"):
            channel.lease_from(document)

    def test_lease_from_refuses_a_document_of_another_channel(self, subject: Subject) -> None:
        """The same lock name in another channel is another lock."""
        channel, other = subject.open(), subject.open(f"{subject.name}-other")
        document = channel.lock("nightly", ttl=60).to_document()
        with pytest.raises(InvalidOption, match="belongs to channel"):
            other.lease_from(document)
        channel.lease_from(document).release()

    def test_share_of_a_lease_that_has_ended_is_refused(self, channel: Channel) -> None:
        """A child must not start under a released or evicted lease."""
        released, evicted = channel.lock("released", ttl=60), channel.lock("evicted", ttl=60)
        released.release()
        channel.force_unlock("evicted")
        for lease in (released, evicted):
            with pytest.raises(LockLost):
                lease.share()
        assert evicted.lost

    def test_share_with_another_token_is_refused(self, channel: Channel) -> None:
        """The hook returns False, not a list."""
        ask(channel)
        assert channel.hook.share(name="nightly", token=OTHER) is False
        assert channel.hook.share(name="other", token=TOKEN) is False

    @without("crash_release")
    def test_share_returns_nothing_without_crash_release(self, channel: Channel) -> None:
        """The list is empty; only the ttl and the release end the lease."""
        with channel.lock("nightly", ttl=60) as lease:
            assert lease.share() == []

    @requires("crash_release")
    def test_a_shared_lease_can_be_extended_and_shared_again(self, channel: Channel) -> None:
        """Sharing changes only whose death releases the lock."""
        with channel.lock("nightly", ttl=60) as lease:
            assert len(lease.share()) >= 1
            assert lease.share() == lease.share()
            lease.extend(90)
            lease.check()
        assert channel.lock_info("nightly") is None
