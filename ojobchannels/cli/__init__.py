"""The command ``ojob``.

Each command lives in a module that loads when the command is called. What these modules need beyond
click and the standard library is imported inside their functions, so that ``ojob --help`` is quick.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

import click

from ojobchannels.cli import streams
from ojobchannels.cli.errors import WRONG, Refused, no_such, told

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
    "schema",
)
"""In the order of the help; each is a function in the module of its name."""


class Commands(click.Group):
    """The group of all commands; every error on purpose becomes words and an exit status."""

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
        module = importlib.import_module(f"ojobchannels.cli.commands.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Reads the command line."""
        with told():
            return super().make_context(*args, **extra)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command that a word names."""
        if args[0] not in COMMANDS:
            raise Refused(_no_command(args[0], ctx.command_path))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command that was called."""
        with told():
            return super().invoke(ctx)


def _no_command(word: str, call: str) -> str:
    if word.endswith((".yaml", ".yml", ".json")):
        return f"there is no command {word!r}; to run that job file: {call} run {word}"
    return no_such("command", word, COMMANDS, call)


@click.group(
    cls=Commands,
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="'ojob COMMAND --help' tells more of each. Exit status: 0 all well, 1 a job failed, "
    "2 the file or the call is wrong, 130 interrupted.",
)
@click.version_option(package_name="ojobchannels", message="ojob %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Runs jobs so that none runs twice at once, and tells what ran."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(WRONG)


def main() -> None:
    """The entry point: runs the command line and ends the process with its exit status."""
    streams.settle()
    cli(prog_name="ojob")
