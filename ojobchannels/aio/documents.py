"""The document operations of an asynchronous channel."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from itertools import islice
from typing import Any, Final

from ojobchannels.aio.calls import Calls
from ojobchannels.channels.channel import Channel
from ojobchannels.documents import Document, Item

_PAGE: Final = 128


class AsyncDocuments:
    """The part of an `AsyncChannel` that stores documents; `Channel` describes each operation."""

    def __init__(self, channel: Channel, calls: Calls) -> None:
        self.sync = channel
        self._calls = calls

    async def get(self, key: Document, default: Document = None) -> Document:
        """Return the value of a key, or `default` if the key does not exist."""
        return await self._calls.call(lambda: self.sync.get(key, default))

    async def set(self, key: Document, value: Document, fence: int | None = None) -> None:
        """Store a value; replace the old one."""
        await self._calls.call(lambda: self.sync.set(key, value, fence))

    async def unset(self, key: Document, fence: int | None = None) -> bool:
        """Remove a key and return whether it existed; its fence mark is kept."""
        return await self._calls.call(lambda: self.sync.unset(key, fence))

    async def get_all(self, match: Document = None) -> list[Document]:
        """Return the values, oldest change first; with a match, only those that match it."""
        return await self._calls.call(lambda: self.sync.get_all(match))

    async def items(
        self,
        match: Document = None,
        limit: int | None = None,
        newest_first: bool = False,
        after: int | None = None,
    ) -> AsyncIterator[Item]:
        """Yield key and value pairs in the order of their last change, read in pages."""
        found = self.sync.items(match, limit, newest_first, after)
        while page := await self._calls.call(lambda: list(islice(found, _PAGE))):
            for item in page:
                yield item

    async def get_keys(self) -> list[Document]:
        """Return the keys as they were last written, oldest change first."""
        return await self._calls.call(self.sync.get_keys)

    async def size(self) -> int:
        """Return the number of entries."""
        return await self._calls.call(self.sync.size)

    async def set_all(
        self, items: Mapping[Any, Document] | Iterable[tuple[Document, Document]]
    ) -> None:
        """Store several values in one atomic step: all of them, or none."""
        await self._calls.call(lambda: self.sync.set_all(items))

    async def unset_all(self, keys: Iterable[Document]) -> int:
        """Remove several keys in one atomic step and return how many existed."""
        return await self._calls.call(lambda: self.sync.unset_all(keys))

    async def get_set(
        self,
        match: Document,
        key: Document,
        value: Document,
        fence: int | None = None,
        default: Document = None,
    ) -> Document:
        """Compare and set: store if the current value matches, and return the old value."""
        return await self._calls.call(lambda: self.sync.get_set(match, key, value, fence, default))

    async def add(self, key: Document, value: Document, fence: int | None = None) -> bool:
        """Store a value only if the key does not exist; return whether it was stored."""
        return await self._calls.call(lambda: self.sync.add(key, value, fence))

    async def pop(self, default: Document = None) -> Document:
        """Remove the entry that was changed last and return its value, or `default` if empty.

        If the caller is cancelled while the entry is removed, its value is lost: use `get_set`, or
        `asyncio.shield`, where that matters.
        """
        return await self._calls.call(lambda: self.sync.pop(default))

    async def shift(self, default: Document = None) -> Document:
        """Remove the entry whose last change is the oldest; otherwise like `pop`."""
        return await self._calls.call(lambda: self.sync.shift(default))

    async def destroy(self) -> None:
        """Remove all documents of the channel; locks and fences are kept."""
        await self._calls.call(self.sync.destroy)
