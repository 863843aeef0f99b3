"""The command ``ojob`` as a process; most calls fork one that has imported everything already."""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import click

from ojobchannels import cli

_PATIENCE = 60
_PREFIXES = ("OJOB", "PYTEST_", "TOX_", "COLUMNS", "NO_COLOR", "PYTHONUNBUFFERED")
_IMPORTED = """
yaml ojobchannels.ojob.runner ojobchannels.ojob.report.console ojobchannels.manager
ojobchannels.backends.db.backend ojobchannels.backends.file.backend
"""
_READ_AT_START = ("PYTHON", "LC_", "LANG", "COVERAGE")  # by the interpreter or by coverage


class CommandLine:
    """The command ``ojob`` in a separate folder, without the settings of this test run."""

    def __init__(self, folder: Path, forks: Forks) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []
        self._forks = forks

    def __call__(
        self, *words: str, reply: str = "", redirect: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the command and return its result."""
        settings = _settings(environment)
        if not redirect and self._forks.serves(settings):
            return self._forks.run(words, self.folder, settings, reply)
        process = self.start(*words, redirect=redirect, **environment)
        out, err = process.communicate(reply, timeout=_PATIENCE)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def start(self, *words: str, redirect: str = "", **environment: str) -> subprocess.Popen[str]:
        """Start the command, with streams redirected by a shell; the test's end kills it."""
        command = [sys.executable, "-m", "ojobchannels", *words]
        process = subprocess.Popen(
            ["sh", "-c", f'exec "$@" {redirect}', "sh", *command],
            cwd=self.folder,
            env=_settings(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def kill_all(self) -> None:
        """Kill the processes that are still running."""
        for process in self.started:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                with suppress(OSError):
                    if stream is not None:
                        stream.close()


def _settings(environment: dict[str, str]) -> dict[str, str]:
    settings = {key: value for key, value in os.environ.items() if not key.startswith(_PREFIXES)}
    return settings | {"TZ": "UTC", "PYTHONWARNINGS": "error"} | environment


def _read_at_start(settings: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in settings.items() if key.startswith(_READ_AT_START)}


class Forks:
    """A process that has imported the command, and is forked for each call of it.

    A call then need not start an interpreter, which would take most of its time, and still is a
    process with streams, a folder and an environment of its own.
    """

    def __init__(self) -> None:
        settings = _settings({})
        self._at_start = _read_at_start(settings)
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__],
            env=settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def serves(self, settings: dict[str, str]) -> bool:
        """Return whether an interpreter with these settings would start in the same way."""
        return _read_at_start(settings) == self._at_start

    def run(
        self, words: tuple[str, ...], folder: Path, settings: dict[str, str], reply: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the command and return its result."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as streams:
            files = [Path(streams, name) for name in ("in", "out", "err")]
            for file in files:
                file.write_text(reply if file is files[0] else "")
            request = [words, str(folder), settings, [*map(str, files)]]
            self._process.stdin.write(f"{json.dumps(request)}\n")
            self._process.stdin.flush()
            status = int(self._process.stdout.readline())
            return subprocess.CompletedProcess(words, status, *(f.read_text() for f in files[1:]))

    def close(self) -> None:
        """End the process."""
        with self._process:
            pass
        assert self._process.returncode == 0


def _serve() -> list[str] | None:
    """Fork for each request; return the words in the child, and None at the end."""
    requests, results = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    with requests, results:
        for request in requests:
            words, folder, settings, files = json.loads(request)
            if (pid := os.fork()) == 0:
                _become(folder, settings, files)
                return ["ojob", *words]
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=results, flush=True)
    return None


def _become(folder: str, settings: dict[str, str], files: list[str]) -> None:
    for number, file in enumerate(files):
        opened = os.open(file, os.O_RDONLY if number == 0 else os.O_WRONLY)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(settings)
    time.tzset()
    signal.alarm(_PATIENCE)


def _import_command() -> None:
    """Import what calls need."""
    for name in cli.COMMANDS:
        cli.cli.get_command(click.Context(cli.cli), name)
    for name in _IMPORTED.split():
        importlib.import_module(name)


if __name__ == "__main__":
    _import_command()
    gc.freeze()  # a fork that collects garbage would copy most of the memory
    if words := _serve():
        sys.argv = words
        cli.main()
