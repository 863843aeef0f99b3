"""The driver's errors: what each means for the request, and which error of ours it becomes."""

import socket
from collections.abc import Mapping
from typing import Any, Final

from bson.errors import BSONError
from pymongo import errors as driver

from ojobchannels import errors
from ojobchannels.remote import LOOK, Operation, Outcome
from ojobchannels_mongo.options import Settings

DRIVER_ERRORS: Final = (driver.PyMongoError, BSONError)
OLDEST: Final = "5.0"

# Codes of the server, from its src/mongo/base/error_codes.yml.
_NOT_PRIMARY: Final = {10058, 10107, 13435, 13436}
_CONFLICT: Final = {112, 11000, 11001}
_TRY_AGAIN: Final = {43, 134, 136, 175, 237, 365}
_INTERRUPTED: Final = {6, 7, 89, 91, 189, 262, 9001, 11600, 11601, 11602}
_BEYOND_CACHE: Final = 388
_TOO_LARGE: Final = {10334, 17280, 17419, 17420}
_LOGIN: Final = {18, 8000}
_NOT_ALLOWED: Final = 13
_DISK_FULL: Final = 14031
_NOT_REPLICATED: Final = 20


def outcome_of(error: Exception) -> Outcome:
    """Return what an error means for the operation that raised it."""
    if not isinstance(error, driver.PyMongoError):
        return Outcome.REFUSED
    if error.has_error_label("UnknownTransactionCommitResult"):
        return Outcome.LOST
    if error.has_error_label("TransientTransactionError"):
        return Outcome.NOT_DONE
    if isinstance(error, driver.ConnectionFailure):
        return _outcome_of_connection(error)
    if isinstance(error, driver.BulkWriteError):
        return Outcome.NOT_DONE if codes(error) <= _CONFLICT else Outcome.REFUSED
    if isinstance(error, driver.DuplicateKeyError):
        return Outcome.NOT_DONE
    if isinstance(error, driver.WriteConcernError) or error.timeout or codes(error) & _INTERRUPTED:
        return Outcome.LOST
    if codes(error) & (_CONFLICT | _TRY_AGAIN | _NOT_PRIMARY) or _is_numbered(error):
        return Outcome.NOT_DONE
    return Outcome.REFUSED


def codes(error: Exception) -> set[int]:
    """Return the server's error codes."""
    if isinstance(error, driver.BulkWriteError):
        failed: list[dict[str, Any]] = error.details.get("writeErrors", [])
        return {entry["code"] for entry in failed}
    details = error.details if isinstance(error, driver.NotPrimaryError) else None
    code = details.get("code") if isinstance(details, Mapping) else getattr(error, "code", None)
    return set() if code is None else {code}


def is_dns_error(error: Exception) -> bool:
    """Return whether the DNS could not be reached, or does not know the name."""
    cause = error.__cause__ or error.__context__  # older drivers set the context only
    return type(cause).__module__.partition(".")[0] == "dns"


def _is_numbered(error: Exception) -> bool:
    """Return whether a server that is not replicated refused a write that the driver had numbered.

    The driver does so after a connection that failed while it was made, which it tries again as if
    the server were a member of a replica set: so nothing was done.
    """
    return _NOT_REPLICATED in codes(error) and "Transaction numbers" in message_of(error)


def _outcome_of_connection(error: driver.ConnectionFailure) -> Outcome:
    if isinstance(error, driver.ServerSelectionTimeoutError | driver.WaitQueueTimeoutError):
        return Outcome.NOT_DONE
    if isinstance(error, driver.NotPrimaryError):
        return Outcome.LOST if codes(error) & _INTERRUPTED else Outcome.NOT_DONE
    refused = isinstance(error.__cause__, ConnectionRefusedError | socket.gaierror)
    if refused or "connection pool paused" in str(error):
        return Outcome.NOT_DONE
    return Outcome.LOST


def explain(
    error: Exception, operation: Operation, channel: str, settings: Settings, seconds: float
) -> errors.ChannelError:
    """Return the error of ours for the driver's, where nothing is in doubt."""
    reason = settings.redact(message_of(error))
    numbers = codes(error)
    if isinstance(error, driver.DocumentTooLarge) or numbers & _TOO_LARGE:
        return errors.InvalidValue("$", "it is larger than the 16 MB that MongoDB accepts")
    if numbers & _LOGIN or (_NOT_ALLOWED in numbers and "authentication" in reason):
        advice = "check username and password, and authSource in the URL"
        return errors.ChannelUnavailable(channel, f"the server requires a login: {reason}", advice)
    if _NOT_ALLOWED in numbers:
        return errors.ChannelUnavailable(channel, reason, "grant the user the role readWrite")
    if _BEYOND_CACHE in numbers:
        advice = "store less in one step, or configure a larger cache for the server"
        return errors.ChannelUnavailable(channel, reason, advice)
    if _DISK_FULL in numbers:
        return errors.StorageFull(channel, reason, "free space on the server's disk")
    if isinstance(error, driver.ServerSelectionTimeoutError):
        reason = f"no server that accepts writes was found within {seconds:g} s: {reason}"
        return errors.ChannelUnavailable(channel, reason, LOOK)
    if isinstance(error, driver.PyMongoError) and error.timeout:
        return errors.ChannelTimeout(channel, f"{operation.name} at the MongoDB server", seconds)
    if is_dns_error(error):
        advice = "check the name in the URL, and that the DNS can be reached from this host"
        return errors.ChannelUnavailable(channel, f"DNS: {reason}", advice)
    if isinstance(error, driver.ConfigurationError) and "wire version" in reason:
        return errors.NotSupported(
            channel, f"this server: {reason}", f"use MongoDB {OLDEST} or later"
        )
    if isinstance(error, driver.AutoReconnect):
        return errors.ChannelUnavailable(channel, reason, LOOK)
    return errors.ChannelUnavailable(channel, reason, "the server refuses a command that is needed")


def message_of(error: Exception) -> str:
    """Return the message of an error, without the driver's long descriptions."""
    details = (
        error.details
        if isinstance(error, driver.OperationFailure | driver.NotPrimaryError)
        else None
    )
    if isinstance(details, Mapping) and details.get("errmsg"):
        return str(details["errmsg"])
    text = str(error)
    for suffix in (" (configured timeouts", ", Timeout: ", ", full error:"):
        text = text.partition(suffix)[0]
    return text
