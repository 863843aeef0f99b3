"""What the steps of the state machine for locks share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

from hypothesis import strategies as st
from hypothesis.stateful import initialize

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.lease import Lease
from ojobchannels.errors import LockBusy, LockLost
from ojobchannels.hookspecs import MISSING, Granted
from ojobchannels.testing.kit import strategies
from ojobchannels.testing.machines.document_model import DocumentModel
from ojobchannels.testing.machines.lock_model import Holding, LockModel
from ojobchannels.testing.machines.losses import Loss, Losses
from ojobchannels.testing.machines.teller import (
    Teller,
    of_the_machine,
    short,
    step,
)
from ojobchannels.testing.machines.times import During, timed, times_of

_M = TypeVar("_M", bound=Callable[..., Any])


@dataclass
class Hand:
    """A lease in somebody's hand.

    Attributes:
        label: What the story calls it.
        who: Whose handle it is on.
        name: The lock.
        token: Its proof of ownership.
        fence: Its number.
        lease: What the channel answered; None if the answer was lost.
        state: What its holder knows, apart from the time.
        believed: Until when its holder relies on it: at least, and at most.
        let_go: Whether its holder released it, even if it was lost: its handle forgets it then.
    """

    label: str
    who: str
    name: str
    token: str
    fence: int
    lease: Lease | None
    state: Literal["held", "lost", "over"]
    believed: During
    let_go: bool = False

    def belief(self, when: During) -> bool | None:
        """Tells whether its holder takes it for held; None if that cannot be said."""
        if self.state != "held" or when.before >= self.believed.after:
            return False
        return True if when.after < self.believed.before else None

    def in_use(self) -> Lease:
        """Returns the lease that its holder has."""
        if self.lease is None:
            raise TypeError(f"{self} is in nobody's hand")
        return self.lease

    def __repr__(self) -> str:
        return self.label


# What Hypothesis chooses from must not depend on answers: in real time they are not always alike.


def somebody_asked(machine: LockTeller) -> bool:
    """Tells whether a lock was asked for before."""
    return machine.asked > 0


def is_virtual(machine: LockTeller) -> bool:
    """Tells whether a lock was asked for, and a clock can be turned."""
    return somebody_asked(machine) and machine.times.clock is not None


names = of_the_machine(lambda machine: st.sampled_from(sorted(machine.locks)))
ttls = of_the_machine(lambda machine: st.sampled_from(machine.times.ttls))
losses: st.SearchStrategy[Loss] = st.sampled_from(("the reply", "the request"))


def lease_step(usable: bool = False, **drawn: st.SearchStrategy[Any]) -> Callable[[_M], _M]:
    """A `step` with one of the latest leases, which does nothing where there is none.

    Args:
        usable: Whether it has to be one that somebody can still use.
        drawn: What else the method takes.
    """

    def accept(method: _M) -> _M:
        @functools.wraps(method)
        def run(self: LockTeller, recent: int, **given: Any) -> None:
            __tracebackhide__ = True
            hands = self.usable_hands() if usable else self.hands
            if hands:
                method(self, hand=hands[-1 - recent % len(hands)], **given)
            else:
                self.tell("nothing happens: nobody has a lease")

        return cast("_M", step(somebody_asked, recent=st.integers(0, 4), **drawn)(run))

    return accept


class LockTeller(Teller):
    """Locks, the leases in people's hands, and what the model says of both."""

    @initialize(names=st.lists(strategies.lock_names(), min_size=1, max_size=2, unique=True))
    def open(self, names: list[str]) -> None:
        """Chooses the locks."""
        self.begin()
        self.times = times_of(self.here)
        self.losses: dict[str, Losses] = {}
        self.locks = {name: LockModel(self.times.slack) for name in names}
        self.notes = DocumentModel()
        self.asked = 0
        self.hands: list[Hand] = []
        self.requests: set[tuple[str, str]] = set()  # which handle may know which token
        self.documents: list[tuple[Hand, dict[str, Any]]] = []
        self.tell(f", and locks {short(names)[1:-1]}")

    def check(self) -> None:
        """Compares what is told of locks, leases and notes with the model."""
        __tracebackhide__ = True
        _, channel = self.next_handle()
        for name, lock in self.locks.items():
            info, when = timed(self.times, lambda name=name: channel.lock_info(name))  # type: ignore[misc]
            lock.judge_info(info, when)
        for hand in self.usable_hands()[-4:]:
            held, when = timed(self.times, lambda hand=hand: hand.in_use().held)  # type: ignore[misc]
            belief = hand.belief(when)
            if belief is not None:
                self.expect(held, belief, f"whether {hand} takes itself for held")
        for key, value in self.notes:
            self.expect(channel.get(key, default=MISSING), value, f"what stands at {key!r}")

    def usable_hands(self) -> list[Hand]:
        """The leases that somebody still can use."""
        return [hand for hand in self.hands if hand.lease is not None and hand.state != "over"]

    def take(self, who: str, name: str, ttl: int, tries: bool) -> None:
        """Asks for a lock as a user does, and judges the answer."""
        __tracebackhide__ = True
        label = self.next_label()
        self.tell(f"{who} {'tries' if tries else 'locks'} {short(name)} for {ttl / 1000:g} s")
        channel = self.handle(who)
        losses = self.listen(who)
        take = channel.try_lock if tries else channel.lock
        busy = lost = lease = None
        before = self.times.now()
        try:
            lease = take(name, ttl=ttl / 1000, holder={"who": label})
        except LockBusy as error:
            busy = error
        except LockLost as error:
            lost = error
        when = During(before, self.times.now())
        answer = losses.answers["lock"]
        granted = isinstance(answer, Granted)
        told = f"{label}, fence {answer.fence}" if granted else "busy"
        self.tell(f" -> {told}")
        self.judge_request(who, label, when)
        if lost is not None:
            if when.after - when.before < ttl * 990:
                self.doubt(f"it is called lost at once: {lost}")
            self.judge_unlock(name, losses.calls["lock"]["token"], losses.answers["unlock"], when)
        elif granted != (lease is not None) or (busy is None) != (granted or tries):
            self.doubt(f"the backend answered {answer}, and the channel {lease or busy}")
        if lease is not None:
            if lease.fence != answer.fence:
                self.doubt(f"its fence is {lease.fence}")
            believed = During(when.before + ttl * 990, when.after + ttl * 990)
            self.hands.append(
                Hand(label, who, name, lease.token, lease.fence, lease, "held", believed)
            )

    def open_handle(self, who: str) -> Channel:
        """Opens one more handle, which loses what it is told to."""
        self.losses[who] = Losses()
        return self.here.open(extensions=[self.losses[who]])

    def next_label(self) -> str:
        """Returns what the story calls the next lease."""
        self.asked += 1
        return f"lease_{self.asked}"

    def listen(self, who: str) -> Losses:
        """Returns what will hear the answers of somebody's backend."""
        self.handle(who)
        self.losses[who].forget()
        return self.losses[who]

    def wait_until(self, moment: int) -> bool:
        """Lets time pass until then, unless that takes too long; tells whether it passed."""
        left = moment - self.times.now()
        if not 0 < left <= self.times.longest * 1e6:
            return False
        self.tell(f"{left / 1e6:g} s pass")
        self.times.wait(left / 1e6)
        return True

    def outlast(self, hand: Hand, wanted: bool) -> None:
        """Lets time pass until a lease is over, if it lives and that is wanted."""
        holding = self.locks[hand.name].holding
        if wanted and holding and holding.token == hand.token and self.wait_until(holding.over_at):
            self.tell(" until it ends; ")

    def ask_late(self, who: str, call: dict[str, Any], label: str) -> None:
        """Has a request for a lock arrive, and judges the answer."""
        answer, when = timed(self.times, lambda: self.handle(who).hook.lock(**call, waits=False))
        self.tell(f" -> {f'fence {answer.fence}' if isinstance(answer, Granted) else 'busy'}")
        self.judge_request(who, label, when)

    def judge_request(self, who: str, label: str, when: During) -> None:
        """Judges how the backend answered somebody's last request for a lock."""
        __tracebackhide__ = True
        call, answer = self.losses[who].calls["lock"], self.losses[who].answers["lock"]
        self.requests.add((who, call["token"]))
        asked = Holding(label, who, call["holder"]["who"], call["token"], 0, call["ttl"])
        lock = self.locks[call["name"]]
        lock.judge_request(asked, answer, when)
        if self.times.clock and lock.holding is asked and lock.fence < self.times.clock.wall():
            self.doubt(f"fence {lock.fence} is below the wall clock in microseconds")

    def judge_unlock(self, name: str, token: str, answer: object, when: During) -> bool:
        """Judges how the backend answered an unlock, and takes note of it."""
        __tracebackhide__ = True
        done = self.locks[name].judge_token("unlock", token, answer, when)
        if done:
            self.locks[name].free()
        return done

    def use(self, hand: Hand, operation: str, act: Callable[[Lease], None]) -> During | None:
        """Has the holder do something with its lease; returns when, or None if it was lost."""
        __tracebackhide__ = True
        losses = self.listen(hand.who)
        before, raised = self.times.now(), False
        try:
            act(hand.in_use())
        except LockLost:
            raised = True
        when = During(before, self.times.now())
        self.tell(" -> LockLost" if raised else "")
        belief, answer = hand.belief(when), losses.answers.get(operation)
        if answer is None:
            if not raised or belief:
                self.doubt("its holder takes it for held, and does not ask the backend")
            return None
        if belief is False:
            self.doubt("its holder knows that its time is over, and uses it")
        done = self.locks[hand.name].judge_token(operation, hand.token, answer, when)
        if done == raised:
            self.doubt(f"the backend answered {answer}")
        if raised:
            hand.state = "lost"
        return when if done else None
