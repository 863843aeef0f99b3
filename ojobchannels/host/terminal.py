"""Text for people: columns, colours, and times with their UTC offset."""

import os
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, TextIO

GAP: Final = "  "
"""What separates two columns."""

DURATION_STEPS: Final = ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))
"""Units of time with their seconds, each with the next smaller one."""


def has_colours(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal on which colours are wanted."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or stream is None:
        return False
    with suppress(AttributeError, ValueError):  # it is not a file, or closed
        return stream.isatty()
    return False


def local_time(ms: int) -> str:
    """Format milliseconds since 1970 as ``2026-03-31 18:04:05+02:00``, in local time."""
    try:
        moment = datetime.fromtimestamp(ms / 1000, UTC).astimezone()
    except (ValueError, OverflowError, OSError):
        return str(ms)
    return moment.isoformat(sep=" ", timespec="seconds")


def duration(ms: int) -> str:
    """Format milliseconds with at most two units: ``412 ms``, ``3.2 s``, ``2 min 5 s``."""
    if ms < 1:
        return "< 1 ms"
    if ms < 1000:
        return f"{ms} ms"
    if ms < 9_950:
        return f"{ms / 1000:.1f} s"
    seconds = round(ms / 1000)
    for size, unit, smaller_size, smaller in DURATION_STEPS:
        if seconds >= size:
            whole, rest = divmod(seconds, size)
            return f"{whole} {unit} {rest // smaller_size} {smaller}"
    return f"{seconds} s"


def text_width(text: str) -> int:
    """Return the number of terminal columns that a text takes."""
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def cut(text: str, width: int) -> str:
    """Return the text, shortened to `width` terminal columns and ended with ``…`` if too long."""
    if text_width(text) <= width:
        return text
    while text_width(text) >= width:
        text = text[:-1]
    return f"{text}…"


def align(
    lines: Sequence[Sequence[str]],
    right: Collection[int] = (),
    paint: Callable[[int, int, str], str] = lambda _row, _column, text: text,
) -> Iterator[str]:
    """Yield lines of cells as text with aligned columns.

    Args:
        lines: The cells of each line; all lines have the same number of cells.
        right: The indexes of columns that are aligned to the right.
        paint: Returns a cell with its colour codes, from its row, its column and its text.
    """
    widths = [max(map(text_width, cells)) for cells in zip(*lines, strict=True)]
    for row, cells in enumerate(lines):
        padded = []
        for column, text in enumerate(cells):
            filler, shown = " " * (widths[column] - text_width(text)), paint(row, column, text)
            padded.append(filler + shown if column in right else shown + filler)
        yield GAP.join(padded).rstrip()
