"""One job file as it was read: plain data, and where in the text each part of it stands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from ojobchannels.errors import JobFileError, Problem
from ojobchannels.ojob.places import DocumentPath, Place, written

SUFFIXES: Final = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class Source:
    """A job file that could be read.

    Attributes:
        name: The file as people know it, used in messages and tracebacks.
        path: The file itself.
        bundled: Whether it came with this package.
        text: What it holds.
        data: The same as plain data.
        places: Where each part of the data stands.
    """

    name: str
    path: Path
    bundled: bool
    text: str = field(repr=False)
    data: Any = field(repr=False)
    places: Mapping[DocumentPath, Place] = field(repr=False)

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the text, each with its end."""
        return [f"{line}\n" for line in self.text.split("\n")]

    def place(self, path: DocumentPath) -> Place:
        """Returns where a part stands, or the closest part around it."""
        while path not in self.places and path:
            path = path[:-1]
        return self.places.get(path, Place(1, 1, 1, 1))

    def problem(
        self, path: DocumentPath, message: str, hint: str = "", *, at_key: bool = False
    ) -> Problem:
        """Describes a fault of the part at `path`, pointing at its value or its key."""
        place = self.place(path)
        line, column = place[2:4] if at_key else place[:2]
        return Problem(self.name, line, column, written(path), message, hint)


def read(path: Path, name: str, *, bundled: bool = False) -> Source:
    """Reads one file of YAML 1.2 or JSON.

    Raises:
        JobFileError: It cannot be read, or is not what its name says.
    """
    from ojobchannels.ojob.yamltext import Reader

    if path.suffix not in SUFFIXES:
        advice = f"a job file ends in {', '.join(SUFFIXES)}"
        raise JobFileError((Problem(name, 0, 0, "", "this is no job file by its name", advice),))
    text = _text(path, name)
    if path.suffix == ".json":
        text = text.replace("\t", " ")  # JSON indents with tabs at will, YAML does not
        _check_json(text, name)
    reader = Reader(name)
    data = reader.read(text)
    if reader.problems:
        raise JobFileError(tuple(reader.problems))
    return Source(name, path, bundled, text, data, reader.places)


def _text(path: Path, name: str) -> str:
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        reason = f"cannot read it: {error.strerror or error}"
        raise JobFileError((Problem(name, 0, 0, "", reason, ""),)) from error
    except UnicodeDecodeError as error:
        reason = f"byte {error.start} is not UTF-8"
        advice = "save the file as UTF-8"
        raise JobFileError((Problem(name, 0, 0, "", reason, advice),)) from error


def _check_json(text: str, name: str) -> None:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        problem = Problem(name, error.lineno, error.colno, "", f"this is not JSON: {error.msg}", "")
        raise JobFileError((problem,)) from None
