"""Locks and leases within one process: the rules of the design, each by name, on every backend."""

from __future__ import annotations

import pickle
import statistics
import threading
import time
from collections import Counter
from concurrent.futures import wait
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.hookspecs import Busy, Granted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from conftest import Announcer, ManualClock, Storage

    Background = Callable[..., Future[Any]]

NAMES = [
    *("nightly", "Nightly", " nightly", "é", "e\u0301", "$", ".", "..", "/", "../../etc", "a/b"),
    *(
        "line\nbreak",
        "%",
        "{}",
        "'; --",
        '"',
        "\\",
        "😀",
        "0",
        "batch-{id}",
        "n" * 4096,
        "é" * 2048,
    ),
]


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

    @oc.hookimpl(wrapper=True)
    def wait(self) -> Iterator[None]:
        self.calls["wait"] += 1
        return (yield)


# Rule 1: at most one live lease per name, acquired in one atomic step.


def test_rule_1_one_lease_per_name(storage: Storage) -> None:
    """The second is refused, on the same handle as on another, until the first releases."""
    one, other = storage.open(), storage.open()
    lease = one.lock("nightly", ttl=30)
    for handle in (one, other):
        assert handle.try_lock("nightly", ttl=30) is None
        with pytest.raises(oc.LockBusy):
            handle.lock("nightly", ttl=30)
    lease.release()
    with other.lock("nightly", ttl=30):
        assert one.try_lock("nightly", ttl=30) is None
    with one.lock("nightly", ttl=30):
        pass


def test_rule_1_names_are_independent(storage: Storage) -> None:
    """Every name is a lock of its own, however odd or long it is, and reads back unchanged."""
    one, other = storage.open(), storage.open()
    leases = [one.lock(name, ttl=30) for name in NAMES]
    assert all(other.try_lock(name, ttl=30) is None for name in NAMES)
    assert sorted(info.name for info in other.locks()) == sorted(NAMES)
    for lease in leases:
        info = other.lock_info(lease.name)
        assert info is not None
        assert (info.name, info.fence) == (lease.name, lease.fence)
        lease.release()
    assert other.locks() == []


def test_rule_1_of_many_threads_one_is_inside(storage: Storage, in_background: Background) -> None:
    """Threads on several handles increment a counter under the lock, and lose nothing."""
    handles = [storage.open() for _ in range(4)]
    state = {"counter": 0, "inside": 0}

    def work(number: int) -> None:
        for _ in range(25):
            with handles[number % 4].lock("nightly", ttl=30, wait=60):
                state["inside"] += 1
                seen = state["counter"]
                assert state["inside"] == 1
                state["counter"] = seen + 1
                state["inside"] -= 1

    for worker in [in_background(work, number) for number in range(8)]:
        worker.result(60)
    assert state["counter"] == 200


def test_rule_1_lock_and_unlock_are_one_call_each(storage: Storage) -> None:
    """An uncontended lock costs one operation to take and one to give back."""
    counting = Counting()
    channel = storage.open(extensions=[counting])
    with channel.lock("nightly", ttl=30, wait=5):
        pass
    assert counting.calls == {"lock": 1, "unlock": 1}


# Rule 2: only the token unlocks or extends, and only while the lease lives.


def test_rule_2_only_the_token_unlocks_or_extends(storage: Storage) -> None:
    """A wrong or old token is told so and changes nothing."""
    one, other = storage.open(), storage.open()
    lease = one.lock("nightly", ttl=30)
    for token in ("", "0" * 32, lease.token.upper() if lease.token.islower() else "x"):
        assert other.hook.unlock(name="nightly", token=token) is False
        assert other.hook.extend(name="nightly", token=token, ttl=60_000) is False
    assert other.hook.unlock(name="other", token=lease.token) is False
    assert other.hook.extend(name="other", token=lease.token, ttl=60_000) is False
    info = one.lock_info("nightly")
    assert info is not None
    assert info.until - info.since == pytest.approx(30_000, abs=50)
    lease.release()


