"""Files in folders that others may write to, and helper files beside the data.

Another user may put a link, a FIFO or a file of his own in the place of any file there, at any
time. So a folder is opened once, without following a link, and everything in it is reached through
its descriptor; a file is checked, changed and given away by its own descriptor, never by its path.
"""

import errno
import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

SIDE_SUFFIX: Final = ".ojob"
_ATTEMPTS: Final = 100
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Without O_NONBLOCK, opening a FIFO waits for its other end; regular files ignore it.
_PLAIN: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_OUR_NAMES: Final = re.compile(r"alive|gate|locks|version|waiting|[0-9a-f]{32,40}|\d{20}[\d-]+")


class UnsafeFile(OSError):
    """Something else is in the place of a file or folder: a link, a FIFO, another user's file."""

    def __init__(self, path: str | Path, what: str) -> None:
        super().__init__(errno.ELOOP, what, str(path))


def private(mode: int) -> int:
    """Return the mode without read permission for those without write permission.

    A user who can open a file can lock it; so a user who may only read could stop all others. With
    a usual umask of 022 only the owner may read; a umask such as 002 admits the group.
    """
    return 0o600 | sum(both for both in (0o060, 0o006) if mode & both == both)


def mode_of_folder(mode: int) -> int:
    """Return the mode of a folder that users who may read a file of `mode` may enter."""
    return mode | (mode & 0o444) >> 2


def open_folder(path: str | Path, within: int | None = None) -> int:
    """Open a folder, but not through a symbolic link in its place; return the descriptor.

    Raises:
        UnsafeFile: It is a symbolic link, or not a folder.
        OSError: It cannot be opened.
    """
    try:
        return os.open(path, _FOLDER | os.O_NOFOLLOW, dir_fd=within)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise UnsafeFile(path, "it is not a folder") from error
        raise


def open_regular(
    path: str | Path, flags: int, mode: int = 0o600, within: int | None = None, links: bool = False
) -> int:
    """Open a regular file, without waiting and without following a link; return the descriptor.

    Args:
        path: The file; relative to the folder `within`.
        flags: As for `os.open`.
        mode: Permissions of a file that is created.
        within: The descriptor of an open folder.
        links: Whether the file may have other names (hard links).

    Raises:
        UnsafeFile: It is a link, or not a regular file.
        OSError: It cannot be opened.
    """
    return _open_regular(path, flags, mode, within, links)[0]


def _open_regular(
    path: str | Path, flags: int, mode: int, within: int | None, links: bool
) -> tuple[int, os.stat_result]:
    """Open a file as `open_regular` does; return descriptor and status."""
    try:
        descriptor = os.open(path, flags | _PLAIN, mode, dir_fd=within)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnsafeFile(path, "it is a symbolic link") from error
        if error.errno == errno.ENXIO:
            raise UnsafeFile(path, "it is not a regular file") from error
        raise
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and (links or status.st_nlink <= 1):
        return descriptor, status
    os.close(descriptor)
    is_file = stat.S_ISREG(status.st_mode)
    raise UnsafeFile(path, "it has several names" if is_file else "it is not a regular file")


def names_in(folder: int) -> list[str]:
    """Return the sorted names in an open folder."""
    return sorted(os.listdir(folder))


def is_trusted(file: os.stat_result, folder: os.stat_result) -> bool:
    """Return whether a file was made by this user, by root, or by a user who was let in.

    The owner of a folder lets others in by its permissions; so their files are trusted where the
    folder is of this user or of root, and not open to all.
    """
    ours = (os.geteuid(), 0)
    return file.st_uid in ours or (folder.st_uid in ours and not folder.st_mode & stat.S_IWOTH)


