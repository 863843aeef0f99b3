"""The child process in which a block of JavaScript runs, seen from its job."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ojobchannels import Host
from ojobchannels.errors import safe_repr
from ojobchannels.host.clock import next_look

_CHILD: Final = Path(__file__).with_name("child.py")


class Engine:
    """A child process, killed at the end of the `with` block; its messages are lines of JSON."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._rest = bytearray()

    def __enter__(self) -> Engine:
        self._process = subprocess.Popen(  # noqa: S603  our own program
            [sys.executable, "-P", str(_CHILD)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C then reaches the job only, which ends the child
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        self._process.wait()

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; if the child has ended, `receive` returns None."""
        data = memoryview(json.dumps(message, default=safe_repr).encode() + b"\n")
        stdin = self._process.stdin
        with suppress(BrokenPipeError):
            while data and stdin is not None:
                data = data[stdin.write(data) :]

    def receive(self) -> dict[str, Any] | None:
        """Return the next message, or None if the child has ended.

        Raises:
            JobTimeout: The job ran longer than its timeout.
        """
        end = self._rest.find(b"\n")
        while end < 0:
            self._wait()
            assert self._process.stdout is not None  # noqa: S101  it was opened with a pipe
            data = os.read(self._process.stdout.fileno(), 1 << 20)
            if not data:
                return None
            searched = len(self._rest)
            self._rest += data
            end = self._rest.find(b"\n", searched)
        message: dict[str, Any] = json.loads(self._rest[:end])
        del self._rest[: end + 1]
        return message

    def ending(self) -> str:
        """Return how the child has ended: its exit status, or the signal."""
        status = self._process.wait()
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"

    def _wait(self) -> None:
        with selectors.DefaultSelector() as selector:
            assert self._process.stdout is not None  # noqa: S101  it was opened with a pipe
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not selector.select(next_look(self._host.remaining())):
                if self._host.remaining() == 0:
                    raise self._host.overdue()
