"""What went wrong at the server, in errors of ours; the driver's stand behind them as causes."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, NamedTuple

from bson.errors import BSONError
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    DuplicateKeyError,
    InvalidOperation,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteConcernError,
)

from ojobchannels.errors import (
    ChannelClosed,
    ChannelError,
    ChannelTimeout,
    ChannelUnavailable,
    InvalidValue,
    NotSupported,
    OutcomeUnknown,
    StorageFull,
)
from ojobchannels_mongo.options import Settings

DRIVER_ERRORS: Final = (PyMongoError, BSONError)
OLDEST: Final = "5.0"

# Codes of the server, from its src/mongo/base/error_codes.yml.
_NOT_PRIMARY: Final = {10058, 10107, 13435, 13436}
_CONFLICT: Final = {112, 11000, 11001}
_ASK_AGAIN: Final = {43, 134, 136, 175, 237, 365}
_INTERRUPTED: Final = {6, 7, 89, 91, 189, 262, 9001, 11600, 11601, 11602}
_BEYOND_CACHE: Final = 388
_TOO_LARGE: Final = {10334, 17280, 17419, 17420}
_LOGIN: Final = {18, 8000}
_NOT_ALLOWED: Final = 13
_DISK_FULL: Final = 14031
_LOOK: Final = "look whether the server runs and can be reached from here, then try again"


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
    """

    name: str
    rule: Rule = Rule.READ
    advice: str = ""


class Verdict(Enum):
    """What an error tells of the operation."""

    UNDONE = "it was not done, and may be asked again"
    LOST = "it may have been done"
    REFUSED = "it was not done, and asking again is of no use"


def judge(error: Exception) -> Verdict:
    """Tells whether an operation that ended in this error may have been done."""
    if not isinstance(error, PyMongoError):
        return Verdict.REFUSED
    if error.has_error_label("UnknownTransactionCommitResult"):
        return Verdict.LOST
    if error.has_error_label("TransientTransactionError"):
        return Verdict.UNDONE
    if isinstance(error, ConnectionFailure):
        return _judge_connection(error)
    if isinstance(error, BulkWriteError):
        return Verdict.UNDONE if codes(error) <= _CONFLICT else Verdict.REFUSED
    if isinstance(error, DuplicateKeyError):
        return Verdict.UNDONE
    if isinstance(error, WriteConcernError) or error.timeout or codes(error) & _INTERRUPTED:
        return Verdict.LOST
    if codes(error) & (_CONFLICT | _ASK_AGAIN | _NOT_PRIMARY):
        return Verdict.UNDONE
    return Verdict.REFUSED


def codes(error: Exception) -> set[int]:
    """Returns the codes that the server gave."""
    if isinstance(error, BulkWriteError):
        faults: list[dict[str, Any]] = error.details.get("writeErrors", [])
        return {fault["code"] for fault in faults}
    details = error.details if isinstance(error, NotPrimaryError) else None
    code = details.get("code") if isinstance(details, Mapping) else getattr(error, "code", None)
    return set() if code is None else {code}


def is_of_dns(error: Exception) -> bool:
    """Tells whether the DNS could not be asked, or does not know the name."""
    cause = error.__cause__ or error.__context__  # older drivers hide it
    return type(cause).__module__.partition(".")[0] == "dns"


def _judge_connection(error: ConnectionFailure) -> Verdict:
    if isinstance(error, ServerSelectionTimeoutError | WaitQueueTimeoutError):
        return Verdict.UNDONE
    if isinstance(error, NotPrimaryError):
        return Verdict.LOST if codes(error) & _INTERRUPTED else Verdict.UNDONE
    never_there = isinstance(error.__cause__, ConnectionRefusedError | socket.gaierror)
    if never_there or "connection pool paused" in str(error):
        return Verdict.UNDONE
    return Verdict.LOST


def explain(
    error: Exception,
    *,
    lost: bool,
    operation: Operation,
    channel: str,
    settings: Settings,
    seconds: float,
) -> ChannelError:
    """Returns the error of ours for the driver's; `lost` tells that a reply was."""
    reason = settings.redact(short(error))
    found = codes(error)
    if isinstance(error, InvalidOperation):
        return ChannelClosed(channel)
    if lost and operation.rule is not Rule.READ:
        return OutcomeUnknown(channel, operation.name, operation.advice)
    if isinstance(error, DocumentTooLarge) or found & _TOO_LARGE:
        return InvalidValue("$", "it is larger than the 16 MB that MongoDB takes")
    if found & _LOGIN or (_NOT_ALLOWED in found and "authentication" in reason):
        advice = "check username and password, and authSource in the URL"
        return ChannelUnavailable(channel, f"the server wants a login: {reason}", advice)
    if _NOT_ALLOWED in found:
        return ChannelUnavailable(channel, reason, "give the user the role readWrite there")
    if _BEYOND_CACHE in found:
        advice = "store less at once, or give the server a larger cache"
        return ChannelUnavailable(channel, reason, advice)
    if _DISK_FULL in found:
        return StorageFull(channel, reason, "make room on the server's disk")
    if isinstance(error, ServerSelectionTimeoutError):
        reason = f"no server that takes writes was found within {seconds:g} s: {reason}"
        return ChannelUnavailable(channel, reason, _LOOK)
    if isinstance(error, PyMongoError) and error.timeout:
        return ChannelTimeout(channel, f"{operation.name} at the MongoDB server", seconds)
    if is_of_dns(error):
        advice = "check the name in the URL, and whether the DNS can be reached from here"
        return ChannelUnavailable(channel, f"the DNS: {reason}", advice)
    if isinstance(error, ConfigurationError) and "wire version" in reason:
        return NotSupported(channel, f"this server: {reason}", f"use MongoDB {OLDEST} or later")
    if isinstance(error, AutoReconnect):
        return ChannelUnavailable(channel, reason, _LOOK)
    return ChannelUnavailable(channel, reason, "the server does not do what we ask of it")


def short(error: Exception) -> str:
    """Returns what the error says, without the driver's long descriptions."""
    details = error.details if isinstance(error, OperationFailure | NotPrimaryError) else None
    if isinstance(details, Mapping) and details.get("errmsg"):
        return str(details["errmsg"])
    text = str(error)
    for rest in (" (configured timeouts", ", Timeout: ", ", full error:"):
        text = text.partition(rest)[0]
    return text
