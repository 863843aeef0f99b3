"""Errors: what each means for the request, and which error of ours it becomes."""

import ssl
from typing import Any, Final

from pyignite.exceptions import (
    AuthenticationError,
    HandshakeError,
    NotSupportedByClusterError,
    ParseError,
)

from ojobchannels import errors
from ojobchannels.remote import LOOK, Operation, Outcome
from ojobchannels_ignite.options import Settings

OLDEST: Final = "2.16"

# Codes of the server, from its ClientStatus.java.
_INVALID_OPERATION: Final = 2
_NO_SQL: Final = 100
_SECURITY: Final = 3
_CACHE_MISSING: Final = 1000
_RESOURCE_MISSING: Final = 1011
_LOGIN: Final = 2000
_FOR_EVER: Final = (_INVALID_OPERATION, _NO_SQL, _SECURITY, _CACHE_MISSING, _LOGIN)


class Refused(Exception):
    """The cluster replied with an error.

    Attributes:
        status: Its code.
        message: Its message.
    """

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(f"{message} (status {status})")


class NotConnected(OSError):
    """No node could be reached."""


class TooFewNodes(OSError):
    """The node is connected to fewer others than locks need."""


class FilesRefused(ValueError):
    """A file that TLS needs cannot be read, or is not what it should be."""


class NothingDone(Exception):
    """An attempt failed before it had sent a request that changes something; see its cause."""


DRIVER_ERRORS: Final = (
    OSError,
    EOFError,
    Refused,
    NothingDone,
    AuthenticationError,
    NotSupportedByClusterError,
    ParseError,
)
_FINAL: Final = (AuthenticationError, HandshakeError, ssl.SSLCertVerificationError)


def outcome_of(error: Exception) -> Outcome:
    """Return what an error means for the operation that raised it."""
    root = root_of(error)
    refused = isinstance(root, Refused) and (root.status in _FOR_EVER or _is_lost(root.message))
    if refused or isinstance(root, _FINAL) or not isinstance(root, OSError | EOFError | Refused):
        return Outcome.REFUSED
    if isinstance(root, TooFewNodes):
        return Outcome.NOT_DONE
    # Also an error of the cluster: a node that fails during a write reports one, and the write may
    # be there.
    return Outcome.NOT_DONE if isinstance(error, NothingDone) else Outcome.LOST


def _is_lost(message: str) -> bool:
    """Return whether all nodes with an entry have left, and with them the entry."""
    return "lost" in message and "partition" in message


def root_of(error: BaseException) -> BaseException:
    """Return the error of the driver or of the network behind one of this plugin."""
    while isinstance(error, NotConnected | NothingDone) and error.__cause__ is not None:
        error = error.__cause__
    return error


def is_missing(error: Refused) -> bool:
    """Return whether the request names something that does not exist at the cluster."""
    return error.status == _RESOURCE_MISSING


def explain(
    error: Exception, operation: Operation, channel: str, settings: Settings, seconds: float
) -> errors.ChannelError:
    """Return the error of ours, where nothing is in doubt."""
    cause: Any = root_of(error)
    reason = settings.redact(str(getattr(cause, "message", None) or cause))
    if isinstance(cause, FilesRefused):
        advice = "check the paths in tls_ca, tls_cert and tls_key, and tls_key_password"
        return errors.InvalidOption("option 'tls'", f"a file cannot be used: {reason}", advice)
    if isinstance(cause, AuthenticationError):
        advice = "check username and password"
        return errors.ChannelUnavailable(
            channel, f"the cluster refuses the login: {reason}", advice
        )
    if isinstance(cause, HandshakeError):
        advice = f"use Apache Ignite {OLDEST} or later, and not Ignite 3"
        return errors.NotSupported(channel, f"this server: {reason}", advice)
    if isinstance(cause, ssl.SSLCertVerificationError):
        advice = "pass the authority's certificate in tls_ca, and the name in the certificate"
        return errors.ChannelUnavailable(channel, f"TLS: {reason}", advice)
    if isinstance(cause, Refused):
        return _explain_refusal(cause, reason, channel)
    if isinstance(cause, TooFewNodes):
        advice = (
            "start the other nodes; where the network has split the cluster, restart those of the "
            "smaller part"
        )
        return errors.ChannelUnavailable(channel, reason, advice)
    if isinstance(error, NotConnected) or isinstance(error.__cause__, NotConnected):
        reason = f"no node of {settings} could be reached: {reason}"
        advice = LOOK
        if isinstance(cause, ConnectionResetError | ssl.SSLError):
            advice = f"compare the options for TLS with the configuration of the node; {LOOK}"
        return errors.ChannelUnavailable(channel, reason, advice)
    if isinstance(cause, TimeoutError):
        return errors.ChannelTimeout(channel, f"{operation.name} at the Ignite cluster", seconds)
    return errors.ChannelUnavailable(channel, reason, LOOK)


def _explain_refusal(error: Refused, reason: str, channel: str) -> errors.ChannelError:
    if error.status == _SECURITY:
        advice = "grant the user to read, put and remove in the cache, and to create it"
        return errors.ChannelUnavailable(channel, reason, advice)
    if error.status == _NO_SQL:
        advice = "enable Ignite's module ignite-indexing, or ignite-calcite, on every node"
        return errors.NotSupported(channel, f"a cluster without SQL: {reason}", advice)
    if _is_lost(reason):
        advice = "start the nodes again that have the data, then reset the lost partitions"
        return errors.ChannelUnavailable(channel, reason, advice)
    if "inactive" in reason or "not activated" in reason or "read-only" in reason:
        return errors.ChannelUnavailable(channel, reason, "activate the cluster")
    return errors.ChannelUnavailable(channel, reason, "see the log of the node")