class SideFolder:
    """A folder of helper files: the one beside a data file, or one within that.

    Attributes:
        path: The path, for messages and quick checks.
        mode: Permissions of the files in it, without execute.
    """

    def __init__(
        self, path: Path, mode: int, above: "SideFolder | None" = None, data: Path | None = None
    ) -> None:
        self.path = path
        self.mode = mode
        self._above = above
        self._data = data
        self._text = str(path)
        self._name = path.name
        self._keeps_open = False
        self._kept: OpenFolder | None = None

    def keep_open(self) -> None:
        """Keep the folder open from its next use on, until `give_back`."""
        self._keeps_open = True

    def give_back(self) -> None:
        """Close the folder if it was kept open; the next use opens it again."""
        self._kept = None

    def exists(self) -> bool:
        """Return whether something is at the path."""
        return os.access(self._text, os.F_OK)

    def names(self) -> list[str]:
        """Return the sorted names at the path, where another folder may be: check what you open.

        Raises:
            FileNotFoundError: It does not exist.
        """
        return sorted(os.listdir(self._text))  # noqa: PTH208  a Path is slower

    def folder(self, name: str) -> "SideFolder":
        """Return a folder within this one."""
        return SideFolder(self.path / name, self.mode, self)

    def file(self, name: str) -> "SideFile":
        """Return a file within this folder; it is created when it is opened."""
        return SideFile(self, name)

    def opened(self) -> "OpenFolder":
        """Open the folder, unless it is kept open; ``with`` yields the descriptor.

        Raises:
            FileNotFoundError: It does not exist.
            UnsafeFile: It is not a folder, or another user has put it there.
        """
        kept = self._kept
        if kept is not None and kept.is_at(self._text):
            return kept
        opened = OpenFolder(self._open())
        if self._keeps_open:
            self._kept = opened
        return opened

    def make(self, by_umask: bool = False) -> None:
        """Create the folder, and those of ours above it, unless they exist.

        Args:
            by_umask: Whether the umask decides who may enter it, and not the mode.
        """
        try:
            with self._opened_above() as above:
                self._make_within(above, by_umask)
        except FileNotFoundError:
            if self._above is None:
                raise  # the folders above it are not ours
            self._above.make()
            with self._opened_above() as above:
                self._make_within(above, by_umask)

    def remove(self) -> None:
        """Remove the folder.

        Raises:
            OSError: It has files, or does not exist.
        """
        with self._opened_above() as above:
            os.rmdir(self._name, dir_fd=above)

    def _opened_above(self) -> "OpenFolder":
        if self._above is not None:
            return self._above.opened()
        return OpenFolder(os.open(self.path.parent, _FOLDER))

    def _open(self) -> int:
        if self._above is not None:
            with self._above.opened() as above:
                return open_folder(self._name, above)
        descriptor = open_folder(self.path)
        try:
            self._check_owner(os.fstat(descriptor))
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _check_owner(self, folder: os.stat_result) -> None:
        if folder.st_uid == os.geteuid():
            return
        parent = self.path.parent.stat()
        data = self._status_of_data()
        # What root creates for data that does not exist yet goes to the owner of the parent.
        owner = data or (parent if os.geteuid() == 0 else None)
        if owner is not None and folder.st_uid == owner.st_uid:
            return
        if not folder.st_mode & ~self.mode & stat.S_IWOTH and (
            folder.st_uid == 0 or (data is not None and _is_of_group(folder, data, parent))
        ):
            return
        raise UnsafeFile(
            self.path,
            f"it belongs to user id {folder.st_uid}, neither to this user nor to the owner of the "
            "data",
        )

    def _status_of_data(self) -> os.stat_result | None:
        with suppress(FileNotFoundError):
            return os.lstat(self._data) if self._data else None
        return None

    def _make_within(self, above: int, by_umask: bool) -> None:
        try:
            os.mkdir(self._name, dir_fd=above)
        except FileExistsError:
            return
        made = open_folder(self._name, above)
        try:
            status = os.fstat(made)
            is_ours = status.st_uid == os.geteuid()
            # Another folder of ours may have been moved into its place since.
            if not (is_ours and all(map(_OUR_NAMES.fullmatch, names_in(made)))):
                raise UnsafeFile(self.path, "it was replaced by another folder")
            mode = private(status.st_mode) if by_umask else self.mode
            os.fchmod(made, mode_of_folder(mode) | status.st_mode & stat.S_ISGID)
            give(made, self._status_of_data() or os.fstat(above))
        finally:
            os.close(made)


