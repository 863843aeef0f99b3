"""Where a file-backed channel lives on this host, and what stands beside its file."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NamedTuple

from ojobchannels.errors import (
    ChannelError,
    ChannelUnavailable,
    InvalidOption,
    NotSupported,
    StorageFull,
)
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


class Place(NamedTuple):
    """A data file, the folder of its helpers, and the mode that they all get.

    Attributes:
        path: The file itself, links followed.
        side: The folder beside it for gates, lock records, liveness and bells.
        mode: Permission bits of the data file, without execute.
    """

    path: Path
    side: Path
    mode: int


def locate(file: str | os.PathLike[str]) -> Path:
    """Returns the path of a channel's file, with its links followed.

    Raises:
        InvalidOption: It is no path.
    """
    try:
        return Path(file).expanduser().resolve()
    except (RuntimeError, ValueError) as error:
        raise InvalidOption("file", f"{file!r}: {error}", "name another path") from error


def prepare(channel: str, path: Path) -> Place:
    """Finds the place of a channel's file, and makes its folders.

    Raises:
        NotSupported: It would lie on a network filesystem, where locks of one host do not hold.
        ChannelUnavailable: Its folder cannot be made or written.
    """
    try:
        if path.is_dir():
            raise ChannelUnavailable(channel, f"{path} is a folder", "name a file")
        path.parent.mkdir(parents=True, exist_ok=True)
        filesystem = filesystem_type(path.parent)
        if filesystem in _NETWORK_FILESYSTEMS:
            raise NotSupported(
                channel,
                f"{path} on the network filesystem {filesystem}",
                "locks of one host do not hold there: use a local disk, or a type made for several "
                "hosts such as redis or mongo",
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
        if isinstance(error, ChannelError):
            raise
        raise explain(channel, path, error) from error
    return Place(path, side, mode)


def _refuse_second_names(channel: str, path: Path) -> None:
    links = path.stat().st_nlink if path.exists() else 1
    if links > 1:
        raise ChannelUnavailable(
            channel,
            f"{path} is one of {links} names (hard links) of one file",
            "each name would have locks of its own: delete the others, make them symbolic links, "
            "or open a copy",
        )


def exists(file: str | os.PathLike[str]) -> bool:
    """Tells whether a channel was opened on this file before; makes nothing."""
    path = locate(file)
    return path.exists() or _side(path).is_dir()


def _side(path: Path) -> Path:
    return path.with_name(f"{path.name}{SIDE_SUFFIX}")


def filesystem_type(path: Path) -> str:
    """Names the type of the filesystem that holds `path`, or answers an empty text."""
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


def explain(channel: str, path: Path, error: OSError) -> ChannelError:
    """Says what an operating system error means for a channel, and what to do."""
    reason = f"{error.strerror or error} ({error.filename or path})"
    if error.errno in _FULL:
        return StorageFull(
            channel, reason, "free some space or raise the limit; nothing was changed, so try again"
        )
    folder = next(folder for folder in path.parents if os.path.exists(folder))  # noqa: PTH110  never raises
    if error.errno in _FORBIDDEN:
        also = " and on the file" if folder == path.parent else ", to make a folder there"
        advice = f"user id {os.geteuid()} needs write permission on {folder}{also}"
        return ChannelUnavailable(channel, reason, advice)
    if folder != path.parent:
        advice = f"no folder can be made in {folder}: name another place"
        return ChannelUnavailable(channel, reason, advice)
    return ChannelUnavailable(channel, reason, f"check {path}, then try again")
