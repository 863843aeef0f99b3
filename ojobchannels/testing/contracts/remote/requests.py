"""What a call does when its request or its reply is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.errors import ChannelError, LockLost, OutcomeUnknown
from ojobchannels.hookspecs import Granted, LeaseRequest
from ojobchannels.testing.contracts.base import timed
from ojobchannels.testing.contracts.remote.base import ONCE, PATIENT, NetworkContract
from ojobchannels.testing.kit.background import Background
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.proxy import Proxy


def error_of(operation: Callable[[Channel], Any], channel: Channel) -> ChannelError | None:
    """Return the error that an operation raises."""
    try:
        operation(channel)
    except ChannelError as error:
        return error
    return None


@timed
class LostRequestContract(NetworkContract):
    """Requests and replies that get lost.

    Attributes:
        tests_idle_connections: Whether a connection is tested before a request that must not be
            repeated, so that one that the server closed leaves nothing in doubt.
        repeats_writes: Whether the server itself remembers a write, and applies it once.
        remembers_unlock: Whether a lock remembers the token that unlocked it.
        remembers_eviction: Whether it remembers the request that evicted a holder.
        deciding: The number of the request that changes something, where an operation reads first.
    """

    tests_idle_connections: ClassVar[bool] = True
    repeats_writes: ClassVar[bool] = False
    remembers_unlock: ClassVar[bool] = False
    remembers_eviction: ClassVar[bool] = False
    deciding: ClassVar[Mapping[str, int]] = {"get_set": 2}

    def test_a_connection_that_ended_while_idle_costs_a_new_one_only(
        self, through: Channel, proxy: Proxy
    ) -> None:
        """No operation is lost or in doubt because the server had closed its connection."""
        for name, operation in {**self.repeatable, **ONCE}.items():
            before = proxy.counters.connections
            proxy.reset()
            error = error_of(operation, through)
            if error and not self.tests_idle_connections:
                assert isinstance(error, OutcomeUnknown), name
                error = error_of(operation, through)
            assert error is None, name
            assert proxy.counters.connections > before, name
            through.set("key", 1)
            through.set("end", "last")
            through.unset("new")

    @pytest.mark.parametrize("lost", ["request", "reply"])
    def test_what_may_be_done_twice_is_repeated(
        self,
        open_each: Callable[[float], dict[str, Channel]],
        proxy: Proxy,
        background: Background,
        lost: str,
    ) -> None:
        """The caller does not notice whether the connection was cut before or after the request."""
        each = open_each(PATIENT)
        cut = proxy.cut_request if lost == "request" else proxy.cut_reply
        cuts = {name: cut(1, each[name].name.encode()) for name in self.repeatable}
        calls = {
            name: background(error_of, operation, each[name])
            for name, operation in self.repeatable.items()
        }
        assert {name: call.result(60) for name, call in calls.items()} == dict.fromkeys(calls)
        assert [name for name, happened in cuts.items() if not happened.is_set()] == []

    @pytest.mark.parametrize(
        ("name", "result", "size"),
        [("pop", "last", 1), ("shift", 1, 1), ("add", True, 3), ("get_set", 1, 2)],
    )
    def test_what_must_not_be_done_twice_is_done_once(
        self, through: Channel, proxy: Proxy, name: str, result: Any, size: int
    ) -> None:
        """Its outcome is unknown, unless the server remembers what it did for a client."""
        cut = proxy.cut_reply(self.deciding.get(name, 1), through.name.encode())
        if self.repeats_writes:
            assert ONCE[name](through) == result
        else:
            with pytest.raises(OutcomeUnknown) as unknown:
                ONCE[name](through)
            assert unknown.value.operation == ("get_set" if name == "add" else name)
            assert unknown.value.__cause__ is not None
            assert unknown.value.advice
        assert cut.is_set()
        assert through.size() == size

    def test_a_lock_whose_reply_was_lost_is_granted_once(
        self, through: Channel, proxy: Proxy, subject: Subject
    ) -> None:
        """The repeated request has the same token, and returns the fence of the first one."""
        direct = subject.open()
        cut = proxy.cut_reply(self.deciding.get("lock", 1), b"nightly")
        with through.lock("nightly", ttl=30) as lease:
            assert cut.is_set()
            info = direct.lock_info("nightly")
            assert info is not None
            assert info.fence == lease.fence
            assert direct.try_lock("nightly", ttl=30) is None
            lease.check()
        assert direct.lock_info("nightly") is None

    def test_the_same_token_gets_the_same_lease_over_a_new_connection(
        self, through: Channel, proxy: Proxy
    ) -> None:
        """However often it is requested."""
        request = {"name": "nightly", "token": "a" * 32, "ttl": 30_000, "holder": {}}
        fences = set()
        for _ in range(3):
            granted = through.hook.lock(**request, waits=False)
            assert isinstance(granted, Granted)
            fences.add(granted.fence)
            proxy.reset()
        assert len(fences) == 1

    def test_an_unlock_whose_reply_was_lost_is_not_reported_as_a_lost_lease(
        self, through: Channel, proxy: Proxy, subject: Subject
    ) -> None:
        """The repeated request finds no lease; a lock may remember its last token."""
        lease = through.lock("nightly", ttl=30)
        cut = proxy.cut_reply(self.deciding.get("unlock", 1), b"nightly")
        if self.remembers_unlock:
            lease.release()
            assert not lease.lost
        else:
            with pytest.raises(OutcomeUnknown):
                lease.release()
        assert cut.is_set()
        assert subject.open().lock_info("nightly") is None

    def test_an_unlock_that_never_arrived_is_repeated(
        self, through: Channel, proxy: Proxy, subject: Subject
    ) -> None:
        """The second request finds the lease, and the caller does not notice."""
        lease = through.lock("nightly", ttl=30)
        cut = proxy.cut_request(self.deciding.get("unlock", 1), b"nightly")
        lease.release()
        assert cut.is_set()
        assert subject.open().lock_info("nightly") is None

    def test_an_unlock_of_an_evicted_holder_that_is_repeated_is_in_doubt(
        self, through: Channel, proxy: Proxy, subject: Subject
    ) -> None:
        """The first request may have come in time, or the holder was evicted before it."""
        lease = through.lock("nightly", ttl=30)
        subject.open().force_unlock("nightly")
        proxy.cut_request(1, b"nightly")
        reads_first = self.deciding.get("unlock", 1) > 1  # then nothing was changed, for certain
        with pytest.raises(LockLost if reads_first else OutcomeUnknown):
            lease.release()

    def test_a_forced_unlock_whose_reply_was_lost_is_in_doubt(
        self, through: Channel, proxy: Proxy
    ) -> None:
        """Which holder it evicted is unknown; the lock is free, as lock_info shows."""
        cut = proxy.cut_reply(self.deciding.get("force_unlock", 1), b"held")
        if self.remembers_eviction:
            assert through.force_unlock("held") is not None
        else:
            with pytest.raises(OutcomeUnknown, match="lock_info"):
                through.force_unlock("held")
        assert cut.is_set()
        assert through.lock_info("held") is None

    def test_an_extend_whose_reply_was_lost_is_repeated(
        self, through: Channel, proxy: Proxy
    ) -> None:
        """For a single lease, and for many at once."""
        leases = [through.lock(f"lock {n}", ttl=30) for n in range(3)]
        cut = proxy.cut_reply(self.deciding.get("extend", 1), b"lock 0")
        leases[0].extend(60)
        assert cut.is_set()
        requests = [LeaseRequest(lease.name, lease.token, 60_000) for lease in leases]
        cut = proxy.cut_reply(self.deciding.get("extend", 1), b"lock 0")
        assert through.hook.extend_all(leases=requests, timeout=5000) == [True] * 3
        assert cut.is_set()
