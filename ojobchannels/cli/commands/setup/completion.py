"""``ojob completion``: print what makes a shell complete the words of ``ojob``."""

import os
from pathlib import Path
from typing import Final

import click

from ojobchannels.cli.errors import CommandError

_SHELLS: Final = ("bash", "zsh", "fish")


@click.command(
    short_help="Print the completion script of a shell.",
    epilog="""\b
    To enable completion, add a line to the start-up file of your shell:
      bash  ~/.bashrc                   eval "$(ojob completion bash)"
      zsh   ~/.zshrc                    eval "$(ojob completion zsh)"
      fish  ~/.config/fish/config.fish  ojob completion fish | source
    """,
)
@click.argument("shell", required=False, type=click.Choice(_SHELLS))
def completion(shell: str | None) -> None:
    """Print the script by which a shell completes commands, options, files, jobs and locks.

    SHELL is bash (4.4 or newer), zsh or fish; by default the one in the variable SHELL.

    Names of jobs and locks are completed if OJOB_FILE, OJOB_JOBS or an option names the channels.
    """
    from click.shell_completion import get_completion_class

    from ojobchannels.cli import cli

    name = shell or Path(os.environ.get("SHELL", "")).name
    kind = get_completion_class(name) if name in _SHELLS else None
    if kind is None:
        known = ", ".join(_SHELLS)
        raise CommandError(f"there is no completion for the shell {name!r}; name one of {known}")
    complete = kind(cli, {}, "ojob", "_OJOB_COMPLETE")
    click.echo(complete.source_template % complete.source_vars())
