"""The language `shell`: code for /bin/sh, with the args in its environment and on its input."""

from __future__ import annotations

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
_GRACE: Final = 1.0
_FAULT: Final = re.compile(r"(?:line )?(\d+): (.+)")


class Script:
    """A block of code for the shell."""

    def __init__(self, code: Code) -> None:
        self._code = code
        self._where = f"{code.file}:{code.line}"

    def run(self, host: Host) -> Any:
        """Runs it; a map of JSON that it prints last goes into the args, and is the answer.

        Raises:
            CodeFailed: It ended with another exit status than 0.
            JobTimeout: It was ended by its timeout.
        """
        given = host.documents()
        with self._started(given, host) as process:
            told = _Telling(host)
            _follow(process, told, host)
            status = process.wait()
        if self._code.is_value:
            return status == 0
        if status:
            raise CodeFailed(self._where, _ending(status, told.last_error), "mend the code")
        if told.answer is not None:
            host.args.update(told.answer)
        return told.answer

    @contextmanager
    def _started(self, given: Mapping[str, Any], host: Host) -> Iterator[subprocess.Popen[bytes]]:
        """A shell at work, which is gone behind the block, with all that it has started."""
        environment = _environment(given, host.job)
        with tempfile.TemporaryFile() as stdin:
            stdin.write(json.dumps(given).encode())
            stdin.seek(0)
            process = self._process(stdin, environment, host.descriptors())
        with process:
            try:
                yield process
            except BaseException:
                _end(process)
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
            raise CodeFailed(self._where, reason, "make it, or change `typeArgs.pwd`") from error


class _Telling:
    """Tells the lines that a script writes; a map of JSON in the last of them is its answer."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._rest = {"out": b"", "err": b""}
        self._held: str | None = None
        self.last_error = ""

    @property
    def answer(self) -> dict[str, Any] | None:
        """The map in the line that is held back."""
        return _map_in(self._held)

    def take(self, stream: str, data: bytes) -> None:
        """Takes what was written; nothing means that the stream has ended."""
        *lines, self._rest[stream] = (self._rest[stream] + data).split(b"\n")
        if not data and self._rest[stream]:
            lines.append(self._rest[stream])
            self._rest[stream] = b""
        for line in lines:
            self._line(stream, line.decode(errors="backslashreplace").rstrip("\r"))

    def _line(self, stream: str, line: str) -> None:
        if stream == "err":
            self.last_error = line.strip() or self.last_error
            self._host.tell("warn", line)
            return
        if self._held is not None:
            self._host.tell("info", self._held)
            self._held = None
        if _map_in(line) is None:
            self._host.tell("info", line)
        else:
            self._held = line


def _map_in(line: str | None) -> dict[str, Any] | None:
    if line is None or not line.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _follow(process: subprocess.Popen[bytes], told: _Telling, host: Host) -> None:
    """Tells what the script writes, until it and what it has started have closed their output."""
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
                told.take(key.data, data)
                if not data:
                    selector.unregister(key.fileobj)
    with suppress(subprocess.TimeoutExpired):
        process.wait(host.remaining())
        return
    raise host.overdue()


def _number(stream: IO[bytes] | int | Any) -> int:
    return stream if isinstance(stream, int) else int(stream.fileno())


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the script and all that it has started: first it is asked to."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _ending(status: int, said: str) -> str:
    ended = f"it was ended by {signal.Signals(-status).name}" if status < 0 else ""
    told = ended or f"it ended with the exit status {status}"
    return f"{told}: {said}" if said else told


def _environment(args: Mapping[str, Any], job: str) -> dict[str, str]:
    environment = dict(os.environ)
    for name, value in _variables(args):
        if "\0" in value:
            reason = f"the arg {name!r} has NUL in it, which no environment variable can have"
            raise InvalidJobArgs(f"job {job!r}", reason, "read it from standard input, as JSON")
        environment[name] = value
    return environment


def _variables(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yields the args as variables; maps within maps are told apart by underscores."""
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
    """Has the shell look at the code; it runs none of it."""
    if "\0" in code.text:
        raise CodeFault("there is a NUL in it", code.line)
    looked = subprocess.run(  # noqa: S603  -n: it reads, but runs nothing
        [_SHELL, "-n", "-c", code.text],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        check=False,
    )
    if looked.returncode:
        said = (looked.stderr.strip().splitlines() or ["the shell refuses it"])[0]
        found = _FAULT.search(said)
        line = int(found[1]) if found else 1
        raise CodeFault(found[2] if found else said, code.line + line - 1)
    return Script(code)


SHELL: Final = Language(
    "shell", "POSIX shell, run by /bin/sh", _compile, ("sh",), takes_folder=True
)
