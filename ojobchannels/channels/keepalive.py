"""Keep-alive: one scheduler thread per process renews leases in time and reports lost ones.

The scheduler itself never blocks: each channel has one worker thread that sends its renewals, so
that a channel that hangs does not delay the others, and each ``on_lost`` runs on a new thread. The
threads exist only while there is work. The scheduler ends a second later, so that acquiring and
releasing leases in quick succession does not start it each time. If no thread can be started,
renewals are tried again while there is time, and callbacks run on the scheduler thread.
"""

import _thread as _thread_api
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Final, Protocol

from ojobchannels.channels.documents import DocumentStore
from ojobchannels.errors import ChannelError
from ojobchannels.hookspecs import LeaseRequest
from ojobchannels.host.clock import Clock
from ojobchannels.host.due_times import DueTimes
from ojobchannels.host.forks import forget_in_children

TAKEN_OVER: Final = "the lock was released or taken over by another holder"
_log = logging.getLogger("ojobchannels.leases")
_LONGEST_SLEEP = 1_000_000
_SHORTEST_SLEEP = 2_000
_LARGEST_MARGIN = 20_000
_LARGEST_BATCH = 1_000


class KeptLease(Protocol):
    """The part of a `Lease` that keep-alive needs."""

    name: str
    _lock_name: str
    token: str
    deadline: int
    _ttl: int
    _extending: threading.Lock

    @property
    def channel(self) -> DocumentStore: ...  # noqa: D102  as in `Lease`, like the rest

    @property
    def on_lost(self) -> Callable[[Any], None] | None: ...  # noqa: D102  as in `Lease`

    def _renewed(self, sent: int, ttl: int) -> None: ...

    def _mark_lost(self, reason: str) -> bool: ...


@dataclass(slots=True)
class _Watch:
    """A watched lease. Times are microseconds of its channel's clock."""

    lease: KeptLease
    renews: bool
    renew_at: int
    requested: bool = False


