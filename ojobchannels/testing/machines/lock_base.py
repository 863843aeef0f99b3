"""The parts that all steps of the state machine for locks share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

from hypothesis import strategies as st
from hypothesis.stateful import initialize

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.lease import Lease
from ojobchannels.channels.slots import slot_name
from ojobchannels.documents import MAX_NAME_BYTES
from ojobchannels.errors import LockBusy, LockLost
from ojobchannels.hookspecs import MISSING, Granted, LockInfo
from ojobchannels.testing.kit import strategies
from ojobchannels.testing.machines.base import (
    ChannelMachine,
    from_machine,
    short,
    step,
)
from ojobchannels.testing.machines.document_model import DocumentModel
from ojobchannels.testing.machines.lock_model import Holding, LockModel
from ojobchannels.testing.machines.message_loss import Loss, MessageLoss
from ojobchannels.testing.machines.times import Span, timed, times_of

_MAX_WITH_SLOTS = MAX_NAME_BYTES - len(slot_name("", 1000))
_M = TypeVar("_M", bound=Callable[..., Any])


@dataclass
class TrackedLease:
    """A lease that the machine has requested, and what its holder knows of it.

    Attributes:
        label: Name in the trace.
        client: The client whose handle requested it.
        name: Name of the lock.
        token: Token of the lease.
        fence: Fence of the lease.
        lease: The result of the channel; None if the reply was lost.
        state: State as its holder knows it, without regard to time.
        deadline: Earliest and latest end of the time for which its holder relies on it.
        released: Whether its holder called `release`; then its handle does not know it any more.
    """

    label: str
    client: str
    name: str
    token: str
    fence: int
    lease: Lease | None
    state: Literal["held", "lost", "over"]
    deadline: Span
    released: bool = False

    def expected(self, when: Span) -> bool | None:
        """Return whether the lease must appear held to its holder; None if either is correct."""
        if self.state != "held" or when.before >= self.deadline.after:
            return False
        return True if when.after < self.deadline.before else None

    def in_use(self) -> Lease:
        """Return the lease of the channel."""
        if self.lease is None:
            raise TypeError(f"{self} has no holder")
        return self.lease

    def __repr__(self) -> str:
        return self.label


# Choices must not depend on results, which in real time differ between runs of one example.


def has_requests(machine: LockMachineBase) -> bool:
    """Return whether a lock was requested before."""
    return machine.asked > 0


def has_manual_clock(machine: LockMachineBase) -> bool:
    """Return whether a lock was requested before and the backend has a manual clock."""
    return has_requests(machine) and machine.times.clock is not None


names = from_machine(lambda machine: st.sampled_from(sorted(machine.locks)))
ttls = from_machine(lambda machine: st.sampled_from(machine.times.ttls))
losses: st.SearchStrategy[Loss] = st.sampled_from(("the reply", "the request"))


def lease_step(usable: bool = False, **drawn: st.SearchStrategy[Any]) -> Callable[[_M], _M]:
    """Make a `step` that uses one of the latest leases, or does nothing if there is none.

    Args:
        usable: Whether to choose only leases that a holder can still use.
        drawn: Strategies for further arguments.
    """

    def accept(method: _M) -> _M:
        @functools.wraps(method)
        def run(self: LockMachineBase, recent: int, **arguments: Any) -> None:
            __tracebackhide__ = True
            leases = self.usable_leases() if usable else self.leases
            if leases:
                method(self, tracked=leases[-1 - recent % len(leases)], **arguments)
            else:
                self.skip()

        return cast("_M", step(has_requests, recent=st.integers(0, 4), **drawn)(run))

    return accept


class LockMachineBase(ChannelMachine):
    """The locks of one channel, the leases of the clients, and the models of both."""

    @initialize(
        names=st.lists(strategies.lock_names(), min_size=1, max_size=2, unique=True),
        slots=st.integers(1, 3),
    )
    def open(self, names: list[str], slots: int) -> None:
        """Choose the locks, and the number of slots that they have if their names leave room."""
        self.begin()
        self.times = times_of(self.current)
        self.losses: dict[str, MessageLoss] = {}
        self.slots = {
            slot_name(name, slot + 1): (name, slot + 1)
            for name in names
            for slot in range(slots if len(name.encode()) <= _MAX_WITH_SLOTS else 1)
        }
        self.locks = {slot: LockModel(self.times.slack) for slot in self.slots}
        self.notes = DocumentModel()
        self.asked = 0
        self.leases: list[TrackedLease] = []
        self.requests: set[tuple[str, str]] = set()  # handles that may know a token
        self.documents: list[tuple[TrackedLease, dict[str, Any]]] = []
        self.log(f", and locks {short(list(self.locks))[1:-1]}")

    def check(self) -> None:
        """Compare lock infos, leases and documents with the models."""
        __tracebackhide__ = True
        _, channel = self.next_handle()
        for slot, lock in self.locks.items():
            info, when = self.info(channel.lock_info, slot)
            lock.judge_info(info, when)
        for tracked in self.usable_leases()[-4:]:
            held, when = timed(self.times, lambda tracked=tracked: tracked.in_use().held)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            expected = tracked.expected(when)
            if expected is not None:
                self.expect(held, expected, f"{tracked}.held")
        for key, value in self.notes:
            self.expect(channel.get(key, default=MISSING), value, f"the value at {key!r}")

    def info(self, ask: Callable[..., LockInfo | None], slot: str) -> tuple[LockInfo | None, Span]:
        """Return the result of `lock_info` or `force_unlock` for a slot, and when it was asked."""
        name, number = self.slots[slot]
        return timed(self.times, lambda: ask(name, slot=number))

    def usable_leases(self) -> list[TrackedLease]:
        """Return the leases that a holder can still use."""
        return [
            tracked
            for tracked in self.leases
            if tracked.lease is not None and tracked.state != "over"
        ]

    def take(self, client: str, name: str, ttl: int, tries: bool) -> None:
        """Request a lock as a user does, and check the results.

        The name of the n-th slot stands for a request with n slots.
        """
        __tracebackhide__ = True
        label = self.next_label()
        self.log(f"{client} {'tries' if tries else 'locks'} {short(name)} for {ttl / 1000:g} s")
        channel = self.handle(client)
        losses = self.watch_results(client)
        take = channel.try_lock if tries else channel.lock
        busy = lost = lease = None
        before, (lock, slots) = self.times.now(), self.slots[name]
        try:
            lease = take(lock, ttl=ttl / 1000, holder={"client": label}, slots=slots)
        except LockBusy as error:
            busy = error
        except LockLost as error:
            lost = error
        when = Span(before, self.times.now())
        asked, result = losses.calls["lock"], losses.results["lock"]
        granted = isinstance(result, Granted)
        self.log(f" -> {f'{label}, fence {result.fence}' if granted else 'busy'}")
        self.judge_request(client, label, when)
        if lost is not None:
            if when.after - when.before < ttl * 990:
                self.fail(f"LockLost although the grant was in time: {lost}")
            self.judge_unlock(asked["name"], asked["token"], losses.results["unlock"], when)
        elif granted != (lease is not None) or (busy is None) != (granted or tries):
            self.fail(f"the backend returned {result}, but the channel {lease or busy}")
        if lease is not None:
            self.expect(lease._lock_name, asked["name"], "the name of the slot")
            if lease.fence != result.fence:
                self.fail(f"the lease has fence {lease.fence}, the backend granted {result.fence}")
            deadline = Span(when.before + ttl * 990, when.after + ttl * 990)
            self.leases.append(
                TrackedLease(
                    label, client, asked["name"], lease.token, lease.fence, lease, "held", deadline
                )
            )

    def open_handle(self, client: str) -> Channel:
        """Open a handle that can lose requests and replies."""
        self.losses[client] = MessageLoss()
        return self.current.open(extensions=[self.losses[client]])

    def next_label(self) -> str:
        """Return the name of the next lease in the trace."""
        self.asked += 1
        return f"lease_{self.asked}"

    def watch_results(self, client: str) -> MessageLoss:
        """Return the recorder of a client's results, cleared."""
        self.handle(client)
        self.losses[client].forget()
        return self.losses[client]

    def wait_until(self, moment: int) -> bool:
        """Wait until `moment`, unless that takes too long; return whether it did."""
        left = moment - self.times.now()
        if not 0 < left <= self.times.longest * 1e6:
            return False
        self.log(f"{left / 1e6:g} s pass")
        self.times.wait(left / 1e6)
        return True

    def wait_for_expiry(self, tracked: TrackedLease, wanted: bool) -> None:
        """Wait until a lease has expired, if it is valid and `wanted` is true."""
        holding = self.locks[tracked.name].holding
        if (
            wanted
            and holding
            and holding.token == tracked.token
            and self.wait_until(holding.expired_at)
        ):
            self.log(" until it ends; ")

    def send_late_request(self, client: str, call: dict[str, Any], label: str) -> None:
        """Send a request for a lock to the backend, and check the result."""
        result, when = timed(self.times, lambda: self.handle(client).hook.lock(**call, waits=False))
        self.log(f" -> {f'fence {result.fence}' if isinstance(result, Granted) else 'busy'}")
        self.judge_request(client, label, when)

    def judge_request(self, client: str, label: str, when: Span) -> None:
        """Check the backend's results of the last request of a client for a lock or its slots."""
        __tracebackhide__ = True
        while self.losses[client].locks:
            call, result = self.losses[client].locks.pop(0)
            self.requests.add((client, call["token"]))
            asked = Holding(label, client, call["holder"]["client"], call["token"], 0, call["ttl"])
            lock = self.locks[call["name"]]
            lock.judge_request(asked, result, when)
            if self.times.clock and lock.holding is asked and lock.fence < self.times.clock.wall():
                self.fail(f"fence {lock.fence} is below the wall clock in microseconds")

    def judge_unlock(self, name: str, token: str, result: object, when: Span) -> bool:
        """Check the backend's result of an unlock, and update the model."""
        __tracebackhide__ = True
        done = self.locks[name].judge_token("unlock", token, result, when)
        if done:
            self.locks[name].free()
        return done

    def use(
        self, tracked: TrackedLease, operation: str, act: Callable[[Lease], None]
    ) -> Span | None:
        """Let the holder use its lease; return when, or None if the lease was lost."""
        __tracebackhide__ = True
        losses = self.watch_results(tracked.client)
        before, raised = self.times.now(), False
        try:
            act(tracked.in_use())
        except LockLost:
            raised = True
        when = Span(before, self.times.now())
        self.log(" -> LockLost" if raised else "")
        expected, result = tracked.expected(when), losses.results.get(operation)
        if result is None:
            if not raised or expected:
                self.fail("the lease is valid, but the channel did not call the backend")
            return None
        if expected is False:
            self.fail("the lease has expired, but the channel called the backend")
        done = self.locks[tracked.name].judge_token(operation, tracked.token, result, when)
        if done == raised:
            self.fail(
                f"the backend returned {result}, the channel {'raised' if raised else 'succeeded'}"
            )
        if raised:
            tracked.state = "lost"
        return when if done else None
