"""The driver's errors: what each means for the request, and which error of ours it becomes."""

import socket
import ssl
from typing import Final

from redis import exceptions as driver

from ojobchannels import errors
from ojobchannels.remote import LOOK, Operation, Outcome
from ojobchannels_redis.options import Settings

_NOT_NOW: Final = (
    driver.BusyLoadingError,
    driver.ClusterDownError,
    driver.MasterDownError,
    driver.ReadOnlyError,
    driver.TryAgainError,
)
_UNREACHABLE: Final = (
    ConnectionRefusedError,
    FileNotFoundError,
    PermissionError,
    socket.gaierror,
    ssl.SSLCertVerificationError,
)
_CLUSTER_ERRORS: Final[dict[str, type[driver.ResponseError]]] = {
    "ASK": driver.AskError,
    "MOVED": driver.MovedError,
    "TRYAGAIN": driver.TryAgainError,
    "CLUSTERDOWN": driver.ClusterDownError,
    "MASTERDOWN": driver.MasterDownError,
}


class SentinelLoginError(driver.AuthenticationError):
    """Every Sentinel refuses the login."""


def normalized(error: driver.RedisError) -> driver.RedisError:
    """Return the error with the class that redis-py 6 gives it.

    redis-py 5 has the errors of a cluster in its own cluster client only.
    """
    code, _, rest = str(error).partition(" ")
    if type(error) is driver.ResponseError and code in _CLUSTER_ERRORS:
        return _CLUSTER_ERRORS[code](rest)
    return error


def outcome_of(error: driver.RedisError, sent: bool, patient: bool) -> Outcome:
    """Return what an error means for the request.

    Args:
        error: The error.
        sent: Whether the request may have been sent.
        patient: Whether to try again when nothing listens at the server's address.
    """
    if is_refused_for_now(error):
        return Outcome.NOT_DONE
    if not is_connection_lost(error):
        return Outcome.REFUSED
    if sent:
        return Outcome.LOST
    return Outcome.NOT_DONE if patient or not is_unreachable(error) else Outcome.REFUSED


def is_refused_for_now(error: driver.RedisError) -> bool:
    """Return whether the server did nothing, and may do it in a moment."""
    return isinstance(error, _NOT_NOW) or str(error).startswith("BUSY ")


def is_refused(error: errors.ChannelError) -> bool:
    """Return whether the server has refused a command: it is full, or a permission is missing."""
    refused = isinstance(error.__cause__, driver.ResponseError)
    return refused or isinstance(error, errors.StorageFull)


def is_connection_lost(error: driver.RedisError) -> bool:
    """Return whether the connection failed or timed out, other than by a refused login."""
    lost = isinstance(error, driver.ConnectionError | driver.TimeoutError)
    return (
        lost and not isinstance(error, driver.AuthenticationError) and not is_refused_for_now(error)
    )


def is_unreachable(error: BaseException | None) -> bool:
    """Return whether the address is wrong, nothing listens there, or its certificate is wrong."""
    while error is not None:
        if isinstance(error, _UNREACHABLE):
            return True
        error = error.__cause__ or error.__context__
    return False


def reuses_connection(error: driver.RedisError) -> bool:
    """Return whether the connection that raised the error is still good."""
    return isinstance(error, driver.ResponseError) and not is_refused_for_now(error)


def explain(
    error: driver.RedisError, operation: Operation, channel: str, settings: Settings, seconds: float
) -> errors.ChannelError:
    """Return the error of ours for the driver's, where nothing is in doubt."""
    reason = f"{settings}: {settings.redact(str(error)).rstrip('.')}"
    if isinstance(error, driver.TimeoutError):
        return errors.ChannelTimeout(channel, f"{operation.name} at {settings}", seconds)
    if isinstance(error, SentinelLoginError):
        advice = "check the options sentinel_username and sentinel_password"
        return errors.ChannelUnavailable(channel, reason, advice)
    if isinstance(error, driver.AuthenticationError):
        named = settings.username and settings.password is not None
        login = f"user {settings.username!r}" if named else "the login"
        advice = f"the server refuses {login}: check the options username and password"
        if settings.username and not named:  # it may be the password
            advice += "; a password without a user is written redis://:password@host"
        return errors.ChannelUnavailable(channel, reason, advice)
    if isinstance(error, driver.NoPermissionError):
        advice = (
            "grant the user ~PREFIX:* and &PREFIX:* for the option prefix, and the commands that "
            "the documentation lists"
        )
        return errors.ChannelUnavailable(channel, reason, advice)
    if isinstance(error, driver.MovedError):
        if not settings.cluster:
            reason = f"{settings} is a node of a cluster"
            return errors.InvalidOption("option 'cluster'", reason, "set cluster: true")
        advice = "its nodes redirect to each other: check them with redis-cli --cluster check"
        return errors.ChannelUnavailable(channel, reason, advice)
    if isinstance(error, driver.ReadOnlyError):
        advice = "it is a replica now: connect to the present primary; nothing was changed"
        return errors.ChannelUnavailable(channel, reason, advice)
    text = str(error)
    if "OJOBDAMAGED" in text or "WRONGTYPE" in text:
        return damage(channel, settings)
    if isinstance(error, driver.OutOfMemoryError) or "OOM command" in text:
        advice = "raise the server's maxmemory, or remove data; nothing was changed"
        return errors.StorageFull(channel, reason, advice)
    if "MISCONF" in text or "NOREPLICAS" in text:
        return errors.ChannelUnavailable(channel, reason, "repair the server; nothing was changed")
    if isinstance(error, driver.ResponseError) and not is_refused_for_now(error):
        return errors.ChannelUnavailable(
            channel, reason, "the server refuses a command that is needed"
        )
    return errors.ChannelUnavailable(channel, reason, LOOK)


def damage(channel: str, settings: Settings) -> errors.ChannelDamaged:
    """Return the error for stored data that this backend cannot have written."""
    reason = "another program wrote to a key of this channel"
    advice = "use a separate prefix or database for each program, and remove the foreign key"
    return errors.ChannelDamaged(channel, f"its keys at {settings}", reason, advice)


def cause(error: driver.RedisError, settings: Settings) -> driver.RedisError:
    """Return the error to show as the cause; without the password, if it quotes one."""
    text = str(error)
    redacted = settings.redact(text)
    return error if redacted == text else driver.RedisError(redacted)
