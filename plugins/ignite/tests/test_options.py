"""Options by URL and by keywords, TLS and logins, without a password in any message."""

from __future__ import annotations

import asyncio
import pickle
import secrets
import socket
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.plugins import checked_options, registry
from ojobchannels.testing.servers import Certificates, IgniteServer, or_skip
from ojobchannels_ignite.options import Settings, parse_url, settings_of
from ojobchannels_ignite.testing import SharedIgnite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "p@ss:w/rd?é#%"
ENCODED = "p%40ss%3Aw%2Frd%3F%C3%A9%23%25"


def parsed(config: str | dict[str, Any]) -> Settings:
    """Return the settings, made in the way of `open_channel`."""
    options = parse_url(config) if isinstance(config, str) else config
    return settings_of(checked_options(registry().find("ignite"), options))


def whole_text(error: BaseException) -> str:
    """Return what a traceback shows, with causes, and the attributes."""
    return "".join(traceback.format_exception(error)) + repr(error) + str(vars(error))


def test_the_descriptor_imports_no_driver() -> None:
    """The driver is imported when a channel is opened."""
    script = """
import sys, ojobchannels.plugins as plugins
assert plugins.registry().find("ignite").schemes == ("ignite", "ignites")
assert "pyignite" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize(
    ("config", "facts"),
    [
        ("ignite://", {"nodes": (("localhost", 10800),), "cache": "ojobchannels", "tls": None}),
        ("ignite://one:7000,two/jobs", {"nodes": (("one", 7000), ("two", 10800)), "cache": "jobs"}),
        ("ignite://[::1]:5", {"nodes": (("::1", 5),)}),
        ("ignite://h/jobs?gridName=jobGrid&backups=2", {"cache": "jobGrid.jobs", "backups": 2}),
        ("ignite://h?minNodes=2", {"min_nodes": 2}),
        (f"ignite://job:{ENCODED}@h?timeout=1.5", {"username": "job", "password": SECRET}),
        ("ignites://h?tls_ca=/ca.pem", {"tls": ("/ca.pem", None, None, None, True)}),
        ({"host": "h", "port": 5}, {"nodes": (("h", 5),)}),
        ({"gridName": "jobGrid", "cacheName": "jobs"}, {"cache": "jobGrid.jobs"}),
        ({"nodes": "one:5, two"}, {"nodes": (("one", 5), ("two", 10800))}),
        ({"nodes": ["one:5", ["two", 6]]}, {"nodes": (("one", 5), ("two", 6))}),
        ({"url": "ignite://h", "cacheName": "jobs"}, {"cache": "jobs"}),
    ],
)
def test_a_url_expresses_the_same_as_keywords(
    config: str | dict[str, Any], facts: dict[str, Any]
) -> None:
    """Each part is an option; so it is in the option `url`."""
    settings = parsed(config)
    assert {name: getattr(settings, name) for name in facts} == facts
    if isinstance(config, str):
        assert parsed({"url": config}) == settings


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"url": "http://localhost"}, "URL"),
        ({"url": 5}, "url"),
        ({"url": f"ignite://me:{SECRET}@localhost"}, "URL"),
        ({"url": f"ignite://me:{ENCODED}@localhost:{ENCODED}"}, "URL"),
        ({"url": "ignite://[::1"}, "URL"),
        ({"url": "ignite://h?colour=red"}, "URL"),
        ({"url": "ignite://h?tls=true&tls=false"}, "URL"),
        ({"url": "ignite://h/jobs", "cacheName": "other"}, "cacheName"),
        ({"password": 1234567, "username": "me"}, "password"),
        ({"password": SECRET}, "username"),
        ({"nodes": "one", "host": "two"}, "nodes"),
        ({"nodes": []}, "nodes"),
        ({"nodes": "one:port"}, "nodes"),
        ({"port": 0}, "port"),
        ({"backups": -1}, "backups"),
        ({"minNodes": 0}, "minNodes"),
        ({"cacheName": 'a"b'}, "cacheName"),
        ({"gridName": ""}, "gridName"),
        ({"tls_ca": "/ca.pem"}, "tls_ca"),
        ({"timeout": 0}, "timeout"),
        ({"pasword": "x"}, "pasword"),
    ],
)
def test_the_error_for_an_option_shows_no_secret(options: dict[str, Any], named: str) -> None:
    """And is raised before any connection."""
    with pytest.raises(oc.InvalidOption) as refused:
        oc.open_channel("orders", type="ignite", **options)
    assert named in refused.value.option
    text = whole_text(refused.value)
    for secret in (SECRET, ENCODED, "w/rd", "1234567"):
        assert secret not in text


def test_channels_of_two_caches_are_independent(cache_url: str) -> None:
    """And so are those of two grids; a prefix of a cache's name is another cache."""
    with (
        oc.open_channel("orders", cache_url) as one,
        oc.open_channel("orders", cache_url, gridName="grid") as other,
    ):
        one.set("key", 1)
        assert other.get("key") is None
        with one.lock("nightly", ttl=30):
            other.lock("nightly", ttl=30).release()


