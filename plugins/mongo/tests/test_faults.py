"""When the way to the server breaks: asked again, told as unknown, or refused in time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

import ojobchannels as oc
from ojobchannels.hookspecs import Granted, LeaseRequest
from ojobchannels.testing.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from conftest import Storage

    from ojobchannels.testing.kit.pytest_fixtures import WaitObserver

    Background = Callable[..., Future[Any]]

TIMEOUT = 0.6
PATIENT = 30
SLACK = 5.0  # for a machine with much else to do

READS: dict[str, Callable[[oc.Channel], Any]] = {
    "get": lambda channel: channel.get("key"),
    "get_all": lambda channel: channel.get_all(),
    "items": lambda channel: list(channel.items()),
    "get_keys": lambda channel: channel.get_keys(),
    "size": lambda channel: channel.size(),
    "lock_info": lambda channel: channel.lock_info("nightly"),
    "locks": lambda channel: channel.locks(),
}
ASKED_AGAIN: dict[str, Callable[[oc.Channel], Any]] = READS | {
    "set": lambda channel: channel.set("key", 2),
    "fenced set": lambda channel: channel.set("key", 2, fence=7),
    "unset": lambda channel: channel.unset("key"),
    "fenced unset": lambda channel: channel.unset("key", fence=7),
    "destroy": lambda channel: channel.destroy(),
    "lock": lambda channel: channel.lock("nightly", ttl=30).release(),
}
ASKED_ONCE: dict[str, tuple[bytes, Callable[[oc.Channel], Any], Any]] = {
    "pop": (b"findAndModify", lambda channel: channel.pop(), "last"),
    "shift": (b"findAndModify", lambda channel: channel.shift(), 1),
    "add": (b"update", lambda channel: channel.add("new", 1), True),
    "get_set": (b"update", lambda channel: channel.get_set(1, "key", 2), 1),
}
EVERY = ASKED_AGAIN | {name: operation for name, (_, operation, _) in ASKED_ONCE.items()}
NOT_DONE = (oc.ChannelTimeout, oc.ChannelUnavailable)
LOST = (*NOT_DONE, oc.OutcomeUnknown)
# In silence these end like reads, since they begin with one, or with either, by where they got to.
READ_FIRST = {"get_set"}
EITHER = {"lock", "destroy"}


@pytest.fixture
def through(storage: Storage, behind: Storage, proxy: Proxy) -> Iterator[oc.Channel]:
    """The storage's channel, over the proxy; it has two keys."""
    yield from _through(storage, behind, proxy, timeout=PATIENT)


@pytest.fixture
def impatient(storage: Storage, behind: Storage, proxy: Proxy) -> Iterator[oc.Channel]:
    """The same, whose calls take no longer than `TIMEOUT`."""
    yield from _through(storage, behind, proxy, timeout=TIMEOUT)


def _through(
    storage: Storage, behind: Storage, proxy: Proxy, timeout: float
) -> Iterator[oc.Channel]:
    direct = storage.open()
    direct.set("key", 1)
    direct.set("end", "last")
    behind.open(timeout=PATIENT).size()  # its connection is that of the next one too
    yield behind.open(timeout=timeout)
    proxy.heal()


def open_each(storage: Storage, behind: Storage, timeout: float) -> dict[str, oc.Channel]:
    """A channel of its own for each operation, with a client and connections of its own."""
    opened = {}
    for number, operation in enumerate(EVERY):
        name = f"{storage.name}-{number:02}"
        direct = storage.open(name)
        direct.set("key", 1)
        direct.set("end", "last")
        client = type(behind)(f"{behind.url}&appName=client{number}", behind.replicated)
        client.opened = behind.opened
        client.open(name, timeout=PATIENT).size()
        opened[operation] = client.open(name, timeout=timeout)
    return opened


def outcome(operation: Callable[[oc.Channel], Any], channel: oc.Channel) -> tuple[Any, float]:
    """What went wrong, and how long it took."""
    began = time.monotonic()
    try:
        operation(channel)
    except oc.ChannelError as error:
        return error, time.monotonic() - began
    return None, time.monotonic() - began


@pytest.mark.parametrize("operation", EVERY.values(), ids=EVERY.keys())
def test_connections_that_ended_while_idle_cost_nothing_but_new_ones(
    through: oc.Channel, proxy: Proxy, operation: Callable[[oc.Channel], Any]
) -> None:
    """The driver's own look at them, or the refused request, comes before any doubt."""
    through.lock("other", ttl=30).release()
    proxy.reset()
    try:
        operation(through)
    except oc.OutcomeUnknown:
        operation(through)  # the connection ended under the request
    assert through.size() >= 0


@pytest.mark.parametrize("cut", ["request", "reply"])
def test_what_can_be_asked_again_is_asked_again(
    storage: Storage, behind: Storage, proxy: Proxy, in_background: Background, cut: str
) -> None:
    """A connection cut before the request arrived, or before the reply, is not even noticed."""
    each = open_each(storage, behind, timeout=PATIENT)
    arm = proxy.cut_request if cut == "request" else proxy.cut_reply
    cuts = {name: arm(1, each[name].name.encode()) for name in ASKED_AGAIN}
    calls = {name: in_background(outcome, ASKED_AGAIN[name], each[name]) for name in ASKED_AGAIN}
    assert {name: call.result(60)[0] for name, call in calls.items()} == dict.fromkeys(ASKED_AGAIN)
    assert [name for name, happened in cuts.items() if not happened.is_set()] == []


