"""Python code in a child process of its own, which can be ended at any moment."""

from __future__ import annotations

import marshal
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import CodeType
from typing import Any, Final, Protocol

from ojobchannels.errors import CodeFailed, JobMisuse, add_note, quoted, safe_str
from ojobchannels.host.clock import next_look
from ojobchannels.manager.output import OutputLevel
from ojobchannels.ojob.languages import Host
from ojobchannels.ojob.process.children import end_session

_CHILD: Final = Path(__file__).with_name("isolated_child.py")

DOCUMENT_OPERATIONS: Final = frozenset(
    "add get get_all get_keys get_set items pop set set_all shift size unset unset_all "
    "lock_info locks force_unlock".split()
)
"""What code in a child process can do with a channel."""


class IsolatedHost(Host, Protocol):
    """What isolated code needs of the job that it works for."""

    def helpers(self) -> dict[str, Any]:
        """Return the names that the code can use."""

    def printed(self, stream: OutputLevel, text: str) -> None:
        """Keep what the code has printed to a standard stream."""


def run_isolated(
    code: CodeType, modules: Mapping[str, CodeType], host: IsolatedHost, where: str
) -> Any:
    """Run a block of Python in a child process, and return its result.

    The child is ended, with all that it has started, when the time limit of the host is over, when
    this process is interrupted, and when it dies.

    Raises:
        JobTimeout: The time limit of the host is over.
        CodeFailed: The child died, or raised something that cannot be passed on.
        JobMisuse: The args cannot be passed to another process.
        BaseException: What the code raised.
    """
    block = {
        "code": marshal.dumps(code),
        "modules": {name: marshal.dumps(module) for name, module in modules.items()},
        "path": sys.path,
        "error": None if host.error is None else safe_str(host.error),
        "args": _pickled_args(host),
    }
    with ExitStack() as stack:
        ours, theirs = _pair(stack)
        alive, kept = os.pipe()
        stack.callback(os.close, kept)
        try:
            process = subprocess.Popen(  # noqa: S603  our own program
                [sys.executable, "-P", str(_CHILD), str(theirs.fileno()), str(alive)],
                start_new_session=True,
                pass_fds=[theirs.fileno(), alive, *host.descriptors()],
            )
        finally:
            os.close(alive)
            theirs.close()
        try:
            ours.send_bytes(pickle.dumps(block))
            outcome = _served(ours, process, _Calls(host), where)
            process.wait()
        except BaseException:
            end_session(process)
            raise
    return _result(outcome, host, where)


def _pair(stack: ExitStack) -> tuple[Connection, Connection]:
    from multiprocessing import Pipe  # multiprocessing is only loaded where it is used

    ours, theirs = Pipe()
    stack.enter_context(ours)
    return ours, theirs


def _pickled_args(host: IsolatedHost) -> bytes:
    try:
        return pickle.dumps(host.args)
    except Exception as error:
        reason = f"its args cannot be passed to a process of its own ({safe_str(error)})"
        raise JobMisuse(host.job, reason, "use JSON values, or `onTimeout: fail`") from error


def _served(
    ours: Connection, process: subprocess.Popen[bytes], calls: _Calls, where: str
) -> dict[str, Any]:
    """Handle the calls of a child until it has ended its code, and return the outcome."""
    host = calls.host
    while True:
        remaining = host.remaining()
        if remaining == 0:
            raise host.overdue()
        if not ours.poll(next_look(remaining)):
            continue
        try:
            message: dict[str, Any] = pickle.loads(ours.recv_bytes())  # noqa: S301  of our own child
        except (EOFError, ConnectionError):
            ending = _ending(process)
            raise CodeFailed(where, f"its process ended before the code: {ending}") from None
        if "printed" in message:
            host.printed(*message["printed"])
            continue
        if "call" not in message:
            return message
        reply = calls.reply(message)
        with suppress(ConnectionError):  # then the next message shows how the child has ended
            ours.send_bytes(reply)


def _result(outcome: dict[str, Any], host: IsolatedHost, where: str) -> Any:
    if "raised" in outcome:
        raise _error(outcome, where)
    host.args = outcome["args"]
    return outcome["result"]


def _error(outcome: dict[str, Any], where: str) -> Exception:
    """Return what the code has raised, with the lines of the code in a note."""
    try:
        error: object = pickle.loads(outcome["raised"])  # noqa: S301  of our own child
    except Exception:  # noqa: BLE001  a class of the code itself cannot be loaded here
        error = CodeFailed(where, outcome["summary"])
    if not isinstance(error, Exception):
        error = CodeFailed(where, outcome["summary"])
    for note in (*outcome["notes"], outcome["traceback"]):
        add_note(error, note)
    return error


def _ending(process: subprocess.Popen[bytes]) -> str:
    status = process.wait()
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"


class _Calls:
    """The calls of a child that its job handles; launches and channels stay here."""

    def __init__(self, host: IsolatedHost) -> None:
        self.host = host
        self._launches: list[Any] = []
        self._helpers: dict[str, Callable[..., Any]] = {
            **host.helpers(),
            "channel": self._channel,
            "channel_do": self._channel_do,
            "launch": self._launch,
            "launch_get": self._launch_get,
        }

    def reply(self, message: dict[str, Any]) -> bytes:
        """Handle a call; an `Exception` is raised in the code."""
        try:
            result = self._helpers[message["call"]](*message["args"], **message["named"])
            return pickle.dumps({"result": result})
        except Exception as error:  # noqa: BLE001  it is raised in the child
            try:
                return pickle.dumps({"raised": error})
            except Exception:  # noqa: BLE001  some exceptions cannot be passed on
                return pickle.dumps({"raised": RuntimeError(safe_str(error))})

    def _channel(self, name: str, config: Any = None) -> tuple[str, str]:
        channel = self.host.channel(name, config)
        return channel.name, channel.type

    def _channel_do(self, name: str, operation: str, *args: Any, **named: Any) -> Any:
        if operation not in DOCUMENT_OPERATIONS:
            reason = f"its code uses {operation!r} of the channel {quoted(name)} in another process"
            raise JobMisuse(self.host.job, reason, "open the channel there: `open_channel(…)`")
        result = getattr(self.host.channel(name), operation)(*args, **named)
        return list(result) if operation == "items" else result

    def _launch(self, name: str, args: Mapping[str, Any] | None = None) -> tuple[int, str]:
        self._launches.append(self.host.launch(name, args))
        return len(self._launches) - 1, name

    def _launch_get(self, number: int, what: str, *args: Any) -> Any:
        value = getattr(self._launches[number], what)
        return value(*args) if callable(value) else value
