"""Browsing channels, page by page."""

from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from ojobchannels.channels.channel import Channel
from ojobchannels.masking import masked
from ojobchannels_web.context import Context
from ojobchannels_web.view.text import document, one_line

DOCUMENTS_SHOWN: Final = 50
CHARACTERS_SHOWN: Final = 16_000
_DIGITS: Final = 18


class Entry(NamedTuple):
    """One document as it is shown."""

    key: str
    line: str
    text: str
    position: int


def show_channels(context: Context, request: Request) -> Response:
    """Return the channels that may be browsed."""
    found = [(name, channel.type, channel.size()) for name, channel in _channels(context).items()]
    return context.page(request, "channels.html", channels=found)


def show_channel(context: Context, request: Request) -> Response:
    """Return one page of documents, the latest change first."""
    name = request.query_params.get("name", "")
    channel = _channels(context).get(name)
    if channel is None:
        return context.page(request, "missing.html", 404, what="channel", name=name)
    after = request.query_params.get("after", "")
    position = int(after) if after.isascii() and after.isdigit() and len(after) <= _DIGITS else None
    items = list(channel.items(newest_first=True, limit=DOCUMENTS_SHOWN, after=position))
    entries = [
        Entry(one_line(masked(item[0])), one_line(text), text, item.position)
        for item in items
        for text in (document(item[1], CHARACTERS_SHOWN),)
    ]
    more = entries[-1].position if len(items) == DOCUMENTS_SHOWN else None
    return context.page(
        request,
        "channel.html",
        name=name,
        type=channel.type,
        entries=entries,
        more=more,
        first=position is None,
    )


def _channels(context: Context) -> dict[str, Channel]:
    manager = context.manager
    own = {channel.name: channel for channel in (manager.jobs, manager.state, manager.locks)}
    return {**context.settings.channels, **own}
