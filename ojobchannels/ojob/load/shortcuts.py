"""Shortcuts: todo entries such as ``(greet): Ann``, in the words that jobs have declared.

They are written out before anything is checked, so that all else knows one form only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from ojobchannels.errors import Diagnostic
from ojobchannels.ojob.yaml.positions import DocumentPath
from ojobchannels.ojob.yaml.source import Source

_MAIN: Final = re.compile(r"\(\s*([^()]*?)\s*\)?")
_OTHER: Final = re.compile(r"\(\(\s*([^()]*?)\s*\)*")


class _Shortcut(NamedTuple):
    """What a shortcut stands for: a job, the arg that is its value, and those of its other keys."""

    job: str
    main: str
    others: Mapping[str, str]


def written_out(sources: list[Source]) -> list[Source]:
    """Returns the files with the shortcuts in their todos written out.

    An entry whose shortcut no job declares stays as it is, and so does a key that is none of it.
    """
    known = {name: one for source in sources for name, one in _declared(source)}
    return [source.replaced(todo=_todo(source, known)) if known else source for source in sources]


def shortcut_faults(source: Source) -> Iterator[Diagnostic]:
    """Yields what is wrong with the names of the shortcuts that the jobs of a file declare."""
    first: dict[str, DocumentPath] = {}
    jobs = source.data.get("jobs") if isinstance(source.data, dict) else None
    for at, job in enumerate(jobs if isinstance(jobs, list) else []):
        match job:
            case {"typeArgs": {"shortcut": {"name": str(name)}}} if name:
                path: DocumentPath = ("jobs", at, "typeArgs", "shortcut", "name")
                if re.search(r"[()]|^\s|\s$", name):
                    hint = "write a name without brackets and blanks around it"
                    yield source.diagnostic(path, f"{name!r} cannot stand in brackets", hint)
                elif name in first:
                    line = source.position(first[name]).line
                    said = f"another job has the shortcut {name!r}, in line {line}"
                    yield source.diagnostic(path, said, "rename one of them")
                first.setdefault(name, path)


def _declared(source: Source) -> Iterator[tuple[str, _Shortcut]]:
    jobs = source.data.get("jobs") if isinstance(source.data, dict) else None
    for job in jobs if isinstance(jobs, list) else []:
        match job:
            case {
                "name": str(name),
                "typeArgs": {"shortcut": {"name": str(word), "keyArg": str(main)} as given},
            }:
                others = given.get("args")
                yield word, _Shortcut(name, main, others if isinstance(others, dict) else {})


def _todo(source: Source, known: Mapping[str, _Shortcut]) -> Any:
    todo = source.data.get("todo") if isinstance(source.data, dict) else None
    return [_entry(one, known) for one in todo] if isinstance(todo, list) else todo


def _entry(entry: Any, known: Mapping[str, _Shortcut]) -> Any:
    if not isinstance(entry, dict) or entry.keys() & {"name", "job", "args"}:
        return entry
    found = {key: one for key in entry if isinstance(key, str) and (one := _meant(key, known))}
    if len(found) != 1:
        return entry
    ((main, shortcut),) = found.items()
    args: dict[str, Any] = {shortcut.main: entry[main]}
    rest: dict[str, Any] = {}
    for key, value in entry.items():
        other = _OTHER.fullmatch(key) if isinstance(key, str) else None
        if other and other[1] in shortcut.others:
            args[shortcut.others[other[1]]] = value
        elif key != main:
            rest[key] = value
    return {"name": shortcut.job, "args": args, **rest}


def _meant(key: str, known: Mapping[str, _Shortcut]) -> _Shortcut | None:
    main = _MAIN.fullmatch(key)
    return known.get(main[1]) if main else None
