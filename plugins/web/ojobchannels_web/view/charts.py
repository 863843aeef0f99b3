"""The drawings: the strip of the last runs, the trend of durations, and the plot of a job."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from ojobchannels.manager.overview import PastRun

_STEP: Final = 8
_HEIGHTS: Final = {"completed": 14, "running": 18, "skipped": 4, "depsfail": 4}
_STRIP_HEIGHT: Final = 20
_SHOWN: Final = ("completed", "failed", "lost")


class Bar(NamedTuple):
    """One run as a bar; its height and its colour say how it ended."""

    x: int
    y: int
    height: int
    run: PastRun


class Statistics(NamedTuple):
    """The durations of the runs that ended, and how many of them succeeded."""

    runs: int
    success: float
    median: int
    p95: int
    longest: int


def strip(runs: Sequence[PastRun]) -> list[Bar]:
    """Return a bar for each run, the oldest at the left."""
    return [
        Bar(number * _STEP, _STRIP_HEIGHT - height, height, run)
        for number, run in enumerate(runs)
        for height in (_HEIGHTS.get(run.status, _STRIP_HEIGHT),)
    ]


def summary(runs: Sequence[PastRun]) -> str:
    """Return the strip in words, for screen readers."""
    counts: dict[str, int] = {}
    for run in runs:
        counts[run.status] = counts.get(run.status, 0) + 1
    listed = ", ".join(f"{count} {status}" for status, count in counts.items())
    return f"last {len(runs)} runs: {listed}" if runs else "no runs"


def trend(runs: Sequence[PastRun], width: int, height: int) -> str:
    """Return the points of a line through the durations of the runs, the oldest at the left."""
    values = durations(runs)
    if len(values) < 2:
        return ""
    top = max(*values, 1)
    step = width / (len(values) - 1)
    return " ".join(
        f"{number * step:.1f},{1 + (height - 2) * (1 - value / top):.1f}"
        for number, value in enumerate(values)
    )


def durations(runs: Sequence[PastRun]) -> list[int]:
    """Return the durations of the runs that ended themselves, in milliseconds."""
    return [run.duration for run in runs if run.status in _SHOWN and run.duration is not None]


def statistics(runs: Sequence[PastRun]) -> Statistics | None:
    """Return percentiles and the success rate; None if no run has ended."""
    ended = [run for run in runs if run.status in (*_SHOWN, "abandoned")]
    values = sorted(durations(runs))
    if not ended or not values:
        return None
    completed = sum(run.status == "completed" for run in ended)
    return Statistics(
        len(ended),
        completed / len(ended),
        _percentile(values, 0.5),
        _percentile(values, 0.95),
        values[-1],
    )


def _percentile(values: Sequence[int], share: float) -> int:
    return values[min(round(share * (len(values) - 1)), len(values) - 1)]
