"""One job file as it was read: plain data, and where in the text each part of it stands."""

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
"""How the names of files in bundled packs begin."""
SUFFIXES: Final = (".yaml", ".yml", ".json")
_NOT_FOR_YAML: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What JSON has in its texts as it stands, and YAML takes for line breaks or not at all."""


@dataclass(frozen=True)
class Source:
    """A job file that could be read.

    Attributes:
        name: The file as people know it, used in messages and tracebacks.
        path: The file itself.
        bundled: Whether it came with this package.
        text: What it holds.
        data: The same as plain data.
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
        """The lines of the text, each with its end."""
        return [f"{line}\n" for line in self.text.split("\n")]

    @cached_property
    def shown(self) -> tuple[int, None, list[str], str]:
        """The entry of the module linecache for this file."""
        return len(self.text) + 1, None, self.lines, self.name

    def without(self, *keys: str) -> Source:
        """Returns the file as if these keys of the whole were not there."""
        if not isinstance(self.data, dict):
            return self
        return replace(self, data={key: one for key, one in self.data.items() if key not in keys})

    def position(self, path: DocumentPath) -> Position:
        """Returns where a part stands, or the closest part around it."""
        while path not in self.positions and path:
            path = path[:-1]
        return self.positions.get(path, Position(1, 1, 1, 1))

    def diagnostic(
        self, path: DocumentPath, message: str, hint: str = "", *, at_key: bool = False
    ) -> Diagnostic:
        """Describes a fault of the part at `path`, pointing at its value or its key."""
        place = self.position(path)
        return diagnostic_at(self.name, place[2:4] if at_key else place[:2], path, message, hint)


def read(path: Path, name: str, *, bundled: bool = False) -> Source:
    """Reads one file of YAML 1.2 or JSON.

    Raises:
        JobFileError: It cannot be read, or is not what its name says.
    """
    from ojobchannels.ojob.yaml.reader import Reader
    from ojobchannels.ojob.yaml.syntax_errors import invalid_json

    if path.suffix not in SUFFIXES:
        advice = f"a job file ends in {', '.join(SUFFIXES)}"
        raise JobFileError(
            (diagnostic_at(name, (0, 0), (), "this is no job file by its name", advice),)
        )
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


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _text(path: Path, name: str) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        said = f"cannot read it: {error.strerror or error}"
        raise JobFileError(
            (diagnostic_at(name, (0, 0), (), said, _advice(path, error)),)
        ) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode()
        at = before.count("\n") + 1, len(before) - before.rfind("\n")
        utf16 = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
        said = "this is UTF-16" if utf16 else f"the byte 0x{raw[error.start]:02X} is not UTF-8"
        raise JobFileError(
            (diagnostic_at(name, at, (), said, "save the file as UTF-8"),)
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
    """Returns the name of the job file that may be meant by one that is not there."""
    try:
        beside = {one.stem: one.name for one in path.parent.iterdir() if one.suffix in SUFFIXES}
    except (OSError, ValueError):  # the folder is not there, or has NUL in its name
        return None
    # By what stands before the suffix: that alone makes short names alike.
    meant = closest(path.stem, beside)
    return beside[meant] if meant else None
