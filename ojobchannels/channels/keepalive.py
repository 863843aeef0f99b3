"""Keep-alive: one scheduler thread per process renews leases in time and tells of lost ones.

The scheduler only keeps times. What can take long is done off it: each channel has one worker
thread for its renewals, and each ``on_lost`` runs on a thread of its own. Threads exist only while
there is something to do, and the scheduler a second longer: who takes and releases leases in quick
succession neither starts it each time nor wakes it. Where the system gives no more of them,
renewals are tried again while there is time, and what must be told is told by the scheduler itself.
"""

from __future__ import annotations

import _thread as _thread_api
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, NamedTuple

from ojobchannels.errors import ChannelError
from ojobchannels.hookspecs import LeaseRequest
from ojobchannels.host.clock import Clock
from ojobchannels.host.forks import forget_in_children

if TYPE_CHECKING:
    from ojobchannels.channels.channel import Channel
    from ojobchannels.channels.lease import Lease

TAKEN_OVER: Final = "the lock was released or taken over by another holder"
_log = logging.getLogger("ojobchannels.leases")
_LONGEST_SLEEP = 1_000_000
_SHORTEST_SLEEP = 2_000
_LARGEST_MARGIN = 20_000


@dataclass(slots=True)
class _Watch:
    """One lease under watch. Times are microseconds of its channel's clock."""

    lease: Lease
    renews: bool
    renew_at: int
    asked: bool = False


class _Alarm(NamedTuple):
    clock: Clock
    at: int
    call: Callable[[], None]


class _Call(NamedTuple):
    """What is to run on a thread of its own, named for `what` it is."""

    what: str
    target: Callable[[], None]


