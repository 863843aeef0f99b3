"""Which files a job file is made of: itself, and what it includes."""

from __future__ import annotations

import os.path
from pathlib import Path
from typing import Final

from ojobchannels.errors import JobFileError, Problem
from ojobchannels.ojob.faults import closest
from ojobchannels.ojob.outcomes import BUNDLED
from ojobchannels.ojob.source import SUFFIXES, Source, read

PACKS: Final = Path(__file__).parent / "packs"


def bundled_packs() -> list[str]:
    """Returns the names of the packs that can be included from anywhere."""
    return sorted(path.name for path in PACKS.iterdir() if path.suffix in SUFFIXES)


def gather(path: Path) -> tuple[list[Source], list[Problem]]:
    """Reads a job file and all that it includes, each once, and what is included first.

    Returns:
        The files that could be read, and what is wrong with the others.
    """
    gathering = _Gathering()
    gathering.add(path, str(path), bundled=False)
    return gathering.sources, gathering.problems


class _Gathering:
    def __init__(self) -> None:
        self.sources: list[Source] = []
        self.problems: list[Problem] = []
        self._seen: set[Path] = set()

    def add(self, path: Path, name: str, *, bundled: bool) -> None:
        real = path.resolve()
        if real in self._seen:
            return
        self._seen.add(real)
        try:
            source = read(path, name, bundled=bundled)
        except JobFileError as error:
            self.problems += error.problems
            return
        data = source.data if isinstance(source.data, dict) else {}
        included = data.get("include")
        for at, entry in enumerate(included if isinstance(included, list) else [included]):
            if isinstance(entry, str) and entry:
                self._include(source, ("include", at), entry)
        self.sources.append(source)

    def _include(self, source: Source, place: tuple[str, int], entry: str) -> None:
        if entry in bundled_packs():
            self.add(PACKS / entry, f"{BUNDLED}{entry}", bundled=True)
            return
        path = source.path.parent / entry
        if path.is_file():
            self.add(path, os.path.normpath(Path(source.name).parent / entry), bundled=False)
            return
        if "://" in entry:
            said, hint = "this version includes files only", "get the file, and include that"
        else:
            at = os.path.normpath(path.absolute())
            said = f"there is no `{entry}`: no bundled pack has that name, nor a file at {at}"
            hint = self._hint(path, entry)
        self.problems.append(source.problem(place, said, hint))

    def _hint(self, path: Path, entry: str) -> str:
        packs = bundled_packs()
        if meant := closest(entry, packs):
            return f"did you mean `{meant}`?"
        folder = path.parent
        beside = [one.name for one in folder.iterdir()] if folder.is_dir() else []
        if meant := closest(path.name, (name for name in beside if name.endswith(SUFFIXES))):
            return f"did you mean `{Path(entry).with_name(meant).as_posix()}`?"
        return f"bundled packs: {', '.join(f'`{pack}`' for pack in packs)}"
