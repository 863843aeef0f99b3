"""Reports from tox's result files which interpreters ran, and fails if too few did.

usage: which_ran.py EXPECTED VERSIONS FOUND RESULT_FILE..., VERSIONS and FOUND as "3.14 3.13 ..."
"""

import json
import sys
from pathlib import Path


def main(expected: str, versions: str, found: str, *result_files: str) -> None:
    """Print a line for every environment that ran, then the interpreters that are missing."""
    environments, ran = {}, {}
    for file in result_files:
        environments |= json.loads(Path(file).read_text("utf-8"))["testenvs"]
    for name, environment in environments.items():
        if name.startswith(".") or "installpkg" not in environment:
            continue  # the one that builds the wheel; one without an interpreter
        ran[name] = "{}.{}".format(*environment["python"]["version_info"])
        outcome = environment.get("result", {})
        status = "passed" if outcome.get("success") else "FAILED"
        print(f"{name:8} on Python {ran[name]:4} {status} in {outcome.get('duration', 0):.0f} s")

    absent = [version for version in versions.split() if version not in found.split()]
    print("not on this machine:", ", ".join(absent) or "none")

    with_tests = [ran[name] for name in ran if name.startswith(("py", "oldest"))]
    run = set(with_tests)
    if idle := [version for version in found.split() if version not in run]:
        sys.exit(f"on this machine, but not run: {', '.join(idle)}")
    if len(run) < int(expected):
        sys.exit(f"{len(run)} interpreters ran, {expected} were expected")


if __name__ == "__main__":
    main(*sys.argv[1:])
