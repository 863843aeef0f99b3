"""Handles: opening and closing, options, and errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.opening import open_channel
from ojobchannels.errors import ChannelClosed, ChannelError, InvalidName, InvalidOption
from ojobchannels.testing.contracts.base import Contract
from ojobchannels.testing.kit.background import SOON
from ojobchannels.testing.kit.subject import Subject


class HandleContract(Contract):
    """Open, close, options and errors."""

    def test_a_handle_has_name_type_and_capabilities(self, subject: Subject) -> None:
        """As its descriptor and its subject say."""
        channel = subject.open()
        assert (channel.name, channel.type) == (subject.name, subject.type)
        assert channel.capabilities == subject.capabilities
        assert channel.closed is False

    def test_all_claimed_capabilities_are_known(self, subject: Subject) -> None:
        """An unknown capability has no promises."""
        known = {"atomic_batches", "clock", "crash_release", "durable", "fifo", "processes"}
        known |= {"events_every", "events_coalesced"}
        assert subject.capabilities <= known

    def test_a_closed_channel_refuses_every_operation(self, subject: Subject) -> None:
        """ChannelClosed names the channel."""
        channel = subject.open()
        channel.close()
        assert channel.closed is True
        for attempt in _every_operation(channel):
            with pytest.raises(ChannelClosed, match=channel.name):
                attempt()

    def test_a_second_close_does_nothing(self, subject: Subject) -> None:
        """Also at the end of a `with` block."""
        channel = subject.open()
        channel.close()
        channel.close()
        with subject.open() as other:
            other.close()
        subject.open().set("key", 1)

    def test_closing_one_handle_does_not_affect_others(self, subject: Subject) -> None:
        """Their documents and leases remain."""
        closing, staying = subject.open(), subject.open()
        closing.set("key", 1)
        lease = staying.lock("nightly", ttl=60)
        closing.close()
        assert staying.get("key") == 1
        staying.set("key", 2)
        lease.extend()
        assert subject.open().get("key") == 2
        lease.release()

    def test_close_releases_the_leases_of_the_handle(self, subject: Subject) -> None:
        """Leases of other handles remain."""
        one, other = subject.open(), subject.open()
        leases = [one.lock(f"lock {n}", ttl=60) for n in range(3)]
        kept = other.lock("kept", ttl=60)
        one.close()
        assert [info.name for info in other.locks()] == ["kept"]
        assert not any(lease.held for lease in leases)
        leases[0].release()
        kept.release()

    def test_a_closed_handle_leaves_no_thread(self, subject: Subject) -> None:
        """After 30 handles, at most a few threads exist."""
        before = threading.active_count()
        for _ in range(30):
            with subject.open() as channel, channel.lock("nightly", ttl=60):
                channel.get("key")
        until = time.monotonic() + SOON
        while threading.active_count() > before + 8 and time.monotonic() < until:
            time.sleep(0.01)
        left = threading.active_count() - before
        assert left <= 8, f"{left} threads are left of 30 handles: {threading.enumerate()}"

    def test_many_handles_can_be_open_at_once(self, subject: Subject) -> None:
        """30 handles share one storage."""
        handles = [subject.open() for _ in range(30)]
        for number, handle in enumerate(handles):
            handle.set(number, number)
        assert all(handle.size() == 30 for handle in handles)
        lease = handles[0].lock("nightly", ttl=60)
        assert not any(handle.try_lock("nightly", ttl=60) for handle in handles)
        lease.release()

    def test_an_unknown_option_is_refused(self, subject: Subject) -> None:
        """InvalidOption names it."""
        with pytest.raises(InvalidOption, match="no_such_option"):
            subject.open(no_such_option=1)

    @pytest.mark.parametrize("name", ["", "a\0b", "\ud800", "é" * 2049, None, 7], ids=ascii)
    def test_an_invalid_channel_name_is_refused(self, subject: Subject, name: object) -> None:
        """InvalidName gives the rule for names."""
        with pytest.raises(InvalidName, match="1 to 4096 bytes of UTF-8 without NUL"):
            open_channel(name, subject.config)  # type: ignore[arg-type]  # what is promised

    def test_a_channel_name_may_have_4096_bytes(self, subject: Subject) -> None:
        """A name of 4095 bytes is another channel."""
        one, other = subject.open("é" * 2048), subject.open("é" * 2047 + "e")
        one.set("key", 1)
        assert one.lock("nightly", ttl=60).held
        assert other.size() == 0
        assert other.lock_info("nightly") is None
        one.close()

    def test_all_errors_are_channel_errors(self, subject: Subject) -> None:
        """The message names the channel."""
        channel = subject.open()
        channel.set("key", 1, fence=7)
        channel.lock("nightly", ttl=60)
        for attempt in (
            lambda: channel.set("key", 1, fence=6),
            lambda: channel.lock("nightly", ttl=60),
            lambda: channel.lock("nightly", ttl=60, wait=0.01),
        ):
            with pytest.raises(ChannelError) as raised:
                attempt()
            assert channel.name in str(raised.value)
            assert raised.value.args


def _every_operation(channel: Channel) -> list[Callable[[], object]]:
    return [
        lambda: channel.get(1),
        lambda: channel.set(1, 1),
        lambda: channel.unset(1),
        lambda: channel.get_all(),
        lambda: list(channel.items()),
        lambda: channel.get_keys(),
        lambda: channel.size(),
        lambda: channel.set_all({"a": 1}),
        lambda: channel.unset_all(["a"]),
        lambda: channel.get_set(1, 1, 1),
        lambda: channel.add(1, 1),
        lambda: channel.pop(),
        lambda: channel.shift(),
        lambda: channel.lock("name", ttl=1),
        lambda: channel.try_lock("name", ttl=1),
        lambda: channel.lock_info("name"),
        lambda: channel.locks(),
        lambda: channel.force_unlock("name"),
        lambda: channel.destroy(),
    ]