@pytest.mark.parametrize("fence", [None, 7])
def test_unset_tells_the_truth_when_its_reply_was_lost(
    through: oc.Channel, proxy: Proxy, storage: Storage, fence: int | None
) -> None:
    """Whether the key was there, and not whether it still was at the second time of asking."""
    done = proxy.cut_reply(1, b"ojob_documents")
    assert through.unset("key", fence=fence) is True
    assert done.is_set()
    done = proxy.cut_reply(1, b"ojob_documents")
    assert through.unset("key", fence=fence) is False
    assert done.is_set()
    assert storage.open().get_keys() == ["end"]


@pytest.mark.parametrize("name", ASKED_ONCE)
def test_what_must_not_be_done_twice_is_done_once_or_told_as_unknown(
    through: oc.Channel, proxy: Proxy, storage: Storage, name: str
) -> None:
    """A replica set remembers what it did for whom; a server alone does not."""
    command, operation, answer = ASKED_ONCE[name]
    direct = storage.open()
    done = proxy.cut_reply(1, command)
    if storage.replicated:
        assert operation(through) == answer
    else:
        with pytest.raises(oc.OutcomeUnknown) as unknown:
            operation(through)
        assert unknown.value.operation == ("get_set" if name == "add" else name)
        assert unknown.value.__cause__ is not None
    assert done.is_set()
    assert direct.size() == {"pop": 1, "shift": 1, "add": 3, "get_set": 2}[name]


def test_a_lock_whose_reply_was_lost_is_the_same_lease(
    through: oc.Channel, proxy: Proxy, storage: Storage
) -> None:
    """It is asked for again with its token, and is held once."""
    direct = storage.open()
    done = proxy.cut_reply(1, b"findAndModify")
    with through.lock("nightly", ttl=30) as lease:
        assert done.is_set()
        info = direct.lock_info("nightly")
        assert info is not None
        assert info.fence == lease.fence
        assert direct.try_lock("nightly", ttl=30) is None
    assert direct.lock_info("nightly") is None


def test_an_unlock_whose_reply_was_lost_knows_that_it_unlocked(
    through: oc.Channel, proxy: Proxy
) -> None:
    """The lock remembers who unlocked it last."""
    lease = through.lock("nightly", ttl=30)
    done = proxy.cut_reply(1, b"ojob_locks")
    lease.release()
    assert done.is_set()
    assert not lease.lost


def test_an_unlock_that_nobody_remembers_is_of_unknown_outcome(
    through: oc.Channel, proxy: Proxy, storage: Storage
) -> None:
    """It may have been in time, or the lease may have been put out before."""
    lease = through.lock("nightly", ttl=30)
    direct = storage.open()
    direct.force_unlock("nightly")
    proxy.cut_request(1, b"ojob_locks")
    with pytest.raises(oc.OutcomeUnknown):
        lease.release()


def test_a_forced_unlock_whose_reply_was_lost_is_of_unknown_outcome(
    through: oc.Channel, proxy: Proxy, storage: Storage
) -> None:
    """Whom it put out is not known; the lock is free."""
    storage.open().lock("nightly", ttl=30)
    proxy.cut_reply(1, b"findAndModify")
    with pytest.raises(oc.OutcomeUnknown, match="lock_info"):
        through.force_unlock("nightly")
    assert through.lock_info("nightly") is None


@pytest.mark.parametrize("fault", ["deaf", "dumb", "gone"])
def test_every_call_ends_by_its_timeout_and_goes_on_afterwards(
    storage: Storage, behind: Storage, proxy: Proxy, in_background: Background, fault: str
) -> None:
    """Whatever does not come: requests, replies or connections. What was sent may arrive yet."""
    each = open_each(storage, behind, TIMEOUT)
    if fault == "gone":
        proxy.refuse()
        proxy.reset()
    else:
        proxy.black_hole(requests=fault == "deaf", replies=True)
    calls = {name: in_background(outcome, EVERY[name], each[name]) for name in EVERY}
    for name, call in calls.items():
        error, took = call.result(60)
        assert isinstance(error, expected(name, fault)), name
        assert error.__cause__ is not None, name
        # a lock that could not be had is given back too, which takes as long
        assert took < 2 * TIMEOUT + SLACK, name
    proxy.heal()
    for channel in each.values():
        assert any(outcome(oc.Channel.size, channel)[0] is None for _ in range(10))


def expected(name: str, fault: str) -> tuple[type[oc.ChannelError], ...]:
    """What an operation may end in: what only reads leaves nothing in doubt."""
    if name in READS or (name in READ_FIRST and fault != "gone"):
        return NOT_DONE
    return LOST if name in EITHER or fault == "gone" else (oc.OutcomeUnknown,)


