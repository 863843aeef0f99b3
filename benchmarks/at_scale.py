"""What very many leases, schedules, daemons or messages use, as ``… benchmarks.at_scale leases``.

``leases`` holds leases on a Redis server and keeps them alive; ``schedules`` serves functions that
are due once in four years. For both, the command prints the memory of each, and the processor time
that the process uses while it does nothing else, in percent of one core. ``daemons`` prints how
many commands a second idle daemons send to their Redis server. ``messages`` prints how long a
worker takes to take the first message of a queue, and the next ones. It needs Linux.
"""

from __future__ import annotations

import argparse
import re
import resource
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import ojobchannels as oc
from benchmarks import plots
from ojobchannels.recipes.queue import Queue
from ojobchannels.testing.servers import RedisServer


class Used(NamedTuple):
    """The processor time in percent of a core, and the bytes of memory for each."""

    processor: float
    memory: float


class Usage:
    """What this process uses, beyond what it used when this was made."""

    def __init__(self) -> None:
        self._memory = _memory()

    def during(self, seconds: float, count: int) -> Used:
        """Wait, and return what was used meanwhile."""
        began, processor = time.perf_counter(), time.process_time()
        time.sleep(seconds)
        share = (time.process_time() - processor) / (time.perf_counter() - began)
        return Used(share * 100, (_memory() - self._memory) / count)


class Taken(NamedTuple):
    """The seconds until the first message of a new worker was taken, and the median of others."""

    first: float
    next: float


_BATCH = 10_000
_TAKES = 500


def _work() -> None:
    pass


def _memory() -> int:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()


def leases(url: str, count: int, ttl: float) -> Used:
    """Hold leases, and measure for the time of one ttl, in which each is renewed three times."""
    with oc.open_channel("bench", url) as channel:
        usage = Usage()
        held = [channel.lock(f"job {number}", ttl=ttl, keep_alive=True) for number in range(count)]
        used = usage.during(ttl, count)
        if lost := sum(lease.lost for lease in held):
            raise SystemExit(f"{lost} of {count} leases were lost")
        return used


def schedules(url: str, count: int, seconds: float, settling: float) -> Used:
    """Serve schedules that are not due, and measure after they were published."""
    with oc.JobManager(url, url) as manager:
        usage = Usage()
        for number in range(count):
            manager.job(f"job {number}", cron=f"{number % 60} {number // 60 % 24} 29 2 *")(_work)
        manager.start_schedules()
        time.sleep(settling)
        return usage.during(seconds, count)


def messages(url: str, count: int) -> Taken:
    """Fill a queue, and measure the takes of a new worker."""
    with oc.open_channel(f"bench {count}", url) as channel:
        Queue(channel).add("work")
        for start in range(1, count, _BATCH):
            numbers = range(start, min(start + _BATCH, count))
            channel.set_all(({"id": str(number)}, _message(number)) for number in numbers)
    with oc.open_channel(f"bench {count}", url) as channel:
        queue, times = Queue(channel), list[float]()
        for _ in range(min(count, _TAKES)):
            began = time.perf_counter()
            message = queue.take(60, ["work"])
            times.append(time.perf_counter() - began)
            if message is None:
                raise SystemExit("the queue is empty before its end")
            message.done()
        channel.destroy()
        return Taken(times[0], statistics.median(times[1:]))


def _message(number: int) -> dict[str, object]:
    times = {"added": number, "notBefore": number}
    fixed = {"job": "work", "status": "waiting", "priority": 1, "attempts": 0, "data": None}
    return {"id": str(number), **fixed, **times}


def daemons(server: RedisServer, count: int, seconds: float, settling: float) -> float:
    """Let daemons with one schedule each be idle, and return the commands a second of their server.

    They are job managers of this process: each asks as a daemon of its own would. The commands
    within scripts are counted too.
    """
    with ExitStack() as stack:
        for number in range(count):
            manager = stack.enter_context(oc.JobManager(server.url, server.url))
            manager.job(f"job {number}", cron="0 0 29 2 *")(_work)
            manager.start_schedules()
        time.sleep(settling)
        began, before = time.perf_counter(), _commands(server)
        time.sleep(seconds)
        return (_commands(server) - before) / (time.perf_counter() - began)


def _commands(server: RedisServer) -> int:
    found = re.search(r"total_commands_processed:(\d+)", str(server.command("INFO", "stats")))
    return int(found.group(1)) if found else 0


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print a line for each number."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.at_scale", description=__doc__)
    parser.add_argument("what", choices=["leases", "schedules", "daemons", "messages"])
    parser.add_argument("--counts", default="1000,10000,100000", help="how many, with commas")
    parser.add_argument("--ttl", type=float, default=60, help="of the leases, in seconds (60)")
    parser.add_argument("--seconds", type=float, default=30, help="how long others are measured")
    parser.add_argument("--settling", type=float, default=30, help="until schedules are published")
    parser.add_argument("--url", help="the store; by default, a Redis is started")
    parser.add_argument("--plot", type=Path, help="draw the commands of daemons into this file")
    options = parser.parse_args(arguments)
    counts = [int(count) for count in options.counts.split(",")]
    if options.what == "daemons":
        _measure_daemons(counts, options.seconds, options.settling, options.plot)
        return 0
    with ExitStack() as stack:
        url = options.url or stack.enter_context(RedisServer()).url
        for count in counts:
            if options.what == "messages":
                taken = messages(url, count)
                milliseconds = f"{taken.first * 1000:.1f} ms, the next {taken.next * 1000:.2f} ms"
                print(f"{count:9,} messages: the first take {milliseconds}", flush=True)
                continue
            if options.what == "leases":
                used = leases(url, count, options.ttl)
            else:
                used = schedules(url, count, options.seconds, options.settling)
            print(
                f"{count:9,} {options.what}: {used.processor:6.2f} % of a core, "
                f"{used.memory / 1000:6.2f} KB each",
                flush=True,
            )
    return 0


def _measure_daemons(counts: list[int], seconds: float, settling: float, plot: Path | None) -> None:
    rates: dict[int, float] = {}
    for count in counts:
        with RedisServer() as server:
            rates[count] = daemons(server, count, seconds, settling)
        print(f"{count:9,} daemons: {rates[count]:8.1f} commands a second", flush=True)
    if plot is not None:
        plots.draw_commands(rates, plot)


if __name__ == "__main__":
    raise SystemExit(main())
