"""Commands that ask a daemon to run a job: how long they wait, and what they print."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ojobchannels.cli.options import as_duration
from ojobchannels.cli.streams import echo
from ojobchannels.cli.tables import print_json

if TYPE_CHECKING:
    from ojobchannels.manager.actions.action import Action

wait_option = click.option(
    "--wait",
    callback=as_duration,
    default="10s",
    metavar="TIME",
    help="How long to wait for a daemon to take the request (default: 10s).",
)


def report_taken(action: Action, *, as_json: bool) -> None:
    """Print that a daemon has taken a request."""
    if as_json:
        print_json(action.document)
    else:
        echo(f"A daemon has taken {action.target!r} (state: {action.state}); see ojob actions.")
