"""Tables for people and JSON for programs; a command only declares its columns."""

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import click

from ojobchannels.host.terminal import GAP, align, cut, has_colours, text_width
from ojobchannels.printable import printable

Row: TypeAlias = Mapping[str, Any]
_Command = TypeVar("_Command", bound=Callable[..., None])

_SHORTEST: Final = 8

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def table_options(command: _Command) -> _Command:
    """Add the options `as_json` and `wide` of commands that print tables."""
    help = "Show all columns, and do not shorten long values."
    return json_option(click.option("--wide", is_flag=True, help=help)(command))


class Column(NamedTuple):
    """One column of a table; it is left out if it is empty in all rows.

    Attributes:
        title: The heading.
        cell: Returns the text for a row; an empty text for no value.
        right: Whether to align it to the right, as for numbers.
        cut: Whether a narrow terminal gets long texts shortened.
        optional: Whether a narrow terminal gets the table without this column.
        colours: Colours, on a terminal, by the first word of the cell.
    """

    title: str
    cell: Callable[[Row], str]
    right: bool = False
    cut: bool = False
    optional: bool = False
    colours: Mapping[str, str] = {}


def show(
    rows: Sequence[Row],
    columns: Sequence[Column],
    *,
    as_json: bool = False,
    wide: bool = False,
    nothing: str = "",
) -> None:
    """Print rows as JSON or as a table; without rows, print `nothing` to standard error.

    A table fits the width of the terminal, unless `wide` is set or the output is not a terminal.
    """
    if as_json:
        print_json(rows)
    elif not rows:
        click.echo(nothing, err=True)
    else:
        width = None if wide else terminal_width()
        _draw(*fitted(rows, columns, width))


def fitted(
    rows: Sequence[Row], columns: Sequence[Column], width: int | None
) -> tuple[Sequence[Column], list[list[str]]]:
    """Return the columns that are shown, and the lines of a table with the titles first.

    Args:
        rows: The rows, at least one.
        columns: The columns; those without any text are left out.
        width: The terminal columns that the table may take; None for no limit.
    """
    cells = [[printable(column.cell(row)) for column in columns] for row in rows]
    used = [at for at, texts in enumerate(zip(*cells, strict=True)) if any(texts)]
    shown = [columns[at] for at in used]
    lines = [[line[at] or ("" if columns[at].cut else "-") for at in used] for line in cells]
    lines.insert(0, [column.title.upper() for column in shown])
    return (shown, lines) if width is None else _fit(shown, lines, width)


def print_json(document: Any) -> None:
    """Print a document as indented JSON."""
    click.echo(json.dumps(document, indent=2))


def terminal_width() -> int | None:
    """Return the width of the terminal on standard output, or None if it is not a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def first_line(text: object) -> str:
    """Return the first line of a text."""
    return next(iter(str(text).strip().splitlines()), "")


def _draw(columns: Sequence[Column], lines: list[list[str]]) -> None:
    coloured = has_colours(sys.stdout)

    def paint(row: int, column: int, text: str) -> str:
        colour = columns[column].colours.get(text.partition(" ")[0]) if row else None
        bold = True if not row else None
        return click.style(text, fg=colour, bold=bold) if coloured and (colour or bold) else text

    right = [at for at, column in enumerate(columns) if column.right]
    for line in align(lines, right, paint):
        click.echo(line)


def _fit(
    columns: Sequence[Column], lines: list[list[str]], room: int
) -> tuple[list[Column], list[list[str]]]:
    """Leave out optional columns, then shorten the longest cells, until each line fits."""
    widths = [max(map(text_width, texts)) for texts in zip(*lines, strict=True)]
    kept = list(range(len(columns)))

    def excess() -> int:
        return sum(widths[at] + len(GAP) for at in kept) - len(GAP) - room

    for at in reversed(range(len(columns))):
        if columns[at].optional and excess() > 0:
            kept.remove(at)
    shortest = {at: max(len(lines[0][at]), _SHORTEST) for at in kept if columns[at].cut}
    while excess() > 0:
        longer = [at for at in shortest if widths[at] > shortest[at]]
        if not longer:
            break
        widths[max(longer, key=widths.__getitem__)] -= 1
    return [columns[at] for at in kept], [
        [cut(line[at], widths[at]) for at in kept] for line in lines
    ]
