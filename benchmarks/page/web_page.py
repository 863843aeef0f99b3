"""Time the first screen of the page: ``python -m benchmarks.page.web_page --records 1000000``.

It fills a database with run records, then starts the page as a user does, in a process of its own,
and measures how long it takes until it serves, the first request then, and those that follow: at
the very first start, and at one after the overview of all jobs was stored. Needs the distribution
``plugins/web``.
"""

from __future__ import annotations

import argparse
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import ojobchannels as oc
from ojobchannels.manager.overview import RunOverview
from ojobchannels.manager.records import ending, iso, key_of

TARGET_MS: Final = 300
_BATCH: Final = 5_000
_REQUESTS: Final = 20


def fill(
    url: str, records: int, jobs: int, name_of: Callable[[int], str] = "job {}".format
) -> None:
    """Store the records of runs that ended one second after the other."""
    with oc.JobManager(url, url) as manager:
        with manager.run(name_of(0), args={"day": "monday", "batch": 17}):
            pass
        [seed] = manager.runs()
        first = seed["startTime"] - records * 1000
        for start in range(0, records, _BATCH):
            batch = []
            for number in range(start, min(start + _BATCH, records)):
                at = first + number * 1000
                made = seed | {"name": name_of(number * 613 % jobs), "startTime": at}
                made |= {"startDate": iso(at), "runId": f"{number:032x}"}
                status = "completed" if number % 31 else "failed"
                made |= ending(at, status, number % 900, None)
                batch.append((key_of(made), made))
            manager.jobs.set_all(batch)


@contextmanager
def served(url: str) -> Iterator[str]:
    """Serve the page in a process of its own, and yield its address once it says it."""
    command = [sys.executable, "-m", "ojobchannels", "web", "--jobs", url, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603  our own program
        assert process.stderr is not None  # noqa: S101  it was opened with a pipe
        found = re.search(r"Serving (\S+)", process.stderr.readline())
        if found is None:
            raise RuntimeError(process.stderr.read())
        try:
            yield found[1]
        finally:
            process.send_signal(signal.SIGTERM)


def measure(url: str) -> tuple[float, float, float]:
    """Return the milliseconds of the start, of the first request, and the median of the others."""
    started = time.perf_counter()
    with served(url) as address:
        ready = (time.perf_counter() - started) * 1000
        times = []
        for _ in range(1 + _REQUESTS):
            began = time.perf_counter()
            with urllib.request.urlopen(address) as reply:  # noqa: S310  our own server
                reply.read()
            times.append((time.perf_counter() - began) * 1000)
    return ready, times[0], statistics.median(times[1:])


def main(arguments: list[str] | None = None) -> int:
    """Print what was measured; exit with 1 if a first screen took longer than the target."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page.web_page", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000, help="run records (1000000)")
    parser.add_argument("--jobs", type=int, default=1000, help="jobs (1000)")
    parser.add_argument("--folder", default=None, help="where the database is (temporary)")
    options = parser.parse_args(arguments)
    slowest = 0.0
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
        url = f"sqlite:///{Path(folder, 'jobs.db')}"
        fill(url, options.records, options.jobs)
        print(f"{options.records:,} records of {options.jobs:,} jobs on `db`, in ms:")
        for start in ("very first start", "later start"):
            ready, first, median = measure(url)
            slowest = max(slowest, first, median)
            print(
                f"{start}: serves after {ready:.0f}, "
                f"first request {first:.0f}, later ones {median:.0f} (median)"
            )
            if start == "very first start":
                read_whole(url)
    print(f"target {TARGET_MS} ms: {'met' if slowest <= TARGET_MS else 'missed'}")
    return int(slowest > TARGET_MS)


def read_whole(url: str) -> None:
    """Read the whole history, and store the overview, as a page does while it is open."""
    with oc.JobManager(url, url) as manager:
        overview = RunOverview(manager)
        overview.refresh()
        began = time.perf_counter()
        while overview.read_older():
            pass
        print(f"reading the history: {time.perf_counter() - began:.1f} s, once")


if __name__ == "__main__":
    raise SystemExit(main())
