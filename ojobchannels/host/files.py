"""Helper files beside the data, kept open, and reopened after they were deleted or replaced."""

import os
from contextlib import suppress
from pathlib import Path


class SideFile:
    """A file that is kept open for reading and writing; it is created with exactly `mode`.

    Its `descriptor` is -1 while it is not open.
    """

    descriptor = -1

    def __init__(self, path: Path, mode: int) -> None:
        self.path = path
        self._name = str(path)
        self._mode = mode
        self._identity: tuple[int, int] | None = None

    def open(self) -> int:
        """Open the file unless it is open, and return the descriptor."""
        if self.descriptor < 0:
            self._identity = None
            self.descriptor = open_side_file(self.path, self._mode)
            status = os.fstat(self.descriptor)
            self._identity = status.st_dev, status.st_ino
        return self.descriptor

    def is_current(self) -> bool:
        """Return whether the path still leads to the open file."""
        try:
            status = os.stat(self._name)  # noqa: PTH116  twice as fast
        except FileNotFoundError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def close(self) -> None:
        """Close the file; `open` opens it again."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


def open_side_file(path: Path, mode: int) -> int:
    """Open a file for reading and writing; create it, and our folders above it, if needed.

    Raises:
        OSError: The file cannot be opened or created.
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
    """Create a folder that users who may read a file of `mode` may also enter."""
    with suppress(FileExistsError):
        try:
            folder.mkdir()
        except FileNotFoundError:
            if folder.suffix == SIDE_SUFFIX:
                raise  # the folders above it are not ours
            make_folder(folder.parent, mode)
            folder.mkdir()
        folder.chmod(mode | (mode & 0o444) >> 2)
        give_to_owner_of(like or folder.parent, folder)


def give_to_owner_of(owned: Path, made: Path | int) -> None:
    """Give a file that root created to the owner of the folder, who could not use it otherwise."""
    if os.geteuid() == 0:
        owner = owned.stat()
        os.chown(made, owner.st_uid, owner.st_gid)
