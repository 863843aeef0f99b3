"""Options, URLs, logins and what errors tell: everything but the password."""

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

import pytest

import ojobchannels as oc
from ojobchannels.plugins import registry
from ojobchannels.testing.servers import Certificates, MongoServer, or_skip
from ojobchannels_mongo import servers
from ojobchannels_mongo.server_checks import refuse_old

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Storage

SECRET = "pa$$w0rd/äö"
WRITTEN = "pa%24%24w0rd%2F%C3%A4%C3%B6"
NOWHERE = "127.0.0.1:1"
LOCKED_KEY = """-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGjMF8GCSqGSIb3DQEFDTBSMDEGCSqGSIb3DQEFDDAkBBDIA4UHG04ENyAiypni
47iCAgIIADAMBggqhkiG9w0CCQUAMB0GCWCGSAFlAwQBKgQQG1CHK44GunicyFRn
mSXXbwRAA9bb+yzaFMWWNaV4YMhhiaA+wYvZOxQth/j1LbmTkUlsbk7dKkYk4yqW
fi5np6t8IHLcfEkO0Msf1p8vPmkdRA==
-----END ENCRYPTED PRIVATE KEY-----
"""
OPEN = """
import sys
import ojobchannels as oc
try:
    oc.open_channel("orders", sys.argv[1], timeout=1)
except oc.InvalidOption as error:
    print(error)
"""


def certificates_in(folder: Path) -> Certificates:
    """Makes them, or skips the test."""
    with or_skip():
        return Certificates.make(folder)
    raise AssertionError


def told(error: BaseException) -> str:
    """All that a traceback shows, causes included."""
    return "".join(traceback.format_exception(error)) + repr(error) + str(vars(error))


def test_the_type_is_found_without_loading_the_driver() -> None:
    """Whoever uses another type does not pay for this one."""
    script = """
import sys, ojobchannels.plugins as plugins
assert plugins.registry().find("mongo").schemes == ("mongodb", "mongodb+srv")
assert not {"pymongo", "bson"} & set(sys.modules), "loaded"
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_capabilities_depend_on_the_server(
    storage_alone: Storage, replicated_storage: Storage
) -> None:
    """The type promises what every server has; a replica set has batches and each change too."""
    assert registry().find("mongo").capabilities == {"durable", "processes"}
    alone, replicated = storage_alone.open(), replicated_storage.open()
    always = {"durable", "processes"}
    assert alone.capabilities == always | {"events_coalesced"}
    assert replicated.capabilities == always | {"atomic_batches", "events_every"}
    with pytest.raises(oc.NotSupported, match="2 entries in one step"):
        alone.set_all({"a": 1, "b": 2})
    alone.set_all({"a": 1})
    assert alone.unset_all(["a"]) == 1


def test_a_channel_opens_by_url_by_map_and_by_keywords(storage: Storage) -> None:
    """The database is the option's, else the URL's, else ours."""
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
def test_a_wrong_option_is_refused_and_told_without_its_secrets(
    options: dict[str, Any], named: str
) -> None:
    """Before anything is connected."""
    with pytest.raises(oc.InvalidOption) as refused:
        oc.open_channel("orders", type="mongo", **options)
    assert named in refused.value.option
    text = told(refused.value)
    for secret in (SECRET, WRITTEN, "w0rd", "1234567"):
        assert secret not in text


def test_srv_urls_name_the_extra_where_dnspython_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error tells the command."""
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
    """Has this process ask a DNS server that knows one cluster, with one member on this host."""
    import dns.message
    import dns.resolver
    import dns.rrset

    known = {
        "SRV": f"0 0 {port} one.cluster.example.test.",
        "TXT": '"authSource=admin&replicaSet=channels"',
        "A": "127.0.0.1",
    }

    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            packet, line = self.request
            asked = dns.message.from_wire(packet)
            reply = dns.message.make_response(asked)
            for one in asked.question:
                kind = dns.rdatatype.to_text(one.rdtype)
                if kind in known and "cluster.example.test" in one.name.to_text():
                    reply.answer.append(dns.rrset.from_text(one.name, 60, "IN", kind, known[kind]))
            line.sendto(reply.to_wire(), self.client_address)

    with socketserver.UDPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            with asking(server.server_address[1]):
                yield
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def asking(port: int) -> Iterator[None]:
    """Has this process ask the DNS server at a port of this host, and nobody else."""
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
    """Its members and options are told by the DNS, and the login is found where it says."""
    pytest.importorskip("dns")
    with or_skip(), MongoServer(replica_set=True, user=("me", SECRET)) as server:
        url = f"mongodb+srv://me:{WRITTEN}@cluster.example.test/jobs?tls=false"
        with names_of(server.port), oc.open_channel("orders", url) as channel:
            channel.set("key", 1)
            with channel.lock("nightly", ttl=30):
                assert channel.get("key") == 1