def test_rule_2_a_late_unlock_changes_nothing_and_says_so(
    storage: Storage, clock: ManualClock
) -> None:
    """After its time the holder cannot put out the next one, and learns that it was late."""
    one, other = storage.open(clock=clock), storage.open(clock=clock)
    late = one.lock("nightly", ttl=1)
    clock.advance(1)
    current = other.lock("nightly", ttl=30)
    with pytest.raises(oc.LockLost) as lost:
        late.release()
    assert (lost.value.name, lost.value.fence) == ("nightly", late.fence)
    assert late.lost
    assert not late.held
    info = one.lock_info("nightly")
    assert info is not None
    assert info.fence == current.fence
    current.check()
    current.release()


def test_rule_2_extend_sets_the_remaining_time_and_never_revives(
    storage: Storage, clock: ManualClock
) -> None:
    """It lengthens and shortens a live lease; one that is over stays over, free or taken."""
    channel = storage.open(clock=clock)
    lease = channel.lock("nightly", ttl=10)
    clock.advance(5)
    lease.extend()
    assert lease.remaining() == pytest.approx(9.9)
    lease.extend(60)
    assert lease.ttl == 60
    assert lease.remaining() == pytest.approx(59.4)
    info = channel.lock_info("nightly")
    assert info is not None
    assert info.until * 1000 == clock.wall() + 60_000_000
    lease.extend(timedelta(seconds=2))
    clock.advance(2)
    assert channel.lock_info("nightly") is None
    assert channel.hook.extend(name="nightly", token=lease.token, ttl=60_000) is False
    with pytest.raises(oc.LockLost):
        lease.extend(60)
    assert channel.lock_info("nightly") is None
    with channel.lock("nightly", ttl=30) as current:
        assert channel.hook.extend(name="nightly", token=lease.token, ttl=60_000) is False
        assert current.fence > lease.fence


def test_rule_2_many_leases_are_extended_at_once_each_for_itself(
    storage: Storage, clock: ManualClock
) -> None:
    """`extend_all` answers for each lease, and one that is over hinders no other."""
    channel = storage.open(clock=clock)
    leases = [channel.lock(f"lock {n}", ttl=10) for n in range(5)]
    leases[1].release()
    channel.force_unlock("lock 3")
    requests = [oc.hookspecs.LeaseRequest(one.name, one.token, 60_000) for one in leases]
    answers = channel.hook.extend_all(leases=requests, timeout=1000)
    assert answers == [True, False, True, False, True]
    clock.advance(30)
    assert {info.name for info in channel.locks()} == {"lock 0", "lock 2", "lock 4"}


# Rule 3: the same token asks for the same lease.


def test_rule_3_asking_again_answers_the_same_fence_and_leaves_the_deadline(
    storage: Storage, clock: ManualClock
) -> None:
    """A retried request is granted as before; a longer ttl in it changes nothing."""
    channel, other = storage.open(clock=clock), storage.open(clock=clock)
    asked = {"name": "nightly", "token": "a" * 32, "ttl": 10_000, "holder": {"pid": 1}}
    first = channel.hook.lock(**asked)
    assert isinstance(first, Granted)
    clock.advance(4)
    again = other.hook.lock(**{**asked, "ttl": 60_000})
    assert isinstance(again, Granted)
    assert again.fence == first.fence
    clock.advance(6)
    assert channel.lock_info("nightly") is None


def test_rule_3_after_expiry_or_unlock_the_same_token_gets_a_new_lease(
    storage: Storage, clock: ManualClock
) -> None:
    """The fence is higher each time."""
    channel = storage.open(clock=clock)
    asked = {"name": "nightly", "token": "a" * 32, "ttl": 10_000, "holder": {}}
    fences = [channel.hook.lock(**asked).fence]
    clock.advance(10)
    fences.append(channel.hook.lock(**asked).fence)
    channel.hook.unlock(name="nightly", token="a" * 32)
    fences.append(channel.hook.lock(**asked).fence)
    assert fences == sorted(set(fences))


