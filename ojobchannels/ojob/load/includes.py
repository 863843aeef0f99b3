"""Which files a job file is made of: itself, and what it includes."""

from __future__ import annotations

import os.path
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from ojobchannels.errors import Diagnostic, JobFileError
from ojobchannels.ojob.yaml.source import BUNDLED, SUFFIXES, Source, file_beside, read
from ojobchannels.suggestions import closest

PACKS: Final = Path(__file__).parents[1] / "packs"


def bundled_packs() -> list[str]:
    """Returns the names of the packs that can be included from anywhere."""
    return sorted(path.name for path in PACKS.iterdir() if path.suffix in SUFFIXES)


NOT_BUNDLED: Final = {
    "oJob Exit": "let the job fail, or end the todo",
    "oJob Set": "keep values with `oJob Keep result`: jobs share no variables",
    "oJob Path Set": "keep values with `oJob Keep result`: jobs share no variables",
    "oJob From global": "get values with `oJob Get kept result`: jobs share no variables",
    "oJob Map": "pick values in code, or with `oJob Map Array`",
    "oJob Process Launch": "launch a job that calls `oJob sh`",
    "oJob Process Wait": "wait for the handles that `launch` returns",
    "oJob Sec Get": "pass secrets in environment variables",
    "oJob Get settings": "keep values with `oJob Keep result`",
    "oJob Set settings": "keep values with `oJob Keep result`",
    "oJob A2B": "copy from one channel to the other in code",
}
"""Jobs that packs of these names have elsewhere, and what to do instead."""


@cache
def bundled_jobs() -> dict[str, str]:
    """Returns the names of all bundled jobs, each with its pack."""
    sources = [read(PACKS / pack, pack, bundled=True) for pack in bundled_packs()]
    return {job["name"]: source.name for source in sources for job in source.data["jobs"]}


def gather(path: Path) -> tuple[list[Source], list[Diagnostic]]:
    """Reads a job file and all that it includes, each once, and what is included first.

    Returns:
        The files that could be read, and what is wrong with the others.
    """
    gathering = _Gathering()
    gathering.add(path, str(path), _Way())
    return list(gathering.sources.values()), gathering.diagnostics


class _Way(NamedTuple):
    """How a file comes in: whether with this package, and whether for its jobs alone."""

    bundled: bool = False
    jobs_only: bool = False


class _Gathering:
    def __init__(self) -> None:
        self.sources: dict[str, Source] = {}
        self.diagnostics: list[Diagnostic] = []
        self._seen: dict[str, bool] = {}  # whether for its jobs alone

    def add(self, path: Path, name: str, way: _Way) -> None:
        real = os.path.realpath(path)  # unlike resolve(), it takes links that lead in a circle
        if real in self._seen and (way.jobs_only or not self._seen[real]):
            return
        self._seen[real] = way.jobs_only
        try:
            source = read(path, name, bundled=way.bundled)
        except JobFileError as error:
            self.diagnostics += error.diagnostics
            return
        if way.jobs_only:
            source = source.without("todo", "help")
        data = source.data if isinstance(source.data, dict) else {}
        for key in ("include", "jobsInclude"):
            included = data.get(key)
            for at, entry in enumerate(included if isinstance(included, list) else [included]):
                if isinstance(entry, str) and entry:
                    jobs_only = way.jobs_only or key == "jobsInclude"
                    self._include(source, (key, at), entry, jobs_only)
        self.sources[real] = source  # one that came for its jobs alone before keeps its place

    def _include(self, source: Source, place: tuple[str, int], entry: str, jobs_only: bool) -> None:
        if entry in bundled_packs():
            self.add(PACKS / entry, f"{BUNDLED}{entry}", _Way(True, jobs_only))
            return
        path = source.path.parent / entry
        if os.path.isfile(path) and path.suffix in SUFFIXES:  # noqa: PTH113  answers for a name of any length, and of NULs
            name = os.path.normpath(Path(source.name).parent / entry)
            self.add(path, name, _Way(jobs_only=jobs_only))
            return
        at = os.path.normpath(path.absolute())
        if "://" in entry:
            said, hint = "this version includes files only", "get the file, and include that"
        elif os.path.isdir(path):  # noqa: PTH112
            said, hint = f"{at} is a folder", "name a file in it"
        elif path.suffix and path.suffix not in SUFFIXES:
            said = f"`{entry}` is no job file by its name"
            hint = f"a job file ends in {', '.join(SUFFIXES)}"
        elif entry.startswith("~"):
            said, hint = f"`~` means nothing in `{entry}`", "write the path in full"
        else:
            said = f"there is no `{entry}`: no bundled pack has that name, nor a file at {at}"
            hint = self._hint(path, entry)
        self.diagnostics.append(source.diagnostic(place, said, hint))

    def _hint(self, path: Path, entry: str) -> str:
        packs = {pack.partition(".")[0]: pack for pack in bundled_packs()}
        beside = file_beside(path)
        near = {Path(beside).stem: Path(entry).with_name(beside).as_posix()} if beside else {}
        known = packs | near
        if meant := closest(path.stem, known):
            return f"did you mean `{known[meant]}`?"
        return f"bundled packs: {', '.join(f'`{pack}`' for pack in packs.values())}"
