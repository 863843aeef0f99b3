"""The state machine for locks."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import strategies as st

from ojobchannels.errors import LockLost, StaleFence
from ojobchannels.testing.machines.late_requests import LateRequests
from ojobchannels.testing.machines.lock_teller import (
    Hand,
    is_virtual,
    lease_step,
    names,
    somebody_asked,
    ttls,
)
from ojobchannels.testing.machines.teller import (
    of_the_machine,
    people,
    short,
    step,
)
from ojobchannels.testing.machines.times import During, timed

_KEYS = (1, "1", {"id": 1})


class LockMachine(LateRequests):
    """Locks do what the model does, whoever asks, however late, and whatever gets lost."""

    @step(who=people(), name=names, ttl=ttls)
    def lock(self, who: str, name: str, ttl: int) -> None:
        """Asks for a lock."""
        self.take(who, name, ttl, tries=False)

    @step(who=people(), name=names, ttl=ttls)
    def try_lock(self, who: str, name: str, ttl: int) -> None:
        """Asks for a lock, and takes no for an answer."""
        self.take(who, name, ttl, tries=True)

    @lease_step(usable=True, ttl=ttls)
    def extend(self, hand: Hand, ttl: int) -> None:
        """Extends a lease."""
        self.tell(f"{hand.who} extends {hand} to {ttl / 1000:g} s")
        when = self.use(hand, "extend", lambda lease: lease.extend(ttl / 1000))
        if when is not None:
            self.locks[hand.name].renew(ttl, when)
            hand.believed = During(when.before + ttl * 990, when.after + ttl * 990)

    @lease_step(usable=True)
    def release(self, hand: Hand) -> None:
        """Releases a lease, late or not, once or twice."""
        lease = hand.in_use()
        self.tell(f"{hand.who} releases {hand}")
        losses = self.listen(hand.who)
        before, raised = self.times.now(), False
        try:
            lease.release()
        except LockLost:
            raised = True
        when = During(before, self.times.now())
        self.tell(" -> LockLost" if raised else "")
        belief, answer = hand.belief(when), losses.answers.get("unlock")
        done = self.judge_unlock(hand.name, hand.token, answer, when)
        if raised and done and belief:
            self.doubt("it is called lost, and was held")
        if not raised and (belief is False or not done):
            self.doubt("its loss is not told")
        hand.state, hand.let_go = ("lost" if raised else "over"), True

    @step(somebody_asked, who=people(), name=names)
    def force_unlock(self, who: str, name: str) -> None:
        """Frees a lock by force."""
        self.tell(f"{who} forces {short(name)} open")
        info, when = timed(self.times, lambda: self.handle(who).force_unlock(name))
        self.tell(f" -> {'it was free' if info is None else f'fence {info.fence} is put out'}")
        self.locks[name].judge_info(info, when)
        if info is not None:
            self.locks[name].free(forced=True)

    @lease_step(usable=True)
    def detach(self, hand: Hand) -> None:
        """Turns a lease into a document."""
        self.tell(f"{hand.who} turns {hand} into a document")
        written: list[dict[str, Any]] = []
        when = self.use(hand, "adopt", lambda lease: written.append(lease.to_document()))
        if when is not None:
            hand.state = "over"
            self.documents.append((hand, written[0]))
            self.requests.discard((hand.who, hand.token))
            holding = self.locks[hand.name].holding
            if holding is not None:
                holding.who = "nobody"

    @step(somebody_asked, who=people())
    def take_over(self, who: str) -> None:
        """Takes over the oldest lease that was turned into a document."""
        if not self.documents:
            self.tell("nothing happens: nobody has a document")
            return
        giver, document = self.documents.pop(0)
        label, lock = f"{giver} of {who}", self.locks[giver.name]
        self.tell(f"{who} takes over {giver} from its document")
        before, lease = self.times.now(), None
        with suppress(LockLost):
            lease = self.handle(who).lease_from(document)
        when = During(before, self.times.now())
        self.tell(f" -> {label if lease else 'LockLost'}")
        if lock.judge_token("lease_from", giver.token, lease is not None, when) and lease:
            self.expect(
                lease.fence, giver.fence if lock.holding is None else lock.holding.fence, "fence"
            )
            believed = lock.adopted_until(when)
            if lock.holding is not None:
                lock.holding.who, lock.holding.told, lock.holding.label = who, None, label
                lock.holding.doubtful = False
            self.hands.append(
                Hand(label, who, giver.name, lease.token, lease.fence, lease, "held", believed)
            )

    @lease_step(who=people(), key=st.sampled_from(_KEYS), removes=st.booleans())
    def write(self, who: str, hand: Hand, key: Any, removes: bool) -> None:
        """Writes with the fence of a lease, live or not."""
        self.tell(f"{who} {'unsets' if removes else 'sets'} {key!r} with the fence of {hand}")
        channel, value = self.handle(who), f"by {hand}"

        def attempt() -> None:
            if removes:
                channel.unset(key, fence=hand.fence)
            else:
                channel.set(key, value, fence=hand.fence)

        if not self.notes.passes(key, hand.fence):
            with self.refused(StaleFence, "a later lease has written that key"):
                attempt()
            return
        attempt()
        if removes:
            self.notes.take(key)
        else:
            self.notes.put(key, value)

    @step(
        somebody_asked, pause=of_the_machine(lambda machine: st.sampled_from(machine.times.pauses))
    )
    def let_time_pass(self, pause: float) -> None:
        """Lets time pass."""
        self.tell(f"{pause:g} s pass")
        self.times.wait(pause)

    @step(somebody_asked, name=names, offset=st.sampled_from((0, -1_000, 1_000)))
    def wait_for_the_end(self, name: str, offset: int) -> None:
        """Lets time pass until a lease ends, or a millisecond before or after."""
        holding = self.locks[name].holding
        at = {0: "until", -1_000: "until 1 ms before", 1_000: "until 1 ms after"}[offset]
        if holding is None or not self.wait_until(holding.over_at + offset):
            self.tell("no time passes")
        else:
            self.tell(f", {at} {holding.label} ends")

    @step(is_virtual, hours=st.sampled_from((-1, 1)))
    def set_the_wall_clock(self, hours: int) -> None:
        """Sets the wall clock of the host, which judges no lease."""
        self.tell(f"the wall clock is set {'back' if hours < 0 else 'forward'} by an hour")
        if self.times.clock is not None:
            self.times.clock.step_wall(hours * 3600)

    @step(somebody_asked, who=people())
    def destroy(self, who: str) -> None:
        """Removes all documents, and neither locks nor fences."""
        self.tell(f"{who} destroys the channel")
        self.handle(who).destroy()
        self.notes.clear()

    @step(somebody_asked, who=people())
    def close(self, who: str) -> None:
        """Closes a handle, which releases its leases, and opens another."""
        self.tell(f"{who} closes the handle, to open another")
        _, when = timed(self.times, lambda: self.close_handle(who))
        for hand in self.hands:
            if hand.who == who and hand.lease is not None and hand.state != "over":
                hand.state = "over"
                if not hand.let_go:
                    self.locks[hand.name].close(hand.token, when)
        for lock in self.locks.values():
            holding = lock.holding
            if holding and (holding.who == who or (who, holding.token) in self.requests):
                holding.doubtful = True

    @step(somebody_asked, who=people())
    def list_locks(self, who: str) -> None:
        """Lists all that are held."""
        self.tell(f"{who} lists the locks")
        infos, when = timed(self.times, self.handle(who).locks)
        by_name = {info.name: info for info in infos}
        self.tell(f" -> {short(sorted(by_name))}")
        self.expect(len(by_name), len(infos), "locks told")
        for name, lock in self.locks.items():
            lock.judge_info(by_name.get(name), when)
