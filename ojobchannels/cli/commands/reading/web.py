"""``ojob web``: the page for operators."""

import importlib
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final

import click

from ojobchannels.cli.errors import CommandError
from ojobchannels.cli.locations import Locations, existing, location_options
from ojobchannels.cli.streams import echo

ACTIONS: Final = ("pause", "resume", "now", "rerun", "cancel", "unlock")


@click.command(short_help="Serve a page that shows all jobs, live.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8765,
    show_default=True,
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Port to listen on; 0 for any that is free.",
)
@click.option("--unix-socket", metavar="PATH", help="Listen on a Unix socket instead.")
@click.option(
    "--allow",
    metavar="ACTIONS",
    default="",
    help=f"Actions that the page offers, such as pause,unlock: {', '.join(ACTIONS)}, or all.",
)
@click.option(
    "--token-file",
    type=click.Path(),
    metavar="FILE",
    help="File with one line for each person, AUTHOR TOKEN.",
)
@click.option(
    "--user-header",
    metavar="NAME",
    help="Request header in which a proxy in front of the page names the user.",
)
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="Name by which the page may be addressed, besides localhost; may be repeated.",
)
@click.option(
    "--channel",
    "browsed",
    multiple=True,
    metavar="NAME=URL",
    help="Further channel that may be browsed; may be repeated.",
)
@location_options
def web(
    locations: Locations,
    host: str,
    port: int,
    unix_socket: str | None,
    allow: str,
    browsed: tuple[str, ...],
    **options: Any,
) -> None:
    """Serve a page that shows all jobs, runs, locks, daemons and channels, live.

    By default it is read-only, and only this host can reach it. --allow offers actions to users who
    log in with a token from --token-file, or are named by a proxy in --user-header.

    It needs the extra `web`: pip install 'ojobchannels[web]'. SIGINT and SIGTERM end it.
    """
    from ojobchannels.channels.opening import open_channel

    serving = _serving()
    actions = ACTIONS if allow.strip() == "all" else tuple(filter(None, allow.split(",")))
    address = serving.Address(host, port, unix_socket)
    with ExitStack() as opened:
        manager = opened.enter_context(locations.manager())
        channels = {}
        for each in browsed:
            name, url = _named(each)
            config = existing(f"documents of {name!r}", url)
            channels[name] = opened.enter_context(open_channel(name, config))
        try:
            serving.serve(
                manager,
                address,
                allow=actions,
                channels=channels,
                listening=lambda url: _announce(url, actions),
                **options,
            )
        except serving.InvalidSetting as error:
            raise CommandError(str(error)) from error


def _announce(url: str, actions: Sequence[str]) -> None:
    allowed = ", ".join(actions) or "read-only"
    echo(f"Serving {url} ({allowed}); Ctrl+C ends it.", err=True)


def _serving() -> Any:
    try:
        return importlib.import_module("ojobchannels_web.serve")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("ojobchannels_web", "starlette", "uvicorn"):
            raise
        raise CommandError(
            "the page is in a distribution of its own: install ojobchannels[web]"
        ) from error


def _named(text: str) -> tuple[str, str]:
    name, separator, url = text.partition("=")
    if not (name and separator and url):
        raise CommandError(f"--channel {text!r} is not NAME=URL, such as orders=sqlite:///o.db")
    return name, url
