"""What one process uses for very many leases or schedules: ``python -m benchmarks.at_scale``.

``leases`` holds leases on a Redis server and keeps them alive; ``schedules`` serves functions that
are due once in four years. The command prints the memory of each, and the processor time that the
process uses while it does nothing else, in percent of one core. It needs Linux.
"""

from __future__ import annotations

import argparse
import resource
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import ojobchannels as oc
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


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print a line for each number."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.at_scale", description=__doc__)
    parser.add_argument("what", choices=["leases", "schedules"])
    parser.add_argument("--counts", default="1000,10000,100000", help="how many, with commas")
    parser.add_argument("--ttl", type=float, default=60, help="of the leases, in seconds (60)")
    parser.add_argument("--settling", type=float, default=60, help="until schedules are published")
    parser.add_argument("--url", help="the store; by default, a Redis is started")
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        url = options.url or stack.enter_context(RedisServer()).url
        for count in map(int, options.counts.split(",")):
            if options.what == "leases":
                used = leases(url, count, options.ttl)
            else:
                used = schedules(url, count, options.ttl, options.settling)
            print(
                f"{count:9,} {options.what}: {used.processor:6.2f} % of a core, "
                f"{used.memory / 1000:5.1f} KB each",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
