"""Errors as a person at a terminal reads them, and the exit statuses that go with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Final

import click

from ojobchannels.cli.streams import give_up_output
from ojobchannels.errors import ChannelError, JobFileError

WRONG: Final = 2
INTERRUPTED: Final = 130
PIPE_CLOSED: Final = 141


class Refused(click.ClickException):
    """Something cannot be done as it was asked for; the message says what to do."""

    exit_code = WRONG

    def show(self, file: IO[Any] | None = None) -> None:
        """Prints one line on standard error."""
        click.echo(f"ojob: {self.message}", file=file, err=True)


@contextmanager
def told() -> Iterator[None]:
    """Turns every error on purpose into words on standard error and an exit status."""
    try:
        yield
    except click.UsageError as error:
        raise Refused(_wrong_call(error)) from error
    except JobFileError as error:
        for diagnostic in error.diagnostics:
            click.echo(str(diagnostic), err=True)
        raise click.exceptions.Exit(WRONG) from error
    except ChannelError as error:
        raise Refused(" ".join(str(error).splitlines())) from error
    except BrokenPipeError as error:
        give_up_output()
        raise click.exceptions.Exit(PIPE_CLOSED) from error
    except OSError as error:
        if error.filename is not None:
            raise
        give_up_output()
        reason = f"standard output cannot be written: {error.strerror or error}"
        raise Refused(f"{reason}; send it elsewhere, such as to a file") from error
    except KeyboardInterrupt as error:
        click.echo("ojob: interrupted", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from error


def no_such(what: str, word: str, known: Iterable[str], call: str) -> str:
    """Says that there is nothing of that name, what may be meant, and where all are listed."""
    from difflib import get_close_matches

    meant = next(iter(get_close_matches(word, list(known), 1)), None)
    advice = f"; did you mean {meant!r}?" if meant else ""
    return f"there is no {what} {word!r}{advice} ({call} --help lists them)"


def _wrong_call(error: click.UsageError) -> str:
    """Says in a line what is wrong with a call, and where its help is."""
    context = error.ctx or click.get_current_context(silent=True)
    call = context.command_path if context else "ojob"
    if context and not error.ctx and context.invoked_subcommand:
        call = f"{call} {context.invoked_subcommand}"
    if isinstance(error, click.NoSuchOption):
        params = context.command.get_params(context) if context else ()
        names = (name for param in params for name in param.opts)
        return no_such("option", error.option_name, names, call)
    said = " ".join(error.format_message().split()).rstrip(".")
    return f"{said[:1].lower()}{said[1:]} ({call} --help tells more)"