def test_a_write_that_was_never_sent_is_no_unknown_outcome(
    impatient: oc.Channel, proxy: Proxy
) -> None:
    """Where nobody takes a connection, nothing was done."""
    proxy.refuse()
    proxy.reset()
    with pytest.raises((oc.ChannelUnavailable, oc.OutcomeUnknown)):
        impatient.set("key", 1)  # by now all connections are known to be gone
    for name in ("pop", "add"):
        with pytest.raises(oc.ChannelUnavailable):
            ASKED_ONCE[name][1](impatient)


def test_slow_replies_are_waited_for(through: oc.Channel, proxy: Proxy) -> None:
    """As long as they come within the timeout."""
    proxy.delay(replies=0.2)
    through.set("key", 5)
    assert through.get("key") == 5
    with through.lock("nightly", ttl=30) as lease:
        assert lease.remaining() < 29.6


def test_renewals_of_a_keep_alive_outlive_a_short_break(
    through: oc.Channel, proxy: Proxy, storage: Storage
) -> None:
    """Connections that end, and a network that is away for less than the ttl."""
    other = storage.open()
    with through.lock("nightly", ttl=2, keep_alive=True) as lease:
        proxy.reset()
        proxy.black_hole()
        with pytest.raises(oc.LockBusy):
            other.lock("nightly", ttl=1, wait=0.7)
        proxy.heal()
        with pytest.raises(oc.LockBusy):
            other.lock("nightly", ttl=1, wait=1.6)
        lease.check()


def test_a_renewal_takes_no_longer_than_it_may(through: oc.Channel, proxy: Proxy) -> None:
    """`extend_all` ends by its own timeout, also where the channel's is longer."""
    lease = through.lock("nightly", ttl=30)
    proxy.black_hole()
    requests = [LeaseRequest(lease.name, lease.token, 30_000)]
    began = time.monotonic()
    with pytest.raises(oc.ChannelError):
        through.hook.extend_all(leases=requests, timeout=100)
    assert time.monotonic() - began < 10  # the channel itself has 30


def test_closing_does_not_wait_for_each_lease(impatient: oc.Channel, proxy: Proxy) -> None:
    """Where nobody answers, the ttl is to end them."""
    with impatient.lock("lock", ttl=600):
        pass  # the first use may take longer than later ones
    for number in range(60):
        impatient.lock(f"lock {number}", ttl=600, keep_alive=number % 2 == 0)
    proxy.black_hole()
    began = time.monotonic()
    impatient.close()
    assert time.monotonic() - began < 15  # one by one it would be 36


def test_a_waiter_is_woken_though_connections_end(
    through: oc.Channel, proxy: Proxy, storage: Storage, in_background: Background
) -> None:
    """They are made again, and nothing that was missed is waited for."""
    for turn in range(5):
        lease = storage.open().lock(f"lock {turn}", ttl=60)
        waiting = in_background(through.lock, lease.name, ttl=30, wait=30)
        proxy.reset()
        released = time.monotonic()
        lease.release()
        waiting.result(10).release()
        assert time.monotonic() - released < 5


def test_a_waiter_that_cannot_reach_the_server_is_told(
    behind: Storage,
    proxy: Proxy,
    storage: Storage,
    observer: WaitObserver,
    in_background: Background,
) -> None:
    """It does not wait for ever behind a dead network, and does not win later."""
    waiter = behind.open(timeout=TIMEOUT, extensions=[observer])
    lease = storage.open().lock("nightly", ttl=60)
    waiting = in_background(waiter.lock, "nightly", ttl=30, wait=None)
    observer.await_waiters()
    proxy.black_hole()
    with pytest.raises(oc.ChannelError):
        waiting.result(20)
    proxy.heal()
    lease.release()
    assert storage.open().lock_info("nightly") is None


def test_a_request_that_arrives_late_costs_others_a_ttl_at_most(
    impatient: oc.Channel, proxy: Proxy, storage: Storage
) -> None:
    """A lock that was given up may still be granted when the network delivers; its ttl ends it."""
    proxy.black_hole()
    with pytest.raises(oc.ChannelError):
        impatient.lock("nightly", ttl=1)
    proxy.heal()
    with storage.open().lock("nightly", ttl=30, wait=10):
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


def test_batches_are_all_or_nothing_when_connections_are_cut(replicated_storage: Storage) -> None:
    """The transaction is done once, or not at all."""
    parts = urlsplit(replicated_storage.url)
    direct = replicated_storage.open()
    with Proxy((parts.hostname or "", parts.port or 0)) as proxy:
        url = replicated_storage.url_through(proxy)
        with oc.open_channel(
            direct.name, url, database=replicated_storage.config["args"]["database"]
        ) as channel:
            for turn, nth in enumerate((1, 2, 3)):
                (proxy.cut_reply if turn % 2 else proxy.cut_request)(nth, b"txnNumber")
                channel.set_all((n, turn) for n in range(50))
                assert direct.get_all() == [turn] * 50
                proxy.heal()
            proxy.cut_reply(2, b"txnNumber")  # that of the commit
            assert channel.unset_all(range(40)) == 40
        assert direct.size() == 10
