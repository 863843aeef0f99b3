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
"""

import random
import threading
import time
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from ojobchannels.errors import OutcomeUnknown
from ojobchannels.host.forks import forget_in_children

_SHORTEST_ATTEMPT: Final = 0.05
LOOK: Final = "check that the server runs and can be reached from this host, then try again"


class Rule(Enum):
    """What to do when the reply to a request is lost."""

    READ = "send it again; nothing was changed"
    REPEATABLE = "send it again; doing it twice is the same as doing it once"
    ONCE = "do not send it again: it would be done twice"


class Outcome(Enum):
    """What an error of the driver says about the request."""

    NOT_DONE = "it was not done, and may be sent again"
    LOST = "its reply was lost: it may have been done"
    REFUSED = "it was not done, and sending it again is of no use"


class Operation(NamedTuple):
    """A request to the server, and what to do when its reply is lost.

    Attributes:
        name: The name of the hook.
        rule: Whether the request may be sent again.
        advice: What the user can do when the outcome is unknown.
        patient: Whether to try again when nothing listens at the server's address.
    """

    name: str
    rule: Rule = Rule.READ
    advice: str = ""
    patient: bool = True

    def unknown(self, channel: str) -> OutcomeUnknown:
        """Return the error for a request of unknown outcome."""
        return OutcomeUnknown(channel, self.name, self.advice)


_READ_IT: Final = "read the key, then decide"
_LOST_ENTRY: Final = "an entry may have been removed, and its value lost"
_IN_TIME: Final = "try again before the lease expires"

GET: Final = Operation("get")
SET: Final = Operation("set", Rule.REPEATABLE, _READ_IT)
UNSET: Final = Operation("unset", Rule.REPEATABLE, f"the key may have been removed: {_READ_IT}")
GET_ALL: Final = Operation("get_all")
ITEMS: Final = Operation("items")
GET_KEYS: Final = Operation("get_keys")
SIZE: Final = Operation("size")
SET_ALL: Final = Operation("set_all", Rule.REPEATABLE, _READ_IT)
UNSET_ALL: Final = Operation("unset_all", Rule.REPEATABLE, _READ_IT)
GET_SET: Final = Operation("get_set", Rule.ONCE, _READ_IT)
POP: Final = Operation("pop", Rule.ONCE, _LOST_ENTRY)
SHIFT: Final = Operation("shift", Rule.ONCE, _LOST_ENTRY)
DESTROY: Final = Operation("destroy", Rule.REPEATABLE, "call destroy again")
LOCK: Final = Operation(
    "lock", Rule.REPEATABLE, "if the lock was granted, it expires after its ttl; lock it again"
)
UNLOCK: Final = Operation(
    "unlock",
    Rule.REPEATABLE,
    "this lease no longer holds the lock, or its ttl ends it soon; whether it held the lock until "
    "now is not known",
)
EXTEND: Final = Operation("extend", Rule.REPEATABLE, _IN_TIME)
ADOPT: Final = Operation("adopt", Rule.REPEATABLE, _IN_TIME)
LOCK_INFO: Final = Operation("lock_info")
LOCKS: Final = Operation("locks")
WAIT: Final = Operation("wait")
FORCE_UNLOCK: Final = Operation("force_unlock", Rule.ONCE, "check with lock_info, then decide")


class Backoff:
    """Pauses that double, each shortened at random so that clients do not return all at once.

    Args:
        first: Seconds of the first pause; 0 tries again at once, then after `step`.
        longest: Upper bound in seconds.
        step: Lower bound in seconds of the pauses after the first.
    """

    def __init__(self, first: float, longest: float, step: float = 0.005) -> None:
        self._first = self.pause = first
        self._longest = longest
        self._step = step

    def grow(self) -> float:
        """Return the seconds to pause now, and double the next pause."""
        pause = self.pause
        self.pause = min(max(2 * pause, self._step), self._longest)
        return pause * random.uniform(0.5, 1)  # noqa: S311  spreads clients, keeps no secret

    def reset(self) -> None:
        """Start again with the first pause."""
        self.pause = self._first


class Attempts:
    """The attempts of one call: whether to try again, and whether its outcome is in doubt.

    Args:
        operation: The request.
        seconds: Upper bound of the whole call.
        longest_pause: Upper bound in seconds of a pause between two attempts.

    Attributes:
        lost: The errors by which replies were lost so far.
    """

    def __init__(self, operation: Operation, seconds: float, longest_pause: float = 0.2) -> None:
        self.lost: list[Exception] = []
        self._operation = operation
        self._seconds = seconds
        self._ends = time.monotonic() + seconds
        self._backoff = Backoff(0, longest_pause)

    @property
    def in_doubt(self) -> bool:
        """Whether the server may have changed something without a reply."""
        return bool(self.lost) and self._operation.rule is not Rule.READ

    def remaining(self) -> float:
        """Return the seconds that are left, negative after the end."""
        return self._ends - time.monotonic()

    def spent(self) -> float:
        """Return the seconds that all attempts took, for a message; as allowed, if nearly all."""
        spent = self._seconds - self.remaining()
        return self._seconds if spent > 0.8 * self._seconds else round(spent, 2)

    def next_limit(self) -> float:
        """Return the seconds that the next attempt may take.

        Half of what is left: a load balancer or a firewall may have dropped the connection without
        a message, so that no reply ever arrives, and a new connection needs time, too. A request
        that must not be repeated gets all of it.
        """
        left = max(self.remaining(), 0.001)
        if self._operation.rule is Rule.ONCE:
            return left
        return max(left / 2, min(left, _SHORTEST_ATTEMPT))

    def retry(self, error: Exception, outcome: Outcome) -> bool:
        """Note how an attempt failed; pause and return True if another one may follow."""
        if outcome is Outcome.LOST:
            self.lost.append(error)
        if outcome is Outcome.REFUSED or (self.lost and self._operation.rule is Rule.ONCE):
            return False
        if self.remaining() <= self._backoff.pause:
            return False
        time.sleep(self._backoff.grow())
        return True


def redact(text: str, secrets: Iterable[str | None]) -> str:
    """Return the text with the secrets that a server or driver quoted in it replaced by ``***``."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text


