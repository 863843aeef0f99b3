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
from typing import TYPE_CHECKING, Any, Final

import ojobchannels as oc
from ojobchannels.testing.forks import Forks, modules_of, serve
from ojobchannels.testing.kit import stacks

if TYPE_CHECKING:
    from ojobchannels.testing.kit.subject import Subject

_STACKS: Final = signal.SIGUSR2

PATIENCE: Final = 60.0
"""Seconds after which a silent process counts as hanging."""


def new_forks() -> Forks:
    """Return a process that forks the processes of tests."""
    return Forks(__name__, ["ojobchannels.manager"])


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
        self._forks = forks
        self._stacks = tempfile.TemporaryFile()  # noqa: SIM115  closed by `clean_up`
        setup: dict[str, Any] = {"script": script, "params": params}
        self._trace = subject.trace if subject is not None else None
        imports: list[str] = []
        if subject is not None:
            setup |= {"channel_name": subject.name, "channel_config": subject.config}
            imports = modules_of(subject.channel_type)
        read, write = os.pipe()
        self._stdin = os.fdopen(write, "w", encoding="utf-8")
        result, output = os.pipe()
        self._stdout = os.fdopen(result, encoding="utf-8")
        try:
            files = [read, output, 2, self._stacks.fileno()]
            self.pid = forks.start(setup | _surroundings(), imports, files)
        finally:
            os.close(read)
            os.close(output)
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
        with suppress(ProcessLookupError):
            self._send_signal(_STACKS)
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
        self._send_signal(number)

    def kill(self) -> None:
        """Kill the process with SIGKILL and wait for its end."""
        self._note("is killed")
        self._forks.kill(self.pid)

    def wait(self) -> int:
        """Wait for the end of the process, and return its exit status."""
        status = self._forks.wait(self.pid, PATIENCE)
        if status is None:
            raise AssertionError(f"process {self.pid} did not end within {PATIENCE:g} s")
        self._note(f"ended with status {status}")
        return status

    def end(self) -> int:
        """Close the script's input, wait for the process, and return its exit status."""
        self._stdin.close()
        return self.wait()

    def clean_up(self) -> None:
        """Kill the process if it runs, and close the pipes."""
        stacks.sources.pop(self.pid, None)
        self._forks.kill(self.pid)
        self._stacks.close()
        with suppress(BrokenPipeError):
            self._stdin.close()
        # The reader blocks while a grandchild holds the pipe open; do not wait for that.
        self._reader.join(1)
        if not self._reader.is_alive():
            self._stdout.close()

    def _send_signal(self, number: int) -> None:
        if self.pid in self._forks.running:
            os.kill(self.pid, number)

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


def _surroundings() -> dict[str, Any]:
    """Return what a process inherits when it is started, rather than forked by another one."""
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    return {
        "folder": str(Path.cwd()),
        "environment": dict(os.environ),
        "sigint_ignored": ignored,
    }


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


def main(settings: dict[str, Any]) -> None:
    """Run the script."""
    os.chdir(settings.pop("folder"))
    os.environ.clear()
    os.environ.update(settings.pop("environment"))
    time.tzset()
    ignored = settings.pop("sigint_ignored")
    signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.default_int_handler)
    faulthandler.register(_STACKS, file=settings.pop("files")[0])
    code = compile(settings.pop("script"), "<script>", "exec")
    names = globals() | settings
    if "channel_config" not in settings:
        exec(code, names)  # noqa: S102  the test wrote it
        return
    with oc.open_channel(settings["channel_name"], settings["channel_config"]) as channel:
        exec(code, names | {"channel": channel})  # noqa: S102  the script of a test


if __name__ == "__main__":
    serve(main)
