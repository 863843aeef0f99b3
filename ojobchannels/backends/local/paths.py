"""The paths of a file-backed channel on this host, and the checks before it is opened."""

import errno
import os
import stat
from pathlib import Path
from typing import NamedTuple

from ojobchannels import errors
from ojobchannels.backends.local.mounts import is_mount_point
from ojobchannels.host.files import (
    SIDE_SUFFIX,
    SideFolder,
    UnsafeFile,
    give,
    mode_of_folder,
    names_in,
    open_folder,
    open_regular,
    private,
)

_SHARED_FILESYSTEMS = frozenset(
    {
        *("9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "drvfs", "fakeowner"),
        *("gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs"),
        *("osxfs", "panfs", "prl_fs", "pvfs2", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs"),
        *("vxfs", "wekafs"),
    }
)
"""Types that other hosts write to: on a network, or of the host of a virtual machine."""

_LOCAL_FUSE = frozenset(
    {
        *("bindfs", "cryfs", "encfs", "exfat", "ext2", "fuse-overlayfs", "gocryptfs", "lxcfs"),
        *("mergerfs", "ntfs", "ntfs-3g", "overlayfs", "securefs", "snapfuse", "squashfuse", "zfs"),
    }
)
"""FUSE filesystems on a local disk; programs serve all others from anywhere."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})
OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})
MORE_DESCRIPTORS = (
    "raise the limit of open files (ulimit -n, LimitNOFILE= of a service), or close files and "
    "channels that are not needed"
)


class StoragePath(NamedTuple):
    """A data file, the folder of its helper files, and the mode of all of them.

    Attributes:
        path: The file itself, with links resolved.
        side: The folder beside it for file locks, lock records, liveness and waiters.
        mode: Permission bits of the data file, without execute.
    """

    path: Path
    side: SideFolder
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


def prepare(channel: str, path: Path, create: bool = False) -> StoragePath:
    """Create the folders of a channel's file, and return its paths.

    Args:
        channel: The channel.
        path: Where the file is, with links resolved.
        create: Whether to create the file too, empty.

    Raises:
        NotSupported: The file is on a network filesystem, where the locks of one host do not work.
        ChannelUnavailable: The folder cannot be created or written, or the file has other names.
    """
    try:
        if path.is_dir():
            raise errors.ChannelUnavailable(
                channel, f"{path} is a folder", "pass the path of a file"
            )
        _make_folders(path.parent)
        filesystem = filesystem_type(path.parent)
        if is_shared(filesystem):
            raise errors.NotSupported(
                channel,
                f"{path} on the filesystem {filesystem}, which other hosts may write to",
                "locks between processes do not work there: use a local disk, or a type for "
                "several hosts, such as redis or mongo",
            )
        _refuse_second_names(channel, path)
        if create:
            _create(path)
        storage = StoragePath(path, *_side_folder(path))
        with storage.side.opened() as side:
            _narrow(side, storage.side.mode)
        if not os.access(storage.side.path, os.W_OK | os.X_OK):
            raise _not_writable(storage.side.path)
    except OSError as error:
        if isinstance(error, errors.ChannelError):
            raise
        raise explain(channel, path, error) from error
    return storage


def _make_folders(folder: Path) -> None:
    """Create a folder, and those above it; what root creates goes to the owner of the one above."""
    if folder.is_dir():
        return
    _make_folders(folder.parent)
    if os.geteuid() != 0:
        folder.mkdir(exist_ok=True)
        return
    above = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.mkdir(folder.name, dir_fd=above)
        made = open_folder(folder.name, above)
        try:
            if not names_in(made):  # otherwise another folder has taken its place since
                give(made, os.fstat(above))
        finally:
            os.close(made)
    except FileExistsError:
        folder.mkdir(exist_ok=True)  # raises if it is not a folder
    finally:
        os.close(above)


def _not_writable(path: Path) -> OSError:
    is_mounted_to_read = os.statvfs(path).f_flag & os.ST_RDONLY
    number = errno.EROFS if is_mounted_to_read else errno.EACCES
    return OSError(number, os.strerror(number), str(path))


def _refuse_second_names(channel: str, path: Path) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode):
        raise UnsafeFile(path, "it is not a regular file")
    if status.st_nlink > 1:
        raise errors.ChannelUnavailable(
            channel,
            f"{path} has {status.st_nlink} names (hard links)",
            "each name would have separate locks: delete the others, make them symbolic links, or "
            "open a copy",
        )
    if is_mount_point(path):
        raise errors.ChannelUnavailable(
            channel,
            f"{path} is a mount point (a bind mount), and so another name of a file elsewhere",
            "each name would have separate locks: mount the folder that contains the file instead "
            "of the file alone",
        )


def _create(path: Path) -> None:
    """Create an empty file with the permissions that the umask allows on purpose."""
    folder = open_folder(path.parent)
    try:
        descriptor = open_regular(path.name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666, folder)
        try:
            os.fchmod(descriptor, private(os.fstat(descriptor).st_mode))
            give(descriptor, os.fstat(folder))
        finally:
            os.close(descriptor)
    except FileExistsError:
        pass
    finally:
        os.close(folder)


def _side_folder(path: Path) -> tuple[SideFolder, int]:
    """Return the folder of helper files, created if needed, and the permissions of the file."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        side = SideFolder(_side(path), 0, data=path)
        side.make(by_umask=True)
        with side.opened() as folder:  # it remembers the umask of our first process
            made = os.fstat(folder)
        mode = side.mode = private(made.st_mode if made.st_uid == os.geteuid() else 0o600)
        return side, mode
    if not stat.S_ISREG(status.st_mode):
        raise UnsafeFile(path, "it is not a regular file")
    mode = status.st_mode & 0o666
    side = SideFolder(_side(path), private(mode), data=path)
    side.make()
    return side, mode


def _narrow(side: int, mode: int) -> None:
    """Remove permissions of our folder that the file does not give, such as those of a umask."""
    status = os.fstat(side)
    excess = status.st_mode & 0o777 & ~mode_of_folder(mode)
    if excess and status.st_uid == os.geteuid():
        os.fchmod(side, stat.S_IMODE(status.st_mode) & ~excess)


def exists(file: str | os.PathLike[str]) -> bool:
    """Return whether a channel was opened on this file before; creates nothing.

    If that may not be seen, the result is True: opening it shows the error.
    """
    path = locate(file)
    try:
        return path.exists() or _side(path).is_dir()
    except OSError:
        return True


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


def is_shared(filesystem: str) -> bool:
    """Return whether hosts that do not share our locks may write to a type of filesystem."""
    kind, _, served_by = filesystem.partition(".")
    if kind == "fuse":
        return served_by not in _LOCAL_FUSE
    return filesystem in _SHARED_FILESYSTEMS


def explain(channel: str, path: Path, error: OSError) -> errors.ChannelError:
    """Return our error for an error of the operating system."""
    reason = f"{error.strerror or error} ({error.filename or path})"
    if isinstance(error, UnsafeFile):
        advice = "another user or program may have put it there: check it, then delete it"
        return errors.ChannelUnavailable(channel, reason, advice)
    if error.errno in _FULL:
        return errors.StorageFull(
            channel, reason, "free some space or raise the limit; nothing was changed, so try again"
        )
    if error.errno in OUT_OF_DESCRIPTORS:
        return errors.ChannelUnavailable(channel, reason, MORE_DESCRIPTORS)
    if error.errno == errno.EROFS:
        advice = "mount the filesystem for writing, or use a path on another one"
        return errors.ChannelUnavailable(channel, reason, advice)
    folder = next(folder for folder in path.parents if os.path.exists(folder))  # noqa: PTH110  never raises
    if error.errno in _FORBIDDEN:
        also = " and on the file" if folder == path.parent else ", to create a folder there"
        advice = f"user id {os.geteuid()} needs write permission on {folder}{also}"
        return errors.ChannelUnavailable(channel, reason, advice)
    if folder != path.parent:
        advice = f"no folder can be created in {folder}: use another path"
        return errors.ChannelUnavailable(channel, reason, advice)
    return errors.ChannelUnavailable(channel, reason, f"check {path}, then try again")
