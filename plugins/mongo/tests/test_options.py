"""Options, URLs and logins, without a password in any message."""

from __future__ import annotations

import builtins
import logging
import socket
import socketserver
import subprocess
import sys
import threading
import time
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import pytest

import ojobchannels as oc
from ojobchannels.plugins import checked_options, registry
from ojobchannels.testing.servers import Certificates, MongoServer, or_skip
from ojobchannels.testing.servers.certificates import LOCKED_KEY
from ojobchannels_mongo import servers
from ojobchannels_mongo.options import settings_of
from ojobchannels_mongo.server_checks import refuse_old

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Storage

SECRET = "pa$$w0rd/äö"
WRITTEN = "pa%24%24w0rd%2F%C3%A4%C3%B6"
NOWHERE = "127.0.0.1:1"
OPEN = """
import sys
import ojobchannels as oc
try:
    oc.open_channel("orders", sys.argv[1], timeout=1)
except oc.InvalidOption as error:
    print(error)
"""


def certificates_in(folder: Path) -> Certificates:
    """Make certificates, or skip the test."""
    with or_skip():
        return Certificates.make(folder)
    raise AssertionError


def whole_text(error: BaseException) -> str:
    """Return what a traceback shows, with causes, and the attributes."""
    return "".join(traceback.format_exception(error)) + repr(error) + str(vars(error))


