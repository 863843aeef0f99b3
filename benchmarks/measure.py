"""Rounds: all contestants of a case run in turn, so that a disturbance affects all of them.

The garbage collector stays enabled, since garbage is a cost. It runs before each turn, so that no
contestant pays for the garbage of another.
"""

from __future__ import annotations

import asyncio
import gc
import random
import statistics
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from time import perf_counter, process_time

Numbers = Mapping[str, float]
"""The result of one turn: seconds, by the name of what was measured; less is better."""

Turn = Callable[[float], Numbers]
"""Works for about the given number of seconds."""


@dataclass(frozen=True)
class Workspace:
    """The folder and the servers that contestants use.

    Attributes:
        folder: On the disk that is measured; removed at the end.
        servers: By channel type, the URL of a server, or the reason why it is missing.
    """

    folder: Path
    servers: Mapping[str, str] = field(default_factory=dict)

    def server(self, type: str) -> str:
        """Return the URL of the server for a channel type.

        Raises:
            CannotRun: The server is missing.
        """
        url = self.servers.get(type, "not started")
        if "://" not in url:
            raise CannotRun(url)
        return url


class CannotRun(Exception):
    """A contestant cannot take part; the message says why."""


@dataclass(frozen=True)
class Entrant:
    """A contestant of a case: its name, and a function that prepares its turn."""

    name: str
    open: Callable[[Workspace], AbstractContextManager[Turn]]


@dataclass
class Result:
    """The results of one contestant: the numbers of each round, or the error that ended it."""

    name: str
    rounds: list[Numbers] = field(default_factory=list)
    error: str = ""

    def median(self, what: str) -> float:
        """Return the median over the rounds."""
        return statistics.median(numbers[what] for numbers in self.rounds)


@dataclass(frozen=True)
class Ratio:
    """Time of one contestant divided by that of another: the median, and the middle half."""

    median: float
    low: float
    high: float


def ratio(one: Result, other: Result, what: str) -> Ratio:
    """Compare two contestants round by round, so that slow rounds of the machine cancel out."""
    pairs = zip(one.rounds, other.rounds, strict=True)
    ratios = [mine[what] / theirs[what] for mine, theirs in pairs if theirs[what]]
    if len(ratios) == 1:
        return Ratio(ratios[0], ratios[0], ratios[0])
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Ratio(middle, low, high)


def contest(
    entrants: list[Entrant], workspace: Workspace, rounds: int, seconds: float
) -> list[Result]:
    """Run all contestants in every round, in an order that changes from round to round."""
    results = {entrant.name: Result(entrant.name) for entrant in entrants}
    turns: dict[str, Turn] = {}
    with ExitStack() as opened:
        for entrant in entrants:
            try:
                turns[entrant.name] = opened.enter_context(
                    _ignoring_errors_at_close(entrant.open(workspace))
                )
            except Exception as error:  # noqa: BLE001  peers fail in ways of their own
                results[entrant.name].error = _message(error)
        for number in range(rounds + 1):
            for name in random.sample(sorted(turns), len(turns)):
                gc.collect()
                try:
                    numbers = turns[name](seconds)
                except Exception as error:  # noqa: BLE001  as above
                    results[name] = Result(name, error=_message(error))
                    del turns[name]
                    continue
                if number:  # the first round warms up
                    results[name].rounds.append(numbers)
    return list(results.values())


@contextmanager
def _ignoring_errors_at_close(opening: AbstractContextManager[Turn]) -> Iterator[Turn]:
    """Ignore errors while closing: what was measured before remains valid."""
    turn = opening.__enter__()
    try:
        yield turn
    finally:
        with suppress(Exception):
            opening.__exit__(None, None, None)


def _message(error: Exception) -> str:
    text = " ".join(str(error).split()) or "no message"
    if isinstance(error, ModuleNotFoundError | CannotRun):
        return text[:160]
    return f"{type(error).__name__}: {text}"[:160]


def repeated(step: Callable[[], object], before: Callable[[], object] | None = None) -> Turn:
    """Return a turn that repeats a step; ``before`` runs before each step and is not timed.

    The turn measures `wall`, the time of a step, and `cpu`, the CPU time of this process in it.
    """
    if before is not None:
        return _one_by_one(step, before)

    def turn(seconds: float) -> Numbers:
        wall = cpu = 0.0
        count, batch = 0, 1
        while wall < seconds:
            computed, began = process_time(), perf_counter()
            for _ in repeat(None, batch):
                step()
            wall += perf_counter() - began
            cpu += process_time() - computed
            count += batch
            batch = max(1, min(2 * batch, int(count * (seconds - wall) / wall)))
        return {"wall": wall / count, "cpu": cpu / count}

    return turn


def _one_by_one(step: Callable[[], object], before: Callable[[], object]) -> Turn:
    def turn(seconds: float) -> Numbers:
        wall, count = 0.0, 0
        ends = perf_counter() + 2 * seconds
        while count == 0 or perf_counter() < ends:
            before()
            began = perf_counter()
            step()
            wall += perf_counter() - began
            count += 1
        return {"wall": wall / count}

    return turn


def repeated_in_loop(
    loop: asyncio.AbstractEventLoop,
    step: Callable[[], Awaitable[object]],
    before: Callable[[], Awaitable[object]] | None = None,
) -> Turn:
    """Return a turn that repeats an asynchronous step in one task of the loop."""

    async def work(seconds: float) -> Numbers:
        wall, count = 0.0, 0
        ends = perf_counter() + (2 * seconds if before else seconds)
        while count == 0 or perf_counter() < ends:
            if before is not None:
                await before()
            began = perf_counter()
            await step()
            wall += perf_counter() - began
            count += 1
        return {"wall": wall / count}

    return lambda seconds: loop.run_until_complete(work(seconds))


def percentiles(samples: list[float]) -> Numbers:
    """Return p50, p90 and p99 of single times."""
    cuts = statistics.quantiles(samples, n=100, method="inclusive")
    return {"p50": cuts[49], "p90": cuts[89], "p99": cuts[98]}