def _is_of_group(folder: os.stat_result, data: os.stat_result, parent: os.stat_result) -> bool:
    """Return whether only users who may write the data as its group can have made a folder."""
    admitted = bool(data.st_mode & stat.S_IWGRP) and not parent.st_mode & stat.S_IWOTH
    return admitted and folder.st_gid == data.st_gid


class OwnedFile:
    """A file that is closed with its object, at the latest.

    Its `descriptor` is -1 while it is not open, and when a signal has interrupted `__init__`.
    """

    descriptor = -1
    _close = staticmethod(os.close)  # at exit, a module may be cleared before its objects

    def close(self) -> None:
        """Close the file."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            self._close(descriptor)

    def __del__(self) -> None:
        self.close()


class OpenFolder(OwnedFile):
    """An open folder; it is closed when neither ``with`` nor a `SideFolder` refers to it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._identity: tuple[int, int] | None = None

    def __enter__(self) -> int:
        return self.descriptor

    def __exit__(self, *_: object) -> None:
        pass

    def is_at(self, path: str) -> bool:
        """Return whether the path leads to this folder: it was not deleted, moved or replaced."""
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return False
        if self._identity is None:
            status = os.fstat(self.descriptor)
            self._identity = status.st_dev, status.st_ino
        return (found.st_dev, found.st_ino) == self._identity


class SideFile(OwnedFile):
    """A helper file that is kept open for reading and writing, with exactly the folder's mode.

    It is opened again after it was deleted or replaced, or closed.
    """

    def __init__(self, folder: SideFolder, name: str) -> None:
        self.path = folder.path / name
        self._folder = folder
        self._text = str(self.path)
        self._name = name
        self._identity: tuple[int, int] | None = None

    def open(self) -> int:
        """Open the file unless it is open, and return the descriptor.

        Raises:
            UnsafeFile: It is a link, or not a regular file, or its folder is another user's.
            OSError: It cannot be opened or created.
        """
        if self.descriptor < 0:
            self._identity = None
            self.descriptor, status = _open_side_file(self._folder, self._name)
            self._identity = status.st_dev, status.st_ino
        return self.descriptor

    def is_current(self) -> bool:
        """Return whether the path still leads to the open file."""
        try:
            status = os.lstat(self._text)
        except FileNotFoundError:
            return False
        return (status.st_dev, status.st_ino) == self._identity


def open_side_file(folder: SideFolder, name: str) -> int:
    """Open a file in a folder for reading and writing; create both if needed.

    Raises:
        UnsafeFile: It is a link, or not a regular file, or the folder is another user's.
        OSError: The file cannot be opened or created.
    """
    return _open_side_file(folder, name)[0]


def _open_side_file(folder: SideFolder, name: str) -> tuple[int, os.stat_result]:
    """Open a file as `open_side_file` does; return descriptor and status."""
    for _ in range(_ATTEMPTS):
        try:
            with folder.opened() as within:
                try:
                    return _open_regular(name, os.O_RDWR, 0, within, links=False)
                except FileNotFoundError:
                    return _create(within, name, folder.mode)
        except FileExistsError:
            continue  # another process has created it
        except FileNotFoundError:
            with suppress(FileNotFoundError):  # another process has deleted it again
                folder.make()
                continue
            raise
        except OSError as error:
            error.filename = str(folder.path / name)
            raise
    raise UnsafeFile(folder.path / name, "other programs keep creating and deleting it")


def give(descriptor: int, owner: os.stat_result) -> None:
    """Give what root has created to a user, who could not use it otherwise."""
    if os.geteuid() == 0:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _create(within: int, name: str, mode: int) -> tuple[int, os.stat_result]:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(name, flags, mode, dir_fd=within)
    try:
        os.fchmod(descriptor, mode)
        give(descriptor, os.fstat(within))
        return descriptor, os.fstat(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
