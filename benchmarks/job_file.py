"""Time the check of a large job file: ``python -m benchmarks.job_file --jobs 5000``.

Only `check_file` is used, so that an older version can be measured beside this one: run the command
with the Python of an environment in which the older version is installed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from ojobchannels.ojob import check_file

_JOB = """\
- name: Job {at}
  deps: {deps}
  args: {{customer: "{{{{customer}}}}", limit: {at}}}
  exec: |
    for number in range(args["limit"]):
        if number % 1000 == 0:
            log(f"{{number}} of {{args['limit']}}")
    args["done"] = True
"""


def job_file(jobs: int) -> str:
    """Return a job file with `jobs` jobs of eight lines each, all of them in the todo."""
    parts = [_JOB.format(at=at, deps=f"Job {at - 1}" if at % 5 else "[]") for at in range(jobs)]
    return "".join(["jobs:\n", *parts, "todo:\n", *(f"- Job {at}\n" for at in range(jobs))])


def main(arguments: list[str] | None = None) -> int:
    """Print the seconds that the check takes: of each round, and their median."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.job_file", description=__doc__)
    parser.add_argument("--jobs", type=int, default=5000, help="jobs in the file (5000)")
    parser.add_argument("--rounds", type=int, default=3, help="how many checks (3)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder, "large.yaml")
        path.write_text(text := job_file(options.jobs), "utf-8")
        seconds = []
        for _ in range(options.rounds):
            began = time.perf_counter()
            checked = check_file(path)
            seconds.append(time.perf_counter() - began)
        lines = text.count("\n")
        print(f"{len(checked.jobs):,} jobs, {lines:,} lines: ", end="")
        print(", ".join(f"{one:.2f} s" for one in seconds), end="")
        print(f"; median {statistics.median(seconds):.2f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
