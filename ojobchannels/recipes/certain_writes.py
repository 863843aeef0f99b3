"""Writes that find out what happened if the reply of the server was lost."""

from ojobchannels.channels.channel import Channel
from ojobchannels.documents import Document
from ojobchannels.errors import ChannelError, OutcomeUnknown


def add(channel: Channel, key: Document, value: Document, fence: int | None = None) -> None:
    """Store a value where nothing is stored, and change nothing otherwise.

    Raises:
        StaleFence: The fence is lower than one with which the key was changed or removed.
        OutcomeUnknown: The reply was lost, and the key cannot be read.
    """
    while True:
        try:
            channel.add(key, value, fence)
        except OutcomeUnknown as unknown:
            if _read_after(unknown, channel, key) is None:
                continue
        return


def swap(channel: Channel, match: Document, key: Document, value: Document) -> bool:
    """Store a value if what is stored matches, and return whether it did.

    The value must differ from all that others store, and must not match.

    Raises:
        OutcomeUnknown: The reply was lost, and the key cannot be read.
    """
    while True:
        try:
            return channel.get_set(match, key, value) is not None
        except OutcomeUnknown as unknown:
            if _read_after(unknown, channel, key) == value:
                return True


def _read_after(unknown: OutcomeUnknown, channel: Channel, key: Document) -> Document:
    try:
        return channel.get(key)
    except ChannelError:
        raise unknown from None
