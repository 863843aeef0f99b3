"""Detects whether the process that holds a lease is still alive.

Every process locks one byte, at a random offset far beyond the end of a file that all processes
share. The kernel releases the byte when the last descriptor of that opening is closed,
also by the death of the process, and any process can test the byte without locking it. Open file
description locks (Linux 3.15) are needed: POSIX record locks vanish when another descriptor of the
file is closed, and with flock each process would need a file of its own, to be cleaned up later.

A child that a C library forked, unnoticed by Python, keeps the descriptor of its dead parent,
and with it the byte. So the file also says which process locked each byte; see `owners`.

The upper bits of an offset identify the file. If the file is deleted, the processes that
opened it before and after cannot see each other's bytes; such a holder counts as alive.
"""

import fcntl
import os
import secrets
import struct
import threading

from ojobchannels.backends.local import owners
from ojobchannels.backends.lock_record import NO_PROCESS
from ojobchannels.host.files import SideFolder, open_side_file
from ojobchannels.host.forks import forget_in_children

SUPPORTED = hasattr(fcntl, "F_OFD_SETLK")
_FLOCK = struct.Struct("hhqqi0q")
_FILE_BITS = 22
_OFFSET_BITS = 40


class Liveness:
    """The liveness byte of this process; a forked child locks a byte of its own."""

    def __init__(self, folder: SideFolder) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._descriptor = -1
        self._offset = NO_PROCESS
        self._closed = False
        forget_in_children(self)

    def offset(self) -> int:
        """Return the offset of this process's byte, or NO_PROCESS on an unsupported platform."""
        if self._offset == NO_PROCESS and SUPPORTED:
            with self._lock:
                if self._offset == NO_PROCESS:
                    self._close_file()
                    self._descriptor, self._offset = self._lock_byte()
                    owners.write(self._descriptor, self._offset)
                    if self._closed:
                        self._close_file()
        return self._offset

    def is_alive(self, offset: int) -> bool | None:
        """Return whether a process holds the byte at `offset`; None if that cannot be known.

        If a process holds it, that process runs on the same kernel.
        """
        if offset == NO_PROCESS:
            return None
        if offset == self.offset():
            return True
        query = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0)
        file_bits = offset >> _OFFSET_BITS << _OFFSET_BITS
        with self._lock:  # if closed meanwhile, the descriptor's number may be another file's
            if self._descriptor < 0 or file_bits != _file_bits(self._descriptor):
                return None
            reply = fcntl.fcntl(self._descriptor, fcntl.F_OFD_GETLK, query)
            is_locked = _FLOCK.unpack(reply)[0] != fcntl.F_UNLCK
            return is_locked and not owners.is_dead(self._descriptor, offset)

    def lock_shared_byte(self) -> tuple[int, int]:
        """Lock another byte, to be shared with a child process; return descriptor and offset."""
        return self._lock_byte() if SUPPORTED else (-1, NO_PROCESS)

    def close(self) -> None:
        """Release the byte; a lease that is granted later counts as a dead holder's."""
        with self._lock:
            self._closed = True
            self._close_file()

    def forget(self) -> None:
        """Close the parent's descriptor in a forked child: only the parent's life counts."""
        self._lock = threading.Lock()
        self._offset = NO_PROCESS
        self._close_file()

    def _close_file(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _lock_byte(self) -> tuple[int, int]:
        """Lock a byte; the offset is NO_PROCESS if another program has locked all of them."""
        descriptor = open_side_file(self._folder, "alive")
        offset = _file_bits(descriptor) | 1 + secrets.randbelow(2**_OFFSET_BITS - 1)
        lock = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0)
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
        except BlockingIOError:
            offset = NO_PROCESS
        return descriptor, offset


def _file_bits(descriptor: int) -> int:
    number: int = os.fstat(descriptor).st_ino % 2**_FILE_BITS
    return number << _OFFSET_BITS