def test_rule_3_an_acquisition_of_unknown_outcome_is_unlocked(storage: Storage) -> None:
    """When the answer is lost on its way, nobody is left holding the lock."""

    class LosesTheAnswer:
        @oc.hookimpl(wrapper=True)
        def lock(self) -> Iterator[None]:
            yield
            raise oc.OutcomeUnknown("test", "lock", "ask again")

    channel, other = storage.open(extensions=[LosesTheAnswer()]), storage.open()
    with pytest.raises(oc.OutcomeUnknown):
        channel.lock("nightly", ttl=30)
    with other.lock("nightly", ttl=30):
        pass


def test_rule_3_tokens_are_random_and_new_for_every_lease(channel: oc.Channel) -> None:
    """128 bits each, never twice."""
    tokens = set()
    for _ in range(50):
        with channel.lock("nightly", ttl=30) as lease:
            tokens.add(lease.token)
            assert int(lease.token, 16) < 2**128
            assert len(lease.token) == 32
    assert len(tokens) == 50


# Rule 5: fences grow for ever.


@pytest.mark.parametrize(
    "end",
    [
        lambda storage, clock, lease: lease.release(),
        lambda storage, clock, lease: clock.advance(30),
        lambda storage, clock, lease: lease.channel.force_unlock("nightly"),
        lambda storage, clock, lease: (lease.channel.destroy(), lease.release()),
        lambda storage, clock, lease: lease.channel.close(),
    ],
    ids=["unlock", "expiry", "force_unlock", "destroy", "restart"],
)
def test_rule_5_fences_grow_over(
    storage: Storage, clock: ManualClock, end: Callable[..., object]
) -> None:
    """However a lease ended, the next one's fence is higher, though no clock moved on."""
    fences = []
    for _ in range(20):
        lease = storage.open(clock=clock).lock("nightly", ttl=30)
        fences.append(lease.fence)
        end(storage, clock, lease)
    assert fences == sorted(set(fences))


def test_rule_5_a_fence_is_the_wall_clock_or_one_more(storage: Storage, clock: ManualClock) -> None:
    """max(last + 1, wall clock in microseconds)."""
    channel = storage.open(clock=clock)
    with channel.lock("nightly", ttl=30) as first:
        assert first.fence == clock.wall()
    with channel.lock("nightly", ttl=30) as second:
        assert second.fence == first.fence + 1
    clock.advance(1)
    with channel.lock("nightly", ttl=30) as third:
        assert third.fence == clock.wall() > second.fence


# Rule 6: the holder's own deadline.


def test_rule_6_the_deadline_counts_from_before_the_request_less_a_hundredth(
    storage: Storage, clock: ManualClock
) -> None:
    """What the request took, going and coming, is no time of the lease for its holder."""

    class Slow:
        @oc.hookimpl(wrapper=True)
        def lock(self) -> Iterator[None]:
            clock.advance(0.5)
            answer = yield
            clock.advance(1)
            return answer

        @oc.hookimpl(wrapper=True)
        def extend(self) -> Iterator[None]:
            answer = yield
            clock.advance(2)
            return answer

    channel = storage.open(clock=clock, extensions=[Slow()])
    lease = channel.lock("nightly", ttl=10)
    assert lease.remaining() == pytest.approx(10 - 0.1 - 1.5)
    lease.extend(20)
    assert lease.remaining() == pytest.approx(20 - 0.2 - 2)
    clock.advance(17.7)
    lease.check()
    clock.advance(0.1)
    assert lease.remaining() == 0
    assert lease.lost
    with pytest.raises(oc.LockLost):
        lease.check()


def test_rule_6_a_grant_that_took_all_of_its_ttl_is_given_back(
    storage: Storage, clock: ManualClock
) -> None:
    """Nobody starts to work under a lease that is over on arrival."""

    class Slow:
        @oc.hookimpl(wrapper=True)
        def lock(self) -> Iterator[None]:
            answer = yield
            clock.advance(9.95)
            return answer

    slow, other = storage.open(clock=clock, extensions=[Slow()]), storage.open(clock=clock)
    with pytest.raises(oc.LockLost, match="took all of its ttl"):
        slow.lock("nightly", ttl=10)
    assert other.lock_info("nightly") is None


