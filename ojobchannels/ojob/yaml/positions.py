"""Paths inside a document, and positions in its text."""

from __future__ import annotations

import re
from typing import Final, NamedTuple, TypeAlias

from ojobchannels.errors import Diagnostic

DocumentPath: TypeAlias = tuple[str | int, ...]

_MAX_LENGTH: Final = 400


class Position(NamedTuple):
    """Where a value is in the text. Lines and columns count from 1.

    Attributes:
        key_line: Line of its key, or of the value itself if it has no key; likewise `key_column`.
        style: How a text is written: ``|``, ``>``, a quote, or None for a plain one.
    """

    line: int
    column: int
    key_line: int
    key_column: int
    style: str | None = None


def path_text(path: DocumentPath) -> str:
    """Return a path in the usual notation: ``jobs[2].args.timeout``."""
    return "".join(map(_step, path)).removeprefix(".")


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if re.fullmatch(r"[\w-]+", step) else f"[{step!r}]"


def diagnostic_at(
    file: str, at: tuple[int, int], path: DocumentPath, message: str, hint: str = ""
) -> Diagnostic:
    """Return a diagnostic of one line, whatever names and values it quotes."""
    return Diagnostic(file, *at, _one_line(path_text(path)), _one_line(message), _one_line(hint))


def _one_line(text: str) -> str:
    """Shorten a text that is too long to read, and escape what a terminal does not show."""
    cut = text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 3]}..."
    if cut.isprintable():
        return cut
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in cut
    )
