"""Receives the notifications of a server: releases of locks, and changes of documents.

One thread reads one connection, which is direct: behind a pooler in transaction mode, notifications
are lost without an error. So before it is relied on, a notification is sent to it on another
connection. While none arrive, waiters poll their locks, and subscriptions poll their channels.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from ojobchannels.remote import Backoff
from ojobchannels.remote.pool import Pool
from ojobchannels.remote.waiters import Waiter, Waiters
from ojobchannels_postgres import statements
from ojobchannels_postgres.errors import DRIVER_ERRORS, message_of
from ojobchannels_postgres.options import Settings
from ojobchannels_postgres.session import Session

_log = logging.getLogger("ojobchannels.postgres")

THREAD: Final = "ojobchannels-postgres-listener"
_NAMES: Final = 64  # characters of a notification that stand for channel and lock
_TURN: Final = 0.25
_LINGER: Final = 0.5
_PROBE_SECONDS: Final = 2.0
_SILENCE: Final = 15.0
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
_DEAF_SECONDS: Final = 60.0


class NotificationsBlocked(Exception):
    """Notifications do not arrive on this connection."""


class Listener(Waiters):
    """The waiters and subscriptions of this process at one server.

    Args:
        settings: The schema, and the channel of its notifications.
        connect: Opens a direct connection within a number of seconds.
        pool: The connections for statements.

    Attributes:
        name: The name of this process in notifications, whose waiters it calls itself.
    """

    def __init__(
        self, settings: Settings, connect: Callable[[float], Session], pool: Pool[Session]
    ) -> None:
        self._settings = settings
        self._connect = connect
        self._pool = pool
        self._deaf_until = 0.0
        self._warned = False
        self._session: Session | None = None
        super().__init__()

    def add(self, lock: str, waiter: Waiter) -> None:
        """Add a waiter, and start the thread if it is not running."""
        super().add(lock, waiter)
        self.start()

    def add_feed(self, channel: str, notify: Callable[[], None]) -> None:
        """Call `notify` when the documents of a channel change, or notifications may be missed."""
        with self._mutex:
            self._feeds.append((channel, notify))
        self.start()

    def remove_feed(self, channel: str, notify: Callable[[], None]) -> None:
        """Call it no more."""
        with self._mutex, suppress(ValueError):
            self._feeds.remove((channel, notify))

    def stop(self) -> None:
        """End the thread, a quarter of a second later."""
        self._stop.set()

    def forget(self) -> None:
        """Leave the thread and the waiters to the parent, in a forked child."""
        super().forget()
        self.name = secrets.token_hex(8)
        self._feeds: list[tuple[str, Callable[[], None]]] = []
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        if self._session is not None:
            self._session.abandon()
            self._session = None

    def start(self) -> None:
        """Start the thread if it is not running, and notifications may arrive."""
        with self._mutex:
            idle = self._thread is None and not self._stop.is_set()
            if idle and time.monotonic() >= self._deaf_until:
                self._thread = threading.Thread(target=self._run, name=THREAD, daemon=True)
                self._thread.start()

    def _run(self) -> None:
        backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        while not self._is_over():
            try:
                self._listen()
                backoff.reset()
            except DRIVER_ERRORS as error:
                _log.debug("the listener lost its connection: %s", message_of(error))
                self._stop.wait(backoff.grow())
            except NotificationsBlocked:
                self._warn()
                self._deaf_until = time.monotonic() + _DEAF_SECONDS
            finally:
                self._set_live(False)
                session, self._session = self._session, None
                if session is not None:
                    session.close()

    def _listen(self) -> None:
        session = self._session = self._connect(_PROBE_SECONDS)
        session.run(self._bound(statements.LISTEN), (), _PROBE_SECONDS)
        self._probe(session)
        self._set_live(True)
        heard = used = time.monotonic()
        while not self._is_over(used):
            payloads = session.notifications(_TURN)
            now = time.monotonic()
            for payload in payloads:
                self._handle(payload)
            if payloads:
                heard = now
            elif now > heard + _SILENCE:
                session.ping(_PROBE_SECONDS)
                heard = now
            if self._waiting or self._feeds:
                used = now

    def _probe(self, session: Session) -> None:
        """Raise NotificationsBlocked if a notification of another connection does not arrive."""
        payload = f"p{secrets.token_hex(8)}"
        other = self._pool.take(_PROBE_SECONDS, tested=True)
        try:
            other.run(self._bound(statements.NOTIFY), (payload,), _PROBE_SECONDS)
        except BaseException:
            other.close()
            raise
        self._pool.give_back(other)
        ends = time.monotonic() + _PROBE_SECONDS
        while (left := ends - time.monotonic()) > 0:
            if payload in session.notifications(left):
                return
        raise NotificationsBlocked

    def _handle(self, payload: str) -> None:
        kind, name, sender = payload[:1], payload[1 : 1 + _NAMES], payload[1 + _NAMES :]
        if sender == self.name:
            return
        if kind == "r":
            self.released(name)
        elif kind == "c":
            self.changed(name)
        elif kind == "d":
            with self._mutex:
                callbacks = [notify for channel, notify in self._feeds if channel == name]
            for notify in callbacks:
                notify()

    def _set_live(self, live: bool) -> None:
        """Wake all: what happened before, or from now on, is not reported."""
        if self.live == live:
            return
        self.live = live
        self.wake_all()
        with self._mutex:
            callbacks = [notify for _, notify in self._feeds]
        for notify in callbacks:
            notify()

    def _is_over(self, used: float | None = None) -> bool:
        """Return whether the thread ends: it is not needed, or notifications do not arrive."""
        with self._mutex:
            now = time.monotonic()
            lingers = used is not None and now < used + _LINGER
            needed = self._waiting or self._feeds or lingers
            over = self._stop.is_set() or not needed or now < self._deaf_until
            if over and self._thread is threading.current_thread():
                self._thread = None
            return bool(over)

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            _log.warning(
                "notifications do not arrive, so waiters poll their locks, and subscriptions their "
                "channels; if a pooler is in transaction mode, set the option listen_url to the "
                "URL of the server itself"
            )

    def _bound(self, statement: str) -> str:
        return statements.bound(statement, self._settings.schema, self._settings.events)
