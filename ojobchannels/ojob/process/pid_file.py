"""``ojob.unique``: one run of a job file at a time on a host, with the process id in a file."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ojobchannels.errors import InvalidOption, RunsAlready
from ojobchannels.host.files import UnsafeFile, is_trusted, open_regular

_ATTEMPTS = 100
_MODE = 0o600  # a user who may read it could lock it


@contextmanager
def pid_file_held(job_file: str, pid_file: str) -> Iterator[None]:
    """Keep other runs out while the block runs, and at most while this process lives.

    The lock on the file decides, not the number in it, which stays after a killed process.

    Raises:
        RunsAlready: Another process holds the lock.
        InvalidOption: The file cannot be created, or cannot be locked.
    """
    path = Path(pid_file).absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _acquire(path)
    except _Held as error:
        raise RunsAlready(job_file, pid_file, error.pid) from error
    except OSError as error:
        reason = f"the file {pid_file!r} cannot be used ({error.strerror})"
        raise InvalidOption("ojob.unique.pidFile", reason, "name another file") from error
    try:
        yield
    finally:
        _release(path, descriptor)


class _Held(Exception):
    def __init__(self, pid: int | None) -> None:
        self.pid = pid


def _acquire(path: Path) -> int:
    for _ in range(_ATTEMPTS):
        descriptor = open_regular(path, os.O_RDWR | os.O_CREAT, _MODE)
        try:
            if not is_trusted(os.fstat(descriptor), path.parent.stat()):
                raise UnsafeFile(path, "it is the file of another user")
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_current(path, descriptor):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, _own_pid(), 0)
                return descriptor
        except BlockingIOError as error:
            pid = os.pread(descriptor, 20, 0).strip()
            os.close(descriptor)
            raise _Held(int(pid) if pid.isdigit() else None) from error
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its last holder has just removed the file
    raise UnsafeFile(path, "other programs keep replacing it")


def _release(path: Path, descriptor: int) -> None:
    """Remove the file, then unlock it: a process that opens it in between finds it not current."""
    with suppress(OSError):
        if _is_current(path, descriptor) and os.pread(descriptor, 20, 0) == _own_pid():
            path.unlink()
    os.close(descriptor)


def _is_current(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _own_pid() -> bytes:
    return f"{os.getpid()}\n".encode()
