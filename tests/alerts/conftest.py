"""Real receivers of alerts on loopback: an HTTP server and an SMTP server, each on threads."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import pytest

import ojobchannels as oc


class Request(NamedTuple):
    """A request that the receiver got."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Receiver:
    """An HTTP server that keeps what it gets.

    Attributes:
        statuses: The statuses of the next responses; 200 when there are none left.
        responds: Cleared, it makes requests wait for their responses.
    """

    def __init__(self) -> None:
        self.requests: SimpleQueue[Request] = SimpleQueue()
        self.statuses: list[int] = []
        self.responds = threading.Event()
        self.responds.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def respond(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                read = json.loads(body) if body else None
                receiver.requests.put(Request(self.command, self.path, {**self.headers}, read))
                receiver.responds.wait(30)
                status = receiver.statuses.pop(0) if receiver.statuses else 200
                with contextlib.suppress(OSError):  # the client has given up
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            do_GET = do_POST = respond  # noqa: N815  names of the base class

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"http://127.0.0.1:{self.server.server_port}"

    def next(self, seconds: float = 20) -> Request:
        """Wait for the next request."""
        return self.requests.get(timeout=seconds)

    def close(self) -> None:
        """End the server."""
        self.responds.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An HTTP server that receives notices."""
    server = Receiver()
    yield server
    server.close()


class Store:
    """Opens managers that share their channels, as processes would."""

    def __init__(self, folder: Path) -> None:
        self.config = {"type": "db", "args": {"file": str(folder / "store.db")}}
        self._stack = contextlib.ExitStack()

    def manager(self, alerts: Sequence[Any] = (), **options: Any) -> oc.JobManager:
        """Open a manager; it is closed at the end of the test."""
        manager = oc.JobManager(self.config, self.config, alerts=alerts, **options)
        return self._stack.enter_context(manager)

    def close(self) -> None:
        """Close all managers."""
        self._stack.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store for managers."""
    opened = Store(tmp_path)
    yield opened
    opened.close()


def fail(manager: oc.JobManager, name: str = "nightly", text: str = "disk full") -> oc.JobRun:
    """Run a job that fails."""
    run = manager.start(name)
    run.fail(RuntimeError(text))
    return run


def complete(manager: oc.JobManager, name: str = "nightly") -> oc.JobRun:
    """Run a job that completes."""
    run = manager.start(name)
    run.end()
    return run
