"""The language `shell`: code for /bin/sh, with the args in its environment and on stdin."""

import errno
import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from ojobchannels.errors import CodeFailed, CodeFault
from ojobchannels.ojob.code.variables import MAX_BYTES, environment
from ojobchannels.ojob.languages import Code, Host
from ojobchannels.ojob.process.children import (
    Command,
    NotStarted,
    Receiver,
    Stream,
    TimeLimit,
    readable,
    shown,
)

_SHELL: Final = "/bin/sh"
_ERROR: Final = re.compile(r"(?:line )?(\d+): (.+)")


class ShellRun:
    """One run of a text by the shell.

    Args:
        where: The place of the text, for messages.
        receive: Takes each line that the shell writes.

    Attributes:
        last_error: The last line of its standard error that is not empty.
    """

    def __init__(self, where: str, receive: Receiver) -> None:
        self.last_error = ""
        self._where = where
        self._receive = receive

    def run(self, text: str, command: Command, limit: TimeLimit) -> int:
        """Run a text; `command` says with which input, in which environment and folder.

        Returns:
            The exit status.

        Raises:
            CodeFailed: The shell could not be started.
        """
        with _with_script(text, command) as ready:
            try:
                return ready.run(limit, self._line)
            except NotStarted as error:
                raise self._not_started(error.reason, command.folder) from error.reason

    def failure(self, status: int, advice: str = "") -> CodeFailed:
        """Return the error for an exit status."""
        by = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        reason = f"{by}: {self.last_error}" if self.last_error else by
        return CodeFailed(self._where, reason, advice)

    def _line(self, stream: Stream, line: str) -> None:
        if stream == "err":
            self.last_error = shown(line).strip() or self.last_error
        self._receive(stream, line)

    def _not_started(self, error: OSError, folder: str | None) -> CodeFailed:
        if folder is not None and error.filename == folder:
            reason = f"it cannot run in the folder {folder!r} ({error.strerror})"
            return CodeFailed(self._where, reason, "create it, or name another folder")
        reason = f"the shell cannot be started ({error.strerror})"
        advice = "try again when the system has the resources"
        if error.errno == errno.E2BIG:
            advice = "pass less in args: together they are too long for environment variables"
        return CodeFailed(self._where, reason, advice)


@contextmanager
def _with_script(text: str, command: Command) -> Iterator[Command]:
    """Add the text of a script: as an argument, or as a file if it is too long for one."""
    data = text.encode("utf-8", "surrogateescape")
    if len(data) <= MAX_BYTES:
        yield replace(command, words=[_SHELL, "-c", data])
        return
    with readable(data) as script:
        inherited = [*command.descriptors, script.fileno()]
        words = [_SHELL, f"/dev/fd/{script.fileno()}"]
        yield replace(command, words=words, descriptors=inherited)


class Script:
    """A block of code for the shell."""

    def __init__(self, code: Code) -> None:
        self._code = code

    def run(self, host: Host) -> Any:
        """Run it; a JSON map in its last line of output is its result, and is added to the args.

        Raises:
            CodeFailed: Its exit status was not 0.
            JobTimeout: It ran longer than its timeout and was killed.
        """
        args, report = host.documents(), _OutputReport(host)
        shell = ShellRun(f"{self._code.file}:{self._code.line}", report.line)
        command = Command(
            stdin=json.dumps(args).encode(),
            environment=environment(args, host.job),
            folder=self._code.folder,
            descriptors=host.descriptors(),
        )
        try:
            status = shell.run(self._code.text, command, host)
            result = report.take_result() if status == 0 else None
        finally:
            report.flush()
        if self._code.is_value:
            return status == 0
        if status:
            raise shell.failure(status, "correct the code")
        if result is not None:
            host.args.update(result)
        return result


class _OutputReport:
    """Reports the lines that a script writes; a JSON map in the last one is its result."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._held: str | None = None

    def line(self, stream: Stream, line: str) -> None:
        """Report a line, or hold it if it may be the result."""
        if stream == "err":
            self._host.log("warn", shown(line))
            return
        self.flush()
        if line.lstrip().startswith("{"):
            self._held = line
        else:
            self._host.log("info", shown(line))

    def take_result(self) -> dict[str, Any] | None:
        """Return the map in the last line, which is then not reported."""
        result = None if self._held is None else _map_in(self._held)
        if result is not None:
            self._held = None
        return result

    def flush(self) -> None:
        """Report the line that is held."""
        held, self._held = self._held, None
        if held is not None:
            self._host.log("info", shown(held))


def _map_in(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def compile_script(code: Code) -> Script:
    """Check the syntax of the code with the shell, without running it.

    Raises:
        CodeFault: The shell does not accept it.
    """
    if "\0" in code.text:
        raise CodeFault("the code contains NUL", code.line)
    checked = subprocess.run(  # noqa: S603  -n: check the syntax only
        [_SHELL, "-n"],
        input=code.text.encode("utf-8", "surrogateescape"),
        capture_output=True,
        check=False,
    )
    if checked.returncode:
        errors = checked.stderr.decode(errors="backslashreplace").strip().splitlines()
        message = errors[0] if errors else "the shell does not accept it"
        match = _ERROR.search(message)
        line = int(match[1]) if match else 1
        raise CodeFault(match[2] if match else message, code.line + line - 1)
    return Script(code)
