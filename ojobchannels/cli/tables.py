"""Tables for people, JSON for programs. A command declares its columns; the rest follows."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import click

Row: TypeAlias = Mapping[str, Any]

_GAP: Final = "  "
_NARROW: Final = 40

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table. A column with no text in any row is left out.

    Attributes:
        title: Its heading.
        cell: What it shows of a row; an empty text for nothing.
        right: Whether it is set to the right, as numbers are.
        folds: Whether a terminal gets it folded to its width; for long texts in the last column.
        colours: Colours, on a terminal, by the first word of the cell.
    """

    title: str
    cell: Callable[[Row], str]
    right: bool = False
    folds: bool = False
    colours: Mapping[str, str] = field(default_factory=dict)


def show(rows: Sequence[Row], columns: Sequence[Column], *, as_json: bool, nothing: str) -> None:
    """Prints rows as JSON, or as a table; for a table without rows says `nothing` on stderr."""
    if as_json:
        print_json(rows)
    elif not rows:
        click.echo(nothing, err=True)
    else:
        cells = [[printable(column.cell(row)) for column in columns] for row in rows]
        used = [at for at, texts in enumerate(zip(*cells, strict=True)) if any(texts)]
        _draw([columns[at] for at in used], [[line[at] for at in used] for line in cells])


def print_json(document: Any) -> None:
    """Prints a document as programs want it."""
    click.echo(json.dumps(document, indent=2))


def first_line(text: object) -> str:
    """Returns the first line of a text that may have many."""
    return next(iter(str(text).strip().splitlines()), "")


def printable(text: str) -> str:
    """Writes out what would move the cursor or colour the terminal."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def _draw(columns: Sequence[Column], lines: Sequence[Sequence[str]]) -> None:
    on_terminal = sys.stdout.isatty()
    coloured = on_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    titles = [column.title.upper() for column in columns]
    widths = [max(map(_width, texts)) for texts in zip(titles, *lines, strict=True)]
    fold = None
    if on_terminal and columns[-1].folds:
        fold = _Fold(sum(widths[:-1]) + len(_GAP) * len(widths[:-1]), widths[-1])
    for number, texts in enumerate([titles, *lines]):
        cells = [
            _cell(text, column, width, coloured)
            for text, column, width in zip(texts, columns, widths, strict=True)
        ]
        if fold is not None:
            cells[-1] = fold(texts[-1])
        line = "\n".join(part.rstrip() for part in _GAP.join(cells).split("\n"))
        click.echo(click.style(line, bold=True) if coloured and not number else line)


def _cell(text: str, column: Column, width: int, coloured: bool) -> str:
    if not text and not column.folds:
        text = "-"
    filler = " " * (width - _width(text))
    colour = column.colours.get(text.partition(" ")[0]) if coloured else None
    shown = click.style(text, fg=colour) if colour else text
    return filler + shown if column.right else shown + filler


def _width(text: str) -> int:
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


class _Fold:
    """Folds texts into the room of the terminal behind a column, or, if it is little, below."""

    def __init__(self, start: int, longest: int) -> None:
        width = shutil.get_terminal_size().columns
        self.below = width - start < min(_NARROW, longest)
        self._indent = " " * (4 if self.below else start)
        self._room = max(width - len(self._indent), 20)

    def __call__(self, text: str) -> str:
        lines = textwrap.wrap(text, self._room)
        if self.below:
            lines.insert(0, "")
        return f"\n{self._indent}".join(lines)
