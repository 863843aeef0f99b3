"""Reads one job file: its plain data, and the position of each part in the text."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from ojobchannels.errors import Diagnostic, JobFileError
from ojobchannels.ojob.yaml.positions import DocumentPath, Position, diagnostic_at
from ojobchannels.suggestions import closest

BUNDLED: Final = "ojobchannels:"
"""The prefix of the names of bundled packs."""
SUFFIXES: Final = (".yaml", ".yml", ".json")
_NOT_FOR_YAML: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""Characters that JSON allows in texts, but YAML reads as line breaks or refuses."""


@dataclass(frozen=True)
class Source:
    """A job file that was read.

    Attributes:
        name: The path as the user knows it, for messages and tracebacks.
        path: The path of the file.
        bundled: Whether it is part of this package.
        text: Its content.
        data: The content as plain data.
        positions: Where each part of the data is in the text.
    """

    name: str
    path: Path
    bundled: bool
    text: str = field(repr=False)
    data: Any = field(repr=False)
    positions: Mapping[DocumentPath, Position] = field(repr=False)

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the text, each with a line break."""
        return [f"{line}\n" for line in self.text.split("\n")]

    @cached_property
    def shown(self) -> tuple[int, None, list[str], str]:
        """The entry of the module linecache for this file."""
        return len(self.text) + 1, None, self.lines, self.name

    def without(self, *keys: str) -> Source:
        """Return the file without some of its top-level keys."""
        if not isinstance(self.data, dict):
            return self
        return replace(self, data={key: one for key, one in self.data.items() if key not in keys})

    def position(self, path: DocumentPath) -> Position:
        """Return the position of a value, or of the innermost value around it."""
        while path not in self.positions and path:
            path = path[:-1]
        return self.positions.get(path, Position(1, 1, 1, 1))

    def diagnostic(
        self, path: DocumentPath, message: str, hint: str = "", *, at_key: bool = False
    ) -> Diagnostic:
        """Return a diagnostic that points at the value at `path`, or at its key."""
        place = self.position(path)
        return diagnostic_at(self.name, place[2:4] if at_key else place[:2], path, message, hint)


def read(path: Path, name: str, *, bundled: bool = False) -> Source:
    """Read one file of YAML 1.2 or JSON.

    Raises:
        JobFileError: It cannot be read, or is not valid YAML or JSON.
    """
    from ojobchannels.ojob.yaml.reader import Reader
    from ojobchannels.ojob.yaml.syntax_errors import invalid_json

    if path.suffix not in SUFFIXES:
        advice = f"the name of a job file ends in {', '.join(SUFFIXES)}"
        raise JobFileError((diagnostic_at(name, (0, 0), (), "not the name of a job file", advice),))
    text = _text(path, name)
    if path.suffix == ".json":
        if error := invalid_json(text):
            raise JobFileError((diagnostic_at(name, error.at, (), str(error), error.hint),))
        text = _NOT_FOR_YAML.sub(_escaped, text.replace("\t", " "))
    reader = Reader(name)
    data = reader.read(text)
    if reader.diagnostics:
        raise JobFileError(tuple(reader.diagnostics))
    return Source(name, path, bundled, text, data, reader.positions)


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def _text(path: Path, name: str) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        message = f"cannot read the file: {error.strerror or error}"
        raise JobFileError(
            (diagnostic_at(name, (0, 0), (), message, _advice(path, error)),)
        ) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode()
        at = before.count("\n") + 1, len(before) - before.rfind("\n")
        utf16 = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
        message = "this is UTF-16" if utf16 else f"the byte 0x{raw[error.start]:02X} is not UTF-8"
        raise JobFileError(
            (diagnostic_at(name, at, (), message, "save the file as UTF-8"),)
        ) from error
    return io.StringIO(text, newline=None).read()


def _advice(path: Path, error: OSError) -> str:
    match error:
        case IsADirectoryError():
            return "name a file in it"
        case PermissionError():
            return f"user id {os.geteuid()} needs permission to read it"
        case FileNotFoundError() if not path.parent.is_dir():
            return f"there is no folder {path.parent}"
        case FileNotFoundError():
            meant = file_beside(path)
            return f"did you mean `{path.with_name(meant)}`?" if meant else ""
        case _:
            return ""


def file_beside(path: Path) -> str | None:
    """Return the name of an existing job file that may be meant by a missing one."""
    try:
        beside = {one.stem: one.name for one in path.parent.iterdir() if one.suffix in SUFFIXES}
    except (OSError, ValueError):  # the folder is not there, or has NUL in its name
        return None
    # Names are compared without their suffix, which would make short names similar.
    meant = closest(path.stem, beside)
    return beside[meant] if meant else None
