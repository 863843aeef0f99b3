"""The command ``ojob``.

The module of a command is imported when the command is called. These modules import everything
beyond click and the standard library inside functions, so that ``ojob --help`` starts quickly.
"""

import importlib
from typing import Any, Final

import click

from ojobchannels.cli.errors import USAGE_ERROR, CommandError, report_errors, unknown_name
from ojobchannels.cli.streams import prepare_streams

COMMANDS: Final = {
    "run": "acting",
    "check": "setup",
    "top": "reading",
    "web": "reading",
    "jobs": "reading",
    "schedules": "reading",
    "history": "reading",
    "show": "reading",
    "logs": "reading",
    "report": "reading",
    "daemons": "reading",
    "locks": "reading",
    "launches": "reading",
    "actions": "reading",
    "now": "acting",
    "launch": "acting",
    "pause": "acting",
    "resume": "acting",
    "cancel": "acting",
    "rerun": "acting",
    "unlock": "acting",
    "prune": "acting",
    "doctor": "setup",
    "channels": "setup",
    "schema": "setup",
    "completion": "setup",
}
"""In the order of the help, with the folder of ``commands`` whose module of that name has it."""

_SECTIONS: Final = {
    "acting": "Run and act",
    "reading": "See what runs, what did and what did not",
    "setup": "Set up and check",
}


class Commands(click.Group):
    """The group of all commands, which reports expected errors."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the names in the order of the help."""
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands in sections, so that a stranger finds the one for a question."""
        for folder, title in _SECTIONS.items():
            names = [name for name, where in COMMANDS.items() if where == folder]
            commands = {name: self.get_command(ctx, name) for name in names}
            width = max(map(len, COMMANDS))
            rows = [
                (f"{name:{width}}", command.get_short_help_str(formatter.width))
                for name, command in commands.items()
                if command is not None
            ]
            with formatter.section(title):
                formatter.write_dl(rows)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002  click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Import the module of one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"{__name__}.commands.{COMMANDS[cmd_name]}.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the command line."""
        with report_errors():
            return super().make_context(*args, **extra)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of the given name."""
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            raise CommandError(_unknown_command(args[0], ctx.command_path))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with report_errors():
            return super().invoke(ctx)


def _unknown_command(word: str, call: str) -> str:
    if word.endswith((".yaml", ".yml", ".json")):
        return f"unknown command {word!r}; to run this job file: {call} run {word}"
    return unknown_name("command", word, COMMANDS, call)


@click.group(
    cls=Commands,
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""Run 'ojob COMMAND --help' for the help of a command.

    \b
    What should have run and did not?   ojob schedules, ojob doctor
    What runs now, where, how long?     ojob top, ojob jobs
    What failed last night, and why?    ojob history --status failed, ojob logs
    When is it due next?                ojob schedules
    Why was it skipped?                 ojob history JOB, ojob show RUN
    Which daemons are alive?            ojob daemons
    Who paused or ran it, and why?      ojob actions
    Stop it until the morning?          ojob pause NAME --until 8h
    End a run that hangs?               ojob cancel NAME
    Run it at once, or once more?       ojob now NAME, ojob rerun RUN
    Have it run by any process?         ojob launch JOB, ojob launches
    Who holds this lock?                ojob locks, ojob unlock NAME
    Is the set-up sound?                ojob doctor

    Most commands need to know where the records are: --file FILE names a job file, --jobs URL a
    channel. To set that once: export OJOB_FILE=FILE.

    \b
    Exit status:
      0    success
      1    a job failed
      2    the job file or the command line is wrong
      130  interrupted

    To enable shell completion, see 'ojob completion --help'.
    """,
)
@click.version_option(package_name="ojobchannels", message="ojob %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Run each job at most once at a time, and show what has run."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(USAGE_ERROR)


def main() -> None:
    """Run the command line, and exit with its status."""
    prepare_streams()
    cli(prog_name="ojob")
