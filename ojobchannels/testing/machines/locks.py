"""The state machine for locks."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import strategies as st

from ojobchannels.channels.slots import slot_name
from ojobchannels.errors import LockLost, StaleFence
from ojobchannels.testing.machines.base import (
    clients,
    from_machine,
    short,
    step,
)
from ojobchannels.testing.machines.late_requests import LateRequests
from ojobchannels.testing.machines.lock_base import (
    TrackedLease,
    has_manual_clock,
    has_requests,
    lease_step,
    names,
    ttls,
)
from ojobchannels.testing.machines.times import Span, timed

_KEYS = (1, "1", {"id": 1})


class LockMachine(LateRequests):
    """Locks behave like the model, for each client, and with late and lost requests."""

    @step(client=clients(), name=names, ttl=ttls)
    def lock(self, client: str, name: str, ttl: int) -> None:
        """Lock."""
        self.take(client, name, ttl, tries=False)

    @step(client=clients(), name=names, ttl=ttls)
    def try_lock(self, client: str, name: str, ttl: int) -> None:
        """Try to lock."""
        self.take(client, name, ttl, tries=True)

    @lease_step(usable=True, ttl=ttls)
    def extend(self, tracked: TrackedLease, ttl: int) -> None:
        """Extend a lease."""
        self.log(f"{tracked.client} extends {tracked} to {ttl / 1000:g} s")
        when = self.use(tracked, "extend", lambda lease: lease.extend(ttl / 1000))
        if when is not None:
            self.locks[tracked.name].renew(ttl, when)
            tracked.deadline = Span(when.before + ttl * 990, when.after + ttl * 990)

    @lease_step(usable=True)
    def release(self, tracked: TrackedLease) -> None:
        """Release a lease, possibly late or a second time."""
        lease = tracked.in_use()
        self.log(f"{tracked.client} releases {tracked}")
        losses = self.watch_results(tracked.client)
        before, raised = self.times.now(), False
        try:
            lease.release()
        except LockLost:
            raised = True
        when = Span(before, self.times.now())
        self.log(" -> LockLost" if raised else "")
        expected, result = tracked.expected(when), losses.results.get("unlock")
        done = self.judge_unlock(tracked.name, tracked.token, result, when)
        if raised and done and expected:
            self.fail("LockLost was raised, but the lease was held")
        if not raised and (expected is False or not done):
            self.fail("the lease was lost, but release did not raise LockLost")
        tracked.state, tracked.released = ("lost" if raised else "over"), True

    @step(has_requests, client=clients(), name=names)
    def force_unlock(self, client: str, name: str) -> None:
        """Force-release a lock."""
        self.log(f"{client} force-releases {short(name)}")
        info, when = self.info(self.handle(client).force_unlock, name)
        self.log(f" -> {'it was free' if info is None else f'fence {info.fence} is evicted'}")
        self.locks[name].judge_info(info, when)
        if info is not None:
            self.locks[name].free(forced=True)

    @lease_step(usable=True)
    def detach(self, tracked: TrackedLease) -> None:
        """Detach a lease: turn it into a document."""
        self.log(f"{tracked.client} turns {tracked} into a document")
        written: list[dict[str, Any]] = []
        when = self.use(tracked, "adopt", lambda lease: written.append(lease.to_document()))
        if when is not None:
            tracked.state = "over"
            self.documents.append((tracked, written[0]))
            self.requests.discard((tracked.client, tracked.token))
            holding = self.locks[tracked.name].holding
            if holding is not None:
                holding.client = "none"

    @step(has_requests, client=clients())
    def take_over(self, client: str) -> None:
        """Adopt the oldest lease that was detached."""
        if not self.documents:
            self.skip()
            return
        detached, document = self.documents.pop(0)
        label, lock = f"{detached} of {client}", self.locks[detached.name]
        self.log(f"{client} adopts {detached} from its document")
        before, lease = self.times.now(), None
        with suppress(LockLost):
            lease = self.handle(client).lease_from(document)
        when = Span(before, self.times.now())
        self.log(f" -> {label if lease else 'LockLost'}")
        if lock.judge_token("lease_from", detached.token, lease is not None, when) and lease:
            self.expect(
                lease.fence, detached.fence if lock.holding is None else lock.holding.fence, "fence"
            )
            deadline = lock.adopted_until(when)
            if lock.holding is not None:
                lock.holding.client, lock.holding.description, lock.holding.label = (
                    client,
                    None,
                    label,
                )
                lock.holding.uncertain = False
            self.leases.append(
                TrackedLease(
                    label, client, detached.name, lease.token, lease.fence, lease, "held", deadline
                )
            )

    @lease_step(client=clients(), key=st.sampled_from(_KEYS), removes=st.booleans())
    def write(self, client: str, tracked: TrackedLease, key: Any, removes: bool) -> None:
        """Write with the fence of a lease, valid or not."""
        self.log(f"{client} {'unsets' if removes else 'sets'} {key!r} with the fence of {tracked}")
        channel, value = self.handle(client), f"by {tracked}"

        def attempt() -> None:
            if removes:
                channel.unset(key, fence=tracked.fence)
            else:
                channel.set(key, value, fence=tracked.fence)

        if not self.notes.passes(key, tracked.fence):
            with self.refused(StaleFence, "the key was written with the fence of a later lease"):
                attempt()
            return
        attempt()
        if removes:
            self.notes.take(key)
        else:
            self.notes.put(key, value)

    @step(has_requests, pause=from_machine(lambda machine: st.sampled_from(machine.times.pauses)))
    def let_time_pass(self, pause: float) -> None:
        """Let time pass."""
        self.log(f"{pause:g} s pass")
        self.times.wait(pause)

    @step(has_requests, name=names, offset=st.sampled_from((0, -1_000, 1_000)))
    def wait_for_the_end(self, name: str, offset: int) -> None:
        """Let time pass until a lease ends, or until a millisecond before or after that."""
        holding = self.locks[name].holding
        at = {0: "until", -1_000: "until 1 ms before", 1_000: "until 1 ms after"}[offset]
        if holding is None or not self.wait_until(holding.expired_at + offset):
            self.skip()
        else:
            self.log(f", {at} {holding.label} ends")

    @step(has_manual_clock, hours=st.sampled_from((-1, 1)))
    def set_the_wall_clock(self, hours: int) -> None:
        """Set the wall clock of the host, which must not affect leases."""
        self.log(f"the wall clock is set {'back' if hours < 0 else 'forward'} by an hour")
        if self.times.clock is not None:
            self.times.clock.step_wall(hours * 3600)

    @step(has_requests, client=clients())
    def destroy(self, client: str) -> None:
        """Destroy the channel, which keeps locks and fences."""
        self.log(f"{client} destroys the channel")
        self.handle(client).destroy()
        self.notes.clear()

    @step(has_requests, client=clients())
    def close(self, client: str) -> None:
        """Close a handle, which releases its leases."""
        self.log(f"{client} closes the handle and opens a new one")
        _, when = timed(self.times, lambda: self.close_handle(client))
        for tracked in self.leases:
            if tracked.client == client and tracked.lease is not None and tracked.state != "over":
                tracked.state = "over"
                if not tracked.released:
                    # A handle may forget a lease that expired, and then does not release it.
                    known = tracked.expected(when) is True
                    self.locks[tracked.name].close(tracked.token, when, known)
        for lock in self.locks.values():
            holding = lock.holding
            if holding and (holding.client == client or (client, holding.token) in self.requests):
                holding.uncertain = True

    @step(has_requests, client=clients())
    def list_locks(self, client: str) -> None:
        """List the held locks."""
        self.log(f"{client} lists the locks")
        infos, when = timed(self.times, self.handle(client).locks)
        by_name = {slot_name(info.name, info.slot): info for info in infos}
        self.log(f" -> {short(sorted(by_name))}")
        self.expect(len(by_name), len(infos), "number of different locks")
        for name, lock in self.locks.items():
            lock.judge_info(by_name.get(name), when)
