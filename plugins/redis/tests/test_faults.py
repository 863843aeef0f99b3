"""When the way to the server breaks: asked again, told as unknown, or refused in time."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.hookspecs import Granted, LeaseRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from ojobchannels.testing.kit.subject import Subject
    from ojobchannels.testing.proxy import Proxy

    Background = Callable[..., Future[Any]]

TIMEOUT = 0.6
SLACK = 5.0  # for a machine with much else to do

ASKED_AGAIN: dict[str, Callable[[oc.Channel], Any]] = {
    "get": lambda channel: channel.get("key"),
    "set": lambda channel: channel.set("key", 2),
    "fenced set": lambda channel: channel.set("key", 2, fence=7),
    "set_all": lambda channel: channel.set_all({"a": 1, "b": 2}),
    "get_all": lambda channel: channel.get_all(),
    "items": lambda channel: list(channel.items()),
    "get_keys": lambda channel: channel.get_keys(),
    "size": lambda channel: channel.size(),
    "destroy": lambda channel: channel.destroy(),
    "lock": lambda channel: channel.lock("nightly", ttl=30).release(),
    "lock_info": lambda channel: channel.lock_info("nightly"),
    "locks": lambda channel: channel.locks(),
}
ASKED_ONCE: dict[str, Callable[[oc.Channel], Any]] = {
    "pop": lambda channel: channel.pop(),
    "shift": lambda channel: channel.shift(),
    "add": lambda channel: channel.add("new", 1),
    "get_set": lambda channel: channel.get_set(1, "key", 2),
    "force_unlock": lambda channel: channel.force_unlock("held"),
}
EVERY = ASKED_AGAIN | ASKED_ONCE


@pytest.fixture
def through(storage: Subject, proxy: Proxy, url: str) -> Iterator[oc.Channel]:
    """The storage's channel, over the proxy; it has one key, and one lock is held.

    The server knows all scripts, so that the first request with EVAL in it is the one that counts.
    """
    with storage.open(f"{storage.name}-warm") as warm:
        warm.lock("held", ttl=60)
        for operation in EVERY.values():
            operation(warm)
        warm.unset("key")
        warm.unset_all(["key", "other"])
        warm.destroy()
    direct = storage.open()
    direct.set("key", 1)
    direct.lock("held", ttl=60)
    channel = oc.open_channel(storage.name, url_through(proxy, url), timeout=TIMEOUT)
    channel.size()
    yield channel
    proxy.heal()
    channel.close()


def url_through(proxy: Proxy, url: str) -> str:
    """The URL by which the server is reached over the proxy."""
    there = url.rpartition("@")[0]
    login = f"{there}@" if there else "redis://"
    return f"{login}{proxy.address[0]}:{proxy.port}"


@pytest.mark.parametrize("operation", EVERY.values(), ids=EVERY.keys())
def test_a_request_that_never_arrived_is_not_lost(
    through: oc.Channel, proxy: Proxy, operation: Callable[[oc.Channel], Any]
) -> None:
    """A server that closed idle connections costs a new one, and nothing else."""
    before = proxy.counters.connections
    proxy.reset()
    operation(through)
    assert proxy.counters.connections > before


@pytest.mark.parametrize("operation", ASKED_AGAIN.values(), ids=ASKED_AGAIN.keys())
def test_what_may_be_done_twice_is_asked_again_when_its_reply_was_lost(
    through: oc.Channel, proxy: Proxy, operation: Callable[[oc.Channel], Any]
) -> None:
    """The caller does not notice."""
    cut = proxy.cut_reply()
    operation(through)
    assert cut.is_set()


@pytest.mark.parametrize("operation", ASKED_ONCE.values(), ids=ASKED_ONCE.keys())
def test_what_may_not_is_told_as_unknown(
    through: oc.Channel, proxy: Proxy, operation: Callable[[oc.Channel], Any]
) -> None:
    """With the driver's error as cause, and done once."""
    cut = proxy.cut_reply(containing=b"EVAL")
    with pytest.raises(oc.OutcomeUnknown) as unknown:
        operation(through)
    assert cut.is_set()
    assert unknown.value.__cause__ is not None
    assert unknown.value.advice


def test_an_entry_is_not_taken_twice_when_a_reply_was_lost(
    through: oc.Channel, proxy: Proxy
) -> None:
    """A pop in doubt took one at most."""
    through.set_all((n, n) for n in range(5))
    proxy.cut_reply(containing=b"EVAL")
    with pytest.raises(oc.OutcomeUnknown):
        through.pop()
    assert through.size() == 5  # with "key", six were there