# Rule 7: waiting.


def test_rule_7_without_wait_nobody_waits(storage: Storage) -> None:
    """`wait=0` is the default and never goes to wait."""
    counting = Counting()
    channel = storage.open(extensions=[counting])
    with channel.lock("nightly", ttl=30):
        assert channel.try_lock("nightly", ttl=30) is None
        for wait in ({}, {"wait": 0}, {"wait": timedelta(0)}):
            with pytest.raises(oc.LockBusy) as busy:
                channel.lock("nightly", ttl=30, **wait)
            assert busy.value.waited == 0
    assert counting.calls["wait"] == 0


def test_rule_7_a_wait_ends_at_its_timeout(storage: Storage) -> None:
    """Not before, and not much after."""
    channel = storage.open()
    with channel.lock("nightly", ttl=30):
        began = time.monotonic()
        with pytest.raises(oc.LockBusy) as busy:
            channel.lock("nightly", ttl=30, wait=0.15)
        took = time.monotonic() - began
    assert 0.15 <= took < 1
    assert busy.value.waited == pytest.approx(took, abs=0.1)
    assert busy.value.remaining == pytest.approx(30, abs=1)


def test_rule_7_a_release_wakes_a_waiter_within_50_ms(
    storage: Storage, announcer: Announcer, in_background: Background
) -> None:
    """Also one that waits for ever; told by the median of ten."""
    holder, waiter = storage.open(), storage.open(extensions=[announcer])
    lags = []
    for _ in range(10):
        lease = holder.lock("nightly", ttl=30)

        def wait() -> float:
            with waiter.lock("nightly", ttl=30, wait=None):
                return time.monotonic()

        waiting = in_background(wait)
        assert announcer.waiting.acquire(timeout=10)
        released = time.monotonic()
        lease.release()
        lags.append(waiting.result(10) - released)
    assert statistics.median(lags) < 0.05


def test_rule_7_a_waiter_has_it_within_50_ms_after_a_dead_holders_time(
    storage: Storage,
) -> None:
    """Nobody unlocks, and the waiter still wakes when the time is over; the median of five."""
    holder, waiter = storage.open(), storage.open()
    lags = []
    for turn in range(5):
        began = time.monotonic()
        dead = holder.lock(f"nightly {turn}", ttl=0.4)
        lease = waiter.lock(f"nightly {turn}", ttl=30, wait=10)
        lags.append(time.monotonic() - began - 0.4)
        assert lease.fence > dead.fence
    assert min(lags) > -0.01
    assert statistics.median(lags) < 0.05


def test_rule_7_a_lease_that_was_shortened_is_over_for_its_waiters_too(
    storage: Storage, announcer: Announcer, in_background: Background
) -> None:
    """A waiter that went to wait under a long lease does not sleep until its old end."""
    holder, waiter = storage.open(), storage.open(extensions=[announcer])
    lease = holder.lock("nightly", ttl=60)
    waiting = in_background(waiter.lock, "nightly", ttl=30, wait=30)
    assert announcer.waiting.acquire(timeout=10)
    began = time.monotonic()
    lease.extend(0.1)
    waiting.result(20)
    assert time.monotonic() - began < 2


def test_rule_7_a_forced_unlock_wakes_a_waiter(
    storage: Storage, announcer: Announcer, in_background: Background
) -> None:
    """And the one that was put out is told at its release."""
    holder, waiter, admin = storage.open(), storage.open(extensions=[announcer]), storage.open()
    put_out = holder.lock("nightly", ttl=60)
    waiting = in_background(waiter.lock, "nightly", ttl=30, wait=30)
    assert announcer.waiting.acquire(timeout=10)
    began = time.monotonic()
    admin.force_unlock("nightly")
    waiting.result(20)
    assert time.monotonic() - began < 2
    with pytest.raises(oc.LockLost):
        put_out.release()
    assert admin.lock_info("nightly") is not None


