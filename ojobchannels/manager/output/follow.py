"""Follows the output of a run from another process, until the run has ended."""

from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from ojobchannels.manager.output.lines import OutputLine, RunOutput

PAUSE_SECONDS: Final = 0.3
_READS_AFTER_THE_END: Final = 5
"""The last write follows the end of the record; a process that died does not make it."""


class History(Protocol):
    """The records and the outputs of the runs."""

    def _before_start(self) -> None:
        """Close the dead runs, unless that was done in the last second."""

    def record(self, run_id: str) -> dict[str, Any] | None:
        """Return the record of a run."""

    def output(self, run_id: str) -> RunOutput | None:
        """Return the output of a run."""


def follow(
    history: History, run_id: str, pause: Callable[[float], object], after: int = 0
) -> Iterator[tuple[int, OutputLine]]:
    """Yield the lines of a run, each with its number, until it has ended.

    Lines that were dropped before they could be read are missing.

    Args:
        history: Where the run is.
        run_id: The identifier of the run.
        pause: Sleeps for some seconds.
        after: The number of the last line that is known.
    """
    seen, reads = after, 0
    while True:
        output = history.output(run_id)
        for number, line in output.numbered(seen) if output else ():
            seen = number
            yield number, line
        if (output and output.ended) or reads == _READS_AFTER_THE_END:
            return
        history._before_start()
        record = history.record(run_id)
        reads += record is None or record["status"] != "running"
        pause(PAUSE_SECONDS)
