"""Keep-alive: one scheduler thread per process renews leases in time and reports lost ones.

The scheduler itself never blocks: each channel has one worker thread that sends its renewals, so
that a channel that hangs does not delay the others, and each ``on_lost`` runs on a new thread. The
threads exist only while there is work. The scheduler ends a second later, so that acquiring and
releasing leases in quick succession does not start it each time. What no thread can be started for,
a renewal or a callback, runs on the scheduler thread.
"""

import _thread as _thread_api
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from operator import attrgetter
from queue import SimpleQueue
from typing import Final

from ojobchannels.channels.documents import DocumentStore
from ojobchannels.channels.keepalive.groups import (
    Group,
    Groups,
    KeptLease,
    batches,
    loss_time,
    renewal_time,
)
from ojobchannels.errors import ChannelError
from ojobchannels.hookspecs import LeaseRequest
from ojobchannels.host.clock import Clock
from ojobchannels.host.due_times import DueTimes
from ojobchannels.host.forks import forget_in_children

TAKEN_OVER: Final = "the lock was released or taken over by another holder"
_log = logging.getLogger("ojobchannels.leases")
_LONGEST_SLEEP = 1_000_000
_SHORTEST_SLEEP = 2_000
_DEADLINE = attrgetter("deadline")


class KeepAlive:
    """Renews leases and calls alarms, for all channels of the process."""

    def __init__(self) -> None:
        self._lingers = False
        self._wakes_at = 0.0
        self.forget()
        forget_in_children(self)

    def watch(self, lease: KeptLease, renews: bool) -> None:
        """Report the loss of the lease, and renew it every third of its ttl if `renews`.

        Raises:
            RuntimeError: No thread can be started.
        """
        with self._lock:
            self._forget(lease)
            pause = self._groups.add([lease], renewal_time(lease) if renews else None)
            if renews:
                self._renewed[lease.channel] = self._renewed.get(lease.channel, 0) + 1
            self._wake_within(pause)

    def renews(self, lease: KeptLease) -> bool:
        """Return whether the lease is renewed until it is released."""
        group = self._groups.of(lease)
        return group is not None and group.renew_at is not None

    def follow(self, lease: KeptLease) -> None:
        """Adjust to the new deadline of a watched lease that its owner extended."""
        with self._lock:
            group = self._groups.of(lease)
            if group is not None:
                self._try_to_wake_within(self._groups.move(lease, group))

    def drop(self, lease: KeptLease) -> None:
        """Stop watching the lease: it was released or handed over."""
        if self._groups.of(lease) is None:  # most are not kept alive, and need no lock here
            return
        with self._lock:
            self._forget(lease)

    def end_if_idle(self) -> None:
        """End the scheduler at once if it has no work: a channel was closed."""
        with self._lock:
            if not (self._groups or self._alarms):
                self._lingers = False
                self._changed.notify()

    def set_alarm(self, owner: object, clock: Clock, at: int, call: Callable[[], None]) -> None:
        """Call `call` on a new thread when the clock reaches `at` microseconds."""
        with self._lock:
            self._alarms[owner] = call
            self._alarm_times.set(owner, clock, at)
            self._try_to_wake_within(at - clock.now())

    def drop_alarm(self, owner: object) -> None:
        """Cancel the alarm of `owner`, if it has not been called."""
        with self._lock:
            self._alarms.pop(owner, None)
            self._alarm_times.drop(owner)

    def forget(self) -> None:
        """Leave the parent's leases to the parent, in a forked child."""
        # `with` on the lock itself: entering a Condition runs Python code, which a signal may cut.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._groups = Groups()
        self._renewed: dict[DocumentStore, int] = {}
        self._alarms: dict[object, Callable[[], None]] = {}
        self._alarm_times: DueTimes[object] = DueTimes()
        self._workers: dict[DocumentStore, SimpleQueue[Group | None]] = {}
        self._deferred: list[tuple[str, Callable[[], None]]] = []
        self._scheduler: threading.Thread | None = None

    def _run(self) -> None:
        while self._step():
            self._run_deferred()

    def _step(self) -> bool:
        """Do what is due, then sleep; return False when there is no more work for this thread."""
        with self._lock:
            if self._scheduler is not threading.current_thread():
                return False  # a signal has cut `_wake_within` short, or `Thread.is_alive`
            self._call_due_alarms()
            for group in list(self._groups.pop_due()):
                self._look_at(group)
            if self._deferred:
                return True
            busy = bool(self._groups or self._alarms)
            if busy or self._lingers:
                self._lingers = busy
                pause = self._groups.pause(self._alarm_times.pause(_LONGEST_SLEEP))
                seconds = max(pause, _SHORTEST_SLEEP) / 1e6
                self._wakes_at = time.monotonic() + seconds
                self._changed.wait(seconds)
                return True
            self._scheduler = None
            return False

    def _look_at(self, group: Group) -> None:
        """Report the leases of a group that are lost, and renew the others when it is time."""
        now = group.channel.clock.now()
        if now >= group.lose_at:
            for lease in self._groups.members(group):
                if now >= loss_time(lease):
                    self._lose(lease, "it was not renewed in time")
            group.lose_at = min(map(loss_time, self._groups.members(group)), default=now)
        if not group.leases:
            self._groups.end(group)
        elif group.renew_at is None or group.requested or now < group.renew_at:
            self._groups.plan(group)
        else:
            self._hand_to_worker(group)

    def _wake_within(self, pause: int) -> None:
        """Make the scheduler check again within `pause` microseconds."""
        self._lingers = True
        now = time.monotonic()
        if self._scheduler is not None and now < self._wakes_at <= now + pause / 1e6:
            return  # it sleeps, and wakes early enough
        if self._scheduler is None or not self._scheduler.is_alive():
            scheduler = _thread("keep-alive", self._run)
            _start(scheduler)
            self._scheduler = scheduler
        elif now + pause / 1e6 < self._wakes_at:
            self._changed.notify()

    def _try_to_wake_within(self, pause: int) -> None:
        try:
            self._wake_within(pause)
        except RuntimeError as error:
            _log_safely("keep-alive is paused until a thread can be started: %s", error)

    def _call(self, name: str, target: Callable[[], None]) -> None:
        """Run `target` on a new thread; if none can be started, defer it to the scheduler."""
        try:
            _start(_thread(name, target))
        except RuntimeError as error:
            self._defer(name, target, error)

    def _defer(self, name: str, target: Callable[[], None], error: RuntimeError) -> None:
        self._deferred.append((name, target))
        _log_safely("no thread can be started: %s runs on the keep-alive thread: %s", name, error)

    def _run_deferred(self) -> None:
        with self._lock:
            calls, self._deferred = self._deferred, []
        for name, target in calls:
            try:
                target()
            except BaseException:  # noqa: BLE001  the other leases must be kept alive
                _log_safely("%s failed", name, exc_info=True)

    def _call_due_alarms(self) -> None:
        for owner in list(self._alarm_times.pop_due()):
            call = self._alarms.pop(owner, None)
            if call is not None:  # None if a signal has cut `drop_alarm` short
                self._call("alarm", call)

    def _hand_to_worker(self, group: Group) -> None:
        group.requested = True
        self._groups.close(group)
        self._groups.plan(group)
        try:
            self._queue_of(group.channel).put(group)
        except RuntimeError as error:
            self._defer("a renewal", lambda: self._renew([group]), error)

    def _queue_of(self, channel: DocumentStore) -> SimpleQueue[Group | None]:
        """Return the queue of the worker of a channel, which is started if there is none.

        Raises:
            RuntimeError: No thread can be started.
        """
        queue = self._workers.get(channel)
        if queue is None:
            queue = SimpleQueue()
            _start(_thread("renewals", partial(self._work, queue)))
            self._workers[channel] = queue
        return queue

    def _try_later(self, leases: list[KeptLease]) -> None:
        now = leases[0].channel.clock.now() if leases else 0
        for lease in leases:
            self._groups.add([lease], now + min(lease._ttl * 50, _LONGEST_SLEEP))

    def _work(self, queue: SimpleQueue[Group | None]) -> None:
        while (group := queue.get()) is not None:
            with self._lock:  # the scheduler adds all that are due while it holds this
                groups = [group, *_waiting(queue)]
            for batch in batches(groups):
                self._renew(batch)

    def _renew(self, groups: list[Group]) -> None:
        """Renew the leases of groups of one channel, in one request."""
        with self._lock:
            group_of = {lease: group for group in groups for lease in self._groups.members(group)}
        locked = [lease for lease in group_of if lease._extending.acquire(blocking=False)]
        try:
            # One that was handed over meanwhile may not be cut short: it has another holder.
            kept = [lease for lease in locked if self._groups.of(lease) is group_of[lease]]
            held = self._extend_all(groups[0].channel, kept) if kept else {}
        finally:
            for lease in locked:
                lease._extending.release()
        with self._lock:
            for group in groups:
                self._groups.end(group)
            renewed: dict[int, list[KeptLease]] = {}
            unknown = []
            for lease in itertools.chain.from_iterable(map(self._groups.members, groups)):
                if lease not in held:
                    unknown.append(lease)
                elif held[lease]:
                    renewed.setdefault(lease._ttl, []).append(lease)
                else:
                    self._lose(lease, TAKEN_OVER)
            for same_ttl in renewed.values():
                first = min(same_ttl, key=_DEADLINE)
                self._groups.add(same_ttl, renewal_time(first))
            self._try_later(unknown)
            self._changed.notify()

    def _extend_all(self, channel: DocumentStore, leases: list[KeptLease]) -> dict[KeptLease, bool]:
        """Extend all leases in one request; leases not in the result must be tried again."""
        requests = [LeaseRequest(lease._lock_name, lease.token, lease._ttl) for lease in leases]
        sent = channel.clock.now()
        left = min(map(loss_time, leases)) - sent
        known = {}
        try:
            results = channel.hook.extend_all(leases=requests, timeout=max(left // 1000, 1))
            # As a list: results that are too few may be those of other leases.
            for lease, request, held in list(zip(leases, requests, results, strict=True)):
                if held is None:
                    text = "%r could not be renewed, retrying: its record cannot be read"
                    _log_safely(text, lease)
                    continue
                if held:
                    lease._renewed(sent, request.ttl)
                known[lease] = held
        except ChannelError as error:
            text = "leases on channel %r could not be renewed, retrying: %s"
            _log_safely(text, channel.name, error)
        except BaseException:  # noqa: BLE001  an extension may raise anything
            text = "leases on channel %r could not be renewed"
            _log_safely(text, channel.name, exc_info=True)
        return known

    def lose(self, lease: KeptLease, reason: str) -> None:
        """Record a loss that the owner noticed, and report it."""
        with self._lock:
            self._lose(lease, reason)
            if self._deferred:
                self._try_to_wake_within(0)

    def _lose(self, lease: KeptLease, reason: str) -> None:
        self._forget(lease)
        if lease._mark_lost(reason) and lease.on_lost is not None:
            self._call("on-lost", lambda: _call_on_lost(lease))

    def _forget(self, lease: KeptLease) -> None:
        """Stop watching a lease, and end the worker of a channel that has none to renew."""
        group = self._groups.remove(lease)
        if group is not None and group.renew_at is not None:
            channel = group.channel
            # A signal may have cut in before it was counted; a worker that ends too early is
            # started again for the next renewal.
            left = self._renewed.pop(channel, 0) - 1
            if left > 0:
                self._renewed[channel] = left
            elif channel in self._workers:
                self._workers.pop(channel).put(None)


def _call_on_lost(lease: KeptLease) -> None:
    try:
        if lease.on_lost is not None:
            lease.on_lost(lease)
    except BaseException:  # noqa: BLE001  the error of a callback has no caller to go to
        _log_safely("on_lost of %r failed", lease, exc_info=True)


def _log_safely(text: str, *args: object, exc_info: bool = False) -> None:
    """Log a warning, or the error that is handled; a handler that raises must end no renewal."""
    with suppress(Exception):
        _log.log(logging.ERROR if exc_info else logging.WARNING, text, *args, exc_info=exc_info)


def _waiting(queue: SimpleQueue[Group | None]) -> Iterator[Group]:
    """Yield the groups that wait in the queue of a worker, for its thread; leave its end there."""
    while not queue.empty():
        group = queue.get()
        if group is None:
            queue.put(None)
            return
        yield group


def _thread(name: str, target: Callable[[], None]) -> threading.Thread:
    return threading.Thread(target=target, name=f"ojobchannels-{name}", daemon=True)


def _start(thread: threading.Thread) -> None:
    """Start a thread, but not from the main thread, where a signal could interrupt `start`.

    Raises:
        RuntimeError: The system cannot start more threads.
    """
    if threading.current_thread() is not threading.main_thread():
        thread.start()
        return
    errors: list[BaseException] = []
    done = threading.Lock()

    def start() -> None:
        try:
            thread.start()
        except RuntimeError as error:
            errors.append(error)
        finally:
            done.release()

    done.acquire()
    _thread_api.start_new_thread(start, ())
    done.acquire()
    if errors:
        raise errors[0]


KEEP_ALIVE = KeepAlive()
