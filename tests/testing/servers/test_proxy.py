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
    """A connection that sends inline commands and receives replies of one line."""

    def __init__(self, address: tuple[str, int], tls: ssl.SSLContext | None = None) -> None:
        plain = socket.create_connection(address, timeout=10)
        self.socket = tls.wrap_socket(plain, server_hostname=address[0]) if tls else plain

    def send(self, line: str) -> None:
        self.socket.sendall(f"{line}\r\n".encode())

    def receive(self) -> str | None:
        """Return the next line, or None if the connection is closed."""
        line = b""
        while not line.endswith(b"\r\n"):
            if not (more := self.socket.recv(65_536)):
                return None
            line += more
        return line.decode().strip()

    def ask(self, line: str) -> str | None:
        self.send(line)
        return self.receive()

    def receives_nothing(self) -> bool:
        """Return whether no data arrives for 0.1 s."""
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
    """A Redis server shared by this module."""
    with servers.or_skip():
        started = RedisServer().start()
    yield started
    started.stop()


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[Proxy]:
    """A proxy in front of the server."""
    with Proxy(server.address) as started:
        yield started


@pytest.fixture
def client(proxy: Proxy) -> Iterator[Client]:
    """A client connected through the proxy."""
    with Client(proxy.address) as connected:
        assert connected.ask("PING") == "+PONG"
        yield connected


@pytest.fixture
def key() -> str:
    """A key that no other test uses."""
    return secrets.token_hex(8)


def test_traffic_is_forwarded_and_counted(proxy: Proxy) -> None:
    """The counters have connections, requests and bytes."""
    with Client(proxy.address) as client:
        assert client.ask("PING") == "+PONG"
        assert client.ask("EXISTS x") == ":0"
        assert proxy.counters == (1, 1, 2, len("PING\r\nEXISTS x\r\n"), len("+PONG\r\n:0\r\n"))


def test_large_messages_are_forwarded(proxy: Proxy, key: str, client: Client) -> None:
    """A megabyte in both directions."""
    value = secrets.token_hex(500_000)
    size = len(value)
    client.send(f"*3\r\n$3\r\nSET\r\n${len(key)}\r\n{key}\r\n${size}\r\n{value}")
    assert client.receive() == "+OK"
    client.send(f"GET {key}")
    received = b""
    while len(received) < size + len(f"${size}\r\n\r\n"):
        received += client.socket.recv(65_536)
    assert received == f"${size}\r\n{value}\r\n".encode()
    assert proxy.counters.requests == 3


def test_many_clients_are_served_at_once(
    proxy: Proxy, server: RedisServer, key: str, in_background: Callable[..., Future[Any]]
) -> None:
    """Without mixing up their connections."""

    def count() -> None:
        with Client(proxy.address) as client:
            for _ in range(50):
                assert client.ask(f"INCR {key}")

    for done in [in_background(count) for _ in range(10)]:
        done.result()
    assert server.command("GET", key) == "500"


@pytest.mark.parametrize("direction", ["requests", "replies"])
def test_a_delay_applies_to_each_chunk(proxy: Proxy, client: Client, direction: str) -> None:
    """Until the proxy is healed."""
    proxy.delay(**{direction: 0.05})
    before = time.monotonic()
    assert client.ask("PING") == "+PONG"
    assert time.monotonic() - before >= 0.05
    proxy.delay(**{direction: 3600})
    client.send("PING")
    proxy.heal()
    assert client.receive() == "+PONG"


def test_a_cut_reply_is_lost_after_the_request_is_executed(
    proxy: Proxy, server: RedisServer, client: Client, key: str
) -> None:
    """New connections are not affected."""
    cut = proxy.cut_reply()
    assert client.ask(f"INCR {key}") is None
    assert cut.wait(10)
    assert server.command("GET", key) == "1"
    with Client(proxy.address) as other:
        assert other.ask(f"INCR {key}") == ":2"


def test_a_cut_request_never_reaches_the_server(
    proxy: Proxy, server: RedisServer, client: Client, key: str
) -> None:
    """The client sees the same as for a cut reply."""
    cut = proxy.cut_request()
    assert client.ask(f"INCR {key}") is None
    assert cut.wait(10)
    assert server.command("GET", key) is None


@pytest.mark.parametrize("fault", ["cut_request", "cut_reply"])
def test_a_cut_can_apply_to_the_nth_request(
    proxy: Proxy, client: Client, key: str, fault: str
) -> None:
    """Earlier requests are forwarded."""
    cut = getattr(proxy, fault)(3)
    assert client.ask(f"INCR {key}") == ":1"
    assert client.ask(f"INCR {key}") == ":2"
    assert not cut.is_set()
    assert client.ask(f"INCR {key}") is None


def test_a_cut_can_apply_to_requests_with_certain_bytes(
    proxy: Proxy, client: Client, key: str
) -> None:
    """Other requests, such as those of a driver, do not count."""
    proxy.cut_reply(2, containing=b"INCR")
    assert client.ask(f"INCR {key}") == ":1"
    assert client.ask("PING") == "+PONG"
    assert client.ask("PING") == "+PONG"
    assert client.ask(f"INCR {key}") is None


