"""Server programs: where tests find them, and the command that gets one that is not there."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sysconfig
from pathlib import Path
from typing import NamedTuple

from ojobchannels.errors import ChannelError


class ServerMissing(ChannelError, LookupError):
    """A server that a test needs is not installed.

    Attributes:
        server: What was looked for.
        command: The shell command that gets it.
    """

    def __init__(self, server: str, command: str) -> None:
        self.server = server
        self.command = command
        super().__init__(f"there is no {server} here; get it with: {command}")


class Flavour(NamedTuple):
    """A server program and where it comes from: a wheel, or PATH where `wheel` is empty."""

    name: str
    program: str
    wheel: str
    command: str

    def find(self) -> Path | None:
        """Returns where the program is, if it is installed."""
        if not self.wheel:
            return self._on_path()
        try:
            files = importlib.metadata.files(self.wheel) or []
        except importlib.metadata.PackageNotFoundError:
            return None
        found = (Path(str(file.locate())) for file in files if file.name == self.program)
        return next((path for path in found if os.access(path, os.X_OK)), None)

    def _on_path(self) -> Path | None:
        # Among the scripts stand programs from wheels, which are flavours of their own.
        scripts = sysconfig.get_path("scripts")
        folders = [one for one in os.get_exec_path() if one != scripts]
        found = shutil.which(self.program, path=os.pathsep.join(folders))
        return Path(found) if found else None


def find(flavours: tuple[Flavour, ...], name: str | None = None) -> tuple[Flavour, Path]:
    """Returns the flavour of that name, or the first that is installed, and its program.

    Raises:
        ServerMissing: It is not installed, or none is.
    """
    wanted = [one for one in flavours if name in (None, one.name)]
    for flavour in wanted:
        if path := flavour.find():
            return flavour, path
    if not wanted:
        raise ValueError(f"{name!r} is none of {', '.join(one.name for one in flavours)}")
    raise ServerMissing(wanted[0].name, wanted[0].command)


def installed(flavours: tuple[Flavour, ...]) -> list[str]:
    """Returns the names of those that are installed, to run a test on each.

    Where none is, it is the first one's name, so that the test can tell what is missing.
    """
    return [one.name for one in flavours if one.find()] or [flavours[0].name]
