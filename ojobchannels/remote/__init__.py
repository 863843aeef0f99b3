"""What every backend on a server shares: retry rules, pauses, and one server object per process.

A networked backend names each request as an `Operation`, whose `Rule` says what a lost reply means.
It keeps its clients in one `Servers` object, so that all handles with equal settings share one, and
sends each request in a loop that asks `Attempts` whether to try again::

    SERVERS = Servers(IgniteServer)  # `IgniteServer(settings)` has `close()` and `forget()`

    def open_backend(channel, options):
        server = SERVERS.open(settings_of(options), check_version)  # checked once for all handles
        return IgniteBackend(channel, server)  # its `close` calls SERVERS.release(server)

    def call(self, operation, request):
        attempts = Attempts(operation, self.timeout)
        while True:
            try:
                return self.server.send(request, timeout=attempts.next_limit())
            except DriverError as error:
                if not attempts.retry(error, outcome_of(error)):
                    if attempts.in_doubt:
                        raise operation.unknown(self.channel) from error
                    raise ChannelUnavailable(self.channel, str(error), LOOK) from error

What remains for the backend: which `Outcome` an error of its driver means, and which error of
`ojobchannels.errors` the user gets.

The modules of this package have the parts: `requests` and `servers`, whose names are here, `calls`,
`pool` for a driver without one, `leases`, `waiters` and `locks` for the locks, and `options` for
addresses, TLS and URLs.
"""

from ojobchannels.remote.requests import (
    ADOPT,
    DESTROY,
    EXTEND,
    FORCE_UNLOCK,
    GET,
    GET_ALL,
    GET_KEYS,
    GET_SET,
    ITEMS,
    LOCK,
    LOCK_INFO,
    LOCKS,
    LOOK,
    POP,
    SET,
    SET_ALL,
    SHIFT,
    SIZE,
    UNLOCK,
    UNSET,
    UNSET_ALL,
    WAIT,
    Attempts,
    Backoff,
    Operation,
    Outcome,
    Rule,
    redact,
    sole,
)
from ojobchannels.remote.servers import Server, Servers

__all__ = [
    "ADOPT",
    "DESTROY",
    "EXTEND",
    "FORCE_UNLOCK",
    "GET",
    "GET_ALL",
    "GET_KEYS",
    "GET_SET",
    "ITEMS",
    "LOCK",
    "LOCKS",
    "LOCK_INFO",
    "LOOK",
    "POP",
    "SET",
    "SET_ALL",
    "SHIFT",
    "SIZE",
    "UNLOCK",
    "UNSET",
    "UNSET_ALL",
    "WAIT",
    "Attempts",
    "Backoff",
    "Operation",
    "Outcome",
    "Rule",
    "Server",
    "Servers",
    "redact",
    "sole",
]
