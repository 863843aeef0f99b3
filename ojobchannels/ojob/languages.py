"""What a language plugin implements: how code is checked and run, and what it can do to its job.

A plugin provides languages by the hook ``ojobchannels_languages``. The language decides where code
runs, such as in a process of its own. The `Host` acts for it in the process of the job, which has
the channels and leases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

from ojobchannels.errors import JobError
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
        file: The name of the file, for messages.
        line: The number of its first line in that file.
        job: The job that it belongs to.
        is_value: Whether it is run for its value, so that it may be a single expression.
        folder: The folder in which to run it, or None for the current one; always None for a
            language without `takes_folder`.
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
        phase: The current step.
        args: The args; code may change them, or replace them by another map.
        error: Why the job failed, for code under `catch`.
    """

    job: str
    phase: Phase
    args: dict[str, Any]
    error: BaseException | None

    def log(self, level: Level, text: str) -> None:
        """Report a line of the job."""

    def print(self, text: str) -> None:
        """Write a line to standard output, as `print` in Python does."""

    def channel(self, name: str, config: Any = None) -> Channel:
        """Return a channel of the manager, or open one by its name and configuration."""

    def channels(self) -> list[str]:
        """Return the names of the open channels."""

    def run(self, name: str, args: Mapping[str, Any] | None = None) -> Any:
        """Run a job now; return its result, or its args, or None if it was skipped."""

    def launch(self, name: str, args: Mapping[str, Any] | None = None) -> Launch:
        """Run a job on the pool, and return a handle at once."""

    def skip(self, reason: str) -> None:
        """Skip the body and the `to` of the job, by an exception that ends the code."""

    def documents(self) -> dict[str, Any]:
        """Return the args as JSON, with the `repr` of what is not JSON in it."""

    def remaining(self) -> float | None:
        """Return the seconds after which the code must be ended; None for no limit.

        Ask again at least once a second: the result becomes less when the run is cancelled.
        """

    def overdue(self) -> JobError:
        """Return the error to raise when the code was ended after these seconds."""

    def descriptors(self) -> list[int]:
        """Return file descriptors that keep the job's locks while a child has them open."""


class Program(Protocol):
    """A block of code that has no errors, ready to run."""

    def run(self, host: Host) -> Any:
        """Run the code once, and return its result.

        Several threads may do so at a time. Any exception fails the job. An exception that the host
        raises must propagate, at least one that does not derive from `Exception`.
        """


@dataclass(frozen=True, slots=True)
class Language:
    """A language that a plugin provides for the code of job files.

    Attributes:
        name: The name by which job files choose it, in lower case.
        summary: A line about it.
        compile: Checks a block of code and returns it ready to run, or raises `CodeFault`. It
            imports what the language needs; the module of the descriptor does not.
        aliases: Other names for it.
        takes_folder: Whether its code runs in the folder `typeArgs.pwd`.
    """

    name: str
    summary: str
    compile: Callable[[Code], Program] = field(repr=False)
    aliases: tuple[str, ...] = ()
    takes_folder: bool = False


class LanguageSpec:
    """The hook by which a plugin provides languages."""

    @hookspec
    def ojobchannels_languages(self) -> Iterable[Language]:
        """Return the languages that the plugin provides; called when a job file first needs one."""
        return ()


class ProvidedLanguage(NamedTuple):
    """A language and the distribution that provides it."""

    language: Language
    distribution: str


def plugin_languages() -> list[ProvidedLanguage]:
    """Return the languages that installed plugins provide."""
    results = registry().results(LanguageSpec, "ojobchannels_languages")
    return [ProvidedLanguage(language, distribution) for language, distribution in results]
