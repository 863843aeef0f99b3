"""The inside of the fault proxy: what lives in its event loop."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from ojobchannels.testing.servers.ports import HOST

_CHUNK: Final = 65_536
_LINGER_NOT: Final = struct.pack("ii", 1, 0)


class Counters(NamedTuple):
    """What came through a proxy so far.

    Attributes:
        connections: How many clients have connected.
        open: How many connections there are now.
        requests: How often a client spoke, at first or after the server did.
        to_server: Bytes passed to the server.
        to_client: Bytes passed to clients.
    """

    connections: int
    open: int
    requests: int
    to_server: int
    to_client: int


@dataclass(eq=False)
class Cut:
    """A request to cut at: how many are left to count, and whether it reaches the server."""

    left: int
    containing: bytes
    delivers: bool
    happened: threading.Event = field(default_factory=threading.Event)


class Flow:
    """One direction: how long what is sent is kept back, and how much has passed."""

    def __init__(self) -> None:
        self.passed = 0
        self._delay = 0.0
        self._open = asyncio.Event()
        self._hurry = asyncio.Event()
        self.heal()

    def delay(self, seconds: float) -> None:
        """Keeps back each chunk for so long."""
        self._delay = seconds
        self._hurry.clear()

    def hold(self) -> None:
        """Lets nothing pass."""
        self._open.clear()

    def heal(self) -> None:
        """Lets everything pass, also what is being kept back."""
        self._delay = 0.0
        self._hurry.set()
        self._open.set()

    async def until_open(self) -> None:
        """Returns when something may pass."""
        await self._open.wait()

    async def send(self, chunk: bytes, to: asyncio.StreamWriter) -> None:
        """Passes a chunk on when its time has come."""
        if self._delay:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), self._delay)
        await self.until_open()
        to.write(chunk)
        self.passed += len(chunk)
        await to.drain()


@dataclass(eq=False)
class Link:
    """One connection of a client, and ours to the server on its behalf."""

    task: asyncio.Task[Any]
    ends: list[asyncio.StreamWriter]
    speaking: bool = False
    counted: set[Cut] = field(default_factory=set)
    doom: Cut | None = None

    def cut(self, cause: Cut) -> None:
        """Ends the connection and says that it has happened."""
        self.abort()
        cause.happened.set()

    def abort(self, *, reset: bool = False) -> None:
        """Ends the connection at once, on both sides."""
        for end in self.ends:
            if reset and not end.transport.is_closing():
                end.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT
                )
            end.transport.abort()


class Relay:
    """The proxy as it lives in its loop."""

    def __init__(self, target: tuple[str, int], port: int, tls: ssl.SSLContext | None) -> None:
        self.done = asyncio.Event()
        self._target = target
        self._port = port
        self._tls = tls
        self._listener: asyncio.Server | None = None
        self._to_server = Flow()
        self._to_client = Flow()
        self._links: set[Link] = set()
        self._cuts: list[Cut] = []
        self._connections = 0
        self._requests = 0

    async def counters(self) -> Counters:
        """Returns what came through so far."""
        return Counters(
            self._connections,
            len(self._links),
            self._requests,
            self._to_server.passed,
            self._to_client.passed,
        )

    async def delay(self, requests: float, replies: float) -> None:
        """Keeps back what is sent."""
        self._to_server.delay(requests)
        self._to_client.delay(replies)

    async def hold(self, *, requests: bool, replies: bool) -> None:
        """Lets nothing pass in one or both directions."""
        if requests:
            self._to_server.hold()
        if replies:
            self._to_client.hold()

    async def arm(self, cut: Cut) -> threading.Event:
        """Gets ready for a cut; returns the event that it sets."""
        self._cuts.append(cut)
        return cut.happened

    async def refuse(self) -> None:
        """Stops listening."""
        await _take_in_who_is_at_the_door()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def heal(self) -> None:
        """Listens, and lets everything pass."""
        self._cuts.clear()
        self._to_server.heal()
        self._to_client.heal()
        if self._listener is None:
            patience = 1.0 if self._tls else None
            self._listener = await asyncio.start_server(
                self._serve, HOST, self._port, ssl=self._tls, ssl_shutdown_timeout=patience
            )

    async def end(self, *, reset: bool = False) -> None:
        """Ends all present connections; returns when they are gone."""
        await _take_in_who_is_at_the_door()
        ending = [link.task for link in self._links]
        for link in self._links:
            link.abort(reset=reset)
            link.task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  this is a coroutine
        link = Link(task, [client])
        self._links.add(link)
        self._connections += 1
        try:
            await self._to_server.until_open()
            answers, server = await asyncio.open_connection(*self._target)
            link.ends.append(server)
            requests = asyncio.create_task(self._pass_requests(link, reader, server))
            try:
                await self._pass_replies(link, answers, client)
            finally:
                requests.cancel()
                await asyncio.gather(requests, return_exceptions=True)
        except (OSError, asyncio.CancelledError):  # only `end` cancels
            link.abort()
        finally:
            for end in link.ends:
                end.close()
            for end in link.ends:
                with suppress(OSError):
                    await end.wait_closed()
            self._links.discard(link)

    async def _pass_requests(
        self, link: Link, reader: asyncio.StreamReader, server: asyncio.StreamWriter
    ) -> None:
        try:
            while chunk := await reader.read(_CHUNK):
                if cut := self._judge(link, chunk):
                    if not cut.delivers:
                        link.cut(cut)
                        return
                    link.doom = cut
                await self._to_server.send(chunk, server)
            server.write_eof()
        except OSError:
            link.abort()

    async def _pass_replies(
        self, link: Link, answers: asyncio.StreamReader, client: asyncio.StreamWriter
    ) -> None:
        while chunk := await answers.read(_CHUNK):
            link.speaking = False
            if link.doom:
                link.cut(link.doom)
                return
            await self._to_client.send(chunk, client)

    def _judge(self, link: Link, chunk: bytes) -> Cut | None:
        """Counts a request, and returns the cut that it falls to."""
        if not link.speaking:
            link.speaking = True
            link.counted.clear()
            self._requests += 1
        for cut in self._cuts:
            if cut.containing in chunk and cut not in link.counted:
                link.counted.add(cut)
                cut.left -= 1
                if not cut.left:
                    self._cuts.remove(cut)
                    return cut
        return None


async def _take_in_who_is_at_the_door() -> None:
    """Lets the loop accept clients that are connected for the kernel, but not yet for us."""
    for _ in range(10):
        await asyncio.sleep(0)
