"""Reports from tox's result file which interpreters ran, and fails if too few did.

usage: which_ran.py RESULT_FILE EXPECTED VERSIONS FOUND, the last two as "3.14 3.13 ..."
"""

import json
import sys
from pathlib import Path


def main(result_file: str, expected: str, versions: str, found: str) -> None:
    """Print a line for every environment that ran, then the interpreters that are missing."""
    environments = json.loads(Path(result_file).read_text("utf-8"))["testenvs"]
    ran = {}
    for name, environment in environments.items():
        if name.startswith(".") or "python" not in environment:
            continue  # the one that builds the wheel; one without an interpreter
        ran[name] = environment["python"]["version"].split()[0]
        outcome = environment.get("result", {})
        status = "passed" if outcome.get("success") else "FAILED"
        print(f"{name:8} on Python {ran[name]:8} {status} in {outcome.get('duration', 0):.0f} s")

    absent = [version for version in versions.split() if version not in found.split()]
    print("not on this machine:", ", ".join(absent) or "none")

    ran_here = {version: "py" + version.replace(".", "") in ran for version in found.split()}
    if idle := [version for version, it_ran in ran_here.items() if not it_ran]:
        sys.exit(f"on this machine, but not run: {', '.join(idle)}")
    if sum(ran_here.values()) < int(expected):
        sys.exit(f"{sum(ran_here.values())} interpreters ran, {expected} were expected")


if __name__ == "__main__":
    main(*sys.argv[1:])
