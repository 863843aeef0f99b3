"""How one of the slots of a lock is acquired: each in turn, then by waiting in a queue.

Only the slots exclude holders; the two other locks serve the waiters. The waiter that holds the
*turn* is the first of the queue: it alone tries the slots again. It holds the *bell*, too, and
waits for it as if it were another process; a holder that releases a slot force-releases the bell,
and so wakes it. What rings no bell is found by looking: a lease that expires, at that time; a dead
holder, where the backend notices its death, within 20 ms for each slot; the rest within half a
second.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from ojobchannels.channels.acquire import Request, acquiring, new_token, this_holder
from ojobchannels.channels.lease import Lease, unlocking
from ojobchannels.channels.slots import bell_name, compare_counts, slot_name, turn_name
from ojobchannels.channels.steps import Wait
from ojobchannels.errors import LockBusy, LockLost
from ojobchannels.hookspecs import Busy, Granted, LockInfo
from ojobchannels.steps import Steps, drive, one

_LOOK_MS: Final = 500
_LOOK_PER_SLOT_MS: Final = 20
_SHORTEST_PAUSE_MS: Final = 20
_TURN_MS: Final = 1000
_BELL_MS: Final = 10_000
_QUEUED: Final = {"next": "the longest-waiting process"}


def acquire_slot(request: Request) -> Lease:
    """Acquire one of the slots of a lock; errors and duties are those of `acquire`."""
    try:
        return drive(acquiring_slot(request))
    finally:
        drive(request.cleaning_up())


def acquiring_slot(request: Request) -> Steps[Lease]:
    """Yield the steps of `acquire_slot`, and return the lease; then `cleaning_up` is due."""
    return _Waiter(request).acquire()


class _Waiter:
    """One waiter for a slot; times are milliseconds."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._hook = request.hook
        self._clock = request.channel.clock
        self._began = self._clock.now()
        self._info = {**request.info(), "slots": request.slots}
        self._first_free = Busy(0, dict(_QUEUED), 0)
        crash_release = "crash_release" in request.channel.capabilities
        every = _LOOK_PER_SLOT_MS * request.slots
        self._look_every = every if crash_release else max(every, _LOOK_MS)
        self._wait_at_most = min(self._look_every, _LOOK_MS)
        self._turn: Lease | None = None

    def acquire(self) -> Steps[Lease]:
        request = self._request
        has_queue = yield from self._has_queue()
        lease = None if has_queue else (yield from self._try_slots())
        if lease is not None:
            return lease
        if request.wait == 0:
            raise self._busy()
        yield from self._check_deadlock()
        self._turn = yield from self._take_turn()
        return (yield from self._wait_for_slot())

    def _has_queue(self) -> Steps[bool]:
        """Return whether others wait, which a newcomer must not pass; if so, look at a holder."""
        if (yield from self._info_of(turn_name(self._request.name))) is None:
            return False
        info = yield from self._info_of(self._request.name)
        if info is not None:
            left = max(info.until - self._clock.wall() // 1000, 0)
            self._first_free = Busy(info.fence, info.holder, left)
        return True

    def _info_of(self, name: str) -> Steps[LockInfo | None]:
        return one(partial(self._hook.lock_info, name=name))

    def _try_slots(self) -> Steps[Lease | None]:
        """Acquire the first free slot, or return None and remember the lease that ends first."""
        request, refused = self._request, []
        for slot in range(1, request.slots + 1):
            request.backend_name = slot_name(request.name, slot)
            sent = self._clock.now()
            result: Granted | Busy = yield partial(
                self._hook.lock,
                name=request.backend_name,
                token=request.token,
                ttl=request.ttl,
                holder=self._info,
                waits=False,
            )
            if isinstance(result, Granted):
                return (yield from request.leasing(sent, result, slot))
            compare_counts(request.channel.name, request.name, request.slots, result.holder)
            refused.append(result)
            if self._turn_is_due():
                yield from self._keep_turn()
        self._first_free = min(refused, key=lambda busy: busy.remaining)
        return None

    def _take_turn(self) -> Steps[Lease]:
        request = self._request
        turn = Request(
            request.channel,
            turn_name(request.name),
            _TURN_MS + 3 * self._wait_at_most,
            self._left(),
            request.holder,
            on_lost=None,
            on_end=lambda _: None,
            hook=request.hook,
        )
        request.cleanups.append(turn.withdrawing)
        turn.task = request.task
        try:
            lease = yield from acquiring(turn)
        except LockBusy:
            request.cleanups.pop()
            raise self._busy() from None
        request.cleanups[-1] = partial(lease._give_up_steps, self._hook)
        return lease

    def _turn_is_due(self) -> bool:
        """Return whether there is a turn to renew, after a third of its ttl."""
        turn = self._turn
        return turn is not None and turn.remaining() < turn.ttl * 2 / 3

    def _keep_turn(self) -> Steps[None]:
        if self._turn is not None:
            try:
                yield from self._turn._extend_steps(self._hook)
            except LockLost:  # another one is the first now; that does no harm
                return

    def _wait_for_slot(self) -> Steps[Lease]:
        bell = _Bell(self._hook, bell_name(self._request.name))
        self._request.cleanups.append(bell.leave)
        fence = yield from bell.hold()
        while True:
            lease = yield from self._try_slots()
            if lease is not None:
                return lease
            yield from self._check_deadlock()
            left = self._left()
            if left == 0:
                raise self._busy()
            fence = yield from self._wait_for_bell(bell, fence, self._pause(left))

    def _wait_for_bell(self, bell: _Bell, seen: int, pause: int) -> Steps[int]:
        """Wait until the bell is rung, at most `pause`; return the fence to wait with again."""
        until = self._clock.now() + pause * 1000
        while True:
            left = (until - self._clock.now()) // 1000
            yield bell.wait(seen, max(min(left, self._wait_at_most), 1))
            if self._turn_is_due():
                yield from self._keep_turn()
            fence = yield from bell.hold()
            if fence != seen or left <= self._wait_at_most:
                return fence

    def _pause(self, left: int | None) -> int:
        soonest = max(self._first_free.remaining, _SHORTEST_PAUSE_MS)
        return min(soonest, self._look_every, self._look_every if left is None else left)

    def _left(self) -> int | None:
        wait = self._request.wait
        return None if wait is None else max(wait - self._waited(), 0)

    def _waited(self) -> int:
        return (self._clock.now() - self._began) // 1000

    def _busy(self) -> LockBusy:
        request, holder = self._request, self._first_free.holder
        waited = self._waited() / 1000 if request.wait else 0
        remaining = self._first_free.remaining / 1000
        return LockBusy(
            request.channel.name, request.name, holder, remaining, waited, request.slots
        )

    def _check_deadlock(self) -> Steps[None]:
        """Raise an error if this thread would wait without a limit for slots that it all keeps."""
        request = self._request
        if request.wait is not None or not request.caller._keeps_slots(request.name, request.slots):
            return
        for slot in range(1, request.slots + 1):
            name = slot_name(request.name, slot)
            info = yield from self._info_of(name)
            if info is None or not request.caller._is_kept_by_caller(name, info.fence):
                return
        raise request.deadlock(this_holder(), self._first_free.remaining)


class _Bell:
    """The lock at which the first waiter waits: held, so that its release wakes the waiter."""

    def __init__(self, hook: Any, name: str) -> None:
        self._hook = hook
        self._name = name
        self._held_by = ""
        self._waiting = new_token()

    def hold(self) -> Steps[int]:
        """Hold the bell, or have another waiter hold it; return the fence to wait with."""
        result: Granted | Busy = yield partial(
            self._hook.lock,
            name=self._name,
            token=self._waiting,
            ttl=_BELL_MS,
            holder=this_holder(),
            waits=True,
        )
        if isinstance(result, Granted):
            self._held_by, self._waiting = self._waiting, new_token()
        return result.fence

    def wait(self, fence: int, timeout: int) -> Wait:
        """Return the step that waits until a slot was released, at most `timeout` milliseconds."""
        return Wait(self._hook, self._name, fence, self._waiting, timeout)

    def leave(self) -> Steps[None]:
        """Release the bell, and leave its queue."""
        yield from unlocking(self._hook, self._name, self._waiting)
        if self._held_by:
            yield from unlocking(self._hook, self._name, self._held_by)