def test_rule_7_no_release_between_refusal_and_wait_is_missed(storage: Storage) -> None:
    """A lock that is freed, or granted anew, before the waiter sits down is noticed."""
    holder = storage.open()
    turn = threading.Event()

    class ReleasesFirst:
        @oc.hookimpl(wrapper=True)
        def wait(self) -> Iterator[None]:
            lease.release()
            turn.set()
            return (yield)

    waiter = storage.open(extensions=[ReleasesFirst()])
    lease = holder.lock("nightly", ttl=60)
    began = time.monotonic()
    with waiter.lock("nightly", ttl=30, wait=30):
        assert turn.is_set()
    assert time.monotonic() - began < 2


def test_rule_7_wait_returns_at_once_when_the_fence_is_another(channel: oc.Channel) -> None:
    """Who was refused under an older lease asks again rather than sleeping on the newer one."""
    lease = channel.lock("nightly", ttl=60)
    began = time.monotonic()
    channel.hook.wait(name="nightly", seen_fence=lease.fence - 1, token="b" * 32, timeout=20_000)
    channel.hook.wait(name="free", seen_fence=0, token="b" * 32, timeout=20_000)
    assert time.monotonic() - began < 2


def test_rule_7_who_gave_up_waiting_does_not_win_later(
    storage: Storage, announcer: Announcer, in_background: Background
) -> None:
    """Neither after its timeout nor after an interruption does it hold or hinder."""

    class Interrupted:
        @oc.hookimpl(wrapper=True)
        def wait(self) -> Iterator[None]:
            yield
            raise KeyboardInterrupt

    holder, other = storage.open(), storage.open(extensions=[announcer])
    lease = holder.lock("nightly", ttl=60)
    with pytest.raises(oc.LockBusy):
        other.lock("nightly", ttl=30, wait=0.05)
    interrupted = storage.open(extensions=[Interrupted()])
    waiting = in_background(interrupted.lock, "nightly", ttl=30, wait=0.05)
    with pytest.raises(KeyboardInterrupt):
        waiting.result(20)
    lease.release()
    assert holder.lock_info("nightly") is None
    with holder.lock("nightly", ttl=30):
        pass


def test_rule_7_simple_grants_in_the_order_of_asking(
    simple_storage: Storage, announcer: Announcer, in_background: Background
) -> None:
    """Capability `fifo`: first come, first served, and no newcomer passes the queue."""
    channel = simple_storage.open(extensions=[announcer])
    assert "fifo" in channel.capabilities
    first = channel.lock("nightly", ttl=30)
    order: list[int] = []

    def work(number: int) -> None:
        with channel.lock("nightly", ttl=30, wait=30):
            order.append(number)

    workers = []
    for number in range(6):
        workers.append(in_background(work, number))
        assert announcer.waiting.acquire(timeout=10)
    first.release()
    newcomer = channel.try_lock("nightly", ttl=30)
    assert newcomer is None
    for worker in workers:
        worker.result(30)
    assert order == list(range(6))


def test_rule_7_close_wakes_the_waiters_of_the_handle(
    storage: Storage, announcer: Announcer, in_background: Background
) -> None:
    """They get ChannelClosed soon; waiters of other handles go on."""
    holder = storage.open()
    closing, staying = (storage.open(extensions=[announcer]) for _ in range(2))
    lease = holder.lock("nightly", ttl=60)
    waiting = [in_background(closing.lock, "nightly", ttl=30, wait=None) for _ in range(3)]
    other = in_background(staying.lock, "nightly", ttl=30, wait=30)
    for _ in range(4):
        assert announcer.waiting.acquire(timeout=10)
    began = time.monotonic()
    closing.close()
    for future in waiting:
        with pytest.raises(oc.ChannelClosed):
            future.result(20)
    assert time.monotonic() - began < 2
    assert not other.done()
    lease.release()
    other.result(20).release()


