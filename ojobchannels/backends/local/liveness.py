"""Tells whether the process behind a lease still lives.

Every process locks one byte, at a random offset far beyond the end of an empty file that all share.
The kernel frees the byte when the last descriptor of that opening is closed, by death too, and
anybody can ask without taking it. Open file description locks (Linux 3.15) have what is needed:
unlike POSIX record locks they do not vanish when another descriptor of the file is closed, and
unlike flock one file serves any number of processes, so nothing is left behind to clean up.

The upper bits of an offset tell which file it is in. If somebody deletes the file, those that
opened it before and after cannot see each other's bytes; then a holder counts as alive.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import struct
import threading
from pathlib import Path

from ojobchannels.host.files import open_side_file
from ojobchannels.host.forks import forget_in_children

SUPPORTED = hasattr(fcntl, "F_OFD_SETLK")
_FLOCK = struct.Struct("hhqqi0q")
NOBODY = 0
_BITS_OF_FILE = 22
_BITS_WITHIN = 40


class Liveness:
    """This process's sign of life; a forked child has none of its own until it asks for it."""

    def __init__(self, path: Path, mode: int) -> None:
        self._path = path
        self._mode = mode
        self._lock = threading.Lock()
        self._descriptor = -1
        self._offset = NOBODY
        self._closed = False
        forget_in_children(self)

    def offset(self) -> int:
        """Where this process's byte is; NOBODY where the platform has no such locks."""
        if self._offset == NOBODY and SUPPORTED:
            with self._lock:
                if self._offset == NOBODY:
                    self._descriptor, self._offset = self._occupy()
                    if self._closed:
                        self._let_go()
        return self._offset

    def is_alive(self, offset: int) -> bool:
        """Tells whether somebody holds the byte at `offset`; yes where that cannot be known."""
        if offset in (NOBODY, self.offset()):
            return True
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0)
        with self._lock:  # closed meanwhile, the descriptor's number may be another file's
            if self._descriptor < 0 or not _is_in(self._descriptor, offset):
                return True
            answer = fcntl.fcntl(self._descriptor, fcntl.F_OFD_GETLK, asked)
        return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)

    def branch(self) -> tuple[int, int]:
        """Occupies another byte, for a child process: its descriptor and its offset."""
        return self._occupy() if SUPPORTED else (-1, NOBODY)

    def close(self) -> None:
        """Gives up the sign of life; a lease that is granted even later is nobody's at once."""
        with self._lock:
            self._closed = True
            self._let_go()

    def forget(self) -> None:
        """Closes the parent's descriptor in a forked child: only the parent's life counts."""
        self._lock = threading.Lock()
        self._offset = NOBODY
        self._let_go()

    def _let_go(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _occupy(self) -> tuple[int, int]:
        descriptor = open_side_file(self._path, self._mode)
        offset = _anywhere_in(descriptor)
        fcntl.fcntl(
            descriptor,
            fcntl.F_OFD_SETLK,
            _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0),
        )
        return descriptor, offset


def _anywhere_in(descriptor: int) -> int:
    return _file_bits(descriptor) | 1 + secrets.randbelow(2**_BITS_WITHIN - 1)


def _is_in(descriptor: int, offset: int) -> bool:
    return offset >> _BITS_WITHIN << _BITS_WITHIN == _file_bits(descriptor)


def _file_bits(descriptor: int) -> int:
    number: int = os.fstat(descriptor).st_ino % 2**_BITS_OF_FILE
    return number << _BITS_WITHIN
