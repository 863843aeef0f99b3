"""The language `shell`: code for /bin/sh, with the args in its environment and on stdin."""

import json
import os
import re
import selectors
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, Any, Final

from ojobchannels.errors import CodeFailed, CodeFault, InvalidJobArgs
from ojobchannels.ojob.languages import Code, Host, Language

_SHELL: Final = "/bin/sh"
_GRACE_SECONDS: Final = 1.0
_ERROR: Final = re.compile(r"(?:line )?(\d+): (.+)")


class Script:
    """A block of code for the shell."""

    def __init__(self, code: Code) -> None:
        self._code = code
        self._where = f"{code.file}:{code.line}"

    def run(self, host: Host) -> Any:
        """Run it; a JSON map in its last line of output is its result, and is added to the args.

        Raises:
            CodeFailed: Its exit status was not 0.
            JobTimeout: It ran longer than its timeout and was killed.
        """
        args = host.documents()
        with self._started(args, host) as process:
            report = _OutputReport(host)
            _follow(process, report, host)
            status = process.wait()
        if self._code.is_value:
            return status == 0
        if status:
            reason = _describe_exit(status, report.last_error)
            raise CodeFailed(self._where, reason, "correct the code")
        if report.result is not None:
            host.args.update(report.result)
        return report.result

    @contextmanager
    def _started(self, args: Mapping[str, Any], host: Host) -> Iterator[subprocess.Popen[bytes]]:
        """Start a shell; at an error in the block, kill it and all that it has started."""
        environment = _environment(args, host.job)
        with tempfile.TemporaryFile() as stdin:
            stdin.write(json.dumps(args).encode())
            stdin.seek(0)
            process = self._process(stdin, environment, host.descriptors())
        with process:
            try:
                yield process
            except BaseException:
                _kill(process)
                raise

    def _process(
        self, stdin: IO[bytes], environment: Mapping[str, str], descriptors: list[int]
    ) -> subprocess.Popen[bytes]:
        folder = self._code.folder
        try:
            return subprocess.Popen(  # noqa: S603  a job file is code
                [_SHELL, "-c", self._code.text],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                cwd=folder,
                start_new_session=True,
                pass_fds=descriptors,
            )
        except OSError as error:
            if folder is None or error.filename != folder:
                raise
            reason = f"it cannot run in the folder {folder!r} ({error.strerror})"
            raise CodeFailed(self._where, reason, "create it, or change `typeArgs.pwd`") from error


class _OutputReport:
    """Reports the lines that a script writes; a JSON map in the last one is its result."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._rest = {"out": b"", "err": b""}
        self._held: str | None = None
        self.last_error = ""

    @property
    def result(self) -> dict[str, Any] | None:
        """The map in the last line."""
        return _map_in(self._held)

    def feed(self, stream: str, data: bytes) -> None:
        """Add output of a stream; empty data means that the stream has ended."""
        *lines, self._rest[stream] = (self._rest[stream] + data).split(b"\n")
        if not data and self._rest[stream]:
            lines.append(self._rest[stream])
            self._rest[stream] = b""
        for line in lines:
            self._line(stream, line.decode(errors="backslashreplace").rstrip("\r"))

    def _line(self, stream: str, line: str) -> None:
        if stream == "err":
            self.last_error = line.strip() or self.last_error
            self._host.log("warn", line)
            return
        if self._held is not None:
            self._host.log("info", self._held)
            self._held = None
        if _map_in(line) is None:
            self._host.log("info", line)
        else:
            self._held = line


def _map_in(line: str | None) -> dict[str, Any] | None:
    if line is None or not line.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _follow(process: subprocess.Popen[bytes], report: _OutputReport, host: Host) -> None:
    """Report what a script and the processes it has started write, until all close their output."""
    with selectors.DefaultSelector() as selector:
        for name, stream in (("out", process.stdout), ("err", process.stderr)):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, name)
        while selector.get_map():
            ready = selector.select(host.remaining())
            if not ready and host.remaining() == 0:
                raise host.overdue()
            for key, _ in ready:
                data = os.read(_number(key.fileobj), 65536)
                report.feed(key.data, data)
                if not data:
                    selector.unregister(key.fileobj)
    with suppress(subprocess.TimeoutExpired):
        process.wait(host.remaining())
        return
    raise host.overdue()


def _number(stream: IO[bytes] | int | Any) -> int:
    return stream if isinstance(stream, int) else int(stream.fileno())


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a script and all that it has started: SIGTERM first, SIGKILL a second later."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _describe_exit(status: int, last_error: str) -> str:
    exit = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    return f"{exit}: {last_error}" if last_error else exit


def _environment(args: Mapping[str, Any], job: str) -> dict[str, str]:
    environment = dict(os.environ)
    for name, value in _variables(args):
        if "\0" in value:
            reason = f"the arg {name!r} contains NUL, which an environment variable cannot"
            raise InvalidJobArgs(f"job {job!r}", reason, "read it from standard input, as JSON")
        environment[name] = value
    return environment


def _variables(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the args as variables; the keys of nested maps are joined by underscores."""
    match value:
        case dict():
            for key, part in value.items():
                name = re.sub(r"\W", "_", key, flags=re.ASCII)
                yield from _variables(part, f"{path}_{name}" if path else name)
        case str():
            yield path, value
        case None:
            yield path, ""
        case _:
            yield path, json.dumps(value)


def _compile(code: Code) -> Script:
    """Check the syntax of the code with the shell, without running it."""
    if "\0" in code.text:
        raise CodeFault("the code contains NUL", code.line)
    checked = subprocess.run(  # noqa: S603  -n: check the syntax only
        [_SHELL, "-n", "-c", code.text],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        check=False,
    )
    if checked.returncode:
        message = (checked.stderr.strip().splitlines() or ["the shell does not accept it"])[0]
        match = _ERROR.search(message)
        line = int(match[1]) if match else 1
        raise CodeFault(match[2] if match else message, code.line + line - 1)
    return Script(code)


SHELL: Final = Language(
    "shell", "POSIX shell, run by /bin/sh", _compile, ("sh",), takes_folder=True
)
