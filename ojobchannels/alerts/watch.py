"""A thread for each alert rule, which finds what has happened and delivers its notices."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

from ojobchannels.alerts.check import check_rules
from ojobchannels.alerts.delivery import Delivery, Launch
from ojobchannels.alerts.evaluation import PINGS_GO_STALE_MS
from ojobchannels.alerts.ledger import LONGEST_RETRY_MS, Ledger
from ojobchannels.alerts.rules import Alert, Notice, Ping
from ojobchannels.errors import AlertNotSent, ChannelClosed, ChannelError
from ojobchannels.following import gone_daemons
from ojobchannels.following.overdue import overdue_by_job
from ojobchannels.following.run_changes import Runs
from ojobchannels.host.clock import now_ms
from ojobchannels.host.forks import forget_in_children
from ojobchannels.host.wakeup import Latch, Wakeup

LONGEST_CLOSE_SECONDS: Final = 3.0
ENDING_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 2.0
_SHORTEST_PAUSE_SECONDS: Final = 0.2
_FIRST_RETRY_SECONDS: Final = 5
_GIVE_UP_MS: Final = 86_400_000
_OUTAGE_SECONDS: Final = 10.0

_log = logging.getLogger("ojobchannels.alerts")


class Schedule(gone_daemons.Schedule, Protocol):
    """A schedule that daemons have published."""

    @property
    def overdue_since(self) -> int | None:
        """When it became overdue, in milliseconds since 1970; None if it is not."""


class Manager(Runs, Protocol):
    """The manager whose runs and schedules are watched."""

    def _before_reading(self) -> None:
        """Close the dead runs; errors are logged."""

    def schedules(self) -> Sequence[Schedule]:
        """Return the schedules that daemons have published."""

    def daemons(self) -> Sequence[gone_daemons.Daemon]:
        """Return the daemons that are known."""

    def _launch_alert(self, name: str, notice: Mapping[str, Any]) -> Launch:
        """Run the job of an alert."""


class AlertWatch:
    """Watches all that one rule is about.

    Nothing here is in the way of a job: it runs on a thread of its own, which the jobs only wake.
    """

    def __init__(self, rule: Alert, manager: Manager) -> None:
        self._rule = rule
        self._manager = manager
        forget_in_children(self)
        self.forget()

    @property
    def label(self) -> str:
        """The rule in messages."""
        return self._rule.label

    def forget(self) -> None:
        """Leave the thread to the parent, in a forked child."""
        self._ledger = Ledger(self._rule, self._manager)
        self._delivery = Delivery(self._rule, self._manager._launch_alert)
        self._wakeup = Wakeup()
        self._is_cut_off = False
        self._closing = Latch()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Remember where the watch begins, and start its thread; errors of the store are logged."""
        try:
            self._ledger.begin()
        except ChannelError as error:
            _log.warning("%s: the store cannot be reached: %s", self._rule.label, error)
        self.wake()

    def wake(self) -> None:
        """Have the watch look now."""
        if self._thread is None and not self._closing.is_set():
            name = "ojobchannels-alerts"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._thread = thread
            try:
                thread.start()
            except RuntimeError as error:
                self._thread = None
                _log.warning("%s: no thread can be started: %s", self._rule.label, error)
        self._wakeup.set()

    def ask_to_close(self) -> None:
        """Have the watch look once more, send what is new, and end."""
        self._closing.set()
        self._wakeup.set()

    def join(self, seconds: float) -> bool:
        """Wait for its end, for at most `seconds`, and return whether it has ended."""
        if self._thread is not None:
            self._thread.join(max(seconds, 0))
            return not self._thread.is_alive()
        return True

    def _work(self) -> None:
        pause, looked = 0.0, 0.0
        while True:
            self._wakeup.wait(pause)
            # Jobs may end many times a second; that must not make it look as often.
            self._closing.wait(max(looked + _SHORTEST_PAUSE_SECONDS - time.monotonic(), 0))
            is_last, looked = self._closing.is_set(), time.monotonic()
            if not is_last:
                self._wakeup.clear()
            pause = self._look()
            if is_last:
                self._warn_of_pending()
                return

    def _look(self) -> float:
        """Find and deliver; return the seconds until the next look."""
        try:
            if self._evaluate():
                return 0.0
            self._deliver()
        except ChannelClosed:
            self._closing.set()
        except ChannelError as error:
            if not self._is_cut_off:
                _log.warning("%s: the store cannot be reached: %s", self._rule.label, error)
            self._is_cut_off = True
            return _OUTAGE_SECONDS
        except Exception:  # noqa: BLE001  it must not end with an extension or a function that fails
            _log.exception("%s: failed, and tries again", self._rule.label)
            return _OUTAGE_SECONDS
        if self._is_cut_off:
            _log.info("%s: the store is reached again", self._rule.label)
        self._is_cut_off = False
        return _PAUSE_SECONDS

    def _evaluate(self) -> bool:
        self._manager._before_reading()
        overdue: dict[str, int] | None = None
        gone: dict[str, Any] | None = None
        events = () if isinstance(self._rule.target, Ping) else self._rule.on
        if "overdue" in events or "daemon-gone" in events:
            schedules = self._manager.schedules()
            if "overdue" in events:
                known = overdue_by_job(schedules)
                overdue = {job: since for job, since in known.items() if since is not None}
            if "daemon-gone" in events:
                gone = gone_daemons.described(self._manager.daemons(), schedules)
        dropped, is_behind = self._ledger.evaluate(overdue, gone)
        if dropped:
            _log.error("%s: too many notices wait; dropped: %d", self._rule.label, dropped)
        return is_behind

    def _deliver(self) -> None:
        """Deliver what is due, in order, while no other process does so."""
        if self._due() is None:
            return
        name, ttl = f"alerts {self._rule.id}", self._delivery.longest + 30
        lease = self._manager.state.try_lock(name, ttl=min(ttl, 60), keep_alive=True)
        if lease is None:
            return
        with lease:
            while (notice := self._due()) is not None:
                lease.check()
                self._deliver_one(notice)

    def _due(self) -> Notice | None:
        """Return the next notice that may be sent now."""
        return self._ledger.due(now_ms())

    def _deliver_one(self, notice: Notice) -> None:
        try:
            self._delivery.attempt(notice)
        except AlertNotSent as error:
            self._failed(notice, error)
        else:
            self._ledger.settle(notice)

    def _warn_of_pending(self) -> None:
        with suppress(ChannelError):
            if pending := len(self._ledger.pending()):
                text = "%s: notices that wait for the next process with this alert: %d"
                _log.warning(text, self._rule.label, pending)

    def _failed(self, notice: Notice, error: AlertNotSent) -> None:
        what: tuple[Any, ...] = self._rule.label, notice["event"], notice["job"], error
        longest = PINGS_GO_STALE_MS if isinstance(self._rule.target, Ping) else _GIVE_UP_MS
        if now_ms() - notice["time"] > longest:
            _log.error("%s: given up: %s of job %r: %s", *what)
            self._ledger.settle(notice)
            return
        attempts = notice.get("attempts", 0)
        pause = min(_FIRST_RETRY_SECONDS * 2 ** min(attempts, 20), LONGEST_RETRY_MS // 1000)
        _log.warning(
            "%s: not sent, next attempt in %d s: %s of job %r: %s", what[0], pause, *what[1:]
        )
        until = now_ms() + pause * 1000
        self._ledger.postpone(notice, until, is_refused=error.is_refused)


class Alerts:
    """The rules of a manager, and their watches."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._watches: dict[str, AlertWatch] = {}
        self._closes_until: float | None = None

    def __repr__(self) -> str:
        return f"<Alerts {', '.join(self._watches) or 'none'}>"

    def replace(self, rules: Sequence[Alert]) -> None:
        """Watch these rules from now on, instead of those before.

        Raises:
            InvalidOption: Something is wrong with one of them, or a secret is missing.
        """
        check_rules(rules)
        wanted = {rule.id: rule for rule in rules}
        for id in [id for id in self._watches if id not in wanted]:
            ended = self._watches.pop(id)
            ended.ask_to_close()
            ended.join(ENDING_SECONDS)
        for id, rule in wanted.items():
            if id not in self._watches:
                self._watches[id] = AlertWatch(rule, self._manager)
                self._watches[id].begin()

    def wake(self) -> None:
        """Have all watches look now: a run has started or ended."""
        for watch in self._watches.values():
            watch.wake()

    def close(self) -> None:
        """Send what is new, and end; what is not accepted in time is left to other processes."""
        for watch in self._watches.values():
            watch.ask_to_close()
        if self._closes_until is None:  # several calls have the same time
            self._closes_until = time.monotonic() + LONGEST_CLOSE_SECONDS
        self.join(self._closes_until - time.monotonic())

    def join(self, seconds: float) -> None:
        """Wait for the ends of the watches, for at most `seconds` in all."""
        end = time.monotonic() + seconds
        for watch in self._watches.values():
            watch.join(end - time.monotonic())

    def end(self) -> None:
        """Wait a moment for what the end of a job lets end; log which receivers still hang."""
        self.join(ENDING_SECONDS)
        for watch in self._watches.values():
            if not watch.join(0):
                _log.warning("%s: the receiver hangs; its notices stay for later", watch.label)
