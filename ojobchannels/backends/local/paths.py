"""The paths of a file-backed channel on this host, and the checks before it is opened."""

import errno
import os
from pathlib import Path
from typing import NamedTuple

from ojobchannels import errors
from ojobchannels.host.files import SIDE_SUFFIX, make_folder

_NETWORK_FILESYSTEMS = frozenset(
    {
        *("9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.sshfs"),
        *("gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs"),
        *("smb3", "smbfs", "virtiofs"),
    }
)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class StoragePath(NamedTuple):
    """A data file, the folder of its helper files, and the mode of all of them.

    Attributes:
        path: The file itself, with links resolved.
        side: The folder beside it for file locks, lock records, liveness and waiters.
        mode: Permission bits of the data file, without execute.
    """

    path: Path
    side: Path
    mode: int


def locate(file: str | os.PathLike[str]) -> Path:
    """Return the path of a channel's file, with links resolved.

    Raises:
        InvalidOption: `file` is not a valid path.
    """
    try:
        return Path(file).expanduser().resolve()
    except (RuntimeError, ValueError) as error:
        raise errors.InvalidOption("file", f"{file!r}: {error}", "use another path") from error


def prepare(channel: str, path: Path) -> StoragePath:
    """Create the folders of a channel's file, and return its paths.

    Raises:
        NotSupported: The file is on a network filesystem, where the locks of one host do not work.
        ChannelUnavailable: The folder cannot be created or written.
    """
    try:
        if path.is_dir():
            raise errors.ChannelUnavailable(
                channel, f"{path} is a folder", "pass the path of a file"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        filesystem = filesystem_type(path.parent)
        if filesystem in _NETWORK_FILESYSTEMS:
            raise errors.NotSupported(
                channel,
                f"{path} on the network filesystem {filesystem}",
                "locks between processes do not work there: use a local disk, or a type for "
                "several hosts, such as redis or mongo",
            )
        _refuse_second_names(channel, path)
        side = _side(path)
        mode = path.stat().st_mode & 0o666 if path.exists() else None
        if mode is None:
            side.mkdir(exist_ok=True)
            mode = side.stat().st_mode & 0o666
        else:
            make_folder(side, mode, like=path)
        if not os.access(side, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(side))
    except OSError as error:
        if isinstance(error, errors.ChannelError):
            raise
        raise explain(channel, path, error) from error
    return StoragePath(path, side, mode)


def _refuse_second_names(channel: str, path: Path) -> None:
    links = path.stat().st_nlink if path.exists() else 1
    if links > 1:
        raise errors.ChannelUnavailable(
            channel,
            f"{path} has {links} names (hard links)",
            "each name would have separate locks: delete the others, make them symbolic links, or "
            "open a copy",
        )


def exists(file: str | os.PathLike[str]) -> bool:
    """Return whether a channel was opened on this file before; creates nothing."""
    path = locate(file)
    return path.exists() or _side(path).is_dir()


def _side(path: Path) -> Path:
    return path.with_name(f"{path.name}{SIDE_SUFFIX}")


def filesystem_type(path: Path) -> str:
    """Return the type of the filesystem that `path` is on, or an empty string."""
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if fields[2] == wanted:
            return fields[fields.index("-") + 1]
    return ""


def explain(channel: str, path: Path, error: OSError) -> errors.ChannelError:
    """Return our error for an error of the operating system."""
    reason = f"{error.strerror or error} ({error.filename or path})"
    if error.errno in _FULL:
        return errors.StorageFull(
            channel, reason, "free some space or raise the limit; nothing was changed, so try again"
        )
    folder = next(folder for folder in path.parents if os.path.exists(folder))  # noqa: PTH110  never raises
    if error.errno in _FORBIDDEN:
        also = " and on the file" if folder == path.parent else ", to create a folder there"
        advice = f"user id {os.geteuid()} needs write permission on {folder}{also}"
        return errors.ChannelUnavailable(channel, reason, advice)
    if folder != path.parent:
        advice = f"no folder can be created in {folder}: use another path"
        return errors.ChannelUnavailable(channel, reason, advice)
    return errors.ChannelUnavailable(channel, reason, f"check {path}, then try again")
