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
from typing import Any, Final, NamedTuple, Protocol

from ojobchannels.channels.documents import DocumentStore
from ojobchannels.errors import ChannelError
from ojobchannels.hookspecs import LeaseRequest
from ojobchannels.host.clock import Clock
from ojobchannels.host.forks import forget_in_children

TAKEN_OVER: Final = "the lock was released or taken over by another holder"
_log = logging.getLogger("ojobchannels.leases")
_LONGEST_SLEEP = 1_000_000
_SHORTEST_SLEEP = 2_000
_LARGEST_MARGIN = 20_000


class KeptLease(Protocol):
    """The part of a `Lease` that keep-alive needs."""

    name: str
    _lock_name: str
    token: str
    deadline: int
    _extending: threading.Lock

    @property
    def channel(self) -> DocumentStore: ...  # noqa: D102  as in `Lease`, like the rest

    @property
    def ttl(self) -> float: ...  # noqa: D102  as in `Lease`

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


class _Alarm(NamedTuple):
    clock: Clock
    at: int
    call: Callable[[], None]


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
            watch = self._watches[lease] = _Watch(lease, renews, _renew_at(lease))
            self._wake_within(_due_at(watch) - lease.channel.clock.now())

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
                self._try_to_wake_within(_due_at(watch) - lease.channel.clock.now())

    def drop(self, lease: KeptLease) -> None:
        """Stop watching the lease: it was released or handed over."""
        if lease not in self._watches:  # most are not kept alive, and need no lock here
            return
        with self._lock:
            if self._watches.pop(lease, None) is not None and self._workers:
                self._dismiss_idle_workers()

    def end_if_idle(self) -> None:
        """End the scheduler at once if it has no work: a channel was closed."""
        with self._lock:
            if not (self._watches or self._alarms):
                self._lingers = False
                self._changed.notify()

    def set_alarm(self, owner: object, clock: Clock, at: int, call: Callable[[], None]) -> None:
        """Call `call` on a new thread when the clock reaches `at` microseconds."""
        with self._lock:
            self._alarms[owner] = _Alarm(clock, at, call)
            self._try_to_wake_within(at - clock.now())

    def drop_alarm(self, owner: object) -> None:
        """Cancel the alarm of `owner`, if it has not been called."""
        with self._lock:
            self._alarms.pop(owner, None)

    def forget(self) -> None:
        """Leave the parent's leases to the parent, in a forked child."""
        # `with` on the lock itself: entering a Condition runs Python code, which a signal may cut.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._watches: dict[KeptLease, _Watch] = {}
        self._alarms: dict[object, _Alarm] = {}
        self._workers: dict[DocumentStore, SimpleQueue[list[_Watch] | None]] = {}
        self._deferred: list[tuple[str, Callable[[], None]]] = []
        self._scheduler: threading.Thread | None = None

    def _run(self) -> None:
        while self._step():
            self._run_deferred()

    def _step(self) -> bool:
        """Do what is due, then sleep; return False when there is no more work."""
        with self._lock:
            pause = min(self._call_due_alarms(), self._renew_due_leases())
            if self._deferred:
                return True
            busy = bool(self._watches or self._alarms)
            if busy or self._lingers:
                self._lingers = busy
                seconds = max(pause, _SHORTEST_SLEEP) / 1e6
                self._wakes_at = time.monotonic() + seconds
                self._changed.wait(seconds)
                return True
            self._scheduler = None
            return False

    def _renew_due_leases(self) -> int:
        pause = _LONGEST_SLEEP
        due: dict[DocumentStore, list[_Watch]] = {}
        for watch in list(self._watches.values()):
            lease = watch.lease
            now = lease.channel.clock.now()
            if now >= _lose_at(lease):
                self._lose(lease, "it was not renewed in time")
                continue
            if watch.renews and not watch.requested and now >= watch.renew_at:
                due.setdefault(lease.channel, []).append(watch)
            pause = min(pause, _due_at(watch) - now)
        for channel, watches in due.items():
            self._hand_to_worker(channel, watches)
        return pause

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

    def _call_due_alarms(self) -> int:
        pause = _LONGEST_SLEEP
        for owner, alarm in list(self._alarms.items()):
            left = alarm.at - alarm.clock.now()
            if left <= 0:
                del self._alarms[owner]
                self._call("alarm", alarm.call)
            else:
                pause = min(pause, left)
        return pause

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
        batches.put(watches)

    def _try_later(self, channel: DocumentStore, watches: list[_Watch]) -> None:
        for watch in watches:
            pause = min(round(watch.lease.ttl * 50_000), _LONGEST_SLEEP)
            watch.renew_at = channel.clock.now() + pause

    def _work(self, channel: DocumentStore, batches: SimpleQueue[list[_Watch] | None]) -> None:
        while (watches := batches.get()) is not None:
            self._renew(channel, watches)

    def _renew(self, channel: DocumentStore, watches: list[_Watch]) -> None:
        locked = [watch for watch in watches if watch.lease._extending.acquire(blocking=False)]
        try:
            held = self._extend_all(channel, [watch.lease for watch in locked]) if locked else {}
        finally:
            for watch in locked:
                watch.lease._extending.release()
        with self._lock:
            for watch in watches:
                watch.requested = False
                if watch.lease in held:
                    watch.renew_at = _renew_at(watch.lease)
                    if not held[watch.lease] and watch.lease in self._watches:
                        self._lose(watch.lease, TAKEN_OVER)
            self._try_later(channel, [watch for watch in watches if watch.lease not in held])
            self._changed.notify()

    def _extend_all(self, channel: DocumentStore, leases: list[KeptLease]) -> dict[KeptLease, bool]:
        """Extend all leases in one request; leases not in the result must be tried again."""
        requests = [
            LeaseRequest(lease._lock_name, lease.token, round(lease.ttl * 1000)) for lease in leases
        ]
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
        self._watches.pop(lease, None)
        self._dismiss_idle_workers()
        if lease._mark_lost(reason) and lease.on_lost is not None:
            self._call("on-lost", lambda: _call_on_lost(lease))

    def _dismiss_idle_workers(self) -> None:
        busy = {watch.lease.channel for watch in self._watches.values() if watch.renews}
        for channel in [channel for channel in self._workers if channel not in busy]:
            self._workers.pop(channel).put(None)


def _renew_at(lease: KeptLease) -> int:
    return lease.deadline - round(lease.ttl * 1e6 * (0.99 - 1 / 3))


def _due_at(watch: _Watch) -> int:
    only_expires = watch.requested or not watch.renews
    return _lose_at(watch.lease) if only_expires else watch.renew_at


def _lose_at(lease: KeptLease) -> int:
    return lease.deadline - min(_LARGEST_MARGIN, round(lease.ttl * 50_000))


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