def test_heal_removes_pending_cuts(proxy: Proxy, client: Client) -> None:
    """Later requests are forwarded."""
    cut = proxy.cut_reply()
    proxy.heal()
    assert client.ask("PING") == "+PONG"
    assert not cut.is_set()


def test_held_traffic_arrives_after_heal(
    proxy: Proxy, server: RedisServer, client: Client, key: str
) -> None:
    """From present and new clients."""
    proxy.black_hole()
    client.send(f"INCR {key}")
    with Client(proxy.address) as other:
        other.send("PING")
        assert client.receives_nothing()
        assert other.receives_nothing()
        assert server.command("GET", key) is None
        proxy.heal()
        assert client.receive() == ":1"
        assert other.receive() == "+PONG"


def test_a_held_request_arrives_after_its_client_has_closed(
    proxy: Proxy, server: RedisServer, client: Client, key: str
) -> None:
    """Closing the connection does not cancel the request."""
    proxy.black_hole()
    client.send(f"INCR {key}")
    client.socket.close()
    assert server.command("GET", key) is None
    proxy.heal()
    server.wait_until(lambda: server.command("GET", key) == "1", "did not get the late request")


def test_a_black_hole_can_hold_replies_only(
    proxy: Proxy, server: RedisServer, client: Client, key: str
) -> None:
    """The server executes the request."""
    proxy.black_hole(requests=False)
    client.send(f"INCR {key}")
    server.wait_until(lambda: server.command("GET", key) == "1", "did not get the request")
    assert client.receives_nothing()
    proxy.heal()
    assert client.receive() == ":1"


def test_replies_can_be_held_from_the_nth_request_on(
    proxy: Proxy, server: RedisServer, client: Client, key: str
) -> None:
    """The earlier one arrives; the server executes the later ones, too."""
    held = proxy.hold_reply(2, key.encode())
    assert client.ask(f"INCR {key}") == ":1"
    assert client.ask("PING") == "+PONG"
    client.send(f"INCR {key}")
    assert held.wait(10)
    server.wait_until(lambda: server.command("GET", key) == "2", "did not get the request")
    assert client.receives_nothing()
    proxy.heal()
    assert client.receive() == ":2"


def test_refused_clients_can_connect_to_the_same_port_later(proxy: Proxy, client: Client) -> None:
    """Present connections continue."""
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


def test_a_reset_closes_present_connections_on_both_sides(
    proxy: Proxy, server: RedisServer, client: Client
) -> None:
    """New connections are accepted."""
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        client.ask("PING")
    assert proxy.counters.open == 0
    server.wait_until(lambda: server.info()["connected_clients"] == "1", "kept the connection")
    with Client(proxy.address) as other:
        assert other.ask("PING") == "+PONG"


def test_held_connections_can_be_reset(proxy: Proxy, client: Client) -> None:
    """Also one that has not reached the server."""
    proxy.black_hole()
    client.send("PING")
    with Client(proxy.address) as other:
        other.send("PING")
        proxy.reset()
        for each in (client, other):
            with pytest.raises(ConnectionResetError):
                each.receive()


def test_the_end_of_the_server_closes_connections(key: str) -> None:
    """New connections work again after a restart."""
    with servers.or_skip():
        server = RedisServer().start()
    try:
        with Proxy(server.address) as proxy:
            with Client(proxy.address) as client:
                assert client.ask(f"INCR {key}") == ":1"
                server.kill()
                assert client.receive() is None
            with Client(proxy.address) as client:
                assert client.receive() is None
            server.start()
            with Client(proxy.address) as client:
                assert client.ask(f"INCR {key}") == ":2"
    finally:
        server.stop()


def test_tls_clients_need_a_certificate(server: RedisServer, tmp_path: Path) -> None:
    """Faults also apply to TLS connections."""
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
    """No thread or socket, even with open, held and delayed connections."""
    before = set(Path("/proc/self/fd").iterdir())
    threads = threading.active_count()
    with Proxy(server.address) as proxy:
        address = proxy.address
        clients = [Client(address) for _ in range(3)]
        assert clients[0].ask("PING") == "+PONG"
        proxy.delay(replies=3600)
        clients[1].send("PING")
        proxy.black_hole()
        clients[2].send("PING")
    assert [client.receive() for client in clients] == [None, None, None]
    for client in clients:
        client.socket.close()
    assert threading.active_count() == threads
    assert set(Path("/proc/self/fd").iterdir()) == before
    with pytest.raises(ConnectionRefusedError):
        Client(address)
    server.wait_until(lambda: server.info()["connected_clients"] == "1", "kept a connection")
    proxy.stop()


def test_a_proxy_can_be_started_again(server: RedisServer) -> None:
    """A proxy that is not running refuses faults."""
    proxy = Proxy(server.address)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="start it first"):
            proxy.heal()
        with proxy, Client(proxy.address) as client:
            assert client.ask("PING") == "+PONG"
