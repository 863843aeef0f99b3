"""What a server says of itself to ``ojob doctor``."""

import time
from typing import Any

from ojobchannels.hookspecs import Health
from ojobchannels.plugins import checked_options, registry
from ojobchannels.testing.servers import RedisServer, or_skip

SAFE = {"appendonly": "yes", "appendfsync": "always"}


def health(url: str) -> Health:
    """Return the state of a server."""
    type = registry().find("redis")
    assert type.health is not None
    return type.health("orders", checked_options(type, {"url": url}))


def problems(server: RedisServer, user: str = "") -> list[str]:
    """Return the texts of the problems that a user sees."""
    found = health(f"redis://{user}127.0.0.1:{server.port}").findings
    assert all(finding.advice for finding in found)
    return [finding.text for finding in found if finding.is_problem]


def test_a_server_has_a_version_a_clock_and_findings() -> None:
    """One that keeps everything has none."""
    with or_skip(), RedisServer(options=SAFE) as server:
        before = time.time_ns() // 1_000_000
        state = health(server.url)
        assert before - 1 <= (state.wall or 0) <= time.time_ns() // 1_000_000
        assert state.storage.split()[0] in ("Redis", "Valkey")
        assert state.findings == ()
        server.command("CONFIG", "SET", "appendfsync", "everysec")
        (note,) = health(server.url).findings
        assert not note.is_problem


def test_a_server_that_loses_data_has_a_problem_for_each_reason() -> None:
    """Without an append-only file, with eviction, and when it is nearly full."""
    options: dict[str, Any] = {
        "maxmemory-policy": "allkeys-lru",
        "maxmemory": "1gb",
        "appendonly": "no",
    }
    with or_skip(), RedisServer(options=options) as server:
        assert [("appendonly" in text, "evict" in text) for text in problems(server)] == [
            (False, True),
            (True, False),
        ]
        server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
        server.command("CONFIG", "SET", "appendonly", "yes")
        assert problems(server) == []
        server.command("CONFIG", "SET", "maxmemory", "1")
        (full,) = problems(server)
        assert "stores nothing" in full


def test_a_server_that_replays_without_rights_has_a_problem() -> None:
    """The combination of users that loses documents at the next restart."""
    with or_skip(), RedisServer(options=SAFE) as server:
        rights = "~ojob:* &ojob:* +@read +@write +@scripting +@pubsub +time +ping +info +acl|dryrun"
        server.command("ACL", "SETUSER", "job", "on", ">word", "resetchannels", *rights.split())
        assert problems(server, "job:word@") == []
        server.command("ACL", "SETUSER", "default", "-@write")
        (found,) = problems(server, "job:word@")
        assert "its next restart" in found
