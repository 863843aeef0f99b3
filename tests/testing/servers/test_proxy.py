"""The fault proxy, between plain sockets and a real server."""

from __future__ import annotations

import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

import pytest

from ojobchannels.testing import servers
from ojobchannels.testing.proxy import Proxy
from ojobchannels.testing.servers import RedisServer


class Client:
    """A connection on which inline commands and their one-line answers are exchanged."""

    def __init__(self, address: tuple[str, int], tls: ssl.SSLContext | None = None) -> None:
        plain = socket.create_connection(address, timeout=10)
        self.socket = tls.wrap_socket(plain, server_hostname=address[0]) if tls else plain

    def say(self, line: str) -> None:
        self.socket.sendall(f"{line}\r\n".encode())

    def hear(self) -> str | None:
        """The next line, or None where the connection has ended."""
        line = b""
        while not line.endswith(b"\r\n"):
            if not (more := self.socket.recv(65_536)):
                return None
            line += more
        return line.decode().strip()

    def ask(self, line: str) -> str | None:
        self.say(line)
        return self.hear()

    def hears_nothing(self) -> bool:
        """Whether nothing comes for a tenth of a second."""
        self.socket.settimeout(0.1)
        try:
            self.socket.recv(1)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(10)
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A Redis server for the tests of this module."""
    with servers.or_skip():
        started = RedisServer().start()
    yield started
    started.stop()


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[Proxy]:
    """A proxy before that server."""
    with Proxy(server.address) as started:
        yield started


@pytest.fixture
def client(proxy: Proxy) -> Iterator[Client]:
    """A client that is connected through the proxy."""
    with Client(proxy.address) as connected:
        assert connected.ask("PING") == "+PONG"
        yield connected


@pytest.fixture
def key() -> str:
    """A key that no other test uses."""
    return secrets.token_hex(8)


def test_everything_passes_and_is_counted(proxy: Proxy) -> None:
    """Requests and answers go through whole, and the counters tell of them."""
    with Client(proxy.address) as client:
        assert client.ask("PING") == "+PONG"
        assert client.ask("EXISTS x") == ":0"
        assert proxy.counters == (1, 1, 2, len("PING\r\nEXISTS x\r\n"), len("+PONG\r\n:0\r\n"))


def test_large_messages_come_through_whole(proxy: Proxy, key: str, client: Client) -> None:
    """A megabyte there and back."""
    value = secrets.token_hex(500_000)
    size = len(value)
    client.say(f"*3\r\n$3\r\nSET\r\n${len(key)}\r\n{key}\r\n${size}\r\n{value}")
    assert client.hear() == "+OK"
    client.say(f"GET {key}")
    heard = b""
    while len(heard) < size + len(f"${size}\r\n\r\n"):
        heard += client.socket.recv(65_536)
    assert heard == f"${size}\r\n{value}\r\n".encode()
    assert proxy.counters.requests == 3


def test_many_clients_pass_at_once(
    proxy: Proxy, server: RedisServer, key: str, in_background: Callable[..., Future[Any]]
) -> None:
    """Nothing is lost or mixed up between connections."""

    def count() -> None:
        with Client(proxy.address) as client:
            for _ in range(50):
                assert client.ask(f"INCR {key}")

    for done in [in_background(count) for _ in range(10)]:
        done.result()
    assert server.command("GET", key) == "500"


@pytest.mark.parametrize("direction", ["requests", "replies"])
def test_a_delay_keeps_back_what_is_sent(proxy: Proxy, client: Client, direction: str) -> None:
    """It takes at least that long, and no longer once it is healed."""
    proxy.delay(**{direction: 0.05})
    before = time.monotonic()
    assert client.ask("PING") == "+PONG"
    assert time.monotonic() - before >= 0.05
    proxy.delay(**{direction: 3600})
    client.say("PING")
    proxy.heal()
    assert client.hear() == "+PONG"


def test_a_cut_reply_is_lost_after_the_server_has_done_its_work(
    proxy: Proxy, server: RedisServer, client: Client, key: str
) -> None:
    """The client learns nothing, the server has done it, and the next connection is whole."""
    cut = proxy.cut_reply()
    assert client.ask(f"INCR {key}") is None
    assert cut.wait(10)
    assert server.command("GET", key) == "1"
    with Client(proxy.address) as other:
        assert other.ask(f"INCR {key}") == ":2"


def test_a_cut_request_never_reaches_the_server(
    proxy: Proxy, server: RedisServer, client: Client, key: str
) -> None:
    """To the client it looks like a cut reply, but nothing was done."""
    cut = proxy.cut_request()
    assert client.ask(f"INCR {key}") is None
    assert cut.wait(10)
    assert server.command("GET", key) is None


@pytest.mark.parametrize("fault", ["cut_request", "cut_reply"])
def test_a_cut_waits_for_the_nth_request(
    proxy: Proxy, client: Client, key: str, fault: str
) -> None:
    """Those before it pass."""
    cut = getattr(proxy, fault)(3)
    assert client.ask(f"INCR {key}") == ":1"
    assert client.ask(f"INCR {key}") == ":2"
    assert not cut.is_set()
    assert client.ask(f"INCR {key}") is None


def test_a_cut_can_be_meant_for_certain_requests(proxy: Proxy, client: Client, key: str) -> None:
    """Whatever a driver says by itself does not count."""
    proxy.cut_reply(2, containing=b"INCR")
    assert client.ask(f"INCR {key}") == ":1"
    assert client.ask("PING") == "+PONG"
    assert client.ask("PING") == "+PONG"
    assert client.ask(f"INCR {key}") is None


def test_a_healed_proxy_forgets_its_cuts(proxy: Proxy, client: Client) -> None:
    """What was to come does not come."""
    cut = proxy.cut_reply()
    proxy.heal()
    assert client.ask("PING") == "+PONG"
    assert not cut.is_set()


def test_what_falls_into_a_black_hole_arrives_when_it_heals(
    proxy: Proxy, server: RedisServer, client: Client, key: str
) -> None:
    """Nothing passes, new clients hear nothing either, and in the end all is as if only late."""
    proxy.black_hole()
    client.say(f"INCR {key}")
    with Client(proxy.address) as other:
        other.say("PING")
        assert client.hears_nothing()
        assert other.hears_nothing()
        assert server.command("GET", key) is None
        proxy.heal()
        assert client.hear() == ":1"
        assert other.hear() == "+PONG"


def test_a_late_request_arrives_even_if_nobody_waits_for_it(
    proxy: Proxy, server: RedisServer, client: Client, key: str
) -> None:
    """A client that gave up does not take back what it sent."""
    proxy.black_hole()
    client.say(f"INCR {key}")
    client.socket.close()
    assert server.command("GET", key) is None
    proxy.heal()
    server.wait_until(lambda: server.command("GET", key) == "1", "did not get the late request")


def test_a_black_hole_can_swallow_replies_only(
    proxy: Proxy, server: RedisServer, client: Client, key: str
) -> None:
    """The server works, and the client does not know."""
    proxy.black_hole(requests=False)
    client.say(f"INCR {key}")
    server.wait_until(lambda: server.command("GET", key) == "1", "did not get the request")
    assert client.hears_nothing()
    proxy.heal()
    assert client.hear() == ":1"


def test_refused_clients_can_come_to_the_same_port_later(proxy: Proxy, client: Client) -> None:
    """Present connections go on meanwhile."""
    port = proxy.port
    proxy.refuse()
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            Client(proxy.address)
    assert client.ask("PING") == "+PONG"
    proxy.heal()
    assert proxy.port == port
    with Client(proxy.address) as other:
        assert other.ask("PING") == "+PONG"


def test_a_reset_ends_present_connections_hard(
    proxy: Proxy, server: RedisServer, client: Client
) -> None:
    """The client gets RST, the server is rid of the connection, and a new one passes."""
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        client.ask("PING")
    assert proxy.counters.open == 0
    server.wait_until(lambda: server.info()["connected_clients"] == "1", "kept the connection")
    with Client(proxy.address) as other:
        assert other.ask("PING") == "+PONG"


def test_connections_held_in_a_black_hole_can_be_reset(proxy: Proxy, client: Client) -> None:
    """A connection that never reached the server, too."""
    proxy.black_hole()
    client.say("PING")
    with Client(proxy.address) as other:
        other.say("PING")
        proxy.reset()
        for each in (client, other):
            with pytest.raises(ConnectionResetError):
                each.hear()


def test_a_server_that_is_gone_ends_the_connection(key: str) -> None:
    """Clients learn of a crash, and of nobody being there; a server that is back is served."""
    with servers.or_skip():
        server = RedisServer().start()
    try:
        with Proxy(server.address) as proxy:
            with Client(proxy.address) as client:
                assert client.ask(f"INCR {key}") == ":1"
                server.kill()
                assert client.hear() is None
            with Client(proxy.address) as client:
                assert client.hear() is None
            server.start()
            with Client(proxy.address) as client:
                assert client.ask(f"INCR {key}") == ":2"
    finally:
        server.stop()


def test_tls_is_spoken_with_clients_that_have_a_certificate(
    server: RedisServer, tmp_path: Path
) -> None:
    """The proxy gives a server TLS that has none; faults work within."""
    with servers.or_skip():
        certificates = servers.Certificates.make(tmp_path)
    with Proxy(server.address, tls=certificates.server_context()) as proxy:
        with Client(proxy.address, certificates.client_context()) as client:
            assert client.ask("PING") == "+PONG"
            proxy.cut_reply(containing=b"PING")
            assert client.ask("PING") is None
        stranger = ssl.create_default_context(cafile=str(certificates.authority))
        stranger.maximum_version = ssl.TLSVersion.TLSv1_2  # from 1.3 the client learns of it later
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            Client(proxy.address, stranger)


def test_a_stopped_proxy_leaves_nothing(server: RedisServer) -> None:
    """Not with connections open, held or delayed: no thread, no socket, no connection."""
    before = set(Path("/proc/self/fd").iterdir())
    threads = threading.active_count()
    with Proxy(server.address) as proxy:
        address = proxy.address
        clients = [Client(address) for _ in range(3)]
        assert clients[0].ask("PING") == "+PONG"
        proxy.delay(replies=3600)
        clients[1].say("PING")
        proxy.black_hole()
        clients[2].say("PING")
    assert [client.hear() for client in clients] == [None, None, None]
    for client in clients:
        client.socket.close()
    assert threading.active_count() == threads
    assert set(Path("/proc/self/fd").iterdir()) == before
    with pytest.raises(ConnectionRefusedError):
        Client(address)
    server.wait_until(lambda: server.info()["connected_clients"] == "1", "kept a connection")
    proxy.stop()


def test_a_proxy_can_be_started_again(server: RedisServer) -> None:
    """Before that it says what is missing."""
    proxy = Proxy(server.address)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="start it first"):
            proxy.heal()
        with proxy, Client(proxy.address) as client:
            assert client.ask("PING") == "+PONG"
