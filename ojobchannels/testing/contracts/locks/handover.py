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
    """`to_document`, `lease_from`, `share`, and the hooks beneath: `adopt` and `share`."""

    def test_to_document_detaches_the_lease(self, subject: Subject) -> None:
        """The document is JSON; the lease it came from does nothing any more."""
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

    def test_a_detached_lease_outlives_its_channel(self, subject: Subject) -> None:
        """Closing the handle does not free it."""
        channel, other = subject.open(), subject.open()
        document = channel.lock("nightly", ttl=60).to_document()
        channel.close()
        assert other.try_lock("nightly", ttl=1) is None
        other.lease_from(document).release()

    def test_a_detached_lease_ends_with_its_ttl(
        self, subject: Subject, timing: TimeControl
    ) -> None:
        """By itself."""
        channel, other = subject.open(), subject.open()
        lease = channel.lock("nightly", ttl=timing.short)
        lease.to_document()
        channel.close()
        timing.advance(lease.ttl)
        assert other.lock_info("nightly") is None
        with other.lock("nightly", ttl=60) as current:
            assert current.fence > lease.fence

    def test_lease_from_takes_it_over_while_it_lives(
        self, subject: Subject, timing: TimeControl
    ) -> None:
        """Same fence, same ttl, what is left of the time; then it is the new owner's."""
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

    def test_people_are_told_of_the_new_owner(self, subject: Subject) -> None:
        """While it is on its way, of the old one."""
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

    def test_closing_the_new_owners_channel_releases_the_lease(self, subject: Subject) -> None:
        """An adopted lease is as much the handle's as one that it acquired."""
        channel, other = subject.open(), subject.open()
        document = channel.lock("nightly", ttl=60).to_document()
        other.lease_from(document)
        other.close()
        assert channel.lock_info("nightly") is None

    def test_an_adopted_lease_can_be_handed_on(self, subject: Subject) -> None:
        """From hand to hand, with the same fence."""
        channel = subject.open()
        lease = channel.lock("nightly", ttl=60)
        fence = lease.fence
        for _ in range(3):
            lease = subject.open().lease_from(lease.to_document())
            assert lease.fence == fence
        lease.release()
        assert channel.lock_info("nightly") is None

    def test_adopt_answers_fence_ttl_and_what_remains(
        self, channel: Channel, timing: TimeControl
    ) -> None:
        """In milliseconds; it leaves the deadline."""
        fence = ask(channel, ttl=60).fence
        timing.advance(0.5)
        for holder in (None, {"n": 2}):
            answer = channel.hook.adopt(name="nightly", token=TOKEN, holder=holder)
            assert isinstance(answer, Adopted)
            assert (answer.fence, answer.ttl) == (fence, 60_000)
            assert answer.remaining / 1000 == pytest.approx(59.5, abs=timing.slack)

    def test_adopt_tells_the_ttl_that_was_asked_for_last(self, channel: Channel) -> None:
        """After an extend, that of the extend."""
        ask(channel, ttl=60)
        channel.hook.extend(name="nightly", token=TOKEN, ttl=90_000)
        answer = channel.hook.adopt(name="nightly", token=TOKEN, holder={})
        assert isinstance(answer, Adopted)
        assert answer.ttl == 90_000

    def test_adopt_by_another_token_is_refused(self, subject: Subject) -> None:
        """And changes nothing."""
        channel, other = subject.open(), subject.open()
        ask(channel)
        for token in (OTHER, "", TOKEN.upper()):
            assert other.hook.adopt(name="nightly", token=token, holder={}) is False
        assert other.hook.adopt(name="other", token=TOKEN, holder={}) is False
        info = other.lock_info("nightly")
        assert info is not None
        assert info.holder == {"n": 1}
        assert channel.hook.unlock(name="nightly", token=TOKEN) is True

    @pytest.mark.parametrize("end", ["expired", "put out", "taken by another"])
    def test_lease_from_refuses_a_lease_that_is_over(
        self, subject: Subject, timing: TimeControl, end: str
    ) -> None:
        """It is never revived, and whoever holds the lock by then keeps it."""
        channel = subject.open()
        lease = channel.lock("nightly", ttl=timing.short)
        document = lease.to_document()
        if end == "put out":
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

    def test_to_document_of_a_lease_that_was_put_out_is_refused(self, channel: Channel) -> None:
        """There is nothing to hand over, and the lease is lost."""
        lease = channel.lock("nightly", ttl=60)
        channel.force_unlock("nightly")
        with pytest.raises(LockLost):
            lease.to_document()
        assert lease.lost

    @pytest.mark.parametrize("document", [{}, {"name": "nightly"}, None, 7, "text", []], ids=repr)
    def test_lease_from_says_what_document_it_wants(self, channel: Channel, document: Any) -> None:
        """Anything but what to_document returned is an InvalidOption."""
        with pytest.raises(InvalidOption, match="to_document"):
            channel.lease_from(document)

    def test_lease_from_another_channel_is_told(self, subject: Subject) -> None:
        """The lock of the same name there is another one."""
        channel, other = subject.open(), subject.open(f"{subject.name}-other")
        document = channel.lock("nightly", ttl=60).to_document()
        with pytest.raises(InvalidOption, match="belongs to channel"):
            other.lease_from(document)
        channel.lease_from(document).release()

    def test_share_of_a_lease_that_is_over_is_refused(self, channel: Channel) -> None:
        """A child must not start to work under it: released, or put out."""
        released, put_out = channel.lock("released", ttl=60), channel.lock("put out", ttl=60)
        released.release()
        channel.force_unlock("put out")
        for lease in (released, put_out):
            with pytest.raises(LockLost):
                lease.share()
        assert put_out.lost

    def test_share_by_another_token_is_refused(self, channel: Channel) -> None:
        """The hook answers False, and not a list."""
        ask(channel)
        assert channel.hook.share(name="nightly", token=OTHER) is False
        assert channel.hook.share(name="other", token=TOKEN) is False

    @without("crash_release")
    def test_who_does_not_watch_over_holders_has_nothing_to_share(self, channel: Channel) -> None:
        """The list is empty; only the ttl and the release end the lease."""
        with channel.lock("nightly", ttl=60) as lease:
            assert lease.share() == []

    @requires("crash_release")
    def test_a_shared_lease_can_be_extended_and_shared_again(self, channel: Channel) -> None:
        """Sharing changes nothing but whose life counts."""
        with channel.lock("nightly", ttl=60) as lease:
            assert len(lease.share()) >= 1
            assert lease.share() == lease.share()
            lease.extend(90)
            lease.check()
        assert channel.lock_info("nightly") is None