class Server(Protocol):
    """A client of one server, shared by all handles with equal settings."""

    def close(self) -> None:
        """Close the connections and end the threads."""

    def forget(self) -> None:
        """Leave connections and threads to the parent, in a forked child."""


_Settings = TypeVar("_Settings")
_Server = TypeVar("_Server", bound=Server)


class _Shared(Generic[_Server]):
    def __init__(self, server: _Server) -> None:
        self.server = server
        self.users = 0
        self.checked = False


class Servers(Generic[_Settings, _Server]):
    """The servers that this process uses; equal settings share one.

    The last handle that releases a server closes it. A forked child keeps the servers of its
    parent, and each makes connections of its own when it is first used there.

    Args:
        connect: Makes the server for settings, which must be hashable; connects lazily.
    """

    def __init__(self, connect: Callable[[_Settings], _Server]) -> None:
        self._connect = connect
        self._mutex = threading.Lock()
        self._shared: dict[_Settings, _Shared[_Server]] = {}
        forget_in_children(self)

    def open(self, settings: _Settings, check: Callable[[_Server], None]) -> _Server:
        """Return the server for one more handle, until `release` is called as often.

        Args:
            settings: What to connect to, and how.
            check: Tests that the server can serve; once it has succeeded, it is not called again.

        Raises:
            ChannelError: Whatever `check` raises; the server is released again.
        """
        with self._mutex:
            shared = self._shared.get(settings)
            if shared is None:
                shared = self._shared[settings] = _Shared(self._connect(settings))
            shared.users += 1
        try:
            if not shared.checked:
                check(shared.server)
                shared.checked = True
        except BaseException:
            self.release(shared.server)
            raise
        return shared.server

    def release(self, server: _Server) -> None:
        """Count one handle less; close the server after the last."""
        with self._mutex:
            settings = next((key for key, at in self._shared.items() if at.server is server), None)
            if settings is None:  # `close` has closed it
                return
            shared = self._shared[settings]
            shared.users -= 1
            if shared.users:
                return
            del self._shared[settings]
        server.close()

    def close(self) -> None:
        """Close all servers, at the end of the process."""
        with self._mutex:
            servers = [shared.server for shared in self._shared.values()]
            self._shared.clear()
        for server in servers:
            server.close()

    def forget(self) -> None:
        """Leave connections and threads to the parent, in a forked child."""
        self._mutex = threading.Lock()
        for shared in self._shared.values():
            shared.server.forget()
