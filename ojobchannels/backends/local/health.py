"""What an operator should know about the file of a channel: its permissions, and the free space."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ojobchannels.backends.local.paths import locate
from ojobchannels.hookspecs import Finding, Health

_LITTLE_SPACE: Final = 100 * 1024 * 1024
_FEW_FILES: Final = 100


def health(storage: str, file: str) -> Health:
    """Return the state of a channel's file.

    Args:
        storage: The program that writes it, and its version.
        file: The path of the file.
    """
    path = locate(file)
    return Health(storage, None, (*_permissions(path), *_space(path)))


def _permissions(path: Path) -> Iterator[Finding]:
    mode = path.stat().st_mode if path.exists() else 0
    if mode & stat.S_IWOTH:
        text = f"every user of this host can change {path}"
        yield Finding(text, f"take that away: chmod o-w {path}")
    elif mode & stat.S_IROTH:
        text = f"every user of this host can read {path}, with the args and errors of all runs"
        yield Finding(text, f"if that is not wanted: chmod o-r {path}", is_problem=False)
    folder = path.parent.stat().st_mode
    if folder & stat.S_IWOTH and not folder & stat.S_ISVTX:
        text = f"every user of this host can replace files in {path.parent}"
        yield Finding(text, f"take that away: chmod o-w {path.parent}")


def _space(path: Path) -> Iterator[Finding]:
    disk = os.statvfs(path.parent)
    free = disk.f_bavail * disk.f_frsize
    if free < _LITTLE_SPACE:
        text = f"only {free >> 20} MiB are free on the filesystem of {path}"
        yield Finding(text, "free some space; without it no run can be recorded or even start")
    elif disk.f_files and disk.f_favail < _FEW_FILES:
        text = f"the filesystem of {path} has room for only {disk.f_favail} more files"
        yield Finding(text, "remove files that are not needed")
