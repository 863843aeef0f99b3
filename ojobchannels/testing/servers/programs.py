"""Server programs: where they are, and the commands that install missing ones."""

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
        server: Name of the server.
        command: The shell command that installs it.
    """

    def __init__(self, server: str, command: str) -> None:
        self.server = server
        self.command = command
        super().__init__(f"{server} is not installed; install it with: {command}")


class Flavour(NamedTuple):
    """A server program and its source: a wheel, or PATH if `wheel` is empty.

    Attributes:
        folder: Where it is if it is not on PATH; a pattern, without the first slash.
    """

    name: str
    program: str
    wheel: str
    command: str
    folder: str = ""

    def find(self) -> Path | None:
        """Return the path of the program, or None if it is not installed."""
        if not self.wheel:
            return self._on_path()
        try:
            files = importlib.metadata.files(self.wheel) or []
        except importlib.metadata.PackageNotFoundError:
            return None
        paths = (Path(str(file.locate())) for file in files if file.name == self.program)
        return next((path for path in paths if os.access(path, os.X_OK)), None)

    def _on_path(self) -> Path | None:
        # Scripts of the environment are programs from wheels, which are other flavours.
        scripts = sysconfig.get_path("scripts")
        folders = [folder for folder in os.get_exec_path() if folder != scripts]
        if self.folder:
            folders += sorted(map(str, Path("/").glob(self.folder)), reverse=True)
        path = shutil.which(self.program, path=os.pathsep.join(folders))
        return Path(path) if path else None


def find(flavours: tuple[Flavour, ...], name: str | None = None) -> tuple[Flavour, Path]:
    """Return the flavour of that name, or the first installed one, and the path of its program.

    Raises:
        ServerMissing: It is not installed, or no flavour is.
        ValueError: No flavour has that name.
    """
    wanted = [flavour for flavour in flavours if name in (None, flavour.name)]
    for flavour in wanted:
        if path := flavour.find():
            return flavour, path
    if not wanted:
        raise ValueError(
            f"unknown flavour {name!r}; use {', '.join(flavour.name for flavour in flavours)}"
        )
    raise ServerMissing(wanted[0].name, wanted[0].command)


def installed(flavours: tuple[Flavour, ...]) -> list[str]:
    """Return the names of the installed flavours, as parameters of a test.

    If no flavour is installed, return the first name, so that the test is skipped with a reason.
    """
    return [flavour.name for flavour in flavours if flavour.find()] or [flavours[0].name]
