"""The first look at a server: what has to be as we need it, and what is better said in time."""

from __future__ import annotations

import logging
import ssl
from typing import Any, Final

from redis.exceptions import ResponseError

from ojobchannels.errors import ChannelUnavailable, InvalidOption
from ojobchannels_redis.connections import Wire
from ojobchannels_redis.errors import Operation
from ojobchannels_redis.options import Tls
from ojobchannels_redis.server import Line

_OPEN: Final = Operation("open", patient=False)
_OLDEST: Final = (6, 2)
_log = logging.getLogger("ojobchannels.redis")


def check(line: Line) -> None:
    """Looks at the server once for all handles that share it.

    Raises:
        ChannelUnavailable: It cannot be reached, refuses the login, or is too old.
        InvalidOption: It is a node of a cluster, or is none, against what the options say; or files
            for TLS cannot be used.
    """
    server = line.server
    if server.checked:
        return
    if server.settings.tls:
        _check_files(server.settings.tls)
    for info in line.call_each(_OPEN, _ask):
        if info:
            _check_version(line, info)
            _check_cluster(line, info)
            _check_eviction(line, info)
    server.checked = True


def _check_files(tls: Tls) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if tls.ca is not None:
            context.load_verify_locations(tls.ca)
    except OSError as error:
        advice = "give a file of certificates in PEM"
        raise InvalidOption("option 'tls_ca'", f"{tls.ca}: {error}", advice) from error
    try:
        if tls.cert is not None:
            context.load_cert_chain(tls.cert, tls.key, tls.word)
    except OSError as error:
        reason = f"{tls.cert} and {tls.key or 'the key in it'}: {error}"
        advice = "give PEM files that belong together, and tls_key_password if the key has one"
        raise InvalidOption("options 'tls_cert' and 'tls_key'", reason, advice) from error


def _ask(wire: Wire, limit: float) -> dict[str, str]:
    wire.ask(("PING",), limit)
    try:
        reply: Any = wire.ask(("INFO",), limit)
    except ResponseError:  # not every user may ask
        return {}
    rows = (row.partition(":") for row in reply.decode("utf-8", "replace").splitlines())
    return {name: value for name, _, value in rows}


def _check_version(line: Line, info: dict[str, str]) -> None:
    version = info.get("redis_version", "")
    try:
        number = tuple(int(part) for part in version.split(".")[:2])
    except ValueError:
        return
    if number < _OLDEST:
        raise ChannelUnavailable(
            line.channel,
            f"{line.server.settings} is Redis {version}",
            "upgrade it to Redis 6.2 or later, or to Valkey",
        )


def _check_cluster(line: Line, info: dict[str, str]) -> None:
    there = info.get("cluster_enabled") == "1"
    if there and not line.server.settings.cluster:
        reason, advice = "is a node of a Redis Cluster", "give cluster: true"
    elif line.server.settings.cluster and info.get("cluster_enabled") == "0":
        reason, advice = "is not part of a Redis Cluster", "leave the option away"
    else:
        return
    raise InvalidOption("option 'cluster'", f"{line.server.settings} {reason}", advice)


def _check_eviction(line: Line, info: dict[str, str]) -> None:
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and info.get("maxmemory", "0") != "0":
        _log.warning(
            "%s may evict locks and documents when its memory is full (maxmemory-policy %s): set "
            "it to noeviction, or use a server of its own for locks",
            line.server.settings,
            policy,
        )
