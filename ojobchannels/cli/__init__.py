"""The command ``ojob``.

Each command lives in a module that loads when the command is called. What these modules need beyond
click and the standard library is imported inside their functions, so that ``ojob --help`` is quick.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any, Final

import click

from ojobchannels.cli.failures import told

COMMANDS: Final = (
    "run",
    "check",
    "jobs",
    "history",
    "report",
    "locks",
    "unlock",
    "prune",
    "channels",
)
"""In the order of the help; each is a function in the module of its name."""


class Commands(click.Group):
    """The group of all commands; it also tells of errors and settles the exit status."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Returns the names in the order of use, not of the alphabet."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002  click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Loads the module of one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"ojobchannels.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command that was called; every error on purpose becomes words and a status."""
        with told():
            return super().invoke(ctx)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="'ojob COMMAND --help' tells more of each. Exit status: 0 all well, 1 a job failed, "
    "2 the file or the call is wrong, 130 interrupted.",
)
@click.version_option(package_name="ojobchannels", message="ojob %(version)s")
def cli() -> None:
    """Runs jobs so that none runs twice at once, and tells what ran."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def main() -> None:
    """The entry point: runs the command line and ends the process with its exit status."""
    cli(prog_name="ojob")
