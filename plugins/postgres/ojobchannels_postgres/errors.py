"""The driver's errors: what each means for the request, and which error of ours it becomes."""

import re
from typing import Final

import psycopg

from ojobchannels import errors
from ojobchannels.remote import LOOK, Operation, Outcome
from ojobchannels_postgres.options import Settings
from ojobchannels_postgres.session import ConnectError, LimitError

DRIVER_ERRORS: Final = (psycopg.Error,)
OLDEST: Final = "13"

# States of the server, from Appendix A of its manual.
_TRY_AGAIN: Final = {
    "40001",  # serialization_failure, where the default isolation is stricter
    "40P01",  # deadlock_detected
    "55P03",  # lock_not_available, by a lock_timeout of the role or database
    "57014",  # query_canceled, by a statement_timeout
    "25006",  # read_only_sql_transaction: a standby, until it is promoted
    "53300",  # too_many_connections
    "57P03",  # cannot_connect_now
    "0A000",  # cached plan must not change result type, after the tables were changed
}
_ENDED: Final = {"57P01", "57P02", "57P05", "25P03"}
_READ_ONLY: Final = "25006"
TOO_SLOW: Final = {"57014", "55P03"}
NOT_ALLOWED: Final = "42501"
_NO_TABLES: Final = {"42P01", "3F000", "42703"}
_DISK_FULL: Final = {"53100"}
_TOO_LARGE: Final = {"54000", "22P05", "53200"}
# A refused login has no state: libpq keeps the message only.
_LOGIN: Final = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|does not exist"
    r"|permission denied|not permitted|SSL (?:connection )?is required|certificate verify failed"
    r"|not allowed|does not support SSL|could not read .* file|invalid connection option"
    r"|invalid .* value|unrecognized|could not load"
)
_NOT_WRITABLE: Final = re.compile(r"session is read-only|in hot standby mode")
_PRIMARY: Final = (
    "connect to the primary, or give all hosts in the URL; if this is the primary, look for "
    "default_transaction_read_only of the server, the database and the role"
)
_NOWHERE: Final = re.compile(r"refused|could not translate host name|No such file", re.IGNORECASE)


def outcome_of(error: Exception, patient: bool = True) -> Outcome:
    """Return what an error means for the operation that raised it."""
    if isinstance(error, ConnectError):
        hopeless = _LOGIN.search(str(error)) or (not patient and _NOWHERE.search(str(error)))
        return Outcome.REFUSED if hopeless else Outcome.NOT_DONE
    state = state_of(error)
    if state in _TRY_AGAIN:
        return Outcome.NOT_DONE
    if state is None or state in _ENDED or state.startswith("08"):
        return Outcome.LOST
    return Outcome.REFUSED


def state_of(error: Exception) -> str | None:
    """Return the state that the server reported, if it reported one."""
    return error.sqlstate if isinstance(error, psycopg.Error) else None


def reuses_session(error: Exception) -> bool:
    """Return whether the connection still works: the server refused the statement only."""
    return outcome_of(error) is not Outcome.LOST and state_of(error) not in {
        None,
        _READ_ONLY,  # another connection may lead to the new primary
    }


def explain(
    error: Exception, operation: Operation, channel: str, settings: Settings, seconds: float
) -> errors.ChannelError:
    """Return the error of ours for the driver's, where nothing is in doubt."""
    reason = settings.redact(message_of(error))
    state = state_of(error)
    if isinstance(error, LimitError) or state in TOO_SLOW:
        return errors.ChannelTimeout(channel, f"{operation.name} at the PostgreSQL server", seconds)
    if isinstance(error, ConnectError):
        if _NOT_WRITABLE.search(reason):
            return errors.ChannelUnavailable(channel, reason, _PRIMARY)
        if _LOGIN.search(reason):
            advice = "check user, password and database in the URL, and the server's pg_hba.conf"
            return errors.ChannelUnavailable(channel, reason, advice)
        return errors.ChannelUnavailable(channel, reason, LOOK)
    if state == NOT_ALLOWED:
        advice = f"grant the rights that the guide lists for schema {settings.schema!r}"
        return errors.ChannelUnavailable(channel, reason, advice)
    if state in _NO_TABLES:
        advice = "open the channel again, in a new process: that creates the tables"
        return errors.ChannelUnavailable(channel, reason, advice)
    if state in _DISK_FULL:
        return errors.StorageFull(channel, reason, "free space on the server's disk")
    if state in _TOO_LARGE:
        return errors.InvalidValue("$", f"the server does not accept it: {reason}")
    if state == _READ_ONLY:
        return errors.ChannelUnavailable(channel, reason, _PRIMARY)
    return errors.ChannelUnavailable(channel, reason, LOOK)


def message_of(error: Exception) -> str:
    """Return the message of an error, as the server wrote it."""
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return primary or " ".join(str(error).split())
