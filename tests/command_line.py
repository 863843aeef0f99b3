"""The command ``ojob`` as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE

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
        self, *words: str, reply: str = "", redirect: str = "", stdout: int = PIPE, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the command and return its result."""
        process = self.start(*words, redirect=redirect, stdout=stdout, **settings)
        out, err = process.communicate(reply, timeout=_PATIENCE)
        return subprocess.CompletedProcess(words, process.wait(), out, err)

    def start(
        self, *words: str, redirect: str = "", stdout: int = PIPE, **settings: str
    ) -> Started:
        """Start the command, with streams redirected by a shell; the test's end kills it."""
        environment = _environment(settings)
        arguments = ["-m", "ojobchannels", *words]
        process: Started
        if redirect or not self._forks.serves(environment):
            process = subprocess.Popen(
                ["sh", "-c", f'exec "$@" {redirect}', "sh", sys.executable, *arguments],
                cwd=self.folder,
                env=environment,
                stdin=PIPE,
                stdout=stdout,
                stderr=PIPE,
                text=True,
            )
        else:
            process = Program(
                self._forks,
                arguments,
                cwd=self.folder,
                env=environment,
                stdin=PIPE,
                stdout=stdout,
                stderr=PIPE,
                imports=_IMPORTS,
            )
        self.started.append(process)
        return process

    def kill_all(self) -> None:
        """Kill the processes that are still running."""
        for process in self.started:
            with suppress(OSError), process:
                process.kill()


def _environment(settings: dict[str, str]) -> dict[str, str]:
    ours = {key: value for key, value in os.environ.items() if not key.startswith(_PREFIXES)}
    return ours | {"TZ": "UTC", "PYTHONWARNINGS": "error"} | settings
