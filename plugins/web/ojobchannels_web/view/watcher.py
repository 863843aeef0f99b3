"""Reads the channels in the background, and wakes the pages when something has changed."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Final

from ojobchannels.errors import ChannelError
from ojobchannels.manager import JobManager
from ojobchannels.manager.overview import RunOverview
from ojobchannels.manager.schedules.overview import ScheduleInfo
from ojobchannels.manager.schedules.published import DaemonInfo
from ojobchannels.masking import mask_text
from ojobchannels_web.view.rows import rows
from ojobchannels_web.view.snapshot import Snapshot

POLL_SECONDS: Final = 1.0
_REST: Final = 4
"""A read takes at most a quarter of the time, so that many schedules do not occupy a processor."""
_WATCHED_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.002
_SHORT_WAIT: Final = 1.0
_LONGEST_WAIT: Final = 5.0
_LONGEST_STOP: Final = 2.0

_log = logging.getLogger("ojobchannels.web")


class Watcher:
    """One thread that keeps a `Snapshot` up to date while a page is open.

    Without any request for a minute it pauses. The next request then waits for a new snapshot. No
    request waits for a read that takes long already: so requests do not pile up while the channels
    do not respond.
    """

    def __init__(self, manager: JobManager) -> None:
        self._manager = manager
        self._overview = RunOverview(manager)
        self._snapshot = Snapshot()
        self._heads_changed = True
        self._waiters: set[Callable[[], None]] = set()
        self._turn = threading.Condition()
        self._asked = self._done = 0
        self._requests = 0
        self._reading_since: float | None = None
        self._read_at = -_WATCHED_SECONDS
        self._looked = time.monotonic()
        self._stopped = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to read, so that the first page need not wait for it."""
        with self._turn:
            self._start()

    def _start(self) -> None:
        if self._thread is None and not self._stopped:
            self._thread = threading.Thread(target=self._run, name="ojob-web", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait for its end, but not for long while a channel hangs."""
        with self._turn:
            self._stopped = True
            self._turn.notify_all()
            thread = self._thread
        self._wake()
        if thread is not None:
            thread.join(_LONGEST_STOP)

    @property
    def error(self) -> str | None:
        """Why the snapshot may be outdated: the last read failed, or one does not end; or None."""
        error, seconds = self._snapshot.error, self._reading_for()
        if error is None and seconds >= _LONGEST_WAIT:
            return f"they have not responded for {seconds:.0f} s"
        return error

    def snapshot(self) -> Snapshot:
        """Return what is known; wait a moment for a read if the last one was too long ago."""
        self._looked = time.monotonic()
        if (
            self._looked - self._read_at > 2 * POLL_SECONDS
            and self._reading_for() < _SHORT_WAIT
            and self._snapshot.error is None
        ):
            self.refresh(_SHORT_WAIT)
        return self._snapshot

    def refresh(self, longest: float = _LONGEST_WAIT) -> None:
        """Read now, and return when that is done, or takes too long."""
        with self._turn:
            self._looked = time.monotonic()
            self._start()
            self._asked += 1
            wanted = self._asked
            self._turn.notify_all()
            self._turn.wait_for(lambda: self._stopped or self._done >= wanted, longest)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Let the reading of older records pause while a request is served."""
        with self._turn:
            self._requests += 1
        try:
            yield
        finally:
            with self._turn:
                self._requests -= 1
                self._turn.notify_all()

    async def versions(self, keep_alive: float) -> AsyncIterator[int | None]:
        """Yield the version after each change; None if nothing has changed for a while."""
        loop, changed = asyncio.get_running_loop(), asyncio.Event()
        seen = self._snapshot.version

        def wake() -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(changed.set)

        with self._listening(wake):
            while not self._stopped:
                self._looked = time.monotonic()
                changed.clear()
                version = self._snapshot.version
                if version != seen:
                    seen = version
                    yield version
                    continue
                try:
                    await asyncio.wait_for(changed.wait(), keep_alive)
                except TimeoutError:
                    yield None

    @contextmanager
    def _listening(self, wake: Callable[[], None]) -> Iterator[None]:
        with self._turn:
            self._waiters.add(wake)
            self._turn.notify_all()
        try:
            yield
        finally:
            with self._turn:
                self._waiters.discard(wake)

    def _run(self) -> None:
        while not self._stopped:
            asked, began = self._asked, time.monotonic()
            self._reading_since = began
            self._read()
            self._reading_since = None
            with self._turn:
                self._done, self._read_at = asked, time.monotonic()
                self._turn.notify_all()
            rest = min(_REST * (self._read_at - began), _LONGEST_WAIT)
            until = began + max(POLL_SECONDS, rest)
            while self._may_read_on(until) and self._read_older():
                self._give_way(until)
            self._pause(until)

    def _reading_for(self) -> float:
        """Return the seconds since when the present read has been taking; 0 without one."""
        since = self._reading_since
        return 0 if since is None else time.monotonic() - since

    def _give_way(self, until: float) -> None:
        """Pause for other threads, and as long as they serve requests."""
        time.sleep(_PAUSE_SECONDS)
        with self._turn:
            self._turn.wait_for(
                lambda: not self._requests or not self._may_read_on(until),
                max(until - time.monotonic(), 0),
            )

    def _pause(self, until: float) -> None:
        """Wait for the next poll, or without any open page for the next request."""
        with self._turn:
            watched = self._is_watched()
            self._turn.wait_for(
                lambda: (
                    self._stopped
                    or self._asked != self._done
                    or (not watched and self._is_watched())
                ),
                max(until - time.monotonic(), 0) if watched else None,
            )

    def _may_read_on(self, until: float) -> bool:
        return not self._stopped and self._asked == self._done and time.monotonic() < until

    def _is_watched(self) -> bool:
        return bool(self._waiters) or time.monotonic() - self._looked < _WATCHED_SECONDS

    def _read_older(self) -> bool:
        if self._overview.complete:
            return False
        try:
            more = self._overview.read_older()
        except ChannelError:
            return False
        self._heads_changed = True
        return more

    def _read(self) -> None:
        try:
            current = self._current()
        except ChannelError as error:
            _log.warning("the channels cannot be read: %s", error)
            current = replace(self._snapshot, error=mask_text(str(error)))
        except Exception:  # noqa: BLE001  the thread must not end
            _log.exception("the channels cannot be read")
            current = replace(self._snapshot, error="an unexpected error; see the log of the page")
        if current != self._snapshot:
            self._snapshot = replace(current, version=self._snapshot.version + 1)
            self._wake()

    def _current(self) -> Snapshot:
        self._heads_changed |= self._overview.refresh()
        locks = tuple(self._manager.locks.locks())
        schedules = tuple(self._manager.schedules())
        daemons = tuple(self._manager.daemons())
        known = self._snapshot
        if (
            not self._heads_changed
            and locks == known.locks
            and _signs(schedules, daemons) == _signs(known.schedules, known.daemons)
            and known.error is None
        ):
            return known
        found = rows(self._overview.heads(), locks, schedules)
        self._heads_changed = False
        return Snapshot(
            known.version,
            tuple(found),
            locks,
            schedules,
            daemons,
            self._overview.complete,
            self._overview.records_read,
            None,
            {row.name: row for row in found},
            was_read=True,
        )

    def _wake(self) -> None:
        with self._turn:
            waiters = list(self._waiters)
        for wake in waiters:
            wake()


def _signs(
    schedules: Iterable[ScheduleInfo], daemons: Iterable[DaemonInfo]
) -> tuple[list[ScheduleInfo], list[DaemonInfo]]:
    """Return both without what changes all the time: the last sign of life of a daemon."""
    return (
        [replace(schedule, daemons=()) for schedule in schedules],
        [replace(daemon, seen=0) for daemon in daemons],
    )