class KeepAlive:
    """Watches over leases and alarms, all channels of the process together."""

    def __init__(self) -> None:
        # `with` on the lock itself: entering a Condition runs Python code, which a signal may cut.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._watches: dict[Lease, _Watch] = {}
        self._alarms: dict[object, _Alarm] = {}
        self._workers: dict[Channel, SimpleQueue[list[_Watch] | None]] = {}
        self._owed: list[_Call] = []
        self._scheduler: threading.Thread | None = None
        self._lingers = False
        self._looks_at = 0.0
        forget_in_children(self)

    def watch(self, lease: Lease, renews: bool) -> None:
        """Renews the lease at thirds of its ttl, if asked to, and tells of its loss.

        Raises:
            RuntimeError: The system gives no thread for it.
        """
        with self._lock:
            watch = self._watches[lease] = _Watch(lease, renews, _renew_at(lease))
            self._look_within(_due_at(watch) - lease.channel.clock.now())

    def follow(self, lease: Lease) -> None:
        """Keeps to the lease's new times, if it is watched: its owner extended it."""
        with self._lock:
            watch = self._watches.get(lease)
            if watch is not None:
                watch.renew_at = _renew_at(lease)
                self._look_within_if_possible(_due_at(watch) - lease.channel.clock.now())

    def drop(self, lease: Lease) -> None:
        """Forgets the lease: it was released or handed over."""
        with self._lock:
            if self._watches.pop(lease, None) is not None and self._workers:
                self._dismiss_idle_workers()

    def rest(self) -> None:
        """Ends the scheduler at once if nothing is left to do: a channel was closed."""
        with self._lock:
            if not (self._watches or self._alarms):
                self._lingers = False
                self._changed.notify()

    def set_alarm(self, owner: object, clock: Clock, at: int, call: Callable[[], None]) -> None:
        """Has `call` called, on a thread of its own, when the clock shows `at` microseconds."""
        with self._lock:
            self._alarms[owner] = _Alarm(clock, at, call)
            self._look_within_if_possible(at - clock.now())

    def drop_alarm(self, owner: object) -> None:
        """Forgets the alarm that was set for `owner`, if it has not gone off."""
        with self._lock:
            self._alarms.pop(owner, None)

    def forget(self) -> None:
        """Leaves the parent's leases to the parent, in a forked child."""
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._watches = {}
        self._alarms = {}
        self._workers = {}
        self._owed = []
        self._scheduler = None

    def _schedule(self) -> None:
        while self._look():
            self._pay()

    def _look(self) -> bool:
        """Does what is due and sleeps until the next; answers False when nothing is left to do."""
        with self._lock:
            pause = min(self._sound_alarms(), self._see_to_leases())
            if self._owed:
                return True
            busy = bool(self._watches or self._alarms)
            if busy or self._lingers:
                self._lingers = busy
                seconds = max(pause, _SHORTEST_SLEEP) / 1e6
                self._looks_at = time.monotonic() + seconds
                self._changed.wait(seconds)
                return True
            self._scheduler = None
            return False

    def _see_to_leases(self) -> int:
        pause = _LONGEST_SLEEP
        due: dict[Channel, list[_Watch]] = {}
        for watch in list(self._watches.values()):
            lease = watch.lease
            now = lease.channel.clock.now()
            if now >= _lose_at(lease):
                self._lose(lease, "it was not renewed in time")
                continue
            if watch.renews and not watch.asked and now >= watch.renew_at:
                due.setdefault(lease.channel, []).append(watch)
            pause = min(pause, _due_at(watch) - now)
        for channel, watches in due.items():
            self._hand_to_worker(channel, watches)
        return pause

    def _look_within(self, pause: int) -> None:
        """Has the scheduler look after so many microseconds at the latest."""
        self._lingers = True
        if self._scheduler is None or not self._scheduler.is_alive():
            self._scheduler = _thread("keep-alive", self._schedule)
            _start(self._scheduler)
        elif time.monotonic() + pause / 1e6 < self._looks_at:
            self._changed.notify()

    def _look_within_if_possible(self, pause: int) -> None:
        try:
            self._look_within(pause)
        except RuntimeError as error:
            _log.warning("%s, so keep-alive waits until there is one", error)

    def _call(self, what: str, target: Callable[[], None]) -> None:
        """Runs it on a thread of its own, or owes it where there is none to be had."""
        try:
            _start(_thread(what, target))
        except RuntimeError as error:
            _log.warning("%s, so keep-alive itself runs %s", error, what)
            self._owed.append(_Call(what, target))

    def _pay(self) -> None:
        with self._lock:
            owed, self._owed = self._owed, []
        for call in owed:
            try:
                call.target()
            except Exception:  # noqa: BLE001  whatever it raises, the leases live on
                _log.exception("%s failed", call.what)

    def _sound_alarms(self) -> int:
        pause = _LONGEST_SLEEP
        for owner, alarm in list(self._alarms.items()):
            left = alarm.at - alarm.clock.now()
            if left <= 0:
                del self._alarms[owner]
                self._call("alarm", alarm.call)
            else:
                pause = min(pause, left)
        return pause

    def _hand_to_worker(self, channel: Channel, watches: list[_Watch]) -> None:
        orders = self._workers.get(channel)
        if orders is None:
            orders = SimpleQueue()
            try:
                _start(_thread("renewals", lambda: self._work(channel, orders)))
            except RuntimeError as error:
                _warn(channel, error)
                self._try_later(channel, watches)
                return
            self._workers[channel] = orders
        for watch in watches:
            watch.asked = True
        orders.put(watches)

    def _try_later(self, channel: Channel, watches: list[_Watch]) -> None:
        for watch in watches:
            pause = min(round(watch.lease.ttl * 50_000), _LONGEST_SLEEP)
            watch.renew_at = channel.clock.now() + pause

    def _work(self, channel: Channel, orders: SimpleQueue[list[_Watch] | None]) -> None:
        while (watches := orders.get()) is not None:
            self._renew(channel, watches)

    def _renew(self, channel: Channel, watches: list[_Watch]) -> None:
        taken = [one for one in watches if one.lease.extending.acquire(blocking=False)]
        try:
            answers = self._extend_all(channel, [one.lease for one in taken]) if taken else {}
        finally:
            for watch in taken:
                watch.lease.extending.release()
        with self._lock:
            for watch in watches:
                watch.asked = False
                if watch.lease in answers:
                    watch.renew_at = _renew_at(watch.lease)
                    if not answers[watch.lease] and watch.lease in self._watches:
                        self._lose(watch.lease, TAKEN_OVER)
            self._try_later(channel, [one for one in watches if one.lease not in answers])
            self._changed.notify()

    def _extend_all(self, channel: Channel, leases: list[Lease]) -> dict[Lease, bool]:
        """Asks once for all; those that are not in the answer are to be asked for again."""
        requests = [LeaseRequest(one.name, one.token, round(one.ttl * 1000)) for one in leases]
        sent = channel.clock.now()
        left = min(map(_lose_at, leases)) - sent
        try:
            answers = channel.hook.extend_all(leases=requests, timeout=max(left // 1000, 1))
        except ChannelError as error:
            _warn(channel, error)
            return {}
        except Exception:  # noqa: BLE001  an extension may raise anything; the other leases live on
            _log.exception("leases on channel %r could not be renewed", channel.name)
            return {}
        for lease, request, held in zip(leases, requests, answers, strict=True):
            if held:
                lease.renewed(sent, request.ttl)
            elif held is None:
                _log.warning("%r could not be renewed yet: its record cannot be reached", lease)
        return {one: held for one, held in zip(leases, answers, strict=True) if held is not None}

    def lose(self, lease: Lease, reason: str) -> None:
        """Takes note of a loss that the owner found out, and tells of it."""
        with self._lock:
            self._lose(lease, reason)
            if self._owed:
                self._look_within_if_possible(0)

    def _lose(self, lease: Lease, reason: str) -> None:
        self._watches.pop(lease, None)
        self._dismiss_idle_workers()
        if lease.mark_lost(reason) and lease.on_lost is not None:
            self._call("on-lost", lambda: _tell(lease))

    def _dismiss_idle_workers(self) -> None:
        busy = {watch.lease.channel for watch in self._watches.values() if watch.renews}
        for channel in [one for one in self._workers if one not in busy]:
            self._workers.pop(channel).put(None)


def _renew_at(lease: Lease) -> int:
    return lease.deadline - round(lease.ttl * 1e6 * (0.99 - 1 / 3))


def _due_at(watch: _Watch) -> int:
    waits_for_the_end = watch.asked or not watch.renews
    return _lose_at(watch.lease) if waits_for_the_end else watch.renew_at


def _lose_at(lease: Lease) -> int:
    return lease.deadline - min(_LARGEST_MARGIN, round(lease.ttl * 50_000))


def _tell(lease: Lease) -> None:
    try:
        if lease.on_lost is not None:
            lease.on_lost(lease)
    except Exception:  # noqa: BLE001  what a callback raises has nobody else to go to
        _log.exception("on_lost of %r failed", lease)


def _warn(channel: Channel, error: Exception) -> None:
    _log.warning("leases on channel %r could not be renewed yet: %s", channel.name, error)


def _thread(what: str, target: Callable[[], None]) -> threading.Thread:
    return threading.Thread(target=target, name=f"ojobchannels-{what}", daemon=True)


def _start(thread: threading.Thread) -> None:
    """Starts a thread, off the main one: a signal handler that raises within `start` breaks it.

    Raises:
        RuntimeError: The system gives no more threads.
    """
    if threading.current_thread() is not threading.main_thread():
        thread.start()
        return
    failures: list[BaseException] = []
    done = threading.Lock()

    def start() -> None:
        try:
            thread.start()
        except RuntimeError as error:
            failures.append(error)
        finally:
            done.release()

    done.acquire()
    _thread_api.start_new_thread(start, ())
    done.acquire()
    if failures:
        raise failures[0]


KEEP_ALIVE = KeepAlive()
