"""A TCP proxy between clients and a server that breaks their connections on command."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from ojobchannels.testing.proxy_relay import Counters, Cut, Relay
from ojobchannels.testing.servers.ports import HOST, ReservedPort

__all__ = ["Counters", "Proxy"]

_T = TypeVar("_T")


class Proxy:
    """Stands before a server, on a port and in a thread of its own; a context manager.

    Everything passes until it is told otherwise. What it is told is in force when the method
    returns, for connections present and future, and ends with `heal`.

    Args:
        target: Host and port of the server.
        tls: With it the proxy speaks TLS with the clients, and plainly with the server.
    """

    def __init__(self, target: tuple[str, int], *, tls: ssl.SSLContext | None = None) -> None:
        self._target = target
        self._tls = tls
        self._running: _Running | None = None

    @property
    def port(self) -> int:
        """The port that clients connect to; it stays ours while they are refused."""
        return self._there.port.number

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that clients connect to."""
        return HOST, self.port

    @property
    def counters(self) -> Counters:
        """What came through so far."""
        return self._call(lambda relay: relay.counters())

    def start(self) -> Self:
        """Begins to listen."""
        port = ReservedPort()
        relay = Relay(self._target, port.number, self._tls)
        started: Future[asyncio.AbstractEventLoop] = Future()
        thread = threading.Thread(
            target=lambda: asyncio.run(_live(relay, started)),
            name="ojobchannels-proxy",
            daemon=True,
        )
        thread.start()
        try:
            self._running = _Running(port, relay, thread, started.result())
        except BaseException:
            thread.join()
            port.release()
            raise
        return self

    def stop(self) -> None:
        """Ends all connections and the thread; does nothing where that is done."""
        if self._running is not None:
            self._running.loop.call_soon_threadsafe(self._running.relay.done.set)
            self._running.thread.join()
            self._running.port.release()
            self._running = None

    def delay(self, *, requests: float = 0.0, replies: float = 0.0) -> None:
        """Keeps back what clients or the server send, for so many seconds each time."""
        self._call(lambda relay: relay.delay(requests, replies))

    def black_hole(self, *, requests: bool = True, replies: bool = True) -> None:
        """Lets nothing pass, or nothing in one direction; what is sent arrives when it heals.

        Clients can still connect. Such is a network that loses packets: the ends send them again.
        """
        self._call(lambda relay: relay.hold(requests=requests, replies=replies))

    def cut_request(self, nth: int = 1, containing: bytes = b"") -> threading.Event:
        """Cuts the connection before the n-th next request reaches the server.

        Args:
            nth: Which one, counted from 1.
            containing: Counts only requests that hold these bytes.

        Returns:
            An event that is set when it has happened.
        """
        return self._call(lambda relay: relay.arm(Cut(nth, containing, delivers=False)))

    def cut_reply(self, nth: int = 1, containing: bytes = b"") -> threading.Event:
        """Cuts the connection when the n-th next request is answered, and withholds the answer.

        Args:
            nth: Which one, counted from 1.
            containing: Counts only requests that hold these bytes.

        Returns:
            An event that is set when it has happened: the server has done what it was asked.
        """
        return self._call(lambda relay: relay.arm(Cut(nth, containing, delivers=True)))

    def reset(self) -> None:
        """Ends all present connections with RST, on both sides; new ones pass."""
        self._call(lambda relay: relay.end(reset=True))

    def refuse(self) -> None:
        """Refuses new connections; present ones go on."""
        self._call(lambda relay: relay.refuse())

    def heal(self) -> None:
        """Lets everything pass again, first of all what was held back."""
        self._call(lambda relay: relay.heal())

    @property
    def _there(self) -> _Running:
        if self._running is None:
            raise RuntimeError("the proxy is not running: start it first")
        return self._running

    def _call(self, action: Callable[[Relay], Coroutine[Any, Any, _T]]) -> _T:
        there = self._there
        return asyncio.run_coroutine_threadsafe(action(there.relay), there.loop).result()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()


class _Running(NamedTuple):
    port: ReservedPort
    relay: Relay
    thread: threading.Thread
    loop: asyncio.AbstractEventLoop


async def _live(relay: Relay, started: Future[asyncio.AbstractEventLoop]) -> None:
    try:
        await relay.heal()
    except OSError as error:
        started.set_exception(error)
        return
    started.set_result(asyncio.get_running_loop())
    await relay.done.wait()
    await relay.refuse()
    await relay.end()
