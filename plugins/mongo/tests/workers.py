"""What runs in a process that a test starts: a script given on the command line, with these names.

``channel`` is the storage's channel, opened; `say` and `hear` talk to the test in lines of JSON;
`facts` is what the test passed along.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import ojobchannels as oc


def say(thing: object = None) -> None:
    """Tells the test something."""
    sys.stdout.write(json.dumps(thing) + "\n")
    sys.stdout.flush()


def hear() -> Any:
    """Waits for the test's word; ends the process when the test is gone."""
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    return json.loads(line)


def boot_time() -> float:
    """Seconds on the clock that all processes of the host share."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Announcer:
    """An extension that says "waiting" when somebody is about to wait for a lock."""

    @oc.hookimpl(wrapper=True)
    def wait(self) -> Any:
        say("waiting")
        return (yield)


def main() -> None:
    """Runs the script."""
    script, given = sys.argv[1], json.loads(sys.argv[2])
    names = dict(globals(), facts=given["facts"])
    code = compile(script, "<script>", "exec")
    if "config" not in given:
        exec(code, names)  # noqa: S102  the tests wrote it
        return
    with oc.open_channel(given["name"], given["config"]) as channel:
        exec(code, names | {"channel": channel, "given": given})  # noqa: S102


if __name__ == "__main__":
    main()
