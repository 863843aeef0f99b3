"""Files beside the data, kept open, and opened anew when somebody deleted or replaced them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


class SideFile:
    """A file that is open for reading and writing; it is made with exactly `mode`.

    Attributes:
        path: Where it is.
        descriptor: The open file, or -1.
    """

    descriptor = -1

    def __init__(self, path: Path, mode: int) -> None:
        self.path = path
        self._name = str(path)
        self._mode = mode
        self._identity: tuple[int, int] | None = None

    def open(self) -> int:
        """Opens it, unless it is open, and returns the descriptor."""
        if self.descriptor < 0:
            self._identity = None
            self.descriptor = open_side_file(self.path, self._mode)
            status = os.fstat(self.descriptor)
            self._identity = status.st_dev, status.st_ino
        return self.descriptor

    def is_current(self) -> bool:
        """Tells whether the path still leads to the file that is open."""
        try:
            status = os.stat(self._name)  # noqa: PTH116  twice as fast
        except FileNotFoundError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def close(self) -> None:
        """Closes it; `open` opens it again."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


def open_side_file(path: Path, mode: int) -> int:
    """Opens a file for reading and writing, and makes it, and our folders on the way, if need be.

    Raises:
        OSError: It cannot be opened or made.
    """
    while True:
        with suppress(FileNotFoundError):
            return os.open(path, os.O_RDWR | os.O_CLOEXEC)
        make_folder(path.parent, mode)
        with suppress(FileExistsError, FileNotFoundError):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            os.fchmod(descriptor, mode)
            give_to_owner_of(path.parent, descriptor)
            return descriptor


SIDE_SUFFIX = ".ojob"


def make_folder(folder: Path, mode: int, like: Path | None = None) -> None:
    """Makes a folder that those who may read a file of `mode` may also enter."""
    with suppress(FileExistsError):
        try:
            folder.mkdir()
        except FileNotFoundError:
            if folder.suffix == SIDE_SUFFIX:
                raise  # what lies above it is not ours
            make_folder(folder.parent, mode)
            folder.mkdir()
        folder.chmod(mode | (mode & 0o444) >> 2)
        give_to_owner_of(like or folder.parent, folder)


def give_to_owner_of(owned: Path, made: Path | int) -> None:
    """Has what root made belong to those whose place it is: they could not use it else."""
    if os.geteuid() == 0:
        owner = owned.stat()
        os.chown(made, owner.st_uid, owner.st_gid)
