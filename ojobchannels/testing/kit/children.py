"""Processes that a test starts: each runs a script on the test's storage, and talks with the test.

A script has these names: ``channel``, the storage's channel, opened; `say` and `hear`, which talk
in lines of JSON; ``facts``, what the test passed along; ``oc``, the package; ``given``, what opens
the channel once more; `boot_time` and `Announcer`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import IO, TYPE_CHECKING, Any, Final, cast

import ojobchannels as oc

if TYPE_CHECKING:
    from ojobchannels.testing.kit.subject import Subject

PATIENCE: Final = 30.0
"""Seconds after which a process that says nothing counts as one that hangs."""


class Child:
    """A process that runs a script.

    Args:
        script: What it runs.
        subject: The storage whose channel it opens first; none by default.
        facts: What it finds in ``facts``; all of JSON.
    """

    def __init__(self, script: str, subject: Subject | None, facts: dict[str, Any]) -> None:
        given: dict[str, Any] = {"facts": facts}
        self._story = subject.story if subject is not None else None
        if subject is not None:
            given |= {"name": subject.name, "config": subject.config}
        self.process = subprocess.Popen(  # noqa: S603  this very Python
            [sys.executable, "-P", "-W", "error", "-m", __name__, script, json.dumps(given)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._stdin = cast("IO[str]", self.process.stdin)
        self._stdout = cast("IO[str]", self.process.stdout)
        self._said: SimpleQueue[str | None] = SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.note("starts")

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def hear(self, within: float = PATIENCE) -> Any:
        """Returns what the script said next; raises AssertionError if it ended or stays silent."""
        __tracebackhide__ = True
        try:
            line = self._said.get(timeout=within)
        except Empty:
            raise AssertionError(f"process {self.pid} said nothing for {within:g} s") from None
        if line is None:
            status = self.process.wait()
            raise AssertionError(f"process {self.pid} ended with status {status}; see its stderr")
        self.note(f"says {line.strip()}")
        return json.loads(line)

    def rest(self) -> Iterator[Any]:
        """Yields what the script says until it ends; a line that a kill cut off is left out."""
        while (line := self._said.get(timeout=PATIENCE)) is not None:
            if line.endswith("\n"):
                yield json.loads(line)
        self._said.put(None)

    def tell(self, thing: object = None) -> None:
        """Gives the script what it waits to `hear`."""
        self.note(f"is told {json.dumps(thing)}")
        self._stdin.write(json.dumps(thing) + "\n")
        self._stdin.flush()

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        self.note(f"gets signal {number}")
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kills it with -9."""
        self.note("is killed")
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """Waits for the process, which has nothing more to hear, and returns its exit status."""
        self._stdin.close()
        status = self.process.wait(PATIENCE)
        self.note(f"ended with status {status}")
        return status

    def clear_away(self) -> None:
        """Ends it, whatever it does."""
        self.process.kill()
        self.process.wait()
        with suppress(BrokenPipeError):
            self._stdin.close()
        # A grandchild may still have the other end of the pipe, and then nobody waits for it.
        self._reader.join(1)
        if not self._reader.is_alive():
            self._stdout.close()

    def _read(self) -> None:
        for line in self._stdout:
            self._said.put(line)
        self._said.put(None)

    def note(self, what: str) -> None:
        """Adds to the story of the test."""
        if self._story is not None:
            self._story.note(f"process {self.pid} {what}")


class Children:
    """Starts processes, ``children(script, subject, fact=…)``, and ends them all."""

    def __init__(self) -> None:
        self._started: list[Child] = []

    def __call__(self, script: str, subject: Subject | None = None, **facts: Any) -> Child:
        """Starts one."""
        child = Child(script, subject, facts)
        self._started.append(child)
        return child

    def clear_away(self) -> None:
        """Ends those that still run."""
        for child in self._started:
            child.clear_away()


# What follows runs in the child.


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
    """Seconds on a clock that all processes of the host share."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Announcer:
    """An extension that says "waiting" when somebody is about to wait for a lock."""

    @oc.hookimpl(wrapper=True)
    def wait(self) -> Iterator[None]:
        """Says it."""
        say("waiting")
        return (yield)


def main() -> None:
    """Runs the script."""
    script, given = sys.argv[1], json.loads(sys.argv[2])
    names = dict(globals(), facts=given["facts"])
    code = compile(script, "<script>", "exec")
    if "config" not in given:
        exec(code, names)  # noqa: S102  the test wrote it
        return
    with oc.open_channel(given["name"], given["config"]) as channel:
        exec(code, names | {"channel": channel, "given": given})  # noqa: S102


if __name__ == "__main__":
    main()
