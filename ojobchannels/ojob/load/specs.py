"""The specs of a job file and of all files that it includes, for the checks."""

from collections.abc import Iterator
from functools import cached_property
from types import CodeType
from typing import Any

from ojobchannels.ojob.args.known_args import KnownArgs
from ojobchannels.ojob.code.python import Block
from ojobchannels.ojob.code.resolver import Languages, Owner
from ojobchannels.ojob.schema.located import INVALID, FileSpecs, Located
from ojobchannels.ojob.schema.model import JobSpec, TodoSpec
from ojobchannels.ojob.yaml.source import DocumentPath


class Specs:
    """Some files as one. A check is a function that yields what is wrong with them.

    Attributes:
        files: The files, included ones first.
        languages: The languages of their code; None if the code is not needed.
        jobs: All jobs, also those that a later file replaces.
        by_name: The jobs by name; a later file counts before an earlier one.
        todo: The entries of all todos.
        blocks: The compiled code by file and path; `check_code` adds it.
        modules: The compiled modules by the names to import them; likewise.
        known_args: The args that may be passed to a run; `check_args` adds it.
    """

    def __init__(self, files: list[FileSpecs], languages: Languages | None) -> None:
        self.files = files
        self.languages = languages
        self.jobs = [job for file in files for job in file.jobs]
        self.todo: list[Located[TodoSpec]] = [entry for file in files for entry in file.todo]
        self.by_name: dict[str, Located[JobSpec]] = {
            job.spec.name: job for job in self.jobs if job.spec.name != INVALID
        }
        self.blocks: dict[tuple[str, DocumentPath], Block] = {}
        self.modules: dict[str, CodeType] = {}
        self.known_args = KnownArgs()

    @cached_property
    def parts(self) -> dict[str, list[str]]:
        """The jobs under `from` and `to` of each job."""
        return {
            name: [reference.name for reference in job.references("from", "to")]
            for name, job in self.by_name.items()
        }

    def owners(self) -> Iterator[Owner]:
        """Yield what may have code: the jobs, and the settings of each file."""
        yield from self.jobs
        yield from (file.settings for file in self.files)

    def block(self, owner: Owner, *steps: str) -> Block | None:
        """Return compiled code of a job, or of the settings of a file."""
        return self.blocks.get((owner.source.name, (*owner.path, *steps)))

    def is_handler(self, owner: Owner) -> bool:
        """Return whether the text under `catch` is code, rather than the name of a job."""
        text = owner.code_under_catch()
        if text is None or text in self.by_name:
            return False
        return self.languages is None or self.languages.is_code(owner, text)


def args_of_calls(entry: Located[TodoSpec]) -> Iterator[tuple[DocumentPath, dict[str, Any]]]:
    """Yield the args of each call of an entry, and where they are in it."""
    in_list = (*entry.path, "args", 0) in entry.source.positions
    for at, args in enumerate(entry.spec.args):
        yield ("args", at) if in_list else ("args",), args
