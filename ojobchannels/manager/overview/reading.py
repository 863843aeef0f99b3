"""Reading a channel by its changes: the newest first, then the older ones, then what is new."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from ojobchannels.channels.channel import Channel
from ojobchannels.documents import Document

_FIRST_READ: Final = 1_000
_OVERLAP: Final = 64
_PAGE: Final = 1_024


class ChangeReader:
    """Reads each document of a channel at least once, and again after each change.

    A read of changes begins where the one before the last ended: storages may show changes that
    happen at the same time in another order.

    Attributes:
        complete: Whether all older documents have been read.
        sure_until: The position up to which everything has certainly been read.
    """

    def __init__(self, channel: Channel, after: int | None) -> None:
        self._channel = channel
        self.reset()
        if after is not None and after <= self._newest():  # else the storage is another one
            self.sure_until = self._reached = after
            self.complete = self._began = True

    def reset(self) -> None:
        """Forget what was read."""
        self.sure_until = 0
        self.complete = False
        self._began = False
        self._reached = 0
        self._oldest: int | None = None

    def was_emptied(self) -> bool:
        """Return whether there is nothing any more where something was read before."""
        return self._reached > 0 and not self._newest()

    def changes(self) -> Iterator[Document]:
        """Yield the newest documents at the first call, later what has changed since the last."""
        if not self._began:
            self._began = True
            yield from self._older(_OVERLAP)
            self.sure_until = self._oldest or 0
            if not self.complete:
                yield from self._older(_FIRST_READ)
            return
        newest, reached = self._newest(), self._reached
        if newest <= reached:  # lower if the newest document was removed
            self._reached, self.sure_until = newest, min(self.sure_until, newest)
            return
        for item in self._channel.items(after=self.sure_until or None):
            reached = max(reached, item.position)
            yield item[1]
        self.sure_until, self._reached = self._reached, reached

    def older(self) -> Iterator[Document]:
        """Yield the next page of older documents, latest first."""
        yield from self._older(_PAGE)

    def _older(self, size: int) -> Iterator[Document]:
        number = 0
        items = self._channel.items(newest_first=True, limit=size, after=self._oldest)
        for item in islice(items, size):
            number += 1
            self._oldest = item.position
            self._reached = max(self._reached, item.position)
            yield item[1]
        if number < size:
            self.complete = True

    def _newest(self) -> int:
        newest = next(iter(self._channel.items(limit=1, newest_first=True)), None)
        return newest.position if newest else 0
