"""Calls a second of an asynchronous channel on a server: ``python -m benchmarks.async_calls``.

Many tasks call one channel at the same time: in the event loop, on the connections of the driver's
asyncio client; and on threads, as a channel does whose operations an extension wraps. They take
turns. The command prints for each the median of the calls a second, the processor time of a call,
of all threads, and the ratio between the two.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Final, NamedTuple

import ojobchannels as oc
from ojobchannels.aio.channel import AsyncChannel
from ojobchannels.testing.servers import RedisServer

_Call = Callable[[AsyncChannel, int], Awaitable[object]]


class Wrapper:
    """An extension that wraps an operation, and changes nothing."""

    @oc.hookimpl(wrapper=True)
    def get_keys(self) -> Iterator[None]:
        """Return what the backend returns."""
        return (yield)


class Turn(NamedTuple):
    """The calls a second, and the processor time of a call in microseconds."""

    rate: float
    processor: float


async def _lock(channel: AsyncChannel, caller: int) -> None:
    async with channel.lock(f"lock {caller}", ttl=60):
        pass


CALLS: Final[dict[str, _Call]] = {
    "get": lambda channel, caller: channel.get(f"key {caller}"),
    "set": lambda channel, caller: channel.set(f"key {caller}", caller),
    "lock and release": _lock,
}


async def measured(channel: AsyncChannel, call: _Call, callers: int, calls: int) -> Turn:
    """Have tasks call a channel at the same time, each some times."""

    async def caller(number: int) -> None:
        for _ in range(calls):
            await call(channel, number)

    began, processor = time.perf_counter(), time.process_time()
    await asyncio.gather(*map(caller, range(callers)))
    spent, used = time.perf_counter() - began, time.process_time() - processor
    return Turn(callers * calls / spent, used / (callers * calls) * 1e6)


async def _run(url: str, callers: int, calls: int, rounds: int) -> None:
    async with (
        oc.open_async_channel("bench", url) as in_loop,
        oc.open_async_channel("bench", url, extensions=[Wrapper()]) as on_threads,
    ):
        channels = {"in the loop": in_loop, "on threads": on_threads}
        print(f"{'call':18} {'where':12} {'calls/s':>9} {'processor':>12}")
        for name, call in CALLS.items():
            turns: dict[str, list[Turn]] = {where: [] for where in channels}
            for number in range(rounds + 1):  # the first one opens connections and threads
                for where, channel in channels.items():
                    turn = await measured(channel, call, callers, calls)
                    turns[where] += [turn] if number else []
            rates = {
                where: statistics.median(turn.rate for turn in found)
                for where, found in turns.items()
            }
            for where, found in turns.items():
                used = min(turn.processor for turn in found)
                print(f"{name:18} {where:12} {rates[where]:9,.0f} {used:9.0f} us")
            print(f"{name:18} ratio        {rates['in the loop'] / rates['on threads']:9.2f}")


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.async_calls", description=__doc__)
    parser.add_argument("--callers", type=int, default=32, help="tasks that call at once (32)")
    parser.add_argument("--calls", type=int, default=100, help="calls of each in a turn (100)")
    parser.add_argument("--rounds", type=int, default=15, help="how many turns each has (15)")
    parser.add_argument("--url", help="the server; by default, a Redis is started")
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        url = options.url or stack.enter_context(RedisServer()).url
        asyncio.run(_run(url, options.callers, options.calls, options.rounds))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