@dataclass(slots=True, eq=False)
class _Batch:
    """Leases that are renewed in one request."""

    watches: list[_Watch]


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
            watch = self._watches[lease] = _Watch(lease, renews, _renew_at(lease))
            if renews:
                self._renewed[lease.channel] = self._renewed.get(lease.channel, 0) + 1
            self._wake_within(self._plan(watch) - lease.channel.clock.now())

    def renews(self, lease: KeptLease) -> bool:
        """Return whether the lease is renewed until it is released."""
        watch = self._watches.get(lease)
        return watch is not None and watch.renews

    def follow(self, lease: KeptLease) -> None:
        """Adjust to the new deadline of a watched lease that its owner extended."""
        with self._lock:
            watch = self._watches.get(lease)
            if watch is not None:
                watch.renew_at = _renew_at(lease)
                self._try_to_wake_within(self._plan(watch) - lease.channel.clock.now())

    def drop(self, lease: KeptLease) -> None:
        """Stop watching the lease: it was released or handed over."""
        if lease not in self._watches:  # most are not kept alive, and need no lock here
            return
        with self._lock:
            self._forget(lease)

    def end_if_idle(self) -> None:
        """End the scheduler at once if it has no work: a channel was closed."""
        with self._lock:
            if not (self._watches or self._alarms):
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
        self._watches: dict[KeptLease, _Watch] = {}
        self._due_times: DueTimes[KeptLease] = DueTimes()
        self._reply_times: DueTimes[_Batch] = DueTimes()
        self._renewed: dict[DocumentStore, int] = {}
        self._alarms: dict[object, Callable[[], None]] = {}
        self._alarm_times: DueTimes[object] = DueTimes()
        self._workers: dict[DocumentStore, SimpleQueue[_Batch | None]] = {}
        self._deferred: list[tuple[str, Callable[[], None]]] = []
        self._scheduler: threading.Thread | None = None

    def _run(self) -> None:
        while self._step():
            self._run_deferred()

    def _step(self) -> bool:
        """Do what is due, then sleep; return False when there is no more work."""
        with self._lock:
            self._call_due_alarms()
            self._plan_unanswered()
            self._renew_due_leases()
            if self._deferred:
                return True
            busy = bool(self._watches or self._alarms)
            if busy or self._lingers:
                self._lingers = busy
                pause = _LONGEST_SLEEP
                for times in (self._alarm_times, self._due_times, self._reply_times):
                    pause = times.pause(pause)
                seconds = max(pause, _SHORTEST_SLEEP) / 1e6
                self._wakes_at = time.monotonic() + seconds
                self._changed.wait(seconds)
                return True
            self._scheduler = None
            return False

    def _renew_due_leases(self) -> None:
        due: dict[DocumentStore, list[_Watch]] = {}
        for lease in list(self._due_times.pop_due()):
            watch = self._watches[lease]
            now = lease.channel.clock.now()
            if now >= _lose_at(lease):
                self._lose(lease, "it was not renewed in time")
            elif watch.renews and not watch.requested and now >= watch.renew_at:
                due.setdefault(lease.channel, []).append(watch)
            else:
                self._plan(watch)
        for channel, watches in due.items():
            for start in range(0, len(watches), _LARGEST_BATCH):
                self._hand_to_worker(channel, watches[start : start + _LARGEST_BATCH])

    def _plan(self, watch: _Watch) -> int:
        """Have a watched lease looked at when it is due, and return that time."""
        at = _lose_at(watch.lease)
        if watch.renews and not watch.requested:
            at = min(at, watch.renew_at)
        if self._watches.get(watch.lease) is watch:
            self._due_times.set(watch.lease, watch.lease.channel.clock, at)
        return at

    def _wake_within(self, pause: int) -> None:
        """Make the scheduler check again within `pause` microseconds."""
        self._lingers = True
        now = time.monotonic()
        if self._scheduler is not None and now < self._wakes_at <= now + pause / 1e6:
            return  # it sleeps, and wakes early enough
        if self._scheduler is None or not self._scheduler.is_alive():
            self._scheduler = _thread("keep-alive", self._run)
            _start(self._scheduler)
        elif now + pause / 1e6 < self._wakes_at:
            self._changed.notify()

    def _try_to_wake_within(self, pause: int) -> None:
        try:
            self._wake_within(pause)
        except RuntimeError as error:
            _log.warning("keep-alive is paused until a thread can be started: %s", error)

    def _call(self, name: str, target: Callable[[], None]) -> None:
        """Run `target` on a new thread; if none can be started, defer it to the scheduler."""
        try:
            _start(_thread(name, target))
        except RuntimeError as error:
            _log.warning(
                "no thread can be started: %s runs on the keep-alive thread: %s", name, error
            )
            self._deferred.append((name, target))

    def _run_deferred(self) -> None:
        with self._lock:
            calls, self._deferred = self._deferred, []
        for name, target in calls:
            try:
                target()
            except BaseException:  # noqa: BLE001  the other leases must be kept alive
                _log.exception("%s failed", name)

    def _call_due_alarms(self) -> None:
        for owner in list(self._alarm_times.pop_due()):
            self._call("alarm", self._alarms.pop(owner))

    def _hand_to_worker(self, channel: DocumentStore, watches: list[_Watch]) -> None:
        batches = self._workers.get(channel)
        if batches is None:
            batches = SimpleQueue()
            try:
                _start(_thread("renewals", lambda: self._work(channel, batches)))
            except RuntimeError as error:
                _warn(channel, error)
                self._try_later(channel, watches)
                return
            self._workers[channel] = batches
        for watch in watches:
            watch.requested = True
        batch = _Batch(watches)
        first = min(_lose_at(watch.lease) for watch in watches)
        self._reply_times.set(batch, channel.clock, first)
        batches.put(batch)

    def _plan_unanswered(self) -> None:
        """Have the leases of requests without a reply looked at, when the first would be lost."""
        for batch in list(self._reply_times.pop_due()):
            for watch in batch.watches:
                if watch.requested:
                    self._plan(watch)

    def _try_later(self, channel: DocumentStore, watches: list[_Watch]) -> None:
        for watch in watches:
            pause = min(watch.lease._ttl * 50, _LONGEST_SLEEP)
            watch.renew_at = channel.clock.now() + pause
            self._plan(watch)

    def _work(self, channel: DocumentStore, batches: SimpleQueue[_Batch | None]) -> None:
        while (batch := batches.get()) is not None:
            self._renew(channel, batch)

    def _renew(self, channel: DocumentStore, batch: _Batch) -> None:
        watches = batch.watches
        locked = [watch for watch in watches if watch.lease._extending.acquire(blocking=False)]
        try:
            held = self._extend_all(channel, [watch.lease for watch in locked]) if locked else {}
        finally:
            for watch in locked:
                watch.lease._extending.release()
        with self._lock:
            self._reply_times.drop(batch)
            for watch in watches:
                watch.requested = False
                if watch.lease in held:
                    watch.renew_at = _renew_at(watch.lease)
                    if held[watch.lease] or watch.lease not in self._watches:
                        self._plan(watch)
                    else:
                        self._lose(watch.lease, TAKEN_OVER)
            self._try_later(channel, [watch for watch in watches if watch.lease not in held])
            self._changed.notify()

    def _extend_all(self, channel: DocumentStore, leases: list[KeptLease]) -> dict[KeptLease, bool]:
        """Extend all leases in one request; leases not in the result must be tried again."""
        requests = [LeaseRequest(lease._lock_name, lease.token, lease._ttl) for lease in leases]
        sent = channel.clock.now()
        left = min(map(_lose_at, leases)) - sent
        try:
            results = channel.hook.extend_all(leases=requests, timeout=max(left // 1000, 1))
        except ChannelError as error:
            _warn(channel, error)
            return {}
        except Exception:  # noqa: BLE001  an extension may raise anything
            _log.exception("leases on channel %r could not be renewed", channel.name)
            return {}
        for lease, request, held in zip(leases, requests, results, strict=True):
            if held:
                lease._renewed(sent, request.ttl)
            elif held is None:
                _log.warning("%r could not be renewed, retrying: its record cannot be read", lease)
        return {
            lease: held for lease, held in zip(leases, results, strict=True) if held is not None
        }

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
        watch = self._watches.pop(lease, None)
        if watch is None:
            return
        self._due_times.drop(lease)
        if watch.renews:
            channel = lease.channel
            # A signal may have cut in before it was counted; a worker that ends too early is
            # started again for the next renewal.
            left = self._renewed.pop(channel, 0) - 1
            if left > 0:
                self._renewed[channel] = left
            elif channel in self._workers:
                self._workers.pop(channel).put(None)


def _renew_at(lease: KeptLease) -> int:
    """Return when a third of the ttl has passed, or little less: then many share a request."""
    ttl = lease._ttl * 1000
    at = lease.deadline - (ttl * 99 // 100 - ttl // 3)
    return at - at % (ttl // 32)


def _lose_at(lease: KeptLease) -> int:
    return lease.deadline - min(_LARGEST_MARGIN, lease._ttl * 50)


def _call_on_lost(lease: KeptLease) -> None:
    try:
        if lease.on_lost is not None:
            lease.on_lost(lease)
    except BaseException:  # noqa: BLE001  the error of a callback has no caller to go to
        _log.exception("on_lost of %r failed", lease)


def _warn(channel: DocumentStore, error: Exception) -> None:
    _log.warning("leases on channel %r could not be renewed, retrying: %s", channel.name, error)


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
