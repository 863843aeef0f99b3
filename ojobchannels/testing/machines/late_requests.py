"""Steps of the state machine for locks: what comes late, comes twice, is lost, is not allowed."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import strategies as st

from ojobchannels.channels.acquire import new_token
from ojobchannels.errors import ChannelError, LockLost, OutcomeUnknown
from ojobchannels.hookspecs import Granted, LeaseRequest
from ojobchannels.testing.machines.lock_teller import (
    Hand,
    LockTeller,
    lease_step,
    losses,
    names,
    ttls,
)
from ojobchannels.testing.machines.losses import Loss
from ojobchannels.testing.machines.teller import (
    people,
    short,
    step,
)
from ojobchannels.testing.machines.times import During, timed


class LateRequests(LockTeller):
    """No request that is late or lost does harm."""

    @lease_step(who=people(), ttl=ttls)
    def ask_again(self, who: str, hand: Hand, ttl: int) -> None:
        """Asks again with the token of a lease."""
        self.tell(f"{who} asks again for {short(hand.name)} with the token of {hand}")
        call = {"name": hand.name, "token": hand.token, "ttl": ttl}
        self.ask_late(who, {**call, "holder": {"who": f"{hand} again"}}, f"{hand} again")

    @lease_step(who=people(), ttl=ttls, outlasts=st.booleans())
    def extend_late(self, who: str, hand: Hand, ttl: int, outlasts: bool) -> None:
        """A request to extend arrives, maybe after the end of the lease."""
        self.outlast(hand, outlasts)
        self.tell(f"a request of {hand} to extend to {ttl / 1000:g} s arrives through {who}")
        ask = self.handle(who).hook.extend
        answer, when = timed(self.times, lambda: ask(name=hand.name, token=hand.token, ttl=ttl))
        self.tell(f" -> {answer}")
        lock = self.locks[hand.name]
        if lock.judge_token("extend", hand.token, answer, when):
            lock.renew(ttl, when)

    @lease_step(who=people(), outlasts=st.booleans())
    def unlock_late(self, who: str, hand: Hand, outlasts: bool) -> None:
        """A request to unlock arrives, maybe after the end of the lease."""
        self.outlast(hand, outlasts)
        self.tell(f"a request of {hand} to unlock arrives through {who}")
        ask = self.handle(who).hook.unlock
        answer, when = timed(self.times, lambda: ask(name=hand.name, token=hand.token))
        self.tell(f" -> {answer}")
        self.judge_unlock(hand.name, hand.token, answer, when)

    @lease_step(who=people(), outlasts=st.booleans())
    def adopt_late(self, who: str, hand: Hand, outlasts: bool) -> None:
        """A request to adopt arrives, maybe after the end of the lease."""
        self.outlast(hand, outlasts)
        self.tell(f"a request to adopt {hand} arrives through {who}")
        told, ask = f"{who}, who adopted it", self.handle(who).hook.adopt
        call = {"name": hand.name, "token": hand.token, "holder": {"who": told}}
        answer, when = timed(self.times, lambda: ask(**call))
        self.tell(f" -> {bool(answer)}")
        lock = self.locks[hand.name]
        if lock.judge_token("adopt", hand.token, answer, when) and lock.holding is not None:
            lock.holding.who, lock.holding.told, lock.holding.doubtful = who, told, False
            self.requests.add((who, hand.token))

    @lease_step(who=people(), ttl=ttls)
    def renew_all(self, who: str, hand: Hand, ttl: int) -> None:
        """Keep-alive renews some leases in one request, that one among them."""
        del hand
        asked = [LeaseRequest(one.name, one.token, ttl) for one in self.hands[-3:]]
        self.tell(f"{who} renews {short(self.hands[-3:])} to {ttl / 1000:g} s")
        ask = self.handle(who).hook.extend_all
        answers, when = timed(self.times, lambda: ask(leases=asked, timeout=5_000))
        self.tell(f" -> {answers}")
        self.expect(len(answers), len(asked), "answers")
        for (name, token, _), answer in zip(asked, answers, strict=True):
            if answer is not None and self.locks[name].judge_token("renewal", token, answer, when):
                self.locks[name].renew(ttl, when)

    @lease_step(who=people(), name=names, upper=st.booleans())
    def meddle(self, who: str, name: str, hand: Hand, upper: bool) -> None:
        """Uses a token that was never given for that lock."""
        token, of = hand.token, f"the token of {hand}"
        if name == hand.name:
            token = token.upper() if upper and token.upper() != token else new_token()
            of = f"{of} in capitals" if token == hand.token.upper() else "a made-up token"
        self.tell(f"{who} unlocks, extends and adopts {short(name)} with {of}")
        hook = self.handle(who).hook
        self.expect(bool(hook.unlock(name=name, token=token)), False, "unlock")
        self.expect(bool(hook.extend(name=name, token=token, ttl=60_000)), False, "extend")
        self.expect(bool(hook.adopt(name=name, token=token, holder={})), False, "adopt")

    @step(who=people(), name=names, ttl=ttls, what=losses, unlocks=st.booleans())
    def lose_lock(self, who: str, name: str, ttl: int, what: Loss, unlocks: bool) -> None:
        """A request for a lock, or its reply, is lost; so may be the unlock that follows."""
        label = f"{self.next_label()}, which nobody knows of,"
        self.tell(f"{who} locks {short(name)} for {ttl / 1000:g} s and {what} is lost")
        self.tell("" if unlocks else ", and so is the request to unlock")
        losses = self.listen(who)
        losses.lose("lock", what)
        if not unlocks:
            losses.lose("unlock", "the request")
        before = self.times.now()
        with self.refused(OutcomeUnknown, "the outcome is unknown"):
            self.handle(who).lock(name, ttl=ttl / 1000, holder={"who": label})
        losses.heal()
        when = During(before, self.times.now())
        token, answer = losses.calls["lock"]["token"], losses.answers.get("lock")
        fence = 0
        if answer is not None:
            self.judge_request(who, label, when)
            fence = answer.fence if isinstance(answer, Granted) else 0
        if unlocks:
            self.judge_unlock(name, token, losses.answers.get("unlock"), when)
        self.hands.append(Hand(label, who, name, token, fence, None, "over", During(0, 0)))

    @lease_step(who=people())
    def arrive_late(self, who: str, hand: Hand) -> None:
        """The request for a lease arrives once more: it was on its way for so long."""
        self.tell(f"the request for {hand} arrives once more, through {who}")
        call = {"name": hand.name, "token": hand.token, "ttl": self.times.ttls[0]}
        self.ask_late(who, {**call, "holder": {"who": f"{hand} late"}}, f"{hand} late")

    @lease_step(usable=True, ttl=ttls, what=losses)
    def lose_extend(self, hand: Hand, ttl: int, what: Loss) -> None:
        """A request to extend, or its reply, is lost: the holder relies on the old time."""
        self.tell(f"{hand.who} extends {hand} to {ttl / 1000:g} s and {what} is lost")
        losses = self.listen(hand.who)
        losses.lose("extend", what)
        before = self.times.now()
        with suppress(OutcomeUnknown, LockLost):
            hand.in_use().extend(ttl / 1000)
        losses.heal()
        when = During(before, self.times.now())
        answer, lock = losses.answers.get("extend"), self.locks[hand.name]
        if answer is not None and lock.judge_token("extend", hand.token, answer, when):
            lock.renew(ttl, when)

    @lease_step(usable=True, what=losses)
    def lose_release(self, hand: Hand, what: Loss) -> None:
        """A request to unlock, or its reply, is lost; asked again it may not be sure."""
        self.tell(f"{hand.who} releases {hand} and {what} is lost; so it is released again")
        losses = self.listen(hand.who)
        losses.lose("unlock", what)
        before = self.times.now()
        with suppress(OutcomeUnknown):
            hand.in_use().release()
        losses.heal()
        first = losses.answers.get("unlock")
        if first is not None:
            self.judge_unlock(hand.name, hand.token, first, During(before, self.times.now()))
        self.listen(hand.who)
        before = self.times.now()
        with suppress(ChannelError):
            hand.in_use().release()
        again = losses.answers.get("unlock")
        if again is not None:
            self.judge_unlock(hand.name, hand.token, again, During(before, self.times.now()))
        hand.state = "over"
