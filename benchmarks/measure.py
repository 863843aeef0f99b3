"""Rounds: all contestants of a case work in turn, so that what disturbs one disturbs all.

The garbage collector stays on, since garbage is a cost; before each turn it is emptied, so that
nobody pays for another's.
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
"""What one turn found: seconds by the name of what they measure, less is better."""

Turn = Callable[[float], Numbers]
"""Works for about so many seconds."""


@dataclass(frozen=True)
class Place:
    """Where contestants keep their things, and the servers that were started for them.

    Attributes:
        folder: Emptied at the end; on the disk that is measured.
        redis: URL of a Redis server, or why there is none.
        mongo: URL of a replica set of one, or why there is none.
        mongo_alone: URL of a server without a replica set, or why there is none.
    """

    folder: Path
    redis: str = "not started"
    mongo: str = "not started"
    mongo_alone: str = "not started"

    def server(self, url: str) -> str:
        """Returns the URL.

        Raises:
            CannotRun: There is no such server.
        """
        if "://" not in url:
            raise CannotRun(url)
        return url


class CannotRun(Exception):
    """A contestant cannot take part; the message says why."""


@dataclass(frozen=True)
class Entrant:
    """Somebody who takes part in a case: a name, and how to get ready to work."""

    name: str
    open: Callable[[Place], AbstractContextManager[Turn]]


@dataclass
class Result:
    """What one entrant achieved: the numbers of each round, or why there are none."""

    name: str
    rounds: list[Numbers] = field(default_factory=list)
    trouble: str = ""

    def median(self, what: str) -> float:
        """Returns the median over the rounds."""
        return statistics.median(numbers[what] for numbers in self.rounds)


@dataclass(frozen=True)
class Ratio:
    """One entrant's time over another's: the median over the rounds, and the middle half."""

    median: float
    low: float
    high: float


def ratio(one: Result, other: Result, what: str) -> Ratio:
    """Compares two entrants round by round, so that slow rounds of the machine cancel out."""
    pairs = zip(one.rounds, other.rounds, strict=True)
    ratios = [mine[what] / theirs[what] for mine, theirs in pairs if theirs[what]]
    if len(ratios) == 1:
        return Ratio(ratios[0], ratios[0], ratios[0])
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Ratio(middle, low, high)


def contest(entrants: list[Entrant], place: Place, rounds: int, seconds: float) -> list[Result]:
    """Lets all entrants work in every round, in an order that changes from round to round."""
    results = {entrant.name: Result(entrant.name) for entrant in entrants}
    turns: dict[str, Turn] = {}
    with ExitStack() as opened:
        for entrant in entrants:
            try:
                turns[entrant.name] = opened.enter_context(_forgiving(entrant.open(place)))
            except Exception as error:  # noqa: BLE001  peers fail in ways of their own
                results[entrant.name].trouble = _told(error)
        for number in range(rounds + 1):
            for name in random.sample(sorted(turns), len(turns)):
                gc.collect()
                try:
                    numbers = turns[name](seconds)
                except Exception as error:  # noqa: BLE001  as above
                    results[name] = Result(name, trouble=_told(error))
                    del turns[name]
                    continue
                if number:  # the first round warms up
                    results[name].rounds.append(numbers)
    return list(results.values())


@contextmanager
def _forgiving(opening: AbstractContextManager[Turn]) -> Iterator[Turn]:
    """Overlooks trouble at the end: what was measured before stands."""
    turn = opening.__enter__()
    try:
        yield turn
    finally:
        with suppress(Exception):
            opening.__exit__(None, None, None)


def _told(error: Exception) -> str:
    text = " ".join(str(error).split()) or "no message"
    if isinstance(error, ModuleNotFoundError | CannotRun):
        return text[:160]
    return f"{type(error).__name__}: {text}"[:160]


def repeated(step: Callable[[], object], before: Callable[[], object] | None = None) -> Turn:
    """Returns a turn that repeats a step; ``before`` comes before each and is not timed.

    It finds `wall`, the time of a step, and `cpu`, what of that this process computed.
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
    """Returns a turn that repeats an asynchronous step, all in one task of the loop."""

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
    """Returns p50, p90 and p99 of single times."""
    cuts = statistics.quantiles(samples, n=100, method="inclusive")
    return {"p50": cuts[49], "p90": cuts[89], "p99": cuts[98]}
