"""Deadlines, to the microsecond: however one was set, and whatever judges it (rule 4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.hookspecs import Busy, LeaseRequest
from ojobchannels.testing.clock import ManualClock
from ojobchannels.testing.contracts.base import Contract, requires
from ojobchannels.testing.contracts.locks.requests import OTHER, TOKEN, ask
from ojobchannels.testing.kit import rivals
from ojobchannels.testing.kit.subject import Subject

_MICROSECOND: Final = 1e-6
Call: TypeAlias = Callable[[Channel, str], Any]

# Each sets the end of a lease to ten seconds from now.
_SET: Final[dict[str, Call]] = {
    "lock": lambda channel, name: ask(channel, TOKEN, 10, name),
    "a retry": lambda channel, name: [ask(channel, TOKEN, ttl, name) for ttl in (10, 99, 1)],
    "extend": lambda channel, name: [ask(channel, TOKEN, 5, name), _extend(channel, name)],
    "a shorter extend": lambda channel, name: [
        ask(channel, TOKEN, 99, name),
        _extend(channel, name),
    ],
    "extend_all": lambda channel, name: [
        ask(channel, TOKEN, 5, name),
        channel.hook.extend_all(leases=[LeaseRequest(name, TOKEN, 10_000)], timeout=5000),
    ],
    "adopt": lambda channel, name: [ask(channel, TOKEN, 10, name), rivals.adopt(channel, name)],
    "detach": lambda channel, name: [
        ask(channel, TOKEN, 10, name),
        channel.hook.adopt(name=name, token=TOKEN, holder=None),
    ],
    "share": lambda channel, name: [ask(channel, TOKEN, 10, name), rivals.share(channel, name)],
}
# Each returns whether the lease is valid.
_JUDGE: Final[dict[str, Call]] = {
    "lock": lambda channel, name: isinstance(ask(channel, OTHER, 10, name), Busy),
    "extend": rivals.extend,
    "extend_all": rivals.extend_all,
    "unlock": rivals.unlock,
    "adopt": rivals.adopt,
    "share": rivals.share,
    "lock_info": lambda channel, name: channel.lock_info(name) is not None,
    "locks": lambda channel, name: name in [info.name for info in channel.locks()],
    "force_unlock": lambda channel, name: channel.force_unlock(name) is not None,
}


@requires("clock")
class DeadlineContract(Contract):
    """Until its last microsecond a lease is valid, and then it has expired, for every operation."""

    @pytest.mark.parametrize("how", _SET)
    def test_every_operation_judges_a_deadline_exactly(
        self, subject: Subject, clock: ManualClock, how: str
    ) -> None:
        """On the handle of the holder and on another, however the deadline was set."""
        channel, other = subject.open(), subject.open()
        for handle in (channel, other):
            _set_and_judge(channel, handle, clock, how)

    @pytest.mark.parametrize("step", [3600, -3600], ids=["forward", "back"])
    def test_a_step_of_the_wall_clock_changes_no_deadline(
        self, subject: Subject, clock: ManualClock, step: int
    ) -> None:
        """For no operation, however the deadline was set before the step."""
        with subject.open() as channel:
            for how in _SET:
                _set_and_judge(channel, channel, clock, how, step)

    @pytest.mark.parametrize("days", [1, 50, 36_500])
    def test_a_long_lease_is_exact_too(
        self, subject: Subject, clock: ManualClock, days: int
    ) -> None:
        """To the millisecond of its ttl, when it is granted and when it is extended."""
        channel, ttl = subject.open(), days * 86_400 + 0.001
        for extends in (False, True):
            ask(channel, TOKEN, 10 if extends else ttl)
            if extends:
                channel.hook.extend(name="nightly", token=TOKEN, ttl=round(ttl * 1000))
            clock.advance(ttl - _MICROSECOND)
            assert channel.lock_info("nightly") is not None, "it expired too early"
            clock.advance(_MICROSECOND)
            assert channel.lock_info("nightly") is None, "it did not expire at its end"

    @pytest.mark.parametrize("how", _SET)
    def test_after_a_reboot_every_operation_judges_by_the_wall_clock(
        self, subject: Subject, clock: ManualClock, how: str
    ) -> None:
        """To the microsecond, too, however the deadline was set before."""
        for what, judge in _JUDGE.items():
            for early in (1, 0):
                name = f"{what} {early}"
                with subject.open() as channel:
                    _SET[how](channel, name)
                    channel.hook.adopt(name=name, token=TOKEN, holder=None)  # survives the close
                clock.reboot()
                clock.advance(10 - early * _MICROSECOND)
                with subject.open() as after:
                    when = f"{early} µs before the end that {how} set"
                    assert judge(after, name) is bool(early), f"{what}, {when}"
                    after.force_unlock(name)

    def test_a_refusal_never_has_zero_milliseconds_left(
        self, subject: Subject, clock: ManualClock
    ) -> None:
        """In the last microsecond it has one."""
        channel, other = subject.open(), subject.open()
        ask(channel, ttl=10)
        for early, left in ((0.0015, 2), (0.001, 1), (_MICROSECOND, 1)):
            clock.advance(10 - early)
            refused = ask(other, OTHER)
            assert isinstance(refused, Busy)
            assert refused.remaining == left
            channel.hook.extend(name="nightly", token=TOKEN, ttl=10_000)


def _set_and_judge(
    channel: Channel, handle: Channel, clock: ManualClock, how: str, step: int = 0
) -> None:
    __tracebackhide__ = True
    for what, judge in _JUDGE.items():
        for early in (1, 0):
            name = f"{what} {early}"
            _SET[how](channel, name)
            clock.step_wall(step)
            clock.advance(10 - early * _MICROSECOND)
            when = f"{early} µs before the end that {how} set" if early else f"at the end of {how}"
            after = f"; wall clock set by {step} s" if step else ""
            assert judge(handle, name) is bool(early), f"{what}, {when}{after}"
            channel.force_unlock(name)


def _extend(channel: Channel, name: str) -> Any:
    return channel.hook.extend(name=name, token=TOKEN, ttl=10_000)
