"""Retries: a request with the same token returns the same lease (rule 3)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import OutcomeUnknown
from ojobchannels.hookspecs import Granted, hookimpl
from ojobchannels.testing.contracts.base import Contract
from ojobchannels.testing.contracts.locks.requests import TOKEN, ask
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.kit.time_control import TimeControl


class RetryContract(Contract):
    """A request that is sent twice makes no second lease."""

    def test_a_retry_returns_the_same_fence(self, subject: Subject) -> None:
        """A request with the same token, on any handle, makes no second lease."""
        one, other = subject.open(), subject.open()
        first = ask(one)
        for handle in (one, other, one):
            assert ask(handle).fence == first.fence
        assert one.hook.unlock(name="nightly", token=TOKEN) is True
        assert one.lock_info("nightly") is None

    def test_a_retry_keeps_the_deadline(self, channel: Channel, timing: TimeControl) -> None:
        """Another ttl in it has no effect."""
        ask(channel, ttl=60)
        before = channel.lock_info("nightly")
        for ttl in (600, 1):
            assert isinstance(ask(channel, ttl=ttl), Granted)
        after = channel.lock_info("nightly")
        assert before is not None
        assert after is not None
        assert abs(after.until - before.until) <= timing.slack * 1000

    def test_after_unlock_the_same_token_gets_a_new_lease(self, channel: Channel) -> None:
        """With a higher fence."""
        first = ask(channel)
        channel.hook.unlock(name="nightly", token=TOKEN)
        assert ask(channel).fence > first.fence

    def test_after_expiry_the_same_token_gets_a_new_lease(
        self, channel: Channel, timing: TimeControl
    ) -> None:
        """With a higher fence."""
        first = ask(channel, ttl=timing.short)
        timing.advance(timing.short)
        assert ask(channel).fence > first.fence

    def test_after_force_unlock_the_same_token_gets_a_new_lease(self, subject: Subject) -> None:
        """With a higher fence, whichever handle evicted the holder."""
        channel, other = subject.open(), subject.open()
        first = ask(channel)
        other.force_unlock("nightly")
        assert ask(channel).fence > first.fence

    def test_a_lock_with_unknown_outcome_is_unlocked(self, subject: Subject) -> None:
        """If the reply is lost, the lock is not left without a holder."""

        class LosesTheReply:
            @hookimpl(wrapper=True)
            def lock(self) -> Iterator[None]:
                yield
                raise OutcomeUnknown("test", "lock", "ask again")

        channel, other = subject.open(extensions=[LosesTheReply()]), subject.open()
        with pytest.raises(OutcomeUnknown):
            channel.lock("nightly", ttl=60)
        with other.lock("nightly", ttl=60):
            pass

    def test_tokens_are_random_and_new_for_every_lease(self, channel: Channel) -> None:
        """Each has 128 bits."""
        tokens = set()
        for _ in range(20):
            with channel.lock("nightly", ttl=30) as lease:
                tokens.add(lease.token)
                assert 0 <= int(lease.token, 16) < 2**128
        assert len(tokens) == 20