def test_rule_7_close_never_leaves_a_lock_behind(
    storage: Storage, announcer: Announcer, in_background: Background
) -> None:
    """Whether a waiter of the closing handle was about to win or not, the lock is free after."""
    other = storage.open()
    for turn in range(15):
        handle = storage.open(extensions=[announcer])
        handle.lock("nightly", ttl=60)
        waiting = [in_background(handle.lock, "nightly", ttl=60, wait=20) for _ in range(2)]
        for _ in waiting:
            assert announcer.waiting.acquire(timeout=10)
        handle.close()
        for future in waiting:
            with pytest.raises(oc.ChannelClosed):
                future.result(20)
        assert other.lock_info("nightly") is None, f"turn {turn}"


# Rule 9: a lease is not a thing to copy.


def test_rule_9_pickling_says_how_to_hand_over(channel: oc.Channel) -> None:
    """A Channel or a Lease cannot be pickled, and the error tells what to do instead."""
    with (
        channel.lock("nightly", ttl=30) as lease,
        pytest.raises(TypeError, match="to_document and lease_from"),
    ):
        pickle.dumps(lease)
    with pytest.raises(TypeError, match="open it again"):
        pickle.dumps(channel)


# Rule 10: what a fence guards.


def test_rule_10_a_fence_refuses_a_holder_that_was_overtaken(
    storage: Storage, clock: ManualClock
) -> None:
    """A holder that slept through its deadline cannot overwrite what the next one wrote."""
    one, other = storage.open(clock=clock), storage.open(clock=clock)
    slept = one.lock("nightly", ttl=1)
    clock.advance(1)
    with other.lock("nightly", ttl=30) as current:
        other.set("result", "new", fence=current.fence)
    with pytest.raises(oc.StaleFence):
        one.set("result", "old", fence=slept.fence)
    assert one.get("result") == "new"


# The lease as an object.


def test_with_never_runs_its_body_unheld(storage: Storage, clock: ManualClock) -> None:
    """A lease that was lost, released or handed over before `with` raises at its door."""
    channel = storage.open(clock=clock)
    lost, released, given = (channel.lock(name, ttl=10) for name in "abc")
    released.release()
    given.to_document()
    clock.advance(10)
    for lease in (lost, released, given):
        ran = False
        with pytest.raises(oc.LockLost), lease:
            ran = True
        assert not ran


def fail(after: Callable[[], object]) -> None:
    after()
    raise ZeroDivisionError


def test_the_bodys_own_error_stands_and_the_loss_is_noted_on_it(channel: oc.Channel) -> None:
    """Without an error of the body the loss is raised; with one it is a note on that."""
    with pytest.raises(oc.LockLost), channel.lock("nightly", ttl=30):
        channel.force_unlock("nightly")
    with pytest.raises(ZeroDivisionError) as failed, channel.lock("nightly", ttl=30):
        fail(after=lambda: channel.force_unlock("nightly"))
    assert any("lost the lock 'nightly'" in note for note in failed.value.__notes__)
    with pytest.raises(ZeroDivisionError) as failed, channel.lock("nightly", ttl=30):
        fail(after=lambda: None)
    assert not hasattr(failed.value, "__notes__")
    assert channel.lock_info("nightly") is None


def test_release_twice_is_nothing(channel: oc.Channel) -> None:
    """Nor is a release within `with`; the lease then says that it was released."""
    with channel.lock("nightly", ttl=30) as lease:
        lease.release()
        lease.release()
    assert not lease.held
    assert not lease.lost
    assert lease.remaining() == 0
    with pytest.raises(oc.LockLost, match="it was released"):
        lease.check()
    with channel.lock("nightly", ttl=30) as other:
        lease.release()
        other.check()