@pytest.mark.parametrize(
    ("login", "told_name"), [(f"me:{WRITTEN}", True), ("", True), ("me.pa.w0rd/x", False)]
)
def test_a_name_that_the_dns_does_not_know_is_told(login: str, told_name: bool) -> None:
    """As unavailable, not as a wrong option; but not where it may be a part of the login."""
    pytest.importorskip("dns")
    url = f"mongodb+srv://{login}{'@' if login else ''}other.example.test"
    with names_of(1), pytest.raises(oc.ChannelError) as failed:
        oc.open_channel("orders", url, timeout=2)
    assert isinstance(failed.value, oc.ChannelUnavailable) == told_name
    assert ("_mongodb._tcp.other.example.test" in str(failed.value)) == told_name
    assert "w0rd" not in told(failed.value)


def test_a_dns_that_does_not_answer_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five seconds, unless the URL says otherwise; here, less."""
    pytest.importorskip("dns")
    monkeypatch.setattr(servers, "_SOCKET_TIMEOUT_MS", 300)
    url = "mongodb+srv://cluster.example.test"
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        with asking(silent.getsockname()[1]):
            for wait, options in ((0.3, ""), (0.6, "/?connectTimeoutMS=600")):
                began = time.monotonic()
                with pytest.raises(oc.ChannelUnavailable, match="that the DNS can be reached"):
                    oc.open_channel("orders", url + options)
                assert wait <= time.monotonic() - began < wait + 4


def test_a_server_that_is_too_old_is_refused() -> None:
    """Before 5.0 the statements mean something else, or nothing."""
    refuse_old("orders", {"maxWireVersion": 13})
    with pytest.raises(oc.NotSupported, match=r"use MongoDB 5\.0 or later"):
        refuse_old("orders", {"maxWireVersion": 9})


def test_a_server_that_is_not_there_is_unavailable_in_time() -> None:
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


def test_a_login_works_and_its_password_is_told_by_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither by errors, nor by logs at any level, nor by what objects say of themselves."""
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
            assert "w0rd" not in told(refused.value).replace(url, "")
            assert refused.value.__cause__ is not None
        with oc.open_channel("orders", server.url, timeout=0.5) as channel:
            server.kill()
            for attempt in ATTEMPTS.values():
                with pytest.raises(oc.ChannelError) as failed:
                    attempt(channel)
                assert "w0rd" not in told(failed.value)
    assert SECRET not in caplog.text
    assert WRITTEN not in caplog.text


def test_tls_works_by_the_options_of_the_url(tmp_path: Path) -> None:
    """With an authority of one's own and a certificate of the client."""
    certificates = certificates_in(tmp_path)
    with or_skip(), MongoServer(certificates=certificates) as server:
        tls = f"tlsCAFile={certificates.authority}&tlsCertificateKeyFile={certificates.client}"
        with oc.open_channel("orders", f"{server.url}&{tls}") as channel:
            channel.set("key", 1)
            with channel.lock("nightly", ttl=30):
                assert channel.get("key") == 1
        with pytest.raises(oc.ChannelUnavailable):
            oc.open_channel("orders", f"mongodb://127.0.0.1:{server.port}", timeout=0.5)


def test_the_password_of_a_key_is_asked_of_nobody(tmp_path: Path) -> None:
    """A program may have no terminal, or nobody before it, so the key cannot be used."""
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


def test_a_file_of_the_url_that_is_not_there_is_told(tmp_path: Path) -> None:
    """By its name."""
    url = f"mongodb://{NOWHERE}/?tls=true&tlsCAFile={tmp_path}/ca.pem"
    with pytest.raises(oc.InvalidOption, match=r"tlsCAFile: cannot read the file '.*/ca\.pem'"):
        oc.open_channel("orders", url)
