"""The part of the fault proxy that runs in its event loop."""

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
_NO_LINGER: Final = struct.pack("ii", 1, 0)


class Counters(NamedTuple):
    """The traffic of a proxy so far.

    Attributes:
        connections: Number of clients that have connected.
        open: Number of open connections.
        requests: Number of requests: data from a client, at first or after data from the server.
        to_server: Bytes sent to the server.
        to_client: Bytes sent to clients.
    """

    connections: int
    open: int
    requests: int
    to_server: int
    to_client: int


@dataclass(eq=False)
class Cut:
    """The request to cut at.

    Attributes:
        left: How many to count until then.
        containing: What counts.
        delivers: Whether it reaches the server.
        holds: Whether to hold the replies from then on, in place of a cut.
    """

    left: int
    containing: bytes
    delivers: bool
    holds: bool = False
    happened: threading.Event = field(default_factory=threading.Event)


class Direction:
    """One direction of traffic: its delay, and the number of bytes forwarded."""

    def __init__(self) -> None:
        self.passed = 0
        self._delay = 0.0
        self._open = asyncio.Event()
        self._hurry = asyncio.Event()
        self.heal()

    def delay(self, seconds: float) -> None:
        """Delay each chunk by `seconds`."""
        self._delay = seconds
        self._hurry.clear()

    def hold(self) -> None:
        """Hold all chunks."""
        self._open.clear()

    def heal(self) -> None:
        """Forward everything, also chunks that are being delayed."""
        self._delay = 0.0
        self._hurry.set()
        self._open.set()

    async def until_open(self) -> None:
        """Return when chunks are not held."""
        await self._open.wait()

    async def send(self, chunk: bytes, to: asyncio.StreamWriter) -> None:
        """Forward a chunk after the delay, once chunks are not held."""
        if self._delay:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), self._delay)
        await self.until_open()
        to.write(chunk)
        self.passed += len(chunk)
        await to.drain()


@dataclass(eq=False)
class Link:
    """The connection of one client, and the corresponding one to the server.

    Attributes:
        forgotten: Whether it discards everything, as a firewall does that has lost its state.
    """

    task: asyncio.Task[Any]
    ends: list[asyncio.StreamWriter]
    requesting: bool = False
    forgotten: bool = False
    counted: set[Cut] = field(default_factory=set)
    pending_cut: Cut | None = None

    def cut(self, cause: Cut) -> None:
        """Close the connection and set the event of the cut."""
        self.abort()
        cause.happened.set()

    def abort(self, *, reset: bool = False) -> None:
        """Close the connection at once, on both sides.

        Only the client's is reset: after a reset, Ignite stops reading for a second from a quarter
        of its clients, which may be those of another test.
        """
        client = self.ends[0]
        if reset and not client.transport.is_closing():
            client.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER
            )
        for end in self.ends:
            end.transport.abort()


class Relay:
    """Forwards the connections of all clients, in an event loop."""

    def __init__(self, target: tuple[str, int], port: int, tls: ssl.SSLContext | None) -> None:
        self.done = asyncio.Event()
        self._target = target
        self._port = port
        self._tls = tls
        self._listener: asyncio.Server | None = None
        self._to_server = Direction()
        self._to_client = Direction()
        self._links: set[Link] = set()
        self._cuts: list[Cut] = []
        self._connections = 0
        self._requests = 0

    async def counters(self) -> Counters:
        """Return the traffic so far."""
        return Counters(
            self._connections,
            len(self._links),
            self._requests,
            self._to_server.passed,
            self._to_client.passed,
        )

    async def delay(self, requests: float, replies: float) -> None:
        """Delay chunks, by direction, in seconds."""
        self._to_server.delay(requests)
        self._to_client.delay(replies)

    async def hold(self, *, requests: bool, replies: bool) -> None:
        """Hold all chunks in one or both directions."""
        if requests:
            self._to_server.hold()
        if replies:
            self._to_client.hold()

    async def arm(self, cut: Cut) -> threading.Event:
        """Add a cut; return the event that it sets."""
        self._cuts.append(cut)
        return cut.happened

    async def refuse(self) -> None:
        """Stop listening."""
        await _accept_pending_clients()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def heal(self) -> None:
        """Listen, and forward everything."""
        self._cuts.clear()
        self._to_server.heal()
        self._to_client.heal()
        if self._listener is None:
            shutdown_timeout = 1.0 if self._tls else None
            self._listener = await asyncio.start_server(
                self._serve, HOST, self._port, ssl=self._tls, ssl_shutdown_timeout=shutdown_timeout
            )

    async def end(self, *, reset: bool = False) -> None:
        """Close all present connections; return when they are closed."""
        await _accept_pending_clients()
        ending = [link.task for link in self._links]
        for link in self._links:
            link.abort(reset=reset)
            link.task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    async def forget(self) -> None:
        """Discard everything on the present connections, and leave them open."""
        await _accept_pending_clients()
        for link in self._links:
            link.forgotten = True

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  this is a coroutine
        link = Link(task, [client])
        self._links.add(link)
        self._connections += 1
        try:
            await self._to_server.until_open()
            replies, server = await asyncio.open_connection(*self._target)
            link.ends.append(server)
            requests = asyncio.create_task(self._pass_requests(link, reader, server))
            try:
                await self._pass_replies(link, replies, client)
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
                if link.forgotten:
                    continue
                if cut := self._match_cut(link, chunk):
                    if cut.holds:
                        self._to_client.hold()
                        cut.happened.set()
                    elif cut.delivers:
                        link.pending_cut = cut
                    else:
                        link.cut(cut)
                        return
                await self._to_server.send(chunk, server)
            server.write_eof()
        except OSError:
            link.abort()

    async def _pass_replies(
        self, link: Link, replies: asyncio.StreamReader, client: asyncio.StreamWriter
    ) -> None:
        while chunk := await replies.read(_CHUNK):
            link.requesting = False
            if link.forgotten:
                continue
            if link.pending_cut:
                link.cut(link.pending_cut)
                return
            await self._to_client.send(chunk, client)

    def _match_cut(self, link: Link, chunk: bytes) -> Cut | None:
        """Count a request; return the cut that applies to it, if any."""
        if not link.requesting:
            link.requesting = True
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


async def _accept_pending_clients() -> None:
    """Let the loop accept clients that the kernel has already connected."""
    for _ in range(10):
        await asyncio.sleep(0)
