"""New files in the place of a JSON file, or beside it, with its owner and mode."""

import os
import stat
from pathlib import Path

from ojobchannels.errors import ChannelUnavailable
from ojobchannels.host.files import UnsafeFile, give, open_regular


class NewFiles:
    """Creates files that get the owner and the mode of the JSON file.

    Args:
        channel: The channel, for messages.
        path: The JSON file.
        mode: Permissions, as long as there is no JSON file.
    """

    def __init__(self, channel: str, path: Path, mode: int) -> None:
        self._channel = channel
        self._path = path
        self._mode = mode
        self._owner: int | None = None

    def see_owner(self, user: int) -> None:
        """Remember the user id of the file's owner when it was opened here."""
        if self._owner is None:
            self._owner = user

    def create(self, path: Path, also: int = 0) -> int:
        """Create a file, in place of any other at that path; return the descriptor.

        Args:
            path: The path.
            also: Permissions that it needs besides those of the JSON file.
        """
        path.unlink(missing_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        try:
            os.fchmod(descriptor, self._take_after_the_file(descriptor) | also)
        except BaseException:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        return descriptor

    def _take_after_the_file(self, descriptor: int) -> int:
        try:
            old = self._path.lstat()
        except FileNotFoundError:
            give(descriptor, self._path.parent.stat())
            return self._mode
        if not stat.S_ISREG(old.st_mode):
            raise UnsafeFile(self._path, "it is not a regular file")
        if os.geteuid() == 0 and old.st_uid != self._owner:
            reason = f"it belongs to user id {old.st_uid} since it was opened here"
            raise UnsafeFile(self._path, reason)
        if old.st_uid != os.geteuid() or old.st_gid != os.getegid():
            self._keep_owner(descriptor, old)
        return stat.S_IMODE(old.st_mode)

    def _keep_owner(self, descriptor: int, old: os.stat_result) -> None:
        try:
            os.fchown(descriptor, old.st_uid, old.st_gid)
        except PermissionError as error:
            raise ChannelUnavailable(
                self._channel,
                f"the file belongs to user id {old.st_uid}, group id {old.st_gid}, and would lose "
                "that owner if it was written",
                f"run as that user, or give the file to user id {os.geteuid()} with chown",
            ) from error

    def flush_folder(self) -> None:
        """Flush the names of the files to the disk, after the JSON file was replaced.

        Raises:
            ChannelUnavailable: It failed; the change is stored.
        """
        folder = self._path.parent
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise ChannelUnavailable(
                self._channel,
                f"{error.strerror or error} ({folder}), after {self._path.name} was replaced",
                "the change is stored, but a power cut may undo it: check the disk, then write "
                "again",
            ) from error


def content_of(path: Path) -> bytes:
    """Return the content of a regular file."""
    # Tools for backups make hard links to a file for a time.
    with open(open_regular(path, os.O_RDONLY, links=True), "rb") as file:  # noqa: PTH123  a descriptor has no path
        return file.read()
