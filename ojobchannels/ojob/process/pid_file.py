"""``ojob.unique``: one run of a job file at a time on a host, with the process id in a file."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ojobchannels.errors import InvalidOption, RunsAlready
from ojobchannels.host.files import SideFile

_MODE = 0o644


@contextmanager
def pid_file_held(job_file: str, pid_file: str) -> Iterator[None]:
    """Keep other runs out while the block runs, and at most while this process lives.

    The lock on the file decides, not the number in it, which stays after a killed process.

    Raises:
        RunsAlready: Another process holds the lock.
        InvalidOption: The file cannot be created, or cannot be locked.
    """
    held = SideFile(Path(pid_file).absolute(), _MODE)
    try:
        _acquire(held, job_file, pid_file)
        yield
    finally:
        if held.descriptor >= 0:
            _release(held)


def _acquire(held: SideFile, job_file: str, pid_file: str) -> None:
    try:
        while True:
            fcntl.flock(held.open(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            if held.is_current():
                break
            held.close()  # its last holder has just removed the file
        os.ftruncate(held.descriptor, 0)
        os.pwrite(held.descriptor, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError as error:
        pid = os.pread(held.descriptor, 20, 0).strip()
        held.close()
        raise RunsAlready(job_file, pid_file, int(pid) if pid.isdigit() else None) from error
    except OSError as error:
        held.close()
        reason = f"the file {pid_file!r} cannot be used ({error.strerror})"
        raise InvalidOption("ojob.unique.pidFile", reason, "name another file") from error


def _release(held: SideFile) -> None:
    """Remove the file, then unlock it: a process that opens it in between finds it not current."""
    with suppress(OSError):
        if held.is_current() and os.pread(held.descriptor, 20, 0) == f"{os.getpid()}\n".encode():
            held.path.unlink()
    held.close()
