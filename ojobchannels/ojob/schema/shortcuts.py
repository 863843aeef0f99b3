"""Shortcuts: todo entries such as ``(greet): Ann``, in a form that a job declares."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

_MAIN: Final = re.compile(r"\(\s*([^()]*?)\s*\)?")
_OTHER: Final = re.compile(r"\(\(\s*([^()]*?)\s*\)*")


class Shortcut(NamedTuple):
    """What a shortcut stands for.

    Attributes:
        job: The job that it calls.
        main: The argument that receives the value of the shortcut.
        others: The arguments that receive the values of further keys, by key.
    """

    job: str
    main: str
    others: Mapping[str, str]


def expand(entry: Any, known: Mapping[str, Shortcut]) -> Any:
    """Return a todo entry in its full form.

    An entry whose shortcut is unknown stays as it is, and so does a key that is not part of it.
    """
    if not isinstance(entry, dict) or entry.keys() & {"name", "job", "args"}:
        return entry
    found = {key: shortcut for key in entry if (shortcut := _shortcut(key, known))}
    if len(found) != 1:
        return entry
    ((main, shortcut),) = found.items()
    args: dict[str, Any] = {shortcut.main: entry[main]}
    rest: dict[str, Any] = {}
    for key, value in entry.items():
        other = _OTHER.fullmatch(key)
        if other and other[1] in shortcut.others:
            args[shortcut.others[other[1]]] = value
        elif key != main:
            rest[key] = value
    return {"name": shortcut.job, "args": args, **rest}


def _shortcut(key: str, known: Mapping[str, Shortcut]) -> Shortcut | None:
    main = _MAIN.fullmatch(key)
    return known.get(main[1]) if main else None