def test_an_unset_whose_reply_was_lost_does_not_say_that_nothing_was_there(
    through: oc.Channel, proxy: Proxy
) -> None:
    """It was asked again, and who removed the key then is not known; of others it answers True."""
    proxy.cut_reply(containing=b"EVAL")
    with pytest.raises(oc.OutcomeUnknown):
        through.unset("key")
    assert through.get("key") is None
    through.set_all({"a": 1, "b": 2})
    proxy.cut_reply(containing=b"EVAL")
    with pytest.raises(oc.OutcomeUnknown):
        through.unset_all(["a", "b"])
    assert through.size() == 0
    through.set("key", 1)
    proxy.cut_request(containing=b"EVAL")
    with pytest.raises(oc.OutcomeUnknown):
        through.unset("no such key")
    proxy.cut_request(containing=b"EVAL")
    assert through.unset("key") is True


def test_an_unlock_whose_reply_was_lost_is_told_as_unknown(
    through: oc.Channel, proxy: Proxy, storage: Subject
) -> None:
    """Asked again it finds nothing, which does not mean that the lease was lost."""
    lease = through.lock("nightly", ttl=30)
    proxy.cut_reply()
    with pytest.raises(oc.OutcomeUnknown):
        lease.release()
    assert storage.open().lock_info("nightly") is None


def test_an_unlock_that_never_arrived_is_asked_again(
    through: oc.Channel, proxy: Proxy, storage: Subject
) -> None:
    """The second request finds the lease, and the caller does not notice."""
    lease = through.lock("nightly", ttl=30)
    proxy.cut_request()
    lease.release()
    assert storage.open().lock_info("nightly") is None


def test_a_lock_whose_reply_was_lost_is_granted_once(
    through: oc.Channel, proxy: Proxy, storage: Subject
) -> None:
    """The same token asked again gets the fence of the first time."""
    cut = proxy.cut_reply()
    lease = through.lock("nightly", ttl=30)
    assert cut.is_set()
    info = storage.open().lock_info("nightly")
    assert info is not None
    assert info.fence == lease.fence
    lease.check()
    lease.release()


def test_whom_a_lock_followed_is_told_also_when_the_first_reply_was_lost(
    through: oc.Channel, proxy: Proxy, storage: Subject
) -> None:
    """Its holder never unlocked; who has the lock now has to clear up, and has not heard of it."""
    storage.open().force_unlock("held")
    cut = proxy.cut_reply()
    with through.lock("held", ttl=30) as lease:
        assert cut.is_set()
        assert lease.previous is not None
        assert lease.previous["fence"] < lease.fence
        assert lease.previous["pid"] == os.getpid()
        lease.extend()
        asked = {"name": "held", "token": lease.token, "ttl": 30_000, "holder": {}, "waits": False}
        again = through.hook.lock(**asked)
        assert again == Granted(lease.fence, None)  # it knows by now


def test_an_extend_whose_reply_was_lost_is_asked_again(through: oc.Channel, proxy: Proxy) -> None:
    """Alone, and for many leases at once."""
    leases = [through.lock(f"lock {n}", ttl=30) for n in range(3)]
    proxy.cut_reply()
    leases[0].extend(60)
    requests = [LeaseRequest(one.name, one.token, 60_000) for one in leases]
    cut = proxy.cut_reply()
    assert through.hook.extend_all(leases=requests, timeout=5000) == [True] * 3
    assert cut.is_set()


@pytest.mark.parametrize("operation", EVERY.values(), ids=EVERY.keys())
@pytest.mark.parametrize("fault", ["silent", "deaf", "gone"])
def test_every_call_ends_in_time(
    through: oc.Channel, proxy: Proxy, operation: Callable[[oc.Channel], Any], fault: str
) -> None:
    """Whatever does not come: requests, replies or connections. Then it goes on by itself."""
    if fault == "gone":
        proxy.refuse()
        proxy.reset()
    else:
        proxy.black_hole(requests=fault == "deaf", replies=True)
    began = time.monotonic()
    with pytest.raises(oc.ChannelError) as failed:
        operation(through)
    took = time.monotonic() - began
    kinds = (oc.ChannelTimeout, oc.ChannelUnavailable, oc.OutcomeUnknown)
    assert isinstance(failed.value, kinds)
    assert failed.value.__cause__ is not None
    # a lock that could not be had is given back too, which takes as long
    assert took < 2 * TIMEOUT + SLACK
    proxy.heal()
    assert through.size() >= 0


@pytest.mark.parametrize("name", ["get", "size", "items"])
def test_a_read_that_got_no_reply_is_no_unknown_outcome(
    through: oc.Channel, proxy: Proxy, name: str
) -> None:
    """Nothing was to be changed, so nothing is in doubt: a timeout, or unavailable."""
    proxy.black_hole()
    with pytest.raises(oc.ChannelTimeout):
        ASKED_AGAIN[name](through)
    proxy.heal()
    proxy.refuse()
    proxy.reset()
    with pytest.raises(oc.ChannelUnavailable):
        ASKED_AGAIN[name](through)


