"""Options and URLs: what is accepted, what is refused, and that no message shows a password."""

from __future__ import annotations

import time
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.plugins import checked_options, registry
from ojobchannels.testing.servers import PostgresServer, or_skip
from ojobchannels_postgres.options import Settings, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Storage

PASSWORD = "p/w@1:x"
WRITTEN = "p%2Fw%401%3Ax"


def settings(**options: Any) -> Settings:
    return settings_of(checked_options(registry().find("postgres"), options))


@pytest.fixture(scope="module")
def closed_server() -> Iterator[PostgresServer]:
    """A server that asks for a password."""
    with or_skip(), PostgresServer(password=PASSWORD) as server:
        yield server


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("postgresql://localhost", "ojobchannels")),
        ({"url": "postgres://h/d"}, ("postgres://h/d", "ojobchannels")),
        ({"url": "postgresql://h/d?schema=jobs"}, ("postgresql://h/d", "jobs")),
        ({"url": "postgresql://h/d?schema=jobs", "schema": "Other"}, ("postgresql://h/d", "Other")),
        (
            {"url": "postgresql://a,b:5433/d?schema=s&sslmode=require"},
            ("postgresql://a,b:5433/d?sslmode=require", "s"),
        ),
        (
            {"url": f"postgresql://u:{WRITTEN}@h/d?application_name=a%20b"},
            (f"postgresql://u:{WRITTEN}@h/d?application_name=a%20b", "ojobchannels"),
        ),
    ],
)
def test_the_url_is_for_the_driver_except_for_our_parameters(
    options: dict[str, str], expected: tuple[str, str]
) -> None:
    made = settings(**options)
    assert (made.url, made.schema) == expected


def test_notifications_come_by_the_same_url_unless_another_is_given() -> None:
    """As an option or in the URL."""
    direct = "postgresql://h:5432/d"
    assert settings(url="postgresql://h/d").listen_url == "postgresql://h/d"
    assert settings(url="postgresql://p/d", listen_url=direct).listen_url == direct
    assert settings(url=f"postgresql://p/d?listen_url={direct}").listen_url == direct


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"url": "mysql://h/d"}, "url"),
        ({"url": 5}, "url"),
        ({"url": "postgresql://h/d?schema"}, "url"),
        ({"url": "postgresql://h/d?no_such_option=1"}, "url"),
        ({"url": "postgresql://[h/d"}, "url"),
        ({"url": "postgresql://h:99999/d"}, "url"),
        ({"listen_url": "redis://h"}, "listen_url"),
        ({"schema": 'a"b'}, "schema"),
        ({"schema": "ä" * 32}, "schema"),
        ({"schema": "pg_mine"}, "schema"),
        ({"password": 5, "username": "u"}, "password"),
        ({"password": "secret"}, "password"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": 4000}, "timeout"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(options: dict[str, Any], named: str) -> None:
    with pytest.raises(oc.InvalidOption, match=named):
        oc.open_channel("orders", {"type": "postgres", "args": options})


@pytest.mark.parametrize("character", ["@", "#", "/", "?"])
def test_a_password_that_is_not_written_with_percent_signs_is_not_shown(character: str) -> None:
    """The driver would take the rest of it for a host, and quote that."""
    with pytest.raises(oc.InvalidOption, match="%XX") as refused:
        oc.open_channel("orders", f"postgresql://u:s3cr{character}et99@127.0.0.1:1/d")
    shown = f"{refused.value!r} {refused.value} {refused.value.__cause__}"
    assert "s3cr" not in shown
    assert "et99" not in shown


def test_files_in_a_url_are_found_after_the_folder_was_changed(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their paths are made absolute; a word in place of a path stays."""
    monkeypatch.chdir(tmp_path)
    made = settings(url="postgresql://h/d?sslrootcert=ca.pem&sslkey=/etc/key")
    assert f"sslrootcert={tmp_path}/ca.pem".replace("/", "%2F") in made.url.replace("/", "%2F")
    assert settings(url="postgresql://h/d?sslrootcert=system").url.endswith("=system")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://job:wrong-word@127.0.0.1:{port}/postgres",
        "postgresql://127.0.0.1:{port}/postgres?user=job&password=wrong-word",
    ],
)
def test_a_wrong_password_is_refused_at_once_and_not_shown(
    closed_server: PostgresServer, url: str
) -> None:
    """Retries would lock accounts."""
    began = time.monotonic()
    with pytest.raises(oc.ChannelUnavailable, match="check user, password") as refused:
        oc.open_channel("orders", url.format(port=closed_server.port), timeout=20)
    assert time.monotonic() - began < 10
    shown = "".join(traceback.format_exception(refused.value)) + repr(refused.value)
    assert "wrong-word" not in shown


def test_a_password_with_any_character_works_in_the_url_and_as_an_option(
    closed_server: PostgresServer,
) -> None:
    with oc.open_channel("orders", closed_server.url) as channel:
        channel.set("key", 1)
        assert PASSWORD not in repr(channel)
        assert WRITTEN not in repr(channel)
    url = f"postgresql://127.0.0.1:{closed_server.port}/postgres"
    with oc.open_channel("orders", url, username="postgres", password=PASSWORD) as channel:
        assert channel.get("key") == 1


@pytest.mark.parametrize("url", ["postgresql://u:s3cret@h/d", "postgresql://h/d?password=s3cret"])
def test_no_repr_shows_a_password(url: str) -> None:
    made = settings(url=url)
    assert "s3cret" not in repr(made)
    assert made.redact("refused s3cret") == "refused ***"
    assert replace(made, password="w0rd").redact("w0rd") == "***"


def test_channels_of_other_schemas_are_separate(storage: Storage) -> None:
    """Documents and locks."""
    one, other = storage.open(), storage.open(schema=f"{storage.schema}-b")
    one.set("key", 1)
    with one.lock("nightly", ttl=30), other.lock("nightly", ttl=30):
        assert other.get("key") is None
    with storage.client() as client:
        client.execute(f'DROP SCHEMA "{storage.schema}-b" CASCADE')


def test_long_names_and_keys_differ_by_their_ends(storage: Storage) -> None:
    """An index has room for 2,700 bytes; the digest of the whole is part of a long name."""
    names = [f"{'ä' * 1500}{end}" for end in ("a", "b")]
    channels = [storage.open(name) for name in names]
    for channel in channels:
        for key in names:
            channel.set({key: key}, [channel.name[-1], key[-1]])
        leases = [channel.lock(name, ttl=30) for name in names]
        assert [info.name for info in channel.locks()] == names
        for lease in leases:
            lease.release()
    for channel in channels:
        assert channel.get_keys() == [{key: key} for key in names]
        assert channel.get_all() == [[channel.name[-1], key[-1]] for key in names]
        channel.destroy()
