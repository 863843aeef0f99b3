"""Requests to a server: what a lost reply means, and whether to send them again."""

import random
import time
from collections.abc import Iterable
from enum import Enum
from typing import Final, NamedTuple, TypeVar

from ojobchannels.errors import OutcomeUnknown

_Cause = TypeVar("_Cause", bound=BaseException | None)
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
        self._longest_pause = longest_pause
        self._backoff: Backoff | None = None  # most calls need no second attempt

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
        return round(self._seconds if spent > 0.8 * self._seconds else spent, 3)

    def next_limit(self) -> float:
        """Return the seconds that the next attempt may take.

        Half of what is left: a load balancer or a firewall may have dropped the connection without
        a message, so that no reply ever arrives, and a new connection needs time, too. A request
        that must not be repeated gets all of it.
        """
        # The first attempt of equal calls has equal limits: then a connection need not change its.
        left = max(self.remaining(), 0.001) if self._backoff else self._seconds
        if self._operation.rule is Rule.ONCE:
            return left
        return max(left / 2, min(left, _SHORTEST_ATTEMPT))

    def retry(self, error: Exception, outcome: Outcome) -> bool:
        """Note how an attempt failed; pause and return True if another one may follow."""
        pause = self.pause_before_next(error, outcome)
        if pause is None:
            return False
        time.sleep(pause)
        return True

    def pause_before_next(self, error: Exception, outcome: Outcome) -> float | None:
        """Note how an attempt failed; return the seconds to pause before another one, or None."""
        if outcome is Outcome.LOST:
            self.lost.append(error)
        if outcome is Outcome.REFUSED or (self.lost and self._operation.rule is Rule.ONCE):
            return None
        if self._backoff is None:
            self._backoff = Backoff(0, self._longest_pause)
        if self.remaining() <= self._backoff.pause:
            return None
        return self._backoff.grow()


def sole(cause: _Cause) -> _Cause:
    """Return an error of a driver without those that led to it: its message says what they said."""
    if cause is not None:
        cause.__cause__ = None  # which hides its context, too
    return cause


def redact(text: str, secrets: Iterable[str | None]) -> str:
    """Return the text with the secrets that a server or driver quoted in it replaced by ``***``."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text
