"""A TCP proxy between clients and a server that breaks their connections on command."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, NamedTuple, Self, TypeVar

from ojobchannels.testing.proxy_relay import Counters, Cut, Relay
from ojobchannels.testing.servers.ports import HOST, ReservedPort

__all__ = ["Counters", "Proxy"]

_T = TypeVar("_T")


class Proxy:
    """A proxy in front of a server, with its own port and thread; a context manager.

    It forwards everything until a fault is set. A fault is active when the method returns, applies
    to present and new connections, and ends with `heal`.

    Args:
        target: Host and port of the server.
        tls: Speak TLS with the clients, and plain TCP with the server.
    """

    def __init__(self, target: tuple[str, int], *, tls: ssl.SSLContext | None = None) -> None:
        self._target = target
        self._tls = tls
        self._running: _Running | None = None

    @property
    def port(self) -> int:
        """The port for clients; it stays reserved while they are refused."""
        return self._active.port.number

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that clients connect to."""
        return HOST, self.port

    @property
    def counters(self) -> Counters:
        """The traffic so far."""
        return self._call(lambda relay: relay.counters())

    def start(self) -> Self:
        """Start listening and return the proxy."""
        port = ReservedPort()
        relay = Relay(self._target, port.number, self._tls)
        started: Future[asyncio.AbstractEventLoop] = Future()
        thread = threading.Thread(
            target=lambda: asyncio.run(_run(relay, started)),
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
        """Close all connections and end the thread; do nothing if it is not running."""
        if self._running is not None:
            self._running.loop.call_soon_threadsafe(self._running.relay.done.set)
            self._running.thread.join()
            self._running.port.release()
            self._running = None

    def delay(self, *, requests: float = 0.0, replies: float = 0.0) -> None:
        """Delay each chunk from the clients or from the server by this number of seconds."""
        self._call(lambda relay: relay.delay(requests, replies))

    def black_hole(self, *, requests: bool = True, replies: bool = True) -> None:
        """Hold all traffic, or one direction of it, until `heal`.

        Clients can still connect, as in a network that loses packets, which are then sent again.
        """
        self._call(lambda relay: relay.hold(requests=requests, replies=replies))

    def cut_request(self, nth: int = 1, containing: bytes = b"") -> threading.Event:
        """Cut the connection before the nth request from now reaches the server.

        Args:
            nth: The request, counted from 1.
            containing: Count only requests with these bytes.

        Returns:
            An event that is set after the cut.
        """
        return self._call(lambda relay: relay.arm(Cut(nth, containing, delivers=False)))

    def cut_reply(self, nth: int = 1, containing: bytes = b"") -> threading.Event:
        """Cut the connection at the reply to the nth request from now, and drop the reply.

        Args:
            nth: The request, counted from 1.
            containing: Count only requests with these bytes.

        Returns:
            An event that is set after the cut; the server has executed the request.
        """
        return self._call(lambda relay: relay.arm(Cut(nth, containing, delivers=True)))

    def hold_reply(self, nth: int = 1, containing: bytes = b"") -> threading.Event:
        """Hold all replies, from that to the nth request from now on, until `heal`.

        Args:
            nth: The request, counted from 1.
            containing: Count only requests with these bytes.

        Returns:
            An event that is set when that request is on its way to the server.
        """
        cut = Cut(nth, containing, delivers=True, holds=True)
        return self._call(lambda relay: relay.arm(cut))

    def reset(self) -> None:
        """End all present connections, those of clients by a reset (RST); new ones are accepted."""
        self._call(lambda relay: relay.end(reset=True))

    def forget(self) -> None:
        """Discard everything on the present connections from now on; new ones work.

        So does a load balancer or a firewall that has lost its state: neither side notices.
        """
        self._call(lambda relay: relay.forget())

    def refuse(self) -> None:
        """Refuse new connections; present ones continue."""
        self._call(lambda relay: relay.refuse())

    def heal(self) -> None:
        """End all faults and forward the traffic that was held."""
        self._call(lambda relay: relay.heal())

    @property
    def _active(self) -> _Running:
        if self._running is None:
            raise RuntimeError("the proxy is not running: start it first")
        return self._running

    def _call(self, action: Callable[[Relay], Coroutine[Any, Any, _T]]) -> _T:
        active = self._active
        return asyncio.run_coroutine_threadsafe(action(active.relay), active.loop).result()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Running(NamedTuple):
    port: ReservedPort
    relay: Relay
    thread: threading.Thread
    loop: asyncio.AbstractEventLoop


async def _run(relay: Relay, started: Future[asyncio.AbstractEventLoop]) -> None:
    try:
        await relay.heal()
    except OSError as error:
        started.set_exception(error)
        return
    started.set_result(asyncio.get_running_loop())
    await relay.done.wait()
    await relay.refuse()
    await relay.end()
