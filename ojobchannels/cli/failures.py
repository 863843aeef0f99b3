"""Errors as a person at a terminal reads them, and the exit statuses that go with them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Final

import click

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
    except JobFileError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        raise click.exceptions.Exit(WRONG) from error
    except ChannelError as error:
        raise Refused(" ".join(str(error).splitlines())) from error
    except BrokenPipeError as error:
        _leave_pipe()
        raise click.exceptions.Exit(PIPE_CLOSED) from error
    except KeyboardInterrupt as error:
        click.echo("ojob: interrupted", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from error


def _leave_pipe() -> None:
    """Lets the interpreter flush its last output into nothing."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