def test_release_by_two_threads_at_once_is_one_release(
    storage: Storage, in_background: Background
) -> None:
    """As when a channel is closed while another thread leaves its `with`: no loss is told."""
    unlocked, go_on = threading.Event(), threading.Event()

    class SlowAnswer:
        @oc.hookimpl(wrapper=True)
        def unlock(self) -> Iterator[None]:
            answer = yield
            unlocked.set()
            assert go_on.wait(20)
            return answer

    channel = storage.open(extensions=[SlowAnswer()])
    lease = channel.lock("nightly", ttl=30)
    first = in_background(lease.release)
    assert unlocked.wait(20)
    second = in_background(lease.release)
    wait([second], 0.05)
    go_on.set()
    first.result(20)
    second.result(20)
    assert not lease.lost


def test_close_releases_the_leases_of_the_handle(storage: Storage) -> None:
    """Those of other handles stay."""
    one, other = storage.open(), storage.open()
    leases = [one.lock(f"lock {n}", ttl=30) for n in range(3)]
    kept = other.lock("kept", ttl=30)
    one.close()
    assert [info.name for info in other.locks()] == ["kept"]
    assert not any(lease.held for lease in leases)
    leases[0].release()
    kept.release()


def test_a_lease_tells_of_the_holder_that_never_unlocked(
    storage: Storage, clock: ManualClock
) -> None:
    """`previous` is its document and its fence; None after an unlock, and for the first."""
    channel = storage.open(clock=clock)
    first = channel.lock("nightly", ttl=1, holder={"job": "report"})
    assert first.previous is None
    clock.advance(1)
    second = channel.lock("nightly", ttl=30)
    assert second.previous is not None
    assert second.previous["job"] == "report"
    assert second.previous["fence"] == first.fence
    second.release()
    with channel.lock("nightly", ttl=30) as third:
        assert third.previous is None


def test_a_lease_tells_of_the_holder_that_was_put_out_by_force(storage: Storage) -> None:
    """It never unlocked either; nor does its late release change what is told."""
    one, other = storage.open(), storage.open()
    first = one.lock("nightly", ttl=30, holder={"job": "report"})
    other.force_unlock("nightly")
    assert one.lock_info("nightly") is None
    assert other.locks() == []
    with pytest.raises(oc.LockLost):
        first.release()
    with other.lock("nightly", ttl=30) as second:
        assert second.previous is not None
        assert (second.previous["job"], second.previous["fence"]) == ("report", first.fence)
    with one.lock("nightly", ttl=30) as third:
        assert third.previous is None


def test_lock_info_tells_holder_fence_since_and_until(storage: Storage, clock: ManualClock) -> None:
    """In milliseconds of the epoch; it changes nothing, and is None for a free lock."""
    channel, other = storage.open(clock=clock), storage.open(clock=clock)
    assert channel.lock_info("nightly") is None
    lease = channel.lock("nightly", ttl=30, holder={"job": "report", "é": {"n": [1, None]}})
    granted = clock.wall() // 1000
    clock.advance(10)
    info = other.lock_info("nightly")
    assert info is not None
    assert (info.name, info.fence) == ("nightly", lease.fence)
    assert (info.since, info.until) == (granted, granted + 30_000)
    assert {"host", "pid", "thread"} < info.holder.keys()
    assert info.holder["é"] == {"n": [1, None]}
    info.holder["spoiled"] = True
    assert other.locks() == [channel.lock_info("nightly")]
    assert "spoiled" not in other.locks()[0].holder
    clock.advance(20)
    assert other.lock_info("nightly") is None
    assert other.locks() == []


def test_force_unlock_tells_whom_it_put_out_and_keeps_the_fence(storage: Storage) -> None:
    """Afterwards the lock is free, and the next fence is higher."""
    channel, admin = storage.open(), storage.open()
    assert admin.force_unlock("nightly") is None
    lease = channel.lock("nightly", ttl=30, holder={"job": "report"})
    info = channel.lock_info("nightly")
    put_out = admin.force_unlock("nightly")
    assert put_out is not None
    assert info is not None
    assert put_out[:4] == info[:4]
    assert admin.force_unlock("nightly") is None
    with admin.lock("nightly", ttl=30) as current:
        assert current.fence > lease.fence
        with pytest.raises(oc.LockLost):
            lease.extend()
        assert lease.lost


