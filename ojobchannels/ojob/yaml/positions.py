"""Paths inside a document, and the places in the text that they lead to."""

from __future__ import annotations

import re
from typing import Final, NamedTuple, TypeAlias

from ojobchannels.errors import Diagnostic

DocumentPath: TypeAlias = tuple[str | int, ...]

_LONGEST: Final = 400


class Position(NamedTuple):
    """Where a value stands. Lines and columns count from 1.

    Attributes:
        line: Of the value.
        column: Of the value.
        key_line: Of the key that it belongs to, or of the value itself.
        key_column: Likewise.
        style: How a text is written: ``|``, ``>``, a quote, or None for a plain one.
    """

    line: int
    column: int
    key_line: int
    key_column: int
    style: str | None = None


def written(path: DocumentPath) -> str:
    """Writes a path as people do: ``jobs[2].args.timeout``."""
    return "".join(map(_step, path)).removeprefix(".")


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if re.fullmatch(r"[\w-]+", step) else f"[{step!r}]"


def diagnostic_at(
    file: str, at: tuple[int, int], path: DocumentPath, message: str, hint: str = ""
) -> Diagnostic:
    """Describes a fault in one line, whatever names and values its words quote."""
    return Diagnostic(file, *at, _short(written(path)), _short(message), _short(hint))


def _short(text: str) -> str:
    """Cuts what is too long to read, and writes what a terminal does not show as escapes."""
    cut = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in cut
    )
