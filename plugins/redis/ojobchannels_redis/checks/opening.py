"""The check of a server at its first open.

It looks at the TLS files, the version, the role, the cluster, and at settings that lose data.
"""

import logging
import ssl
from functools import partial
from typing import Final

from ojobchannels.errors import ChannelUnavailable, InvalidOption
from ojobchannels.remote import Operation
from ojobchannels.remote.options import Tls
from ojobchannels_redis.checks.settings import warnings
from ojobchannels_redis.checks.state import OLDEST, State, read_state
from ojobchannels_redis.keys import Keys
from ojobchannels_redis.server import Client

_OPEN: Final = Operation("open", patient=False)
_log = logging.getLogger("ojobchannels.redis")


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
    for state in client.call_each(_OPEN, partial(read_state, keys)):
        if state.info:
            _check_version(client, state)
            _check_cluster(client, state.info)
            for finding in warnings(client, keys, state):
                _log.warning("%s: %s", finding.text, finding.advice)
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


def _check_version(client: Client, state: State) -> None:
    if state.version < OLDEST:
        reason = f"{client.server.settings} is Redis {state.info['redis_version']}"
        advice = "upgrade it to Redis 6.2 or later, or to Valkey"
        raise ChannelUnavailable(client.channel, reason, advice)


def _check_role(client: Client, state: State) -> None:
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
