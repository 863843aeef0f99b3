"""A server that the handles of this process share: its connections, and the listener."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ojobchannels.errors import InvalidOption
from ojobchannels.remote import Servers
from ojobchannels.remote.pool import Pool
from ojobchannels.steps import Steps, drive
from ojobchannels_postgres.errors import DRIVER_ERRORS
from ojobchannels_postgres.listener import Listener
from ojobchannels_postgres.options import URL_ADVICE, Settings
from ojobchannels_postgres.session import ConnectError, Session, open_session

# Nothing that a pooler would refuse: no `options`.
_DEFAULTS: Final = {"application_name": "ojobchannels", "target_session_attrs": "read-write"}
_FIXED: Final = {"client_encoding": "UTF8"}
_OF_HOSTS: Final = ("host", "hostaddr", "port")


class Hosts:
    """The hosts of a URL, of which one accepts writes; the last one that did is tried first.

    libpq would try them one after the other without a limit of time for each, and a host that is
    switched off does not reply.

    Raises:
        InvalidOption: The driver does not accept the URL.
    """

    def __init__(self, settings: Settings, url: str) -> None:
        login = {"user": settings.username, "password": settings.password}
        own = {name: value for name, value in login.items() if value is not None}
        try:
            given: dict[str, Any] = conninfo_to_dict(url, **own)
        except DRIVER_ERRORS as error:
            reason = settings.redact(f"the driver does not accept it: {error}")
            raise InvalidOption("option 'url'", " ".join(reason.split()), URL_ADVICE) from None
        parameters = _DEFAULTS | given | _FIXED
        names = {name: str(given[name]).split(",") for name in _OF_HOSTS if name in given}
        count = max(map(len, names.values()), default=1)
        self._conninfos = [
            make_conninfo(
                **parameters | {name: parts[n % len(parts)] for name, parts in names.items()}
            )
            for n in range(count)
        ]

    def connect(self, limit: float, prepares: bool) -> Session:
        """Return a connection to the first host that accepts writes; see `connecting`."""
        return drive(self.connecting(limit, prepares, open_session))

    def connecting(
        self, limit: float, prepares: bool, open: Callable[[str, float, bool], Any]
    ) -> Steps[Session]:
        """Yield the steps to a connection to the first host that accepts writes.

        Args:
            limit: Seconds to connect.
            prepares: Whether the connection prepares its statements.
            open: `open_session`, or a coroutine function that opens one of an event loop.

        Raises:
            psycopg.OperationalError: No host does.
        """
        conninfos = self._conninfos
        for number, conninfo in enumerate(conninfos):
            try:
                session: Session = yield partial(open, conninfo, limit / len(conninfos), prepares)
            except ConnectError:
                if number == len(conninfos) - 1:
                    raise
            else:
                self._conninfos = conninfos[number:] + conninfos[:number]
                return session
        raise AssertionError  # there is at least one host


class Server:
    """A schema of a database on a server.

    Attributes:
        hosts: Where to connect to.
        pool: The connections of all threads.
        prepares: Whether connections prepare their statements.
        listener: Receives the notifications.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.prepares = bool(settings.prepare)
        self.hosts = Hosts(settings, settings.url)
        direct = Hosts(settings, settings.listen_url)
        self.pool: Pool[Session] = Pool(
            lambda limit: self.hosts.connect(limit, self.prepares), DRIVER_ERRORS
        )
        self.listener = Listener(settings, lambda limit: direct.connect(limit, False), self.pool)

    def close(self) -> None:
        """Close the connections and end the listener's thread."""
        self.listener.stop()
        self.pool.close()

    def forget(self) -> None:
        """Leave connections and threads to the parent, in a forked child."""
        self.listener.forget()
        self.pool.forget()


SERVERS: Final = Servers(Server)
