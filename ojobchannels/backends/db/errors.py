"""Translates the errors of SQLite into ours."""

import os
import sqlite3
from pathlib import Path

from ojobchannels import errors
from ojobchannels.backends.local.paths import MORE_DESCRIPTORS, OUT_OF_DESCRIPTORS

_WRITE_FAILED = frozenset(
    {sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_SHMSIZE}
)


def restore(path: Path) -> str:
    """Return how to put a copy in the place of a database."""
    beside = f"{path.name}-wal and {path.name}-shm"
    return f"with no process using it, delete {beside}, then put a copy in its place"


def lacks_descriptors(error: Exception) -> bool:
    """Return whether SQLite could not open a file because this process can open no more files."""
    code = getattr(error, "sqlite_errorcode", None) or 0
    if code & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR):
        return False
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as failure:
        return failure.errno in OUT_OF_DESCRIPTORS
    return False


def explain(channel: str, path: Path, timeout: float, error: sqlite3.Error) -> errors.ChannelError:
    """Return our error for an error of SQLite."""
    code = getattr(error, "sqlite_errorcode", None) or 0
    if code & 0xFF == sqlite3.SQLITE_FULL or code in _WRITE_FAILED:
        advice = "free some space or raise the limit; nothing was changed, so try again"
        return errors.StorageFull(channel, f"{error} ({path})", advice)
    if code == sqlite3.SQLITE_IOERR_SHORT_READ:
        reason = f"{error} ({path}): its -wal file may have been deleted while it was in use"
        advice = "end all processes that use the database, then try again"
        return errors.ChannelUnavailable(channel, reason, advice)
    if lacks_descriptors(error):
        reason = f"{error} ({path}): too many files are open"
        return errors.ChannelUnavailable(channel, reason, MORE_DESCRIPTORS)
    match code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return errors.ChannelTimeout(channel, f"access {path}", timeout)
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            advice = f"the file was left unchanged: {restore(path)}, or use another file"
            return errors.ChannelDamaged(channel, str(path), str(error), advice)
        case sqlite3.SQLITE_TOOBIG:
            return errors.InvalidValue("$", str(error))
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            advice = f"this user needs write permission on {path} and on {path.parent}"
            return errors.ChannelUnavailable(channel, f"{error} ({path})", advice)
    if isinstance(error, sqlite3.DataError):
        return errors.InvalidValue("$", str(error))
    return errors.ChannelUnavailable(channel, f"{error} ({path})", "check the file, then try again")
