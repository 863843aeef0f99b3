"""Specs together with where they are in their file."""

from collections.abc import Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from ojobchannels.errors import Diagnostic
from ojobchannels.ojob.schema.base import Spec
from ojobchannels.ojob.schema.model import FileSpec, JobSpec, TodoSpec
from ojobchannels.ojob.schema.settings import SettingsSpec
from ojobchannels.ojob.yaml.source import DocumentPath, Source

S = TypeVar("S", bound=Spec)

INVALID: str = "\0"
"""Stands for a text that is not valid, which is reported elsewhere."""


class Reference(NamedTuple):
    """A name of a job, and where it is written."""

    name: str
    source: Source
    path: DocumentPath

    def diagnostic(self, message: str, hint: str = "") -> Diagnostic:
        """Return a diagnostic that points at the name."""
        return self.source.diagnostic(self.path, message, hint)


class Located(NamedTuple, Generic[S]):
    """A spec, and its path in its file."""

    spec: S
    source: Source
    path: DocumentPath

    def diagnostic(
        self, steps: DocumentPath, message: str, hint: str = "", *, at_key: bool = False
    ) -> Diagnostic:
        """Return a diagnostic that points at a value inside the spec, or at its key."""
        return self.source.diagnostic((*self.path, *steps), message, hint, at_key=at_key)

    def references(self, *keys: str) -> Iterator[Reference]:
        """Yield the jobs that are named under some keys, each a name or a list of names."""
        for key in keys:
            names = getattr(self.spec, self.spec.field_of(key))
            path = (*self.path, key)
            in_list = (*path, 0) in self.source.positions
            for at, name in enumerate(names):
                if name != INVALID:
                    yield Reference(name, self.source, (*path, at) if in_list else path)

    def code_under_catch(self) -> str | None:
        """Return the text under `catch` if it is a single one, which may be code."""
        catch = getattr(self.spec, "catch", [])
        in_list = (*self.path, "catch", 0) in self.source.positions
        return catch[0] if len(catch) == 1 and not in_list and catch[0] != INVALID else None


class FileSpecs(NamedTuple):
    """A job file that was read, and its valid specs.

    Attributes:
        source: The file.
        spec: The file without its jobs and its todo.
        jobs: Its jobs.
        todo: The entries of its todo.
    """

    source: Source
    spec: FileSpec
    jobs: Sequence[Located[JobSpec]] = ()
    todo: Sequence[Located[TodoSpec]] = ()

    @property
    def root(self) -> Located[FileSpec]:
        """The file itself."""
        return Located(self.spec, self.source, ())

    @property
    def settings(self) -> Located[SettingsSpec]:
        """The settings of the file."""
        return Located(self.spec.ojob, self.source, ("ojob",))
