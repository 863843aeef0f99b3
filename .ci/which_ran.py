"""Tells from tox's result file which interpreters ran, and insists on enough of them.

usage: which_ran.py RESULT_FILE EXPECTED VERSIONS FOUND, the last two as "3.14 3.13 ..."
"""

import json
import sys
from pathlib import Path


def main(result_file: str, expected: str, versions: str, found: str) -> None:
    """Prints a line for every environment that ran, then what is missing."""
    environments = json.loads(Path(result_file).read_text("utf-8"))["testenvs"]
    ran = {}
    for name, environment in environments.items():
        if name.startswith(".") or "python" not in environment:
            continue  # the one that builds the wheel; one without an interpreter
        ran[name] = environment["python"]["version"].split()[0]
        outcome = environment.get("result", {})
        word = "passed" if outcome.get("success") else "FAILED"
        print(f"{name:8} on Python {ran[name]:8} {word} in {outcome.get('duration', 0):.0f} s")

    absent = [version for version in versions.split() if version not in found.split()]
    print("not on this machine:", ", ".join(absent) or "none of them")

    there = {version: "py" + version.replace(".", "") in ran for version in found.split()}
    if idle := [version for version, it_ran in there.items() if not it_ran]:
        sys.exit(f"on this machine, and yet not run: {', '.join(idle)}")
    if sum(there.values()) < int(expected):
        sys.exit(f"{sum(there.values())} interpreters ran, {expected} were expected")


if __name__ == "__main__":
    main(*sys.argv[1:])