def test_busy_says_who_holds_it_and_for_how_long(storage: Storage, clock: ManualClock) -> None:
    """As attributes, and in the message together with what to do."""
    channel, other = storage.open(clock=clock), storage.open(clock=clock)
    lease = channel.lock("nightly", ttl=30, holder={"job": "report"})
    clock.advance(10)
    with pytest.raises(oc.LockBusy) as refused:
        other.lock("nightly", ttl=1)
    busy = refused.value
    assert (busy.channel, busy.name, busy.remaining) == (other.name, "nightly", 20)
    assert busy.holder["job"] == "report"
    for part in ("'nightly'", "job report", f"pid {busy.holder['pid']}", "20 s", "force_unlock"):
        assert part in str(busy)
    answer = other.hook.lock(name="nightly", token="b" * 32, ttl=1000, holder={})
    assert isinstance(answer, Busy)
    assert (answer.fence, answer.remaining) == (lease.fence, 20_000)


@pytest.mark.parametrize("ttl", [0, 0.009, -1, float("nan"), float("inf"), "5", None, True, [1]])
def test_a_ttl_that_is_none_is_refused(channel: oc.Channel, ttl: Any) -> None:
    """It is a duration of 10 ms at least, and the message says so."""
    with pytest.raises(oc.InvalidOption, match="ttl"):
        channel.lock("nightly", ttl=ttl)
    with pytest.raises(oc.InvalidOption, match="ttl"):
        channel.try_lock("nightly", ttl=ttl)
    if ttl is not None:  # which means the lease's own
        with channel.lock("held", ttl=30) as held, pytest.raises(oc.InvalidOption, match="ttl"):
            held.extend(ttl)
    assert channel.lock_info("nightly") is None


def test_a_ttl_is_required(channel: oc.Channel) -> None:
    """There is no lock without an end."""
    with pytest.raises(TypeError, match="ttl"):
        channel.lock("nightly")  # type: ignore[call-arg]  # what is tested


@pytest.mark.parametrize("wait", [-1, float("nan"), "5", True])
def test_a_wait_that_is_none_is_refused(channel: oc.Channel, wait: Any) -> None:
    """It is a duration, or None for ever."""
    with pytest.raises(oc.InvalidOption, match="wait"):
        channel.lock("nightly", ttl=30, wait=wait)
    assert channel.lock_info("nightly") is None


@pytest.mark.parametrize("holder", [{"n": 2**70}, {1: 2}, {"n": object()}])
def test_what_a_holder_tells_is_json(channel: oc.Channel, holder: Any) -> None:
    """Anything else is refused before the lock is taken."""
    with pytest.raises(oc.InvalidValue):
        channel.lock("nightly", ttl=30, holder=holder)
    assert channel.lock_info("nightly") is None


def test_durations_are_seconds_or_timedeltas_kept_to_the_millisecond(
    storage: Storage, clock: ManualClock
) -> None:
    """From ten milliseconds to a hundred years."""
    channel = storage.open(clock=clock)
    durations: list[tuple[Any, float]] = [
        (0.01, 0.01),
        (1, 1),
        (0.0125, 0.012),
        (timedelta(minutes=1, milliseconds=5), 60.005),
        (36500 * 86400, 36500 * 86400),
    ]
    for given, kept in durations:
        with channel.lock("nightly", ttl=given) as lease:
            assert lease.ttl == kept
            info = channel.lock_info("nightly")
            assert info is not None
            assert info.until - info.since == round(kept * 1000)


def test_a_channel_that_closes_while_a_lock_is_granted_gives_it_back(storage: Storage) -> None:
    """It is unlocked by its token, not left to its ttl, and the caller gets ChannelClosed."""
    unlocked: list[str] = []

    class ClosesMeanwhile:
        @oc.hookimpl(wrapper=True)
        def lock(self, token: str) -> Iterator[None]:
            answer = yield
            self.token = token
            channel.close()
            return answer

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
    """An exception from elsewhere in the middle of it leaves no handle half open for good."""
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
