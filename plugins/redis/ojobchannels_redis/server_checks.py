"""The check of a server at its first open.

It looks at the TLS files, the version, the role, the cluster, and at settings that lose data.
"""

import logging
import ssl
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

from redis.exceptions import NoPermissionError, ReadOnlyError, RedisError, ResponseError

from ojobchannels.errors import ChannelUnavailable, InvalidOption
from ojobchannels.remote import Operation
from ojobchannels.remote.options import Tls
from ojobchannels_redis.connections import Connection, open_connection
from ojobchannels_redis.server import Client
from ojobchannels_redis.topology import Keys

_OPEN: Final = Operation("open", patient=False)
_OLDEST: Final = (6, 2)
_CHECKS_REPLAYED_RIGHTS: Final = (7, 0)
_REPLAY: Final = (
    "write 'user default off ~* &* +@all' in its configuration instead of 'user default off'"
)
_log = logging.getLogger("ojobchannels.redis")


class _State(NamedTuple):
    """The state of a server.

    Attributes:
        info: The reply to INFO; empty if the user lacks the permission.
        is_read_only: Whether it refuses to write.
        default_may_write: Whether the user `default` has the right to write our documents; None if
            that cannot be seen.
    """

    info: dict[str, str]
    is_read_only: bool
    default_may_write: bool | None


def check(client: Client, keys: Keys) -> None:
    """Check that the server can serve.

    Raises:
        ChannelUnavailable: The server cannot be reached, refuses the login, is too old, or is a
            replica.
        InvalidOption: The option `cluster` contradicts the server; or TLS files cannot be used.
    """
    settings = client.server.settings
    if settings.tls:
        _check_files(settings.tls)
    for state in client.call_each(_OPEN, partial(_read_state, keys)):
        if state.info:
            _check_version(client, state.info)
            _check_cluster(client, state.info)
            _check_eviction(client, state.info)
            _check_replay(client, keys, state)
        _check_role(client, state)


def _check_files(tls: Tls) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if tls.ca is not None:
            context.load_verify_locations(tls.ca)
    except OSError as error:
        advice = "pass a file of PEM certificates"
        raise InvalidOption("option 'tls_ca'", f"{tls.ca}: {error}", advice) from error
    try:
        if tls.cert is not None:
            context.load_cert_chain(tls.cert, tls.key, tls.password)
    except OSError as error:
        reason = f"{tls.cert} and {tls.key or 'the key in it'}: {error}"
        advice = "pass PEM files that belong together, and tls_key_password if the key has one"
        raise InvalidOption("options 'tls_cert' and 'tls_key'", reason, advice) from error


def _read_state(keys: Keys, connection: Connection, limit: float) -> _State:
    connection.ask(("PING",), limit)
    return _State(
        _read_info(connection, limit),
        _is_read_only(keys, connection, limit),
        _default_may_write(keys, connection, limit),
    )


def _read_info(connection: Connection, limit: float) -> dict[str, str]:
    try:
        reply: Any = connection.ask(("INFO",), limit)
    except ResponseError:  # the user may lack the permission
        return {}
    rows = (row.partition(":") for row in reply.decode("utf-8", "replace").splitlines())
    return {name: value for name, _, value in rows}


def _is_read_only(keys: Keys, connection: Connection, limit: float) -> bool:
    try:
        connection.ask(("HDEL", keys.values, ""), limit)  # the empty text is the key of no document
    except ReadOnlyError:
        return True
    except ResponseError:  # of another kind, or of a cluster; the first call shows it
        pass
    return False


def _default_may_write(keys: Keys, connection: Connection, limit: float) -> bool | None:
    try:
        reply = connection.ask(("ACL", "DRYRUN", "default", "HDEL", keys.values, ""), limit)
    except NoPermissionError:
        return None
    except ResponseError:  # the server has no such command
        return True
    return bool(reply == b"OK")


def _check_version(client: Client, info: dict[str, str]) -> None:
    if _number(info) < _OLDEST:
        reason = f"{client.server.settings} is Redis {info['redis_version']}"
        advice = "upgrade it to Redis 6.2 or later, or to Valkey"
        raise ChannelUnavailable(client.channel, reason, advice)


def _number(info: dict[str, str]) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in info.get("redis_version", "").split(".")[:2])
    except ValueError:
        return _OLDEST


def _check_role(client: Client, state: _State) -> None:
    settings = client.server.settings
    if settings.service or settings.cluster:  # their primaries are asked for, and may change
        return
    if state.is_read_only or state.info.get("role") == "slave":
        primary = f"{state.info.get('master_host', 'HOST')}:{state.info.get('master_port', 'PORT')}"
        advice = f"connect to its primary ({primary}), or by Sentinels, which name the primary"
        raise ChannelUnavailable(client.channel, f"{settings} is a replica", advice)


def _check_cluster(client: Client, info: dict[str, str]) -> None:
    settings = client.server.settings
    enabled = info.get("cluster_enabled")
    if enabled == "1" and not settings.cluster:
        reason, advice = "is a node of a Redis Cluster", "set cluster: true"
    elif enabled == "0" and settings.cluster:
        reason, advice = "is not part of a Redis Cluster", "remove the option"
    else:
        return
    raise InvalidOption("option 'cluster'", f"{settings} {reason}", advice)


def _check_eviction(client: Client, info: dict[str, str]) -> None:
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and info.get("maxmemory", "0") != "0":
        _log.warning(
            "%s may evict locks and documents when its memory is full (maxmemory-policy %s): set "
            "it to noeviction, or use a separate server for locks",
            client.server.settings,
            policy,
        )


def _anonymous_may_write(client: Client, keys: Keys) -> bool | None:
    """Return whether a connection without a login may write; that has the rights of `default`."""
    settings = client.server.settings
    if settings.service or settings.cluster:
        return None
    anonymous, limit = replace(settings, username=None, password=None), settings.timeout
    try:
        connection = Connection(open_connection(settings.addresses[0], anonymous, limit), limit)
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


def _check_replay(client: Client, keys: Keys, state: _State) -> None:
    """Warn of a server that would drop documents when it loads its append-only file.

    Since Redis 7.0 the transactions in that file are executed with the rights that the user
    `default` has when the server starts. Whatever a script writes is such a transaction.
    """
    settings = client.server.settings
    if state.info.get("aof_enabled") != "1" or _number(state.info) < _CHECKS_REPLAYED_RIGHTS:
        return
    if settings.username in (None, "default"):
        return
    may_write = state.default_may_write
    if may_write is None:
        may_write = _anonymous_may_write(client, keys)
    if may_write:
        return
    if may_write is None:
        _log.warning(
            "%s may lose documents at its next restart: it then loads its append-only file with "
            "the rights of the user 'default', which the user %r may not check; grant +acl|dryrun, "
            "and %s",
            settings,
            settings.username,
            _REPLAY,
        )
        return
    _log.warning(
        "%s loses documents at its next restart: it then loads its append-only file with the "
        "rights of the user 'default', who may not write them; %s, or grant them with ACL SETUSER",
        settings,
        _REPLAY,
    )
