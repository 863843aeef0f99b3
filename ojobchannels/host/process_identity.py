"""The identity of a process on its host, by which another one finds out that it has ended."""

import os
from functools import cache
from pathlib import Path
from typing import Final

_PREFIX: Final = "process"
_PROC: Final = Path("/proc")
_ENDED: Final = "ended"
_START: Final = 19
"""The index of the start time in ``/proc/PID/stat``, after the name of the program."""


def this_process() -> str:
    """Return the identity of this process: its kernel, its process ids, its number, its start."""
    return _identity(os.getpid())


@cache
def _identity(pid: int) -> str:
    return " ".join((_PREFIX, *_world(), str(pid), _started(pid) or "unknown"))


def has_ended(identity: str) -> bool:
    """Return whether the process of an identity has ended; False if that is not known here.

    It is known to processes that share their kernel and its process ids.
    """
    match identity.split(" "):
        case [prefix, boot, ids, pid, started] if prefix == _PREFIX and pid.isdecimal():
            if identity == this_process() or "unknown" in (boot, ids, started):
                return False
            if (boot, ids) != _world():
                return False
            now = _started(int(pid))
            return now == _ENDED or (now is not None and now != started)
    return False


def is_running(pid: int) -> bool:
    """Return whether there is a process of that id, among those that this one can see."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OverflowError, PermissionError):
        return True
    return True


def _world() -> tuple[str, str]:
    """Return the kernel and the process ids of this process, if /proc is about the same ids."""
    try:
        if (_PROC / "self").readlink().name == str(os.getpid()):
            boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
            return boot, (_PROC / "self/ns/pid").readlink().name
    except OSError:
        pass
    return "unknown", "unknown"


def _started(pid: int) -> str | None:
    """Return when a process was started, in the clock ticks of its kernel, or that it has ended.

    Return None if that is hidden: /proc may be mounted so that users see their own processes only.
    """
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None if is_running(pid) else _ENDED
    fields = stat.rpartition(")")[2].split()
    return _ENDED if fields[0] in ("Z", "X") else fields[_START]