def test_the_descriptor_imports_no_driver() -> None:
    """The driver is imported when a channel is opened."""
    script = """
import sys, ojobchannels.plugins as plugins
assert plugins.registry().find("mongo").schemes == ("mongodb", "mongodb+srv")
assert not {"pymongo", "bson"} & set(sys.modules), "loaded"
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_capabilities_depend_on_the_server(
    storage_alone: Storage, replicated_storage: Storage
) -> None:
    """The type claims those of every server; a replica set has batches and every change, too."""
    assert registry().find("mongo").capabilities == {"durable", "processes"}
    standalone, replicated = storage_alone.open(), replicated_storage.open()
    always = {"durable", "processes"}
    assert standalone.capabilities == always | {"events_coalesced"}
    assert replicated.capabilities == always | {"atomic_batches", "events_every"}
    with pytest.raises(oc.NotSupported, match="2 entries in one step"):
        standalone.set_all({"a": 1, "b": 2})
    standalone.set_all({"a": 1})
    assert standalone.unset_all(["a"]) == 1


def test_a_channel_opens_by_url_by_map_and_by_keywords(storage: Storage) -> None:
    """The database is that of the option, otherwise that of the URL, otherwise the default."""
    database = storage.config["args"]["database"]
    base, _, query = storage.url.partition("?")
    by_path = f"{base}{database}?{query}"
    with oc.open_channel(storage.name, by_path) as by_url:
        by_url.set("key", 1)
    with oc.open_channel(storage.name, {"type": "mongo", "args": {"url": by_path}}) as by_map:
        assert by_map.get("key") == 1
    with oc.open_channel(
        storage.name, type="mongo", url=storage.url, database=database
    ) as by_keywords:
        assert by_keywords.get("key") == 1
    with oc.open_channel(storage.name, by_path, database=f"{database}_2") as elsewhere:
        assert elsewhere.size() == 0
    with storage.client() as client:
        client.drop_database(f"{database}_2")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"url": "http://localhost"}, "url"),
        ({"url": 5}, "url"),
        ({"url": "mongodb://"}, "url"),
        ({"url": f"mongodb://me:{SECRET}@localhost"}, "url"),
        ({"url": f"mongodb://me:x/{WRITTEN}@localhost"}, "url"),
        ({"url": f"mongodb://me:{WRITTEN}:x@localhost"}, "url"),
        ({"url": f"mongodb://me:{WRITTEN}@localhost:{WRITTEN}"}, "url"),
        ({"url": f"mongodb://localhost/?authMechanism={WRITTEN}@"}, "url"),
        ({"url": "mongodb://localhost/?tls=perhaps"}, "url"),
        ({"password": 1234567, "username": "me"}, "password"),
        ({"password": SECRET}, "password"),
        ({"database": "a b"}, "database"),
        ({"prefix": "$"}, "prefix"),
        ({"prefix": ""}, "prefix"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": -1}, "timeout"),
        ({"pasword": "x"}, "pasword"),
    ],
)
def test_the_error_for_an_option_shows_no_secret(options: dict[str, Any], named: str) -> None:
    """And is raised before any connection."""
    with pytest.raises(oc.InvalidOption) as refused:
        oc.open_channel("orders", type="mongo", **options)
    assert named in refused.value.option
    text = whole_text(refused.value)
    for secret in (SECRET, WRITTEN, "w0rd", "1234567"):
        assert secret not in text


def test_srv_urls_need_an_extra_that_the_error_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the command that installs it."""
    original = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] == "dns":
            raise ModuleNotFoundError(name)
        return original(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    for module in [name for name in sys.modules if name.split(".")[0] == "dns"]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(oc.InvalidOption, match=r"ojobchannels-mongo\[srv\]"):
        oc.open_channel("orders", f"mongodb+srv://me:{WRITTEN}@cluster.example.invalid")


@contextmanager
def names_of(port: int) -> Iterator[None]:
    """Make this process use a DNS server that knows one cluster, with one member on this host."""
    import dns.message
    import dns.resolver
    import dns.rrset

    known = {
        "SRV": f"0 0 {port} one.cluster.example.test.",
        "TXT": '"authSource=admin&replicaSet=channels"',
        "A": "127.0.0.1",
    }

    class Responder(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            packet, connection = self.request
            query = dns.message.from_wire(packet)
            reply = dns.message.make_response(query)
            for question in query.question:
                kind = dns.rdatatype.to_text(question.rdtype)
                if kind in known and "cluster.example.test" in question.name.to_text():
                    reply.answer.append(
                        dns.rrset.from_text(question.name, 60, "IN", kind, known[kind])
                    )
            connection.sendto(reply.to_wire(), self.client_address)

    with socketserver.UDPServer(("127.0.0.1", 0), Responder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            with using_dns_at(server.server_address[1]):
                yield
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def using_dns_at(port: int) -> Iterator[None]:
    """Make this process use the DNS server at a port of this host only."""
    import dns.resolver

    resolver, usual = dns.resolver.Resolver(configure=False), dns.resolver.get_default_resolver()
    resolver.nameservers, resolver.port = ["127.0.0.1"], port
    dns.resolver.default_resolver = resolver
    dns.resolver.override_system_resolver(resolver)
    try:
        yield
    finally:
        dns.resolver.restore_system_resolver()
        dns.resolver.default_resolver = usual


def test_srv_urls_find_the_server_by_the_dns() -> None:
    """Members, options and the database of the login are read from the DNS."""
    pytest.importorskip("dns")
    with or_skip(), MongoServer(replica_set=True, user=("me", SECRET)) as server:
        url = f"mongodb+srv://me:{WRITTEN}@cluster.example.test/jobs?tls=false"
        with names_of(server.port), oc.open_channel("orders", url) as channel:
            channel.set("key", 1)
            with channel.lock("nightly", ttl=30):
                assert channel.get("key") == 1


@pytest.mark.parametrize(
    ("login", "named"), [(f"me:{WRITTEN}", True), ("", True), ("me.pa.w0rd/x", False)]
)
def test_a_name_that_the_dns_does_not_know_is_reported(login: str, named: bool) -> None:
    """As unavailable, not as an option; but not shown where it may be a part of the login."""
    pytest.importorskip("dns")
    url = f"mongodb+srv://{login}{'@' if login else ''}other.example.test"
    with names_of(1), pytest.raises(oc.ChannelError) as failed:
        oc.open_channel("orders", url, timeout=2)
    assert isinstance(failed.value, oc.ChannelUnavailable) == named
    assert ("_mongodb._tcp.other.example.test" in str(failed.value)) == named
    assert "w0rd" not in whole_text(failed.value)


def test_a_silent_dns_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """For five seconds by default, which is shortened here, or as the URL says."""
    pytest.importorskip("dns")
    monkeypatch.setattr(servers, "_SOCKET_TIMEOUT_MS", 300)
    url = "mongodb+srv://cluster.example.test"
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        with using_dns_at(silent.getsockname()[1]):
            for wait, options in ((0.3, ""), (0.6, "/?connectTimeoutMS=600")):
                began = time.monotonic()
                with pytest.raises(oc.ChannelUnavailable, match="that the DNS can be reached"):
                    oc.open_channel("orders", url + options)
                assert wait <= time.monotonic() - began < wait + 4


def test_a_server_that_is_too_old_is_refused() -> None:
    """Before 5.0 the statements have another meaning, or none."""
    refuse_old("orders", {"maxWireVersion": 13})
    with pytest.raises(oc.NotSupported, match=r"use MongoDB 5\.0 or later"):
        refuse_old("orders", {"maxWireVersion": 9})


def test_a_server_that_does_not_run_is_unavailable_in_time() -> None:
    """The message says for how long a server was searched; the driver adds its address."""
    with pytest.raises(oc.ChannelUnavailable, match=r"no server .* within 0\.3 s") as failed:
        oc.open_channel("orders", f"mongodb://me:{WRITTEN}@{NOWHERE}", timeout=0.3)
    assert "w0rd" not in str(failed.value)
    assert "w0rd" not in str(failed.value.__cause__)


ATTEMPTS: dict[str, Callable[[oc.Channel], object]] = {
    "set": lambda channel: channel.set("key", 1),
    "lock": lambda channel: channel.lock("nightly", ttl=30),
    "get_all": lambda channel: channel.get_all(),
    "pop": lambda channel: channel.pop(),
}


def test_a_login_works_and_nothing_shows_its_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither errors, nor logs at any level, nor reprs."""
    caplog.set_level(logging.DEBUG)
    with or_skip(), MongoServer(user=("me", SECRET)) as server:
        host = f"127.0.0.1:{server.port}"
        given: list[dict[str, Any]] = [
            {"url": server.url},
            {"url": f"mongodb://{host}", "username": "me", "password": SECRET},
        ]
        for options in given:
            with oc.open_channel("orders", type="mongo", **options) as channel:
                channel.set("key", 1)
                channel.lock("nightly", ttl=30).release()
                backend = channel.hook.get.get_hookimpls()[0].plugin
                for thing in (
                    channel,
                    backend,
                    backend.connection,
                    backend.connection.server.settings,
                ):
                    assert SECRET not in repr(thing)
                    assert WRITTEN not in repr(thing)
        for url in (f"mongodb://{host}", f"mongodb://me:{WRITTEN}x@{host}"):
            with pytest.raises(oc.ChannelUnavailable) as refused:
                oc.open_channel("orders", url)
            assert "w0rd" not in whole_text(refused.value).replace(url, "")
            assert refused.value.__cause__ is not None
        with oc.open_channel("orders", server.url, timeout=0.5) as channel:
            server.kill()
            for attempt in ATTEMPTS.values():
                with pytest.raises(oc.ChannelError) as failed:
                    attempt(channel)
                assert "w0rd" not in whole_text(failed.value)
    assert SECRET not in caplog.text
    assert WRITTEN not in caplog.text


def test_tls_works_by_the_options_of_the_url(tmp_path: Path) -> None:
    """With a private authority and a certificate of the client."""
    certificates = certificates_in(tmp_path)
    with or_skip(), MongoServer(certificates=certificates) as server:
        tls = f"tlsCAFile={certificates.authority}&tlsCertificateKeyFile={certificates.client}"
        with oc.open_channel("orders", f"{server.url}&{tls}") as channel:
            channel.set("key", 1)
            with channel.lock("nightly", ttl=30):
                assert channel.get("key") == 1
        with pytest.raises(oc.ChannelUnavailable):
            oc.open_channel("orders", f"mongodb://127.0.0.1:{server.port}", timeout=0.5)


def test_no_password_of_a_key_is_read_from_the_terminal(tmp_path: Path) -> None:
    """A program may have no terminal, or no user, so the key is refused."""
    certificates = certificates_in(tmp_path)
    locked = tmp_path / "locked.pem"
    locked.write_text(LOCKED_KEY + certificates.client.read_text())
    url = f"mongodb://{NOWHERE}/?tls=true&tlsCertificateKeyFile={locked}"
    done = subprocess.run(
        [sys.executable, "-c", OPEN, url],
        input="word\n",
        capture_output=True,
        text=True,
        start_new_session=True,
        check=True,
    )
    assert done.stderr == ""
    assert "invalid option 'url': the driver does not accept it" in done.stdout


def test_a_missing_file_of_the_url_is_named(tmp_path: Path) -> None:
    """In words of this package, whatever those of the driver."""
    url = f"mongodb://{NOWHERE}/?tls=true&tlsCAFile={tmp_path}/ca.pem"
    with pytest.raises(oc.InvalidOption, match=r"tlsCAFile: cannot read the file '.*/ca\.pem'"):
        oc.open_channel("orders", url)


def test_relative_paths_in_a_url_are_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forked child reads the files again, also after a change of the working directory."""
    monkeypatch.chdir(tmp_path)
    options = checked_options(
        registry().find("mongo"), {"url": "mongodb://h/?tls=true&tlsCAFile=my%20ca.pem&w=1"}
    )
    path = quote_plus(f"{tmp_path}/my ca.pem")
    assert settings_of(options).url == f"mongodb://h/?tls=true&tlsCAFile={path}&w=1"
