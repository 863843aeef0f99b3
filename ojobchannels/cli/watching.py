"""The option ``--watch``: what a command shows is shown again until it is interrupted."""

import functools
import io
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, Final, TypeVar

import click

from ojobchannels.cli.errors import INTERRUPTED
from ojobchannels.errors import ChannelError
from ojobchannels.host.clock import now_ms
from ojobchannels.host.terminal import cut, local_time

_SECONDS: Final = 2.0
_HOME: Final = "\x1b[H"
_CLEAR_LINE: Final = "\x1b[K"
_CLEAR_BELOW: Final = "\x1b[J"

_Command = TypeVar("_Command", bound=Callable[..., None])


def watchable(command: _Command) -> Callable[..., None]:
    """Add the option `--watch` to a command that shows something."""

    @click.option("--watch", is_flag=True, help="Show it again every 2 seconds, until Ctrl-C.")
    @functools.wraps(command)
    def watched(watch: bool, **others: Any) -> None:
        show = functools.partial(command, **others)
        if not watch:
            show()
        elif sys.stdout.isatty():
            click.clear()
            _repeat(lambda: _redraw(show))
        else:
            _repeat(lambda: _append(show))

    return watched


def _repeat(show: Callable[[], None]) -> None:
    try:
        while True:
            show()
            time.sleep(_SECONDS)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None


def _append(show: Callable[[], None]) -> None:
    show()
    click.echo()
    sys.stdout.flush()


class _Screen(io.StringIO):
    """The next picture; for the command that draws it, it is a terminal."""

    def isatty(self) -> bool:
        return True


def _redraw(show: Callable[[], None]) -> None:
    """Draw over what is shown; an error takes its place, since the next attempt may succeed."""
    screen = _Screen()
    with redirect_stdout(screen), redirect_stderr(screen):
        try:
            show()
        except ChannelError as error:
            click.echo(f"ojob: {' '.join(str(error).split())}")
    size = shutil.get_terminal_size()
    title = cut(f"{local_time(now_ms())}  every 2 s, Ctrl-C ends it", size.columns)
    lines = [title, "", *screen.getvalue().splitlines()][: size.lines - 1]
    text = "".join(f"{line}{_CLEAR_LINE}\n" for line in lines)
    sys.stdout.write(f"{_HOME}{text}{_CLEAR_BELOW}")
    sys.stdout.flush()
