"""What a language of `exec` is: how its code is checked, and what the code may ask of its job.

A plugin offers languages by the hook ``ojobchannels_languages``. Code runs where the language
likes, such as in a process of its own; what it asks for is done by the `Host`, in the process of
the job, where channels and leases are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

from ojobchannels.errors import JobTimeout
from ojobchannels.hookspecs import hookspec
from ojobchannels.plugins import registry

if TYPE_CHECKING:
    from ojobchannels.channels.channel import Channel
    from ojobchannels.manager import Launch

Level: TypeAlias = Literal["info", "warn", "error"]
Phase: TypeAlias = Literal["args", "from", "exec", "to", "catch"]


@dataclass(frozen=True)
class Code:
    """A block of code in a job file.

    Attributes:
        text: The code.
        file: The name under which its lines are told.
        line: The number there of its first line.
        job: The job that it belongs to.
        is_value: Whether what counts is the value that it answers with, so that an expression alone
            is enough.
        folder: The folder in which it is to run, or None for the current one; only given to a
            language that takes one.
    """

    text: str = field(repr=False)
    file: str
    line: int
    job: str
    is_value: bool = False
    folder: str | None = None


class Host(Protocol):
    """The job that code works for.

    Attributes:
        job: The name of the job.
        phase: The step that it is at.
        args: The args; code changes them, or puts another map in their place.
        error: Why the job failed, for code under `catch`.
    """

    job: str
    phase: Phase
    args: dict[str, Any]
    error: BaseException | None

    def tell(self, level: Level, text: str) -> None:
        """Has the run tell something."""

    def print(self, text: str) -> None:
        """Writes a line to standard output, as `print` in Python does."""

    def channel(self, name: str, config: Any = None) -> Channel:
        """Returns a channel of the manager, or one that is opened by its name and configuration."""

    def run(self, name: str, args: Mapping[str, Any] | None = None) -> Any:
        """Runs a job, now; returns what it returns, or its args, or None if it was skipped."""

    def launch(self, name: str, args: Mapping[str, Any] | None = None) -> Launch:
        """Has a job run on the pool, and returns a handle at once."""

    def skip(self, reason: str) -> None:
        """Leaves out the body and the `to` of the job, by an exception that ends the code."""

    def documents(self) -> dict[str, Any]:
        """Returns the args as JSON, with the `repr` of what is none."""

    def remaining(self) -> float | None:
        """Returns the seconds after which the code must be ended; None for no limit."""

    def overdue(self) -> JobTimeout:
        """Returns the error to raise when these seconds are over and the code has been ended."""

    def descriptors(self) -> list[int]:
        """Returns file descriptors that keep the job's locks while a child has them open."""


class Program(Protocol):
    """A block of code that was checked."""

    def run(self, host: Host) -> Any:
        """Runs the code once; returns what it answers with.

        Any number of threads may do so at a time. Whatever is raised fails the job; an exception
        that the host raised has to pass, at least if it is none that derives from Exception.
        """


@dataclass(frozen=True, slots=True)
class Language:
    """A language that a plugin offers for the code of job files.

    Attributes:
        name: The name by which job files choose it, in lower case.
        summary: A line about it.
        compile: Checks a block of code and returns it ready to run, or raises `CodeFault`. It loads
            what the language needs; the module of the descriptor does not.
        aliases: Other names for it.
        takes_folder: Whether its code runs in the folder that `typeArgs.pwd` names.
    """

    name: str
    summary: str
    compile: Callable[[Code], Program] = field(repr=False)
    aliases: tuple[str, ...] = ()
    takes_folder: bool = False


class LanguageSpec:
    """The hook by which a plugin offers languages."""

    @hookspec
    def ojobchannels_languages(self) -> Iterable[Language]:
        """Return the languages that the plugin offers; called when a job file first needs one."""
        return ()


class ProvidedLanguage(NamedTuple):
    """A language and the distribution that provides it."""

    language: Language
    distribution: str


def plugin_languages() -> list[ProvidedLanguage]:
    """Return the languages that installed plugins offer."""
    found = registry().results(LanguageSpec, "ojobchannels_languages")
    return [ProvidedLanguage(language, distribution) for language, distribution in found]