@pytest.mark.thorough
def test_a_node_of_the_tests_has_memory_for_many_tests(url: str) -> None:
    """Each test process has one or more, with connections; a node whose memory is full ends."""
    server = SharedIgnite(url)
    tokens = [f"ojobtest-{secrets.token_hex(6)}" for _ in range(20)]
    with ExitStack() as opened:
        channels = []
        for token in tokens:
            opened.callback(server.clear, token)
            channels.append(opened.enter_context(oc.open_channel("orders", server.url_of(token))))
            channels[-1].set("key", token)
        for _ in range(300):
            opened.enter_context(socket.create_connection(server.address))
        assert [channel.get("key") for channel in channels] == tokens


def test_a_cache_that_was_made_for_something_else_is_refused(cache_url: str) -> None:
    """The error says what is missing."""
    from pyignite import Client

    settings = parsed(cache_url)
    client = Client(partition_aware=False)
    with client.connect(*settings.nodes[0]):
        cache = client.create_cache(f"{settings.cache}-other")
        try:
            with pytest.raises(oc.InvalidOption, match=r"without atomicityMode TRANSACTIONAL, .*"):
                oc.open_channel("orders", f"{cache_url}-other")
        finally:
            cache.destroy()


def test_a_node_that_is_not_there_is_unavailable() -> None:
    """The error names the nodes, and quotes the system."""
    with pytest.raises(oc.ChannelUnavailable, match=r"127\.0\.0\.1:1, 127\.0\.0\.1:2") as refused:
        oc.open_channel("orders", "ignite://127.0.0.1:1,127.0.0.1:2", timeout=0.3)
    assert refused.value.__cause__ is not None
    assert isinstance(pickle.loads(pickle.dumps(refused.value)), oc.ChannelUnavailable)


def test_a_server_of_another_kind_is_refused() -> None:
    """What it sends is not mistaken for a length."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            while True:
                connection, _ = server.accept()
                with connection:
                    if not connection.recv(1000):
                        return
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(oc.ChannelUnavailable, match="does not speak the protocol"):
            oc.open_channel("orders", f"ignite://127.0.0.1:{server.getsockname()[1]}", timeout=0.4)
        socket.create_connection(server.getsockname()).close()
        thread.join()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, Any]]]:
    """URL and options of a node with TLS, a login, and a time zone with daylight saving time."""
    with or_skip():
        certificates = Certificates.make(tmp_path_factory.mktemp("certificates"))
        node = IgniteServer(
            authentication=True, certificates=certificates, timezone="Europe/Lisbon"
        )
    trusted = {"tls_ca": str(certificates.authority), "tls_cert": str(certificates.client)}
    with node:
        yield node.url, trusted


def test_tls_and_a_login_are_checked_on_both_sides(
    guarded: tuple[str, dict[str, Any]], tmp_path: Path
) -> None:
    """Certificates of both sides, the name in the server's, and the password."""
    node, trusted = guarded
    with oc.open_channel("orders", node, **trusted) as channel:
        channel.set("key", 1)
        with channel.lock("nightly", ttl=30):
            assert channel.get("key") == 1

    async def use_in_loop() -> None:
        async with oc.open_async_channel("orders", node, **trusted) as channel:
            assert await channel.get("key") == 1

    asyncio.run(use_in_loop())
    with pytest.raises(oc.ChannelUnavailable, match="certificate") as refused:
        oc.open_channel("orders", node, tls_cert=trusted["tls_cert"], timeout=10)
    assert "ignite:ignite" not in whole_text(refused.value)
    with pytest.raises(oc.ChannelUnavailable, match="compare the options for TLS"):
        oc.open_channel("orders", node.replace("ignites", "ignite", 1), timeout=3)
    with pytest.raises(oc.InvalidOption, match="check the paths"):
        oc.open_channel("orders", node, tls_ca=str(tmp_path / "missing.pem"))
    url = node.replace("ignite:ignite", f"ignite:{ENCODED}")
    with pytest.raises(oc.ChannelUnavailable, match="refuses the login") as refused:
        oc.open_channel("orders", url, **trusted)
    assert SECRET not in whole_text(refused.value)


def test_a_time_zone_with_daylight_saving_time_is_reported(
    guarded: tuple[str, dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """The warning says what to do; locks work, and their times are right."""
    node, trusted = guarded
    with oc.open_channel("times", f"{node}/times", **trusted) as channel:
        assert "-Duser.timezone=UTC" in caplog.text
        before = time.time() * 1000
        with channel.lock("nightly", ttl=30):
            info = channel.lock_info("nightly")
        assert info is not None
        assert before - 1000 < info.since < time.time() * 1000 + 1000


def test_more_threads_than_connections_wait_their_turn(cache_url: str) -> None:
    """Forty threads share sixteen connections; nothing fails, and few connections stay."""
    with oc.open_channel("crowd", cache_url) as channel, ThreadPoolExecutor(40) as pool:
        list(pool.map(lambda number: channel.set(number, number), range(200)))
        assert channel.size() == 200
        channel.destroy()
