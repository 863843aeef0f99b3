"""The state of a server, for ``ojob doctor``."""

from functools import partial
from typing import Any, Final

from redis.exceptions import ResponseError

from ojobchannels.hookspecs import Finding, Health
from ojobchannels.remote import Operation
from ojobchannels_redis.checks.settings import persistence, warnings
from ojobchannels_redis.checks.state import State, read_state
from ojobchannels_redis.connections import Connection
from ojobchannels_redis.keys import Keys
from ojobchannels_redis.server import Client

_HEALTH: Final = Operation("health", patient=False)
_FLUSHES: Final = "CONFIG", "GET", "appendfsync"


def health(client: Client, keys: Keys) -> Health:
    """Return the state of all nodes; the clock is that of the first one."""
    states = client.call_each(_HEALTH, partial(read_state, keys))
    findings = [
        finding
        for state in states
        for finding in (*warnings(client, keys, state), *persistence(client, state))
    ]
    flushes = client.call_each(_HEALTH, _read_flushes)
    if states[0].info.get("aof_enabled") == "1" and any(each != "always" for each in flushes):
        findings.append(
            Finding(
                f"a kill or a power cut of {client.server.settings} can lose the last two seconds, "
                "locks too, unless it has appendfsync always",
                "set that, or protect writes with fences",
                is_problem=False,
            )
        )
    wall = client.call_each(_HEALTH, _read_time)[0]
    return Health(_named(states), wall, tuple(dict.fromkeys(findings)))


def _named(states: list[State]) -> str:
    info = states[0].info
    name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    version = info.get("valkey_version") or info.get("redis_version") or "of unknown version"
    nodes = f", {len(states)} nodes" if len(states) > 1 else ""
    return f"{name} {version}{nodes}"


def _read_flushes(connection: Connection, limit: float) -> str | None:
    """Return when the append-only file is flushed to the disk; None if that may not be seen."""
    try:
        reply: Any = connection.ask(_FLUSHES, limit)
    except ResponseError:
        return None
    return str(reply[1], "ascii") if reply else None


def _read_time(connection: Connection, limit: float) -> int:
    seconds, microseconds = connection.ask(("TIME",), limit)
    return int(seconds) * 1000 + int(microseconds) // 1000
