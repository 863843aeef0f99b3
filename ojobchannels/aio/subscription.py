"""AsyncSubscription: the changes of a channel, for ``async for``."""

from __future__ import annotations

import threading
from collections import deque
from typing import Self

from ojobchannels.aio.calls import Calls
from ojobchannels.aio.waiting import Bell
from ojobchannels.changes import Change
from ojobchannels.channels.changes import ChangeReader
from ojobchannels.channels.channel import Channel


class AsyncSubscription:
    """The changes of a channel from the first iteration on; made by `AsyncChannel.subscribe`.

    They are read when the loop over them asks for more, so a slow one holds up no other, and no
    thread waits for it. ``async with`` ends it; so does closing the channel.
    """

    def __init__(self, channel: Channel, calls: Calls, replay: bool) -> None:
        self._channel = channel
        self._calls = calls
        self._replay = replay
        self._reader: ChangeReader | None = None
        self._end = Bell()
        self._bell: Bell | None = None
        self._changes: deque[Change] = deque()
        self._reading = threading.Lock()
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        """Return the next change.

        Raises:
            StopAsyncIteration: The subscription, or the channel, was closed.
        """
        bell, reader = await self._begun()

        def read() -> None:  # a cancelled caller leaves the changes to the next one
            with self._reading:
                self._changes.extend(reader.read())

        while not self._changes:
            if self._closed or self._channel.closed:
                await self.close()
                raise StopAsyncIteration
            await self._calls.call(read)
            if not self._changes:
                await self._end.wait(reader.rest)
                if not reader.failed:
                    await bell.wait(reader.pause)
        return self._changes.popleft()

    async def close(self) -> None:
        """End it, also in a loop over it."""
        if not self._closed:
            self._closed = True
            if self._bell is not None:
                await self._calls.finish(self._close_reader)
        for bell in (self._end, self._bell):
            if bell is not None:
                bell.ring()

    async def __aenter__(self) -> Self:
        await self._begun()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __del__(self) -> None:
        if self._reader is not None and not self._closed:
            self._reader.close()

    def __repr__(self) -> str:
        return f"<AsyncSubscription of {self._channel!r}{' closed' if self._closed else ''}>"

    async def _begun(self) -> tuple[Bell, ChangeReader]:
        if self._bell is None:
            self._bell = Bell()
        bell = self._bell
        reader = self._reader
        if reader is None:
            reader = await self._calls.finish(lambda: self._begin(bell))
        return bell, reader

    def _begin(self, bell: Bell) -> ChangeReader:
        with self._reading:
            if self._reader is None:
                begun = ChangeReader.begun(self._channel, bell.ring, self._replay)
                self._reader, entries = begun
                self._changes.extend(entries)
                if self._closed:
                    self._reader.close()
            return self._reader

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
