"""Errors as the user sees them, and the exit statuses that belong to them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Final

import click

from ojobchannels.cli.streams import OutputError, discard_output, echo
from ojobchannels.errors import ChannelError, JobFileError
from ojobchannels.printable import printable

USAGE_ERROR: Final = 2
INTERRUPTED: Final = 130
PIPE_CLOSED: Final = 141


class CommandError(click.ClickException):
    """A command cannot do what was asked; the message says how to fix that."""

    exit_code = USAGE_ERROR

    def show(self, file: IO[Any] | None = None) -> None:
        """Print one line to standard error."""
        text = f"ojob: {printable(self.message)}"
        click.echo(text, file=file, err=True)


@contextmanager
def report_errors() -> Iterator[None]:
    """Turn every expected error into a message on standard error and an exit status."""
    try:
        yield
    except click.UsageError as error:
        raise CommandError(_usage_error(error)) from error
    except JobFileError as error:
        for diagnostic in error.diagnostics:
            echo(str(diagnostic), err=True)
        raise click.exceptions.Exit(USAGE_ERROR) from error
    except ChannelError as error:
        raise CommandError(" ".join(str(error).splitlines())) from error
    except BrokenPipeError as error:
        discard_output()
        raise click.exceptions.Exit(PIPE_CLOSED) from error
    except OutputError as error:
        discard_output()
        reason = f"cannot write to standard output: {error.strerror or error}"
        raise CommandError(f"{reason}; redirect it, for example to a file") from error
    except FileNotFoundError as error:
        if error.filename is not None:
            raise
        reason = "the current folder does not exist any more"
        raise CommandError(f"{reason}; change to another one with cd") from error
    except KeyboardInterrupt as error:
        click.echo("ojob: interrupted", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from error


def unknown_name(kind: str, word: str, known: Iterable[str], call: str) -> str:
    """Return a message about an unknown name, with the closest known one and the help to read."""
    from ojobchannels.suggestions import closest

    meant = closest(word, known)
    hint = f"; did you mean {meant!r}?" if meant else ""
    return f"unknown {kind} {word!r}{hint} (see {call} --help)"


def _usage_error(error: click.UsageError) -> str:
    """Return one line with what is wrong with a call, and the help to read."""
    context = error.ctx or click.get_current_context(silent=True)
    call = context.command_path if context else "ojob"
    if context and not error.ctx and context.invoked_subcommand:
        call = f"{call} {context.invoked_subcommand}"
    if isinstance(error, click.NoSuchOption):
        params = context.command.get_params(context) if context else ()
        names = (name for param in params for name in param.opts)
        return unknown_name("option", error.option_name, names, call)
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message[:1].lower()}{message[1:]} (see {call} --help)"
