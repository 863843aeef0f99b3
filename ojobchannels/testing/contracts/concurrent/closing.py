"""`close` beside calls of other threads, and calls of the hooks after it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import ChannelClosed, ChannelError
from ojobchannels.testing.contracts.base import Contract, requires
from ojobchannels.testing.kit import rivals
from ojobchannels.testing.kit.background import PATIENCE, Background
from ojobchannels.testing.kit.interleaving import Interleaving
from ojobchannels.testing.kit.subject import Subject

CALLS: Final[dict[str, Callable[[Channel], Any]]] = {
    "get": lambda channel: channel.get(1),
    "set": lambda channel: channel.set(1, 1),
    "fenced set": lambda channel: channel.set(1, 1, fence=1),
    "unset": lambda channel: channel.unset(2),
    "get_all": lambda channel: channel.get_all(),
    "items": lambda channel: list(channel.items()),
    "get_keys": lambda channel: channel.get_keys(),
    "size": lambda channel: channel.size(),
    "set_all": lambda channel: channel.set_all({3: 3}),
    "unset_all": lambda channel: channel.unset_all([3]),
    "get_set": lambda channel: channel.get_set(1, 1, 1),
    "pop": lambda channel: channel.pop(),
    "shift": lambda channel: channel.shift(),
    "lock": lambda channel: channel.try_lock("nightly", ttl=60),
    "extend_all": lambda channel: rivals.extend_all(channel, "held"),
    "adopt": lambda channel: rivals.adopt(channel, "held"),
    "share": lambda channel: rivals.share(channel, "held"),
    "lock_info": lambda channel: channel.lock_info("held"),
    "locks": lambda channel: channel.locks(),
    "force_unlock": lambda channel: channel.force_unlock("held"),
    "destroy": lambda channel: channel.destroy(),
}
"""Every operation but `wait` and `subscribe`; the lock `held` belongs to the token A."""


class ClosingContract(Contract):
    """A handle that is closed meanwhile ends calls with our errors, and holds no lock."""

    def test_a_closed_backend_takes_no_lock(self, subject: Subject) -> None:
        """The hooks `lock` and `wait` raise ChannelClosed, whoever kept them."""
        channel, other = subject.open(), subject.open()
        hook = channel.hook
        channel.close()
        request = {"name": "nightly", "token": rivals.A, "ttl": 60_000, "holder": {}}
        with pytest.raises(ChannelClosed):
            hook.lock(**request, waits=False)
        with pytest.raises(ChannelClosed):
            hook.lock(**request, waits=True)
        with pytest.raises(ChannelClosed):
            hook.wait(name="nightly", seen_fence=0, token=rivals.A, timeout=5000)
        assert other.lock_info("nightly") is None, "a closed handle holds the lock"

    @pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
    def test_a_call_beside_close_ends_with_one_of_our_errors(
        self, subject: Subject, interleaving: Interleaving, call: Callable[[Channel], Any]
    ) -> None:
        """Or with its result, wherever `close` comes in between its lines."""
        staying = subject.open()
        staying.set(1, 1)
        probe = subject.open()
        for pause in interleaving(probe, 30):
            rivals.lock(staying, "held", rivals.A)
            channel = subject.open()
            pause.run(partial(call, channel), channel.close)
        assert staying.size() <= 3
        staying.force_unlock("nightly")

    def test_close_beside_busy_threads_ends_them_with_one_of_our_errors(
        self, subject: Subject, background: Background
    ) -> None:
        """No error of a driver or of the system gets through."""
        staying = subject.open()

        def work(channel: Channel, number: int) -> str:
            calls = list(CALLS.values())
            for turn in itertools.count(number * 5):
                try:
                    calls[turn % len(calls)](channel)
                except ChannelError as error:
                    if channel.closed:
                        return type(error).__name__
            raise AssertionError

        for turn in range(5):
            channel = subject.open()
            working = [background(work, channel, number) for number in range(6)]
            time.sleep(0.004 * (turn + 1))
            channel.close()
            for each in working:
                assert each.result(30) in ("ChannelClosed", "OutcomeUnknown", "ChannelUnavailable")
        staying.force_unlock("nightly")
        assert staying.get(0, default="missing") == "missing"

    def test_a_lock_beside_close_is_not_left_behind(
        self, subject: Subject, interleaving: Interleaving
    ) -> None:
        """Whether the caller got a lease or ChannelClosed."""
        other, probe = subject.open(), subject.open()
        for pause in interleaving(probe):
            name = f"lock {pause.number}"
            channel = subject.open()
            pause.run(lambda: channel.lock(name, ttl=60), channel.close)  # noqa: B023  called here
            assert other.lock_info(name) is None, "a closed handle holds the lock"

    @requires("events_every|events_coalesced")
    def test_subscriptions_of_other_handles_stay(self, subject: Subject) -> None:
        """Changes are still delivered to them, also those of the last moment."""
        closing, staying = subject.open(), subject.open()
        seen, arrived = [], threading.Event()

        def receive(change: Any) -> None:
            seen.append(change.key)
            if change.key == "last":
                arrived.set()

        with staying.subscribe(receive):
            closing.subscribe(seen.append)
            closing.set("first", 1)
            closing.close()
            subject.open().set("last", 1)
            assert arrived.wait(2 * PATIENCE), f"only {seen} arrived"
