"""The owners of liveness bytes: which process locked each one, for when its child still holds it.

An entry is at a position that follows from the offset of the byte. If two bytes share it, the later
one stays, and nothing is known of the owner of the other.
"""

import os
import struct
from contextlib import suppress
from pathlib import Path

_OWNER = struct.Struct("<qqqq")
_ENTRIES = 4096


def write(descriptor: int, offset: int) -> None:
    """Write that this process locked the byte at `offset`, if that can be written."""
    with suppress(OSError):
        os.pwrite(descriptor, _OWNER.pack(offset, os.getpid(), *_pid_namespace()), _at(offset))


def is_dead(descriptor: int, offset: int) -> bool:
    """Return whether the process that locked a byte has ended; False if that cannot be known."""
    try:
        entry = os.pread(descriptor, _OWNER.size, _at(offset))
        owned, pid, *namespace = _OWNER.unpack(entry)
        if owned != offset or tuple(namespace) != _pid_namespace():
            return False
    except (OSError, struct.error):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return _is_zombie(pid)


def _at(offset: int) -> int:
    return offset % _ENTRIES * _OWNER.size


def _pid_namespace() -> tuple[int, int]:
    """Return what identifies the processes among which this one has its number."""
    status = Path("/proc/self/ns/pid").stat()
    return status.st_dev, status.st_ino


def _is_zombie(pid: int) -> bool:
    try:
        if os.readlink("/proc/self") != str(os.getpid()):  # noqa: PTH115  /proc of other processes
            return False
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return status.rpartition(b") ")[2][:1] in (b"Z", b"X")
