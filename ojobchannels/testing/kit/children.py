"""Child processes for tests: each runs a script and exchanges lines of JSON with the test.

A script can use these names: `channel`, an open handle on the test's storage; `send` and `receive`,
which exchange JSON values with the test; `params`, the keyword arguments of the test; `oc`, the
package; `channel_name` and `channel_config`, to open the channel again; `boot_time` and
`WaitObserver`.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from subprocess import PIPE, TimeoutExpired
from typing import IO, TYPE_CHECKING, Any, Final, cast

import ojobchannels as oc
from ojobchannels.testing.forks import Forks, modules_of
from ojobchannels.testing.kit import stacks
from ojobchannels.testing.programs import Program

if TYPE_CHECKING:
    from ojobchannels.testing.kit.subject import Subject

_STACKS: Final = signal.SIGUSR2

PATIENCE: Final = 60.0
"""Seconds after which a silent process counts as hanging."""


class Child:
    """A process that runs a script.

    Args:
        forks: The process that forks it.
        script: Python source.
        subject: The storage whose channel the script finds as `channel`; None for no channel.
        params: What the script finds as `params`; JSON values.

    Attributes:
        pid: The process id.
    """

    def __init__(
        self, forks: Forks, script: str, subject: Subject | None, params: dict[str, Any]
    ) -> None:
        self._stacks = tempfile.NamedTemporaryFile()  # noqa: SIM115  closed by `clean_up`
        setup: dict[str, Any] = {"script": script, "params": params, "stacks": self._stacks.name}
        self._trace = subject.trace if subject is not None else None
        imports = [__name__, "ojobchannels.manager"]
        if subject is not None:
            setup |= {"channel_name": subject.name, "channel_config": subject.config}
            imports += modules_of(subject.channel_type)
        args = ["-c", f"import {__name__} as child; child.main()", json.dumps(setup)]
        self._program = Program(forks, args, stdin=PIPE, stdout=PIPE, imports=imports)
        self._stdin = cast("IO[str]", self._program.stdin)
        self._stdout = cast("IO[str]", self._program.stdout)
        self.pid = self._program.pid
        self._forks = forks
        stacks.sources[self.pid] = self.stacks
        self._lines: Queue[str | None] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._note("starts")

    def receive(self, within: float = PATIENCE) -> Any:
        """Return the next value that the script sends.

        Raises:
            AssertionError: The script ended, or sent nothing for `within` seconds.
        """
        __tracebackhide__ = True
        try:
            line = self._lines.get(timeout=within)
        except Empty:
            raise AssertionError(
                f"process {self.pid} sent nothing for {within:g} s\n{stacks.all_stacks()}"
            ) from None
        if line is None:
            status = self.wait()
            raise AssertionError(f"process {self.pid} ended with status {status}; see its stderr")
        self._note(f"sends {line.strip()}")
        return json.loads(line)

    def stacks(self) -> str:
        """Return the stacks of its threads; none if it is suspended, or has ended."""
        if self.pid in self._forks.running:  # without asking what may hang, too
            with suppress(ProcessLookupError):
                os.kill(self.pid, _STACKS)
        until = time.monotonic() + 1
        while not os.fstat(self._stacks.fileno()).st_size and time.monotonic() < until:
            time.sleep(0.02)
        self._stacks.seek(0)
        text = self._stacks.read().decode("utf-8", "replace")
        return f"stacks of process {self.pid}:\n{textwrap.indent(text or 'none', '  ')}"

    def remaining(self) -> Iterator[Any]:
        """Yield what the script sends until it ends, without a line that a kill cut off."""
        while (line := self._lines.get(timeout=PATIENCE)) is not None:
            if line.endswith("\n"):
                yield json.loads(line)
        self._lines.put(None)

    def send(self, value: object = None) -> None:
        """Send a value, which the script gets from `receive`."""
        self._note(f"is sent {json.dumps(value)}")
        self._stdin.write(json.dumps(value) + "\n")
        self._stdin.flush()

    def signal(self, number: int) -> None:
        """Send a signal."""
        self._note(f"gets signal {number}")
        self._program.send_signal(number)

    def kill(self) -> None:
        """Kill the process with SIGKILL and wait for its end."""
        self._note("is killed")
        self._program.kill()
        self._program.wait()

    def wait(self) -> int:
        """Wait for the end of the process, and return its exit status."""
        try:
            status = self._program.wait(PATIENCE)
        except TimeoutExpired:
            raise AssertionError(f"process {self.pid} did not end within {PATIENCE:g} s") from None
        self._note(f"ended with status {status}")
        return status

    def end(self) -> int:
        """Close the script's input, wait for the process, and return its exit status."""
        self._stdin.close()
        return self.wait()

    def clean_up(self) -> None:
        """Kill the process if it runs, and close the pipes."""
        stacks.sources.pop(self.pid, None)
        self._program.kill()
        self._program.wait()
        self._stacks.close()
        with suppress(BrokenPipeError):
            self._stdin.close()
        # The reader blocks while a grandchild holds the pipe open; do not wait for that.
        self._reader.join(1)
        if not self._reader.is_alive():
            self._stdout.close()

    def _read(self) -> None:
        for line in self._stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _note(self, step: str) -> None:
        if self._trace is not None:
            self._trace.note(f"process {self.pid} {step}")


class Children:
    """Starts processes, ``children(script, subject, name=value, …)``, and ends all of them."""

    def __init__(self, forks: Forks) -> None:
        self._forks = forks
        self._started: list[Child] = []

    def __call__(self, script: str, subject: Subject | None = None, **params: Any) -> Child:
        """Start a process that runs `script`."""
        child = Child(self._forks, script, subject, params)
        self._started.append(child)
        return child

    def clean_up(self) -> None:
        """End the processes that still run."""
        for child in self._started:
            child.clean_up()


# What follows runs in the child.


def send(value: object = None) -> None:
    """Send a value to the test."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def receive() -> Any:
    """Return the next value from the test; end the process when the test has ended."""
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    return json.loads(line)


def boot_time() -> float:
    """Return seconds on a clock that all processes of the host share."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class WaitObserver:
    """An extension that sends "waiting" before each call of the hook `wait`."""

    @oc.hookimpl(wrapper=True)
    def wait(self) -> Iterator[None]:
        """Send the message, then let the backend wait."""
        send("waiting")
        return (yield)


def main() -> None:
    """Run the script."""
    setup = json.loads(sys.argv[1])
    file = Path(setup.pop("stacks")).open("ab")  # noqa: SIM115  until the process has ended
    faulthandler.register(_STACKS, file=file)
    code = compile(setup.pop("script"), "<script>", "exec")
    names = globals() | setup
    if "channel_config" not in setup:
        exec(code, names)  # noqa: S102  the test wrote it
        return
    with oc.open_channel(setup["channel_name"], setup["channel_config"]) as channel:
        exec(code, names | {"channel": channel})  # noqa: S102  the script of a test
