"""What went wrong at the server, in errors of ours; the driver's stand behind them as causes."""

from __future__ import annotations

import socket
import ssl
from enum import Enum
from typing import Final, NamedTuple

from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
    TryAgainError,
)

from ojobchannels.errors import (
    ChannelDamaged,
    ChannelError,
    ChannelTimeout,
    ChannelUnavailable,
    InvalidOption,
    OutcomeUnknown,
    StorageFull,
)
from ojobchannels_redis.options import Settings

_NOT_NOW: Final = (
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    ReadOnlyError,
    TryAgainError,
)
_NOBODY: Final = (
    ConnectionRefusedError,
    FileNotFoundError,
    PermissionError,
    socket.gaierror,
    ssl.SSLCertVerificationError,
)
_LOOK: Final = "look whether the server runs and can be reached from here, then try again"


_OF_CLUSTERS: Final[dict[str, type[ResponseError]]] = {
    "ASK": AskError,
    "MOVED": MovedError,
    "TRYAGAIN": TryAgainError,
    "CLUSTERDOWN": ClusterDownError,
    "MASTERDOWN": MasterDownError,
}


class Rule(Enum):
    """What to do when a reply is lost."""

    READ = "ask again; nothing was changed"
    REPEATABLE = "ask again; doing it twice is the same as once"
    ONCE = "do not ask again: it would be done twice"


class Operation(NamedTuple):
    """What is asked of the server, in words, and what to do when the reply is lost.

    Attributes:
        name: As the hook is called.
        rule: Whether it may be asked again.
        advice: For one whose operation came to an unknown end.
        patient: Whether to try again when there is nobody at the server's address.
    """

    name: str
    rule: Rule = Rule.READ
    advice: str = ""
    patient: bool = True


def recognised(error: RedisError) -> RedisError:
    """Returns the error as redis-py 6 has it; 5 knows these in its own cluster client only."""
    code, _, rest = str(error).partition(" ")
    if type(error) is ResponseError and code in _OF_CLUSTERS:
        return _OF_CLUSTERS[code](rest)
    return error


def is_refused_for_now(error: RedisError) -> bool:
    """Tells whether the server did nothing, and may do it in a moment."""
    return isinstance(error, _NOT_NOW) or str(error).startswith("BUSY ")


def is_nobody_there(error: BaseException | None) -> bool:
    """Tells whether the address is wrong, or nobody listens there, or not who was expected."""
    while error is not None:
        if isinstance(error, _NOBODY):
            return True
        error = error.__cause__ or error.__context__
    return False


def explain(
    error: RedisError,
    *,
    lost: bool,
    operation: Operation,
    channel: str,
    settings: Settings,
    seconds: float,
) -> ChannelError:
    """Returns the error of ours for the driver's; `lost` tells that a reply was."""
    reason = f"{settings}: {settings.redact(str(error)).rstrip('.')}"
    if lost and operation.rule is not Rule.READ:
        return OutcomeUnknown(channel, operation.name, operation.advice)
    if isinstance(error, TimeoutError):
        return ChannelTimeout(channel, f"{operation.name} at {settings}", seconds)
    if isinstance(error, AuthenticationError):
        who = f"user {settings.username!r}" if settings.username else "the login"
        advice = f"the server refuses {who}: check the options username and password"
        return ChannelUnavailable(channel, reason, advice)
    if isinstance(error, NoPermissionError):
        advice = (
            "the user needs ~PREFIX:* and &PREFIX:* for the option prefix, and the commands that "
            "the documentation lists"
        )
        return ChannelUnavailable(channel, reason, advice)
    if isinstance(error, MovedError):
        return InvalidOption(
            "option 'cluster'", f"{settings} is a node of a cluster", "give cluster: true"
        )
    text = str(error)
    if "OJOBDAMAGED" in text or "WRONGTYPE" in text:
        return damage(channel, settings)
    if isinstance(error, OutOfMemoryError) or "OOM command" in text:
        advice = "raise its maxmemory, or remove what is not needed; nothing was changed"
        return StorageFull(channel, reason, advice)
    if "MISCONF" in text or "NOREPLICAS" in text:
        return ChannelUnavailable(channel, reason, "mend the server; nothing was changed")
    if isinstance(error, ResponseError) and not is_refused_for_now(error):
        return ChannelUnavailable(channel, reason, "the server does not do what we ask of it")
    return ChannelUnavailable(channel, reason, _LOOK)


def damage(channel: str, settings: Settings) -> ChannelDamaged:
    """Returns the error for what none of ours can have written."""
    return ChannelDamaged(
        channel,
        f"its keys at {settings}",
        "another program wrote to one of them",
        "give each program a prefix or a database of its own, and remove the foreign key",
    )


def cause(error: RedisError, settings: Settings) -> RedisError:
    """Returns what may stand as the cause: the error, or one without the password it quotes."""
    text = str(error)
    redacted = settings.redact(text)
    return error if redacted == text else RedisError(redacted)
