"""What the channel itself does about locks; the kit proves the rules on every backend."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Timer
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from tests.conftest import ManualClock, Storage

    Background = Callable[..., Future[Any]]


class Counting:
    """An extension that counts calls."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    @oc.hookimpl(wrapper=True)
    def lock(self) -> Iterator[None]:
        self.calls["lock"] += 1
        return (yield)

    @oc.hookimpl(wrapper=True)
    def unlock(self) -> Iterator[None]:
        self.calls["unlock"] += 1
        return (yield)


def test_rule_1_lock_and_unlock_are_one_call_each(storage: Storage) -> None:
    """An uncontended lock takes one operation to acquire and one to release."""
    counting = Counting()
    channel = storage.open(extensions=[counting])
    with channel.lock("nightly", ttl=30, wait=5):
        pass
    assert counting.calls == {"lock": 1, "unlock": 1}


def test_rule_7_a_wait_follows_the_channels_own_clock(
    storage: Storage, clock: ManualClock, in_background: Background
) -> None:
    """If a test moves the clock, leases and waits end accordingly."""
    with storage.open(clock=clock) as channel:
        for name, ttl in (("freed", 3600), ("held", 10**9)):
            channel.lock(name, ttl=ttl)
        freed = in_background(channel.lock, "freed", ttl=10**9, wait=None)
        held = in_background(channel.lock, "held", ttl=30, wait=3600)
        for _ in range(400):
            clock.advance(600)
            if not wait((freed, held), 0.05).not_done:
                break
        assert freed.result(0).held
        assert isinstance(held.exception(0), oc.LockBusy)


def test_a_thread_that_would_wait_for_itself_forever_gets_an_error(storage: Storage) -> None:
    """Also by another channel object; a wait with a limit ends as usual."""
    one, two = storage.open(), storage.open()
    with one.lock("nightly", ttl=30, keep_alive=True):
        for channel in (one, two):
            with pytest.raises(oc.WouldDeadlock, match=r"thread itself.*not reentrant") as refused:
                channel.lock("nightly", ttl=30, wait=None)
            assert isinstance(refused.value, oc.LockBusy)
            with pytest.raises(oc.LockBusy, match="after waiting"):
                channel.lock("nightly", ttl=30, wait=0.01)
        one.lock("other", ttl=30).release()
    two.lock("nightly", ttl=30, wait=None).release()


def test_a_thread_may_wait_for_a_lease_that_ends_without_it(
    storage: Storage, in_background: Background
) -> None:
    """Because it expires, or because another thread, or another task of a pool, releases it."""
    channel = storage.open()
    channel.lock("expires", ttl=0.05)
    channel.lock("expires", ttl=30, wait=None).release()
    with ThreadPoolExecutor(1) as pool:
        lease = pool.submit(channel.lock, "nightly", ttl=30, keep_alive=True).result()
        waiting = pool.submit(channel.lock, "nightly", ttl=30, wait=None)
        assert not wait([waiting], 0.05).done
        lease.release()
        waiting.result(30).release()
    held = in_background(channel.lock, "handed", ttl=30, keep_alive=True).result(30)
    waiter = Timer(0.05, held.release)
    waiter.start()
    channel.lock("handed", ttl=30, wait=None).release()
    waiter.join()


class LosesTheReply:
    """An extension that loses the replies to a number of unlocks, but not the requests."""

    def __init__(self, times: int) -> None:
        self.times = times

    @oc.hookimpl(wrapper=True)
    def unlock(self) -> Iterator[None]:
        result = yield
        if self.times:
            self.times -= 1
            raise oc.OutcomeUnknown("test", "unlock", "look")
        return result


@pytest.mark.parametrize("times", [1, 2])
def test_release_after_a_lost_reply_does_not_count_as_a_loss(
    storage: Storage, clock: ManualClock, times: int
) -> None:
    """The first request may have unlocked: the outcome is unknown, and the release is done."""
    channel = storage.open(clock=clock, extensions=[LosesTheReply(times)])
    lease = channel.lock("nightly", ttl=30)
    for _ in range(times):
        with pytest.raises(oc.OutcomeUnknown):
            lease.release()
        clock.advance(31)
    with storage.open(clock=clock).lock("nightly", ttl=60) as other:
        with pytest.raises(oc.OutcomeUnknown, match="this lease no longer holds the lock"):
            lease.release()
        lease.release()
        other.check()


def test_release_after_a_lost_reply_still_reports_an_earlier_loss(
    storage: Storage, clock: ManualClock
) -> None:
    """If the lease had expired before the first request, the outcome is known."""
    channel = storage.open(clock=clock, extensions=[LosesTheReply(1)])
    lease = channel.lock("nightly", ttl=30)
    clock.advance(31)
    with pytest.raises(oc.OutcomeUnknown):
        lease.release()
    with pytest.raises(oc.LockLost):
        lease.release()


def test_leases_that_were_not_released_are_not_kept(storage: Storage, clock: ManualClock) -> None:
    """A channel that is open for years remembers live leases only, and releases them at the end."""
    channel = storage.open(clock=clock)
    kept = [channel.lock(f"kept {n}", ttl=600) for n in range(20)]
    forgotten = []
    for _ in range(100):
        forgotten.append(weakref.ref(channel.lock("nightly", ttl=1)))
        clock.advance(1)
    gc.collect()
    assert sum(lease() is not None for lease in forgotten) < 50
    channel.close()
    assert storage.open(clock=clock).locks() == []
    assert not any(lease.held for lease in kept)


def test_a_channel_that_closes_while_a_lock_is_granted_gives_it_back(storage: Storage) -> None:
    """It is unlocked by its token instead of expiring, and the caller gets ChannelClosed."""
    unlocked: list[str] = []

    class ClosesMeanwhile:
        @oc.hookimpl(wrapper=True)
        def lock(self, token: str) -> Iterator[None]:
            result = yield
            self.token = token
            channel.close()
            return result

        @oc.hookimpl(wrapper=True)
        def unlock(self, token: str) -> Iterator[None]:
            unlocked.append(token)
            return (yield)

    meddler = ClosesMeanwhile()
    channel = storage.open(extensions=[meddler])
    with pytest.raises(oc.ChannelClosed):
        channel.lock("nightly", ttl=600)
    assert unlocked == [meddler.token]
    with storage.open().lock("nightly", ttl=60):
        pass


def test_close_that_was_interrupted_can_be_called_again(storage: Storage) -> None:
    """After an exception of a signal handler, a second call closes the rest."""
    closings: list[str] = []

    class Interrupts:
        @oc.hookimpl(wrapper=True)
        def close(self) -> Iterator[None]:
            closings.append("begun")
            if len(closings) == 1:
                raise KeyboardInterrupt
            return (yield)

    channel = storage.open(extensions=[Interrupts()])
    channel.lock("nightly", ttl=60)
    with pytest.raises(KeyboardInterrupt):
        channel.close()
    with pytest.raises(oc.ChannelClosed):
        channel.size()
    channel.close()
    channel.close()
    assert closings == ["begun"] * 2
    assert storage.open().lock_info("nightly") is None


def test_the_holder_info_is_copied(storage: Storage) -> None:
    """A later change of an argument or of a result changes nothing."""
    channel = storage.open()
    holder = {"steps": ["read"]}
    channel.lock("nightly", ttl=30, holder=holder)
    holder["steps"].append("write")
    for _ in range(2):
        info = channel.lock_info("nightly")
        assert info is not None
        assert info.holder["steps"] == ["read"]
        info.holder["steps"].append("changed")
