"""Settings of a server that lose data or locks."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from redis.exceptions import NoPermissionError, RedisError

from ojobchannels.hookspecs import Finding
from ojobchannels_redis.checks.state import State
from ojobchannels_redis.connections import open_connection
from ojobchannels_redis.keys import Keys
from ojobchannels_redis.server import Client

_CHECKS_REPLAYED_RIGHTS: Final = (7, 0)
_REPLAY: Final = (
    "write 'user default off ~* &* +@all' in its configuration instead of 'user default off'"
)
_NEARLY_FULL: Final = 0.9


def warnings(client: Client, keys: Keys, state: State) -> Iterator[Finding]:
    """Yield the settings by which a server that works now loses data later."""
    if state.info:
        yield from _eviction(client, state)
        yield from _replay(client, keys, state)


def persistence(client: Client, state: State) -> Iterator[Finding]:
    """Yield what a restart or a power cut loses, and what keeps the server from storing."""
    settings, info = client.server.settings, state.info
    if not info:
        text = f"{settings} does not show its settings to the user {settings.username!r}"
        advice = "grant +info, so that version, eviction and persistence can be checked"
        yield Finding(text, advice, is_problem=False)
        return
    if info.get("aof_enabled") != "1":
        text = (
            f"{settings} loses what changed since its last snapshot, locks too, when it "
            "restarts (appendonly no)"
        )
        advice = "run CONFIG SET appendonly yes, and then set it in the configuration too"
        yield Finding(text, advice)
    for field, what in _WRITES.items():
        if info.get(field, "ok") != "ok":
            text = f"{settings} failed to write {what} ({field} {info[field]})"
            yield Finding(text, "see the log of the server; often its disk is full")
    limit, used = int(info.get("maxmemory", "0")), int(info.get("used_memory", "0"))
    if limit and used > limit * _NEARLY_FULL:
        text = f"{settings} uses {used >> 20} of its {limit >> 20} MiB; a full one stores nothing"
        yield Finding(text, "raise maxmemory, or remove old records with ojob prune")


_WRITES: Final = {
    "aof_last_write_status": "its append-only file",
    "rdb_last_bgsave_status": "its snapshot",
}


def _eviction(client: Client, state: State) -> Iterator[Finding]:
    policy = state.info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and state.info.get("maxmemory", "0") != "0":
        yield Finding(
            f"{client.server.settings} may evict locks and documents when its memory is full "
            f"(maxmemory-policy {policy})",
            "set it to noeviction, or use a separate server for locks",
        )


def _replay(client: Client, keys: Keys, state: State) -> Iterator[Finding]:
    """Yield whether a server would drop documents when it loads its append-only file.

    Since Redis 7.0 the transactions in that file are executed with the rights that the user
    `default` has when the server starts. Whatever a script writes is such a transaction.
    """
    settings = client.server.settings
    if state.info.get("aof_enabled") != "1" or state.version < _CHECKS_REPLAYED_RIGHTS:
        return
    if settings.username in (None, "default"):
        return
    may_write = state.default_may_write
    if may_write is None:
        may_write = _anonymous_may_write(client, keys)
    if may_write is None:
        yield Finding(
            f"{settings} may lose documents at its next restart: it then loads its append-only "
            f"file with the rights of the user 'default', which the user {settings.username!r} "
            "may not check",
            f"grant +acl|dryrun, and {_REPLAY}",
        )
    elif not may_write:
        yield Finding(
            f"{settings} loses documents at its next restart: it then loads its append-only file "
            "with the rights of the user 'default', who may not write them",
            f"{_REPLAY}, or grant them with ACL SETUSER",
        )


def _anonymous_may_write(client: Client, keys: Keys) -> bool | None:
    """Return whether a connection without a login may write; that has the rights of `default`."""
    settings = client.server.settings
    if settings.service or settings.cluster:
        return None
    anonymous, limit = replace(settings, username=None, password=None), settings.timeout
    try:
        connection = open_connection(settings.addresses[0], anonymous, limit)
    except RedisError:
        return None
    try:
        connection.ask(("HDEL", keys.values, ""), limit)
    except NoPermissionError:
        return False
    except RedisError:
        return None
    finally:
        connection.close()
    return True
