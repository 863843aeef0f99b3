"""A server that the handles of this process share: its connections, and the listener."""

from __future__ import annotations

from typing import Any, Final

from psycopg.conninfo import make_conninfo

from ojobchannels.errors import InvalidOption
from ojobchannels.remote import Servers
from ojobchannels.remote.pool import Pool
from ojobchannels_postgres.errors import DRIVER_ERRORS
from ojobchannels_postgres.listener import Listener
from ojobchannels_postgres.options import URL_ADVICE, Settings
from ojobchannels_postgres.session import Session

# Nothing that a pooler would refuse: no `options`.
_DEFAULTS: Final = {"application_name": "ojobchannels", "target_session_attrs": "read-write"}


class Server:
    """A schema of a database on a server.

    Attributes:
        pool: Its connections.
        prepares: Whether connections prepare their statements.
        listener: Receives the notifications.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        conninfo = _conninfo(settings, settings.url)
        self.prepares = bool(settings.prepare)
        self.pool: Pool[Session] = Pool(
            lambda limit: Session(conninfo, limit, prepares=self.prepares), DRIVER_ERRORS
        )
        direct = _conninfo(settings, settings.listen_url)
        self.listener = Listener(settings, lambda limit: Session(direct, limit), self.pool)

    def close(self) -> None:
        """Close the connections and end the listener's thread."""
        self.listener.stop()
        self.pool.close()

    def forget(self) -> None:
        """Leave connections and threads to the parent, in a forked child."""
        self.listener.forget()
        self.pool.forget()


SERVERS: Final = Servers(Server)


def _conninfo(settings: Settings, url: str) -> str:
    login: dict[str, Any] = {"user": settings.username, "password": settings.password}
    own = {name: value for name, value in login.items() if value is not None}
    try:
        return make_conninfo(url, **own, client_encoding="UTF8", **_missing(url))
    except DRIVER_ERRORS as error:
        reason = settings.redact(f"the driver does not accept it: {error}")
        raise InvalidOption("option 'url'", " ".join(reason.split()), URL_ADVICE) from None


def _missing(url: str) -> dict[str, str]:
    return {name: value for name, value in _DEFAULTS.items() if f"{name}=" not in url}
