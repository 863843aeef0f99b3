"""The lines of a run's output, as they are stored and read."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast, get_args

from ojobchannels.errors import InvalidOption

OutputLevel: TypeAlias = Literal["info", "warn", "error", "out", "err"]
"""The level of a log line, or the standard stream to which a line was printed."""

LEVELS: Final = get_args(OutputLevel)

LONGEST_LINE: Final = 8192
"""Characters that are kept of one line."""

LARGEST_PART: Final = 1_000_000
"""The largest limit of a part: all backends take a document of this size."""


@dataclass(frozen=True, slots=True)
class OutputLimits:
    """How much of the output of a run is kept: its first and its last part, in characters.

    A line counts with its length and 32 characters more. With two zeros, nothing is kept.

    Attributes:
        first: The size of the first part.
        last: The size of the last part.
    """

    first: int = 16_384
    last: int = 49_152

    def __post_init__(self) -> None:
        for name in ("first", "last"):
            if not 0 <= getattr(self, name) <= LARGEST_PART:
                reason = f"{getattr(self, name)} is not a number of characters"
                raise InvalidOption(f"output.{name}", reason, f"pass 0 to {LARGEST_PART}")


DEFAULT_LIMITS: Final = OutputLimits()


class OutputLine(NamedTuple):
    """One line of the output of a run.

    Attributes:
        time: When it was written, in milliseconds since 1970.
        level: ``info``, ``warn`` or ``error`` if it was logged; ``out`` or ``err`` if it was
            printed to standard output or standard error.
        text: The line, without secrets.
    """

    time: int
    level: OutputLevel
    text: str


@dataclass(frozen=True, slots=True)
class RunOutput:
    """The output of a run, as far as it is kept.

    Attributes:
        run_id: The identifier of the run.
        name: The name of its job.
        first: The first lines.
        last: The last lines; empty if all of them are in `first`.
        total: The number of all lines, also of those that are not kept.
        ended: Whether the run has ended, so that no line will follow.
    """

    run_id: str
    name: str
    first: tuple[OutputLine, ...]
    last: tuple[OutputLine, ...]
    total: int
    ended: bool

    @property
    def dropped(self) -> int:
        """The number of lines between `first` and `last` that are not kept."""
        return self.total - len(self.first) - len(self.last)

    def numbered(self, after: int = 0) -> Iterator[tuple[int, OutputLine]]:
        """Yield the lines after the one with the number `after`, each with its number from 1."""
        start = self.total - len(self.last) + 1
        for number, line in (*enumerate(self.first, 1), *enumerate(self.last, start)):
            if number > after:
                yield number, line

    @classmethod
    def from_document(cls, document: Any) -> "RunOutput | None":
        """Return the output that is stored in a document; None if it is damaged."""
        match document:
            case {
                "runId": str(run_id),
                "name": str(name),
                "first": list(first),
                "last": list(last),
                "lines": int(total),
                "ended": bool(ended),
            }:
                try:
                    return cls(run_id, name, _lines(first), _lines(last), total, ended)
                except (TypeError, ValueError):
                    return None
        return None


def _lines(stored: list[Any]) -> tuple[OutputLine, ...]:
    return tuple(
        OutputLine(int(time), cast("OutputLevel", str(level)), str(text))
        for time, level, text in stored
    )
