"""Time the check of a large job file: ``python -m benchmarks.job_file --jobs 5000``.

It uses nothing but `check_file`, so that an older checkout can be measured beside this one: call it
there with ``PYTHONPATH`` set to this folder's parent and the other environment's Python.
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
  typeArgs: {{timeout: 60000, lang: shell}}
  args:
    customer: "{{{{customer}}}}"
    limit: {at}
  exec: |
    echo "working on $customer"
    sleep 1
"""
_PYTHON_JOB = """\
- name: Job {at}
  deps: Job {before}
  args: {{customer: "{{{{customer}}}}", limit: {at}}}
  exec: |
    for number in range(args["limit"]):
        if number % 1000 == 0:
            log(f"{{number}} of {{args['limit']}}")
    args["done"] = True
"""


def job_file(jobs: int) -> str:
    """Return a job file with `jobs` jobs of eight lines each, all of them in the todo."""
    parts = ["include: oJobBasics.yaml\n", "jobs:\n"]
    parts += [
        (_JOB if at % 5 == 0 else _PYTHON_JOB).format(at=at, before=at - 1) for at in range(jobs)
    ]
    return "".join([*parts, "todo:\n", *(f"- Job {at}\n" for at in range(jobs))])


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
