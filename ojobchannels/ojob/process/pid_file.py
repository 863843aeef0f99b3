"""``ojob.unique``: one run of a job file at a time on a host, and a file that tells its process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ojobchannels.errors import InvalidOption, RunsAlready
from ojobchannels.host.files import SideFile

_MODE = 0o644


@contextmanager
def only_one(file: str, pid_file: str) -> Iterator[None]:
    """Surrounds a run that keeps others out, for as long as its process lives.

    Not the number in the file counts, which outlives a process that is killed, but the lock on it.

    Raises:
        RunsAlready: Another process has the lock.
        InvalidOption: The file cannot be made, or cannot be locked.
    """
    held = SideFile(Path(pid_file).absolute(), _MODE)
    try:
        _take(held, file, pid_file)
        yield
    finally:
        if held.descriptor >= 0:
            _give_back(held)


def _take(held: SideFile, file: str, pid_file: str) -> None:
    try:
        while True:
            fcntl.flock(held.open(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            if held.is_current():
                break
            held.close()  # who had it has just removed the file
        os.ftruncate(held.descriptor, 0)
        os.pwrite(held.descriptor, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError as error:
        said = os.pread(held.descriptor, 20, 0).strip()
        held.close()
        raise RunsAlready(file, pid_file, int(said) if said.isdigit() else None) from error
    except OSError as error:
        held.close()
        reason = f"the file {pid_file!r} cannot be used ({error.strerror})"
        raise InvalidOption("ojob.unique.pidFile", reason, "name another one") from error


def _give_back(held: SideFile) -> None:
    """Removes the file, then frees it: who opens it in between finds out that it is not current."""
    with suppress(OSError):
        if held.is_current() and os.pread(held.descriptor, 20, 0) == f"{os.getpid()}\n".encode():
            held.path.unlink()
    held.close()
