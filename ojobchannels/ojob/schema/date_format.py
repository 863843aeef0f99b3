"""Formats of log files: dates like ``yyyy-MM-dd``, and templates with ``{{names}}``."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final

_FIELDS: Final[dict[str, tuple[Callable[[datetime], str], str]]] = {
    "yyyy": (lambda at: f"{at.year:04}", r"\d{4}"),
    "yy": (lambda at: f"{at.year % 100:02}", r"\d{2}"),
    "MM": (lambda at: f"{at.month:02}", r"\d{2}"),
    "M": (lambda at: str(at.month), r"\d{1,2}"),
    "dd": (lambda at: f"{at.day:02}", r"\d{2}"),
    "d": (lambda at: str(at.day), r"\d{1,2}"),
    "HH": (lambda at: f"{at.hour:02}", r"\d{2}"),
    "H": (lambda at: str(at.hour), r"\d{1,2}"),
    "mm": (lambda at: f"{at.minute:02}", r"\d{2}"),
    "m": (lambda at: str(at.minute), r"\d{1,2}"),
    "ss": (lambda at: f"{at.second:02}", r"\d{2}"),
    "s": (lambda at: str(at.second), r"\d{1,2}"),
    "SSS": (lambda at: f"{at.microsecond // 1000:03}", r"\d{3}"),
    "Z": (lambda at: at.strftime("%z"), r"[+-]\d{4}"),
    "XXX": (lambda at: at.isoformat()[-6:] if at.tzinfo else "", r"[+-]\d\d:\d\d"),
}
_PARTS: Final = re.compile(
    r"'(?P<quoted>[^']*)'|(?P<field>(?P<letter>[A-Za-z])(?P=letter)*)|.", re.S
)
_NAMES: Final = re.compile(r"\{\{\{?\s*(\w+)\s*\}?\}\}")


class DateFormat:
    """Formats times by a pattern of letters; other letters must be in single quotes.

    Attributes:
        pattern: The pattern.
        matches: A regular expression for the texts that it writes.

    Raises:
        ValueError: The pattern contains an unknown letter.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._parts: list[str | Callable[[datetime], str]] = []
        self.matches = ""
        for part in _PARTS.finditer(pattern):
            text = (part["quoted"] or "'") if part["quoted"] is not None else part[0]
            plain = text, re.escape(text)
            write, matches = self._field(part["field"]) if part["field"] else plain
            self._parts.append(write)
            self.matches += matches

    def _field(self, letters: str) -> tuple[Callable[[datetime], str], str]:
        if letters in _FIELDS:
            return _FIELDS[letters]
        raise ValueError(
            f"the date format {self.pattern!r} has {letters!r}, which is not a field; the fields "
            f"are {', '.join(_FIELDS)}; put other letters in single quotes"
        )

    def write(self, at: datetime) -> str:
        """Return the formatted time."""
        return "".join(part if isinstance(part, str) else part(at) for part in self._parts)


def names_in(template: str) -> set[str]:
    """Return the names in a template."""
    return set(_NAMES.findall(template))


def filled(template: str, **values: str) -> str:
    """Return a template with the values of its names."""
    return _NAMES.sub(lambda found: values[found[1]], template)


def matching(template: str, **patterns: str) -> re.Pattern[str]:
    """Return a regular expression for the texts that a template may become."""
    parts = _NAMES.split(template)
    parts[::2] = map(re.escape, parts[::2])
    parts[1::2] = [patterns[name] for name in parts[1::2]]
    return re.compile("".join(parts))
