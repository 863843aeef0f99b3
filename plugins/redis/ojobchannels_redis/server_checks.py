"""The check of a server at its first open: version, cluster, eviction policy and TLS files."""

import logging
import ssl
from typing import Any, Final

from redis.exceptions import ResponseError

from ojobchannels.errors import ChannelUnavailable, InvalidOption
from ojobchannels.remote import Operation
from ojobchannels_redis.connections import Connection
from ojobchannels_redis.options import Tls
from ojobchannels_redis.server import Client

_OPEN: Final = Operation("open", patient=False)
_OLDEST: Final = (6, 2)
_log = logging.getLogger("ojobchannels.redis")


def check(client: Client) -> None:
    """Check that the server can serve.

    Raises:
        ChannelUnavailable: The server cannot be reached, refuses the login, or is too old.
        InvalidOption: The option `cluster` contradicts the server; or TLS files cannot be used.
    """
    settings = client.server.settings
    if settings.tls:
        _check_files(settings.tls)
    for info in client.call_each(_OPEN, _read_info):
        if info:
            _check_version(client, info)
            _check_cluster(client, info)
            _check_eviction(client, info)


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


def _read_info(connection: Connection, limit: float) -> dict[str, str]:
    connection.ask(("PING",), limit)
    try:
        reply: Any = connection.ask(("INFO",), limit)
    except ResponseError:  # the user may lack the permission
        return {}
    rows = (row.partition(":") for row in reply.decode("utf-8", "replace").splitlines())
    return {name: value for name, _, value in rows}


def _check_version(client: Client, info: dict[str, str]) -> None:
    version = info.get("redis_version", "")
    try:
        number = tuple(int(part) for part in version.split(".")[:2])
    except ValueError:
        return
    if number < _OLDEST:
        reason = f"{client.server.settings} is Redis {version}"
        advice = "upgrade it to Redis 6.2 or later, or to Valkey"
        raise ChannelUnavailable(client.channel, reason, advice)


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
