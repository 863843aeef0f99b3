"""Options that several commands have, and the parsers of their times."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from ojobchannels.cli.times import parse_duration, parse_future, parse_moment

_F = TypeVar("_F", bound=Callable[..., Any])

lang_option = click.option(
    "--lang", metavar="LANGUAGE", help="Default language of code blocks (default: python)."
)


reason_option = click.option(
    "--reason", metavar="TEXT", help="Why; it is recorded, and shown to others."
)


def limit_option(what: str, all: str) -> Callable[[_F], _F]:
    """Return the option ``--limit`` of a command that lists `what`; 0 means `all`."""
    return click.option(
        "--limit",
        type=click.IntRange(min=0),
        default=50,
        metavar="N",
        help=f"Show at most N {what} (0: {all}; default: 50).",
    )


def as_duration(_: click.Context, __: click.Parameter, value: str) -> timedelta:
    """Parse the value of an option as a duration."""
    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def as_moment(_: click.Context, __: click.Parameter, value: str | None) -> datetime | None:
    """Parse the value of an option as a time, or as a duration before now."""
    if value is None:
        return None
    try:
        return parse_moment(value, datetime.now(UTC))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def as_future(_: click.Context, __: click.Parameter, value: str | None) -> datetime | None:
    """Parse the value of an option as a time, or as a duration from now on."""
    if value is None:
        return None
    try:
        return parse_future(value, datetime.now(UTC))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
