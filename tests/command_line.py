"""The command ``ojob`` as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from ojobchannels import cli
from ojobchannels.testing.forks import Forks
from ojobchannels.testing.programs import JOB_FILES, Program, Started

_PATIENCE = 60
_PREFIXES = ("OJOB", "PYTEST_", "TOX_", "COLUMNS", "NO_COLOR", "PYTHONUNBUFFERED")
_IMPORTS = [
    *JOB_FILES,
    *(f"ojobchannels.cli.commands.{folder}.{name}" for name, folder in cli.COMMANDS.items()),
]


class CommandLine:
    """The command ``ojob`` in a separate folder, without the settings of this test run."""

    def __init__(self, folder: Path, forks: Forks) -> None:
        self.folder = folder
        self.started: list[Started] = []
        self._forks = forks

    def __call__(
        self, *words: str, reply: str = "", redirect: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the command and return its result."""
        process = self.start(*words, redirect=redirect, **environment)
        out, err = process.communicate(reply, timeout=_PATIENCE)
        return subprocess.CompletedProcess(words, process.wait(), out, err)

    def start(self, *words: str, redirect: str = "", **environment: str) -> Started:
        """Start the command, with streams redirected by a shell; the test's end kills it."""
        settings = _settings(environment)
        arguments = ["-m", "ojobchannels", *words]
        process: Started
        if redirect or not self._forks.serves(settings):
            process = subprocess.Popen(
                ["sh", "-c", f'exec "$@" {redirect}', "sh", sys.executable, *arguments],
                cwd=self.folder,
                env=settings,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        else:
            process = Program(
                self._forks,
                arguments,
                cwd=self.folder,
                env=settings,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                imports=_IMPORTS,
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