def test_a_large_batch_has_time_for_its_size(proxy: Proxy, storage: Subject, url: str) -> None:
    """The timeout counts for each 10,000 entries; an answer that takes longer is waited for."""
    with oc.open_channel(storage.name, url_through(proxy, url), timeout=2) as patient:
        proxy.delay(replies=2.2)
        assert patient.unset_all(range(60_000)) == 0
        proxy.heal()


def test_a_write_that_was_never_sent_is_no_unknown_outcome(
    through: oc.Channel, proxy: Proxy
) -> None:
    """Where nobody takes a connection, nothing was done."""
    proxy.refuse()
    proxy.reset()
    for name in ("pop", "add", "get_set"):
        with pytest.raises(oc.ChannelUnavailable):
            ASKED_ONCE[name](through)


def test_renewals_of_a_keep_alive_outlive_a_short_break(
    through: oc.Channel, proxy: Proxy, storage: Subject
) -> None:
    """Connections that end, and a network that is away for less than the ttl."""
    other = storage.open()
    with through.lock("nightly", ttl=2, keep_alive=True) as lease:
        proxy.reset()
        proxy.black_hole()
        with pytest.raises(oc.LockBusy):
            other.lock("nightly", ttl=1, wait=1)
        proxy.heal()
        with pytest.raises(oc.LockBusy):
            other.lock("nightly", ttl=1, wait=2)
        lease.check()


def test_a_renewal_takes_no_longer_than_it_may(proxy: Proxy, storage: Subject, url: str) -> None:
    """`extend_all` ends by its own timeout, also where the channel's is longer."""
    with oc.open_channel(storage.name, url_through(proxy, url), timeout=60) as patient:
        lease = patient.lock("nightly", ttl=30)
        proxy.black_hole()
        requests = [LeaseRequest(lease.name, lease.token, 30_000)]
        began = time.monotonic()
        with pytest.raises(oc.ChannelError):
            patient.hook.extend_all(leases=requests, timeout=100)
        assert time.monotonic() - began < 10
        proxy.heal()


def test_closing_does_not_wait_for_each_lease(through: oc.Channel, proxy: Proxy) -> None:
    """Where nobody answers, the ttl is to end them."""
    for number in range(60):
        through.lock(f"lock {number}", ttl=600, keep_alive=number % 2 == 0)
    proxy.black_hole()
    began = time.monotonic()
    through.close()
    assert time.monotonic() - began < 15  # one by one it would be 36


def test_closing_gives_back_what_nobody_has_in_hand(through: oc.Channel, storage: Subject) -> None:
    """In one go, also what was granted to one who did not hear of it."""
    other = storage.open()
    for number in range(30):
        asked = {"token": f"{number:032}", "ttl": 600_000, "holder": {}, "waits": False}
        through.hook.lock(name=f"lock {number}", **asked)
    assert len(other.locks()) == 31
    through.close()
    assert [info.name for info in other.locks()] == ["held"]


def test_a_waiter_whose_subscription_broke_is_woken_all_the_same(
    through: oc.Channel, proxy: Proxy, storage: Subject, in_background: Background
) -> None:
    """Connections that are cut are made again, and nothing that was missed is waited for."""
    for turn in range(5):
        lease = storage.open().lock(f"lock {turn}", ttl=60)
        waiting = in_background(through.lock, lease.name, ttl=30, wait=30)
        proxy.reset()
        released = time.monotonic()
        lease.release()
        waiting.result(10).release()
        assert time.monotonic() - released < 10


def test_a_waiter_that_cannot_reach_the_server_is_told(
    through: oc.Channel, proxy: Proxy, storage: Subject, in_background: Background
) -> None:
    """It does not wait for ever behind a dead network, and does not win later."""
    lease = storage.open().lock("nightly", ttl=60)
    waiting = in_background(through.lock, "nightly", ttl=30, wait=None)
    proxy.black_hole()
    with pytest.raises(oc.ChannelError):
        waiting.result(10)
    proxy.heal()
    lease.release()
    assert storage.open().lock_info("nightly") is None


def test_a_request_that_arrives_late_costs_others_a_ttl_at_most(
    through: oc.Channel, proxy: Proxy, storage: Subject
) -> None:
    """A lock that was given up may still be granted when the network delivers; its ttl ends it."""
    proxy.black_hole()
    with pytest.raises(oc.ChannelError):
        through.lock("nightly", ttl=1)
    proxy.heal()
    with storage.open().lock("nightly", ttl=30, wait=5):
        pass


def test_the_same_token_gets_the_same_lease_over_a_new_connection(
    through: oc.Channel, proxy: Proxy
) -> None:
    """However often it is asked."""
    asked = {"name": "nightly", "token": "a" * 32, "ttl": 30_000, "holder": {}, "waits": False}
    fences = set()
    for _ in range(3):
        answer = through.hook.lock(**asked)
        assert isinstance(answer, Granted)
        fences.add(answer.fence)
        proxy.reset()
    assert len(fences) == 1
