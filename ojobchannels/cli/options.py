"""Options that several commands have, and how those that stand for times are read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

from ojobchannels.cli.times import parse_moment, parse_span

lang_option = click.option(
    "--lang",
    metavar="LANGUAGE",
    help="The language of code for which the file says none; without it, python.",
)


def span(_: click.Context, __: click.Parameter, value: str) -> timedelta:
    """Reads a span of time such as 7d."""
    try:
        return parse_span(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def moment(_: click.Context, __: click.Parameter, value: str | None) -> datetime | None:
    """Reads a time such as 2026-03-31, or a span that is counted back from now."""
    if value is None:
        return None
    try:
        return parse_moment(value, datetime.now(UTC))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
