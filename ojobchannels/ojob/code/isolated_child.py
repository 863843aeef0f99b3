"""The program of a child process that runs one block of Python; see `isolated`."""

import marshal
import os
import pickle
import signal
import sys
import threading
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from types import FunctionType
from typing import Any, Final

_PARENT_GONE_STATUS: Final = 3


class Parent:
    """The job, over a connection; threads of the code may use it at the same time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._sending = threading.RLock()
        self._process = os.getpid()

    def receive(self) -> Any:
        """Return the next message."""
        return pickle.loads(self._connection.recv_bytes())  # noqa: S301  of the parent

    def send(self, message: dict[str, Any]) -> None:
        """Send a message."""
        with self._sending:
            self._connection.send_bytes(pickle.dumps(message))

    def printed(self, level: str, text: str) -> None:
        """Report what the code has printed."""
        if os.getpid() == self._process:
            with suppress(OSError):  # the job is gone
                self.send({"printed": (level, text)})

    def call(self, name: str, *args: Any, **named: Any) -> Any:
        """Call a helper in the job, and return its result."""
        if os.getpid() != self._process:
            raise RuntimeError(f"{name}() was called in a process that the job has forked")
        with self._lock:
            self.send({"call": name, "args": args, "named": named})
            reply = self.receive()
        if "raised" in reply:
            raise reply["raised"]
        return reply["result"]


class Printed:
    """A standard stream that reports to the job, too, what is written to it.

    Attributes:
        is_open: Whether the job still receives messages.
    """

    is_open = True

    def __init__(self, stream: Any, level: str, parent: Parent) -> None:
        self._stream = stream
        self._level = level
        self._parent = parent

    def write(self, text: str) -> Any:
        """Write to the stream, and report it."""
        written = self._stream.write(text)
        if Printed.is_open:
            self._parent.printed(self._level, text)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class RemoteChannel:
    """A channel of the job, with the operations on documents."""

    def __init__(self, parent: Parent, name: str, type: str) -> None:
        self.name = name
        self.type = type
        self._parent = parent

    def __getattr__(self, operation: str) -> Any:
        if operation.startswith("_"):
            raise AttributeError(operation)
        return lambda *args, **named: self._parent.call(
            "channel_do", self.name, operation, *args, **named
        )

    def __repr__(self) -> str:
        return f"<RemoteChannel {self.name!r} {self.type!r}>"


class RemoteLaunch:
    """The handle of a launched job."""

    def __init__(self, parent: Parent, number: int, name: str) -> None:
        self.name = name
        self._parent = parent
        self._number = number

    def __getattr__(self, what: str) -> Any:
        if what in ("state", "run_id", "launch_id"):
            return self._parent.call("launch_get", self._number, what)
        if what in ("done", "wait", "result", "error"):
            return lambda *args: self._parent.call("launch_get", self._number, what, *args)
        raise AttributeError(what)


def helpers(parent: Parent, error: str | None) -> dict[str, Any]:
    """Return the names that the block can use."""

    def named(name: str) -> Any:
        return lambda *args, **more: parent.call(name, *args, **more)

    def channel(name: str, config: Any = None) -> RemoteChannel:
        return RemoteChannel(parent, *parent.call("channel", name, config))

    def launch(name: str, args: Any = None) -> RemoteLaunch:
        return RemoteLaunch(parent, *parent.call("launch", name, args))

    def log(name: str) -> Any:
        return lambda *words: parent.call(name, *map(str, words))

    return {
        "channel": channel,
        "each": named("each"),
        "error": None if error is None else RuntimeError(error),
        "job": named("job"),
        "launch": launch,
        "log": log("log"),
        "log_err": log("log_err"),
        "log_warn": log("log_warn"),
        "skip": named("skip"),
        "state": named("state"),
    }


def outcome_of(parent: Parent, block: dict[str, Any]) -> bytes:
    """Run the block, and return its outcome as a message."""
    from ojobchannels.ojob.code.modules import Modules
    from ojobchannels.ojob.code.python import MODULE
    from ojobchannels.ojob.code.registry import register

    modules = Modules({name: marshal.loads(code) for name, code in block["modules"].items()})  # noqa: S302  of the parent
    names = vars(register(MODULE))
    names |= {
        "__builtins__": modules.builtins,
        "args": pickle.loads(block["args"]),  # noqa: S301  of the parent
    }
    try:
        code = marshal.loads(block["code"])  # noqa: S302  likewise
        result = _run(FunctionType(code, names), helpers(parent, block["error"]))
        if not isinstance(names["args"], dict):
            raise TypeError(f"it replaced `args` by {names['args']!r}")
        return pickle.dumps({"result": result, "args": names["args"]})
    except BaseException as error:  # noqa: BLE001  it is raised again in the job
        return _raised(error)


def _run(block: FunctionType, helpers: dict[str, Any]) -> Any:
    """Run a block; a process that it has forked ends with it."""
    from ojobchannels.ojob.process.forks import leave

    process = os.getpid()
    error: BaseException | None = None
    try:
        return block(**helpers)
    except BaseException as caught:
        error = caught
        raise
    finally:
        if os.getpid() != process:
            leave(error)


def _raised(error: BaseException) -> bytes:
    pickled = b""
    with suppress(Exception):
        pickled = pickle.dumps(error)
    summary = type(error).__name__
    with suppress(Exception):
        summary = f"{summary}: {error}"
    notes = [str(note) for note in getattr(error, "__notes__", ())]
    trace = "".join(traceback.format_tb(error.__traceback__)[1:]).rstrip()
    return pickle.dumps({"raised": pickled, "summary": summary, "notes": notes, "traceback": trace})


def watch(alive: int) -> None:
    """End this process, and what it has started, when its parent is gone."""
    os.read(alive, 1)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(_PARENT_GONE_STATUS)


def main() -> None:
    """Run the block in the first message, and send its outcome."""
    connection = Connection(int(sys.argv[1]))
    threading.Thread(target=watch, args=(int(sys.argv[2]),), daemon=True).start()
    parent = Parent(connection)
    block = parent.receive()
    sys.path[:] = block["path"]
    sys.stdout = Printed(sys.stdout, "out", parent)
    sys.stderr = Printed(sys.stderr, "err", parent)
    outcome = outcome_of(parent, block)
    Printed.is_open = False
    connection.send_bytes(outcome)


if __name__ == "__main__":
    main()
