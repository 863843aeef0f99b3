"""Steps of the state machine for locks: late, repeated, lost and forbidden requests."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import strategies as st

from ojobchannels.channels.acquire import new_token
from ojobchannels.errors import ChannelError, LockLost, OutcomeUnknown
from ojobchannels.hookspecs import Granted, LeaseRequest
from ojobchannels.testing.machines.base import (
    clients,
    short,
    step,
)
from ojobchannels.testing.machines.lock_base import (
    LockMachineBase,
    TrackedLease,
    lease_step,
    losses,
    names,
    ttls,
)
from ojobchannels.testing.machines.message_loss import Loss
from ojobchannels.testing.machines.times import Span, timed


class LateRequests(LockMachineBase):
    """Late and lost requests do not break mutual exclusion."""

    @lease_step(client=clients(), ttl=ttls)
    def ask_again(self, client: str, tracked: TrackedLease, ttl: int) -> None:
        """Request the lock again with the token of a lease."""
        self.log(f"{client} requests {short(tracked.name)} again with the token of {tracked}")
        call = {"name": tracked.name, "token": tracked.token, "ttl": ttl}
        self.send_late_request(
            client, {**call, "holder": {"client": f"{tracked} again"}}, f"{tracked} again"
        )

    @lease_step(client=clients(), ttl=ttls, outlasts=st.booleans())
    def extend_late(self, client: str, tracked: TrackedLease, ttl: int, outlasts: bool) -> None:
        """A request to extend arrives, possibly after the lease has expired."""
        self.wait_for_expiry(tracked, outlasts)
        self.log(f"a request of {tracked} to extend to {ttl / 1000:g} s arrives through {client}")
        ask = self.handle(client).hook.extend
        result, when = timed(
            self.times, lambda: ask(name=tracked.name, token=tracked.token, ttl=ttl)
        )
        self.log(f" -> {result}")
        lock = self.locks[tracked.name]
        if lock.judge_token("extend", tracked.token, result, when):
            lock.renew(ttl, when)

    @lease_step(client=clients(), outlasts=st.booleans())
    def unlock_late(self, client: str, tracked: TrackedLease, outlasts: bool) -> None:
        """A request to unlock arrives, possibly after the lease has expired."""
        self.wait_for_expiry(tracked, outlasts)
        self.log(f"a request of {tracked} to unlock arrives through {client}")
        ask = self.handle(client).hook.unlock
        result, when = timed(self.times, lambda: ask(name=tracked.name, token=tracked.token))
        self.log(f" -> {result}")
        self.judge_unlock(tracked.name, tracked.token, result, when)

    @lease_step(client=clients(), outlasts=st.booleans())
    def adopt_late(self, client: str, tracked: TrackedLease, outlasts: bool) -> None:
        """A request to adopt arrives, possibly after the lease has expired."""
        self.wait_for_expiry(tracked, outlasts)
        self.log(f"a request to adopt {tracked} arrives through {client}")
        adopter, ask = f"{client} as adopter", self.handle(client).hook.adopt
        call = {"name": tracked.name, "token": tracked.token, "holder": {"client": adopter}}
        result, when = timed(self.times, lambda: ask(**call))
        self.log(f" -> {bool(result)}")
        lock = self.locks[tracked.name]
        if lock.judge_token("adopt", tracked.token, result, when) and lock.holding is not None:
            lock.holding.client, lock.holding.description, lock.holding.uncertain = (
                client,
                adopter,
                False,
            )
            self.requests.add((client, tracked.token))

    @lease_step(client=clients(), ttl=ttls)
    def renew_all(self, client: str, tracked: TrackedLease, ttl: int) -> None:
        """Renew the latest leases in one request, as the keep-alive does."""
        del tracked
        requested = [LeaseRequest(lease.name, lease.token, ttl) for lease in self.leases[-3:]]
        self.log(f"{client} renews {short(self.leases[-3:])} to {ttl / 1000:g} s")
        ask = self.handle(client).hook.extend_all
        results, when = timed(self.times, lambda: ask(leases=requested, timeout=5_000))
        self.log(f" -> {results}")
        self.expect(len(results), len(requested), "number of results")
        for (name, token, _), result in zip(requested, results, strict=True):
            if result is not None and self.locks[name].judge_token("renewal", token, result, when):
                self.locks[name].renew(ttl, when)

    @lease_step(client=clients(), name=names, upper=st.booleans())
    def use_foreign_token(self, client: str, name: str, tracked: TrackedLease, upper: bool) -> None:
        """Use a token that is not valid for that lock."""
        token, label = tracked.token, f"the token of {tracked}"
        if name == tracked.name:
            token = token.upper() if upper and token.upper() != token else new_token()
            label = f"{label} in capitals" if token == tracked.token.upper() else "a random token"
        self.log(f"{client} unlocks, extends and adopts {short(name)} with {label}")
        hook = self.handle(client).hook
        self.expect(bool(hook.unlock(name=name, token=token)), False, "unlock")
        self.expect(bool(hook.extend(name=name, token=token, ttl=60_000)), False, "extend")
        self.expect(bool(hook.adopt(name=name, token=token, holder={})), False, "adopt")

    @step(client=clients(), name=names, ttl=ttls, what=losses, unlocks=st.booleans())
    def lose_lock(self, client: str, name: str, ttl: int, what: Loss, unlocks: bool) -> None:
        """Lose a request for a lock, or its reply, and possibly the unlock that follows."""
        label = f"{self.next_label()}, whose holder does not know of it,"
        self.log(f"{client} locks {short(name)} for {ttl / 1000:g} s and {what} is lost")
        self.log("" if unlocks else ", and so is the request to unlock")
        losses = self.watch_results(client)
        losses.lose("lock", what)
        if not unlocks:
            losses.lose("unlock", "the request")
        before = self.times.now()
        with self.refused(OutcomeUnknown, "the outcome is unknown"):
            lock, slots = self.slots[name]
            self.handle(client).lock(lock, ttl=ttl / 1000, holder={"client": label}, slots=slots)
        losses.heal()
        when = Span(before, self.times.now())
        requested, result = losses.calls["lock"], losses.results.get("lock")
        name, token, fence = requested["name"], requested["token"], 0
        if result is not None:
            self.judge_request(client, label, when)
            fence = result.fence if isinstance(result, Granted) else 0
        if unlocks:
            self.judge_unlock(name, token, losses.results.get("unlock"), when)
        self.leases.append(
            TrackedLease(label, client, name, token, fence, None, "over", Span(0, 0))
        )

    @lease_step(client=clients())
    def arrive_late(self, client: str, tracked: TrackedLease) -> None:
        """A copy of the request for a lease arrives late."""
        self.log(f"the request for {tracked} arrives again through {client}")
        call = {"name": tracked.name, "token": tracked.token, "ttl": self.times.ttls[0]}
        self.send_late_request(
            client, {**call, "holder": {"client": f"{tracked} late"}}, f"{tracked} late"
        )

    @lease_step(usable=True, ttl=ttls, what=losses)
    def lose_extend(self, tracked: TrackedLease, ttl: int, what: Loss) -> None:
        """Lose a request to extend, or its reply; the holder keeps its old deadline."""
        self.log(f"{tracked.client} extends {tracked} to {ttl / 1000:g} s and {what} is lost")
        losses = self.watch_results(tracked.client)
        losses.lose("extend", what)
        before = self.times.now()
        with suppress(OutcomeUnknown, LockLost):
            tracked.in_use().extend(ttl / 1000)
        losses.heal()
        when = Span(before, self.times.now())
        result, lock = losses.results.get("extend"), self.locks[tracked.name]
        if result is not None and lock.judge_token("extend", tracked.token, result, when):
            lock.renew(ttl, when)

    @lease_step(usable=True, what=losses)
    def lose_release(self, tracked: TrackedLease, what: Loss) -> None:
        """Lose a request to unlock, or its reply, and release again."""
        self.log(f"{tracked.client} releases {tracked} and {what} is lost; then releases it again")
        losses = self.watch_results(tracked.client)
        losses.lose("unlock", what)
        before = self.times.now()
        with suppress(OutcomeUnknown):
            tracked.in_use().release()
        losses.heal()
        first = losses.results.get("unlock")
        if first is not None:
            self.judge_unlock(tracked.name, tracked.token, first, Span(before, self.times.now()))
        self.watch_results(tracked.client)
        before = self.times.now()
        with suppress(ChannelError):
            tracked.in_use().release()
        again = losses.results.get("unlock")
        if again is not None:
            self.judge_unlock(tracked.name, tracked.token, again, Span(before, self.times.now()))
        tracked.state = "over"
