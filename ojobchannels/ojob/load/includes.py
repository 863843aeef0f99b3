"""Reads a job file and the files that it includes."""

import os.path
from functools import cache
from pathlib import Path
from typing import Final

from ojobchannels.errors import Diagnostic, JobFileError
from ojobchannels.ojob.schema.located import FileSpecs, Reference
from ojobchannels.ojob.schema.validation import Validator
from ojobchannels.ojob.yaml.source import BUNDLED, SUFFIXES, file_beside, read
from ojobchannels.suggestions import closest

PACKS: Final = Path(__file__).parents[1] / "packs"


def bundled_packs() -> list[str]:
    """Return the names of the bundled packs, which can be included from anywhere."""
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
"""Jobs of the published packs that the bundled ones do not have, with what to do instead."""


@cache
def bundled_jobs() -> dict[str, str]:
    """Return the names of all bundled jobs, each with its pack."""
    sources = [read(PACKS / pack, pack, bundled=True) for pack in bundled_packs()]
    return {job["name"]: source.name for source in sources for job in source.data["jobs"]}


def gather(path: Path, name: str) -> tuple[list[FileSpecs], bool, list[Diagnostic]]:
    """Read a job file and all files that it includes, each once; messages use its name.

    Returns:
        The files that can be read, included ones first; whether these are all; what is wrong.
    """
    gathering = _Gathering()
    gathering.add(path, name)
    files = gathering.files()
    invalid = (one for each, _ in gathering.found.values() for one in each.diagnostics)
    return files, not gathering.missing, [*gathering.missing, *invalid]


class _Gathering:
    def __init__(self) -> None:
        self.missing: list[Diagnostic] = []
        self.found: dict[str, tuple[Validator, FileSpecs]] = {}
        self._seen: dict[str, bool] = {}  # whether only its jobs count

    def files(self) -> list[FileSpecs]:
        """Return the files with their todos, for which the shortcuts of all files are needed."""
        known = {
            shortcut.name: (job.spec.name, shortcut)
            for _, file in self.found.values()
            for job in file.jobs
            if (shortcut := job.spec.type_args.shortcut)
        }
        found = self.found.values()
        return [file._replace(todo=validator.todo(known)) for validator, file in found]

    def add(self, path: Path, name: str, *, bundled: bool = False, jobs_only: bool = False) -> None:
        real = os.path.realpath(path)  # unlike resolve(), it accepts links that form a circle
        if real in self._seen and (jobs_only or not self._seen[real]):
            return
        self._seen[real] = jobs_only
        try:
            source = read(path, name, bundled=bundled)
        except JobFileError as error:
            self.missing += error.diagnostics
            return
        if jobs_only:
            source = source.without("todo", "help")
        validator = Validator(source)
        file = validator.file()
        for key in ("include", "jobsInclude"):
            for reference in file.root.references(key):
                self._include(reference, jobs_only or key == "jobsInclude")
        # A file of which only the jobs counted before keeps its place.
        self.found[real] = validator, file

    def _include(self, reference: Reference, jobs_only: bool) -> None:
        entry, source = reference.name, reference.source
        if entry in bundled_packs():
            self.add(PACKS / entry, f"{BUNDLED}{entry}", bundled=True, jobs_only=jobs_only)
            return
        path = source.path.parent / entry
        if os.path.isfile(path) and path.suffix in SUFFIXES:  # noqa: PTH113  also takes NULs and long names
            name = os.path.normpath(Path(source.name).parent / entry)
            self.add(path, name, jobs_only=jobs_only)
            return
        at = os.path.normpath(path.absolute())
        if "://" in entry:
            message, hint = "only files can be included", "download the file, and include that"
        elif os.path.isdir(path):  # noqa: PTH112  also takes NULs and long names
            message, hint = f"{at} is a folder", "name a file in it"
        elif path.suffix and path.suffix not in SUFFIXES:
            message = f"`{entry}` does not have the name of a job file"
            hint = f"the name of a job file ends in {', '.join(SUFFIXES)}"
        elif entry.startswith("~"):
            message, hint = f"`~` is not expanded in `{entry}`", "write the path in full"
        else:
            message = f"there is no `{entry}`: not a bundled pack, and not a file: {at}"
            hint = _hint(path, entry)
        self.missing.append(reference.diagnostic(message, hint))


def _hint(path: Path, entry: str) -> str:
    packs = {pack.partition(".")[0]: pack for pack in bundled_packs()}
    beside = file_beside(path)
    near = {Path(beside).stem: Path(entry).with_name(beside).as_posix()} if beside else {}
    known = packs | near
    if meant := closest(path.stem, known):
        return f"did you mean `{known[meant]}`?"
    return f"bundled packs: {', '.join(f'`{pack}`' for pack in packs.values())}"
