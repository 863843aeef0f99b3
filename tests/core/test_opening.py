"""Opening a channel: by keywords, mapping or URL, with checked options and no quoted secrets."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels import plugins
from ojobchannels.channels.opening import prepared
from ojobchannels.plugins import registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import ManualClock, Storage


def test_the_error_for_an_unknown_type_lists_the_known_types() -> None:
    """So that a typing error is found at once."""
    with pytest.raises(oc.UnknownChannelType) as unknown:
        oc.open_channel("test", type="dbb")
    assert unknown.value.type == "dbb"
    assert {"simple", "file", "db"} <= set(unknown.value.known)
    known = str(unknown.value).partition("known types are ")[2].split(", ")
    assert {"db", "file", "simple"} <= set(known)
    with pytest.raises(oc.UnknownChannelType, match="sqlite://"):
        oc.open_channel("test", "sqlit:///x.db")


@pytest.mark.parametrize("text", ["db", "no url", "/path/to/x.db", "x.db", ""])
def test_the_error_for_a_missing_scheme_shows_an_example(text: str) -> None:
    """A type or a path instead of a URL is a likely mistake."""
    with pytest.raises(oc.InvalidOption, match="has no scheme; write one such as sqlite:///"):
        oc.open_channel("test", text)


def test_the_built_in_types_are_described() -> None:
    """Name, summary, options with help, and capabilities; from ojobchannels itself."""
    provided = {one.type.name: one for one in registry().all()}
    for name in ("simple", "file", "db"):
        type = provided[name].type
        assert provided[name].distribution == "ojobchannels"
        assert type.summary
        assert all(option.help for option in type.options)
        assert "atomic_batches" in type.capabilities
    assert "fifo" in provided["simple"].type.capabilities
    for name in ("file", "db"):
        assert provided[name].type.capabilities >= {"durable", "processes", "crash_release"}


@pytest.mark.parametrize("type", ["file", "db"])
def test_the_three_ways_to_open_a_channel_are_equivalent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, type: str
) -> None:
    """Keywords, mapping and URL reach the same channel, by relative and by absolute path."""
    monkeypatch.chdir(tmp_path)
    relative, absolute = {"file": ("file:", "file://"), "db": ("sqlite:///", "sqlite:///")}[type]
    config = {"type": type, "args": {"file": "data/a b.x"}}
    forms: list[Callable[[], oc.Channel]] = [
        lambda: oc.open_channel("orders", type=type, file="data/a b.x"),
        lambda: oc.open_channel("orders", type=type, file=Path("data") / "a b.x"),
        lambda: oc.open_channel("orders", config),
        lambda: oc.open_channel("orders", {"type": type}, file="data/a b.x"),
        lambda: oc.open_channel("orders", f"{relative}data/a%20b.x"),
        lambda: oc.open_channel("orders", f"{absolute}{tmp_path}/data/a%20b.x"),
        lambda: oc.open_channel("orders", f"{relative}data/a%20b.x?timeout=2.5"),
    ]
    for number, form in enumerate(forms):
        with form() as channel:
            assert (channel.name, channel.type) == ("orders", type)
            channel.set(number, number)
            assert channel.get_keys() == list(range(number + 1))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert config == {"type": type, "args": {"file": "data/a b.x"}}


def test_the_default_type_is_simple_with_one_store_per_name(clock: ManualClock) -> None:
    """In every form; until `destroy`, for any number of handles."""
    name = f"test-{os.urandom(6).hex()}"
    forms: list[Callable[[], oc.Channel]] = [
        lambda: oc.open_channel(name),
        lambda: oc.open_channel(name, type="simple"),
        lambda: oc.open_channel(name, {}),
        lambda: oc.open_channel(name, {"type": "simple"}),
        lambda: oc.open_channel(name, {"type": "simple", "args": {"clock": clock}}),
        lambda: oc.open_channel(name, {"type": None, "args": None}),
        lambda: oc.open_channel(name, "simple://"),
    ]
    for number, form in enumerate(forms):
        with form() as channel:
            assert channel.type == "simple"
            channel.set(number, number)
            assert channel.size() == number + 1
    with oc.open_channel(f"{name}-other") as other:
        assert other.size() == 0
    with oc.open_channel(name) as channel:
        channel.destroy()
    with oc.open_channel(name) as channel:
        assert channel.size() == 0


WRONG: list[tuple[Any, dict[str, Any], list[str]]] = [
    (None, {"type": "file", "fiel": "x"}, ["'fiel'", "did you mean 'file'?"]),
    (None, {"type": "db", "dureable": True}, ["did you mean 'durable'?"]),
    (None, {"type": "simple", "file": "x"}, ["'file'", "does not take it"]),
    (None, {"type": "file"}, ["'file'", "requires it", "path"]),
    (None, {"type": "db", "file": None}, ["'file'", "requires it"]),
    (None, {"type": "db", "file": 7}, ["'file'", "str", "7"]),
    (None, {"type": "db", "file": "x", "durable": "maybe"}, ["bool", "'maybe'"]),
    (None, {"type": "db", "file": "x", "durable": 1}, ["bool", "1"]),
    (None, {"type": "db", "file": "x", "timeout": "soon"}, ["float", "'soon'"]),
    (None, {"type": "db", "file": "x", "timeout": True}, ["float", "True"]),
    ({"typ": "db"}, {}, ["'typ'", "type and args"]),
    ({"type": "db", "file": "x"}, {}, ["'file'", "args"]),
    ({"type": "db", "args": []}, {}, ["args"]),
    ({"type": "db", "args": "x"}, {}, ["args", "not a map"]),
    (7, {}, ["neither a map nor a URL"]),
    ("sqlite://host/x.db", {}, ["does not name a file", "sqlite:///"]),
    ("sqlite:///", {}, ["does not name a file"]),
    ("file://host/x.json", {}, ["does not name a file", "file:///"]),
    ("simple://host", {}, ["has a host or a path"]),
    ("sqlite:///x.db?durble=false", {}, ["did you mean 'durable'?"]),
    ("sqlite:///x.db", {"type": "db"}, ["'type'", "the configuration gives the type"]),
    ({"args": {"file": "x"}}, {"type": "db"}, ["'type'", "either a configuration"]),
    ("sqlite:///x.db?timeout=-1", {}, ["'timeout'", "out of range"]),
    ("file:///x.json", {"timeout": float("inf")}, ["'timeout'", "at most 3600"]),
]


@pytest.mark.parametrize(("config", "options", "parts"), WRONG, ids=range(len(WRONG)))
def test_the_error_for_a_wrong_option_has_a_hint(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: Any,
    options: dict[str, Any],
    parts: list[str],
) -> None:
    """It says what is wrong, for which type, with a suggestion; nothing is created."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(oc.InvalidOption) as invalid:
        oc.open_channel("test", config, **options)
    for part in parts:
        assert part in str(invalid.value)
    assert list(tmp_path.iterdir()) == []


def test_options_in_urls_are_converted_from_strings(tmp_path: Path) -> None:
    """Numbers and booleans; values that are not strings are not converted."""
    for query in ("durable=false&timeout=1", "durable=true", "timeout=0.5"):
        oc.open_channel("test", f"sqlite:///{tmp_path}/{len(query)}.db?{query}").close()
    oc.open_channel("test", type="db", file=str(tmp_path / "x.db"), timeout=3).close()


@pytest.mark.parametrize("type", ["file", "db"])
def test_a_relative_path_is_relative_to_where_the_channel_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, type: str
) -> None:
    """Also for channels that are opened in the same storage later."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    opening = prepared(type=type, file="data/x")
    with oc.open_channel("orders", type=type, file="data/x") as channel:
        monkeypatch.chdir(there)
        channel.set("key", 1)
        with channel.beside("others") as beside, opening("others") as other:
            beside.set("key", 2)
            assert other.get("key") == 2
    assert list(there.iterdir()) == []


def test_a_relative_path_in_a_deleted_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says that the working directory is gone; absolute paths work."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(oc.InvalidOption, match="working directory was deleted"):
        oc.open_channel("orders", type="file", file="x.json")
    oc.open_channel("orders", type="file", file=tmp_path / "x.json").close()


@pytest.mark.parametrize("type", ["file", "db"])
def test_file_and_db_refuse_to_open_on_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, type: str
) -> None:
    """They are for POSIX hosts; the message names alternatives."""
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(oc.NotSupported, match="Windows") as refused:
        oc.open_channel("test", type=type, file=tmp_path / "x")
    assert "simple" in str(refused.value)
    oc.open_channel("test").close()


SECRET = "pa55:w@rd"  # noqa: S105  of this test


ATTEMPTS: list[tuple[Any, dict[str, Any]]] = [
    (f"//job:{SECRET}@host", {}),
    (f"redis://job:{SECRET}@[host", {}),
    (f"simple://job:{SECRET}@host", {}),
    (f"sqlite://job:{SECRET}@host/file", {}),
    (f"file://job:{SECRET}@host/file", {}),
    (f"sqlite:///f?{SECRET}=1", {}),
    (f"sqlite:///f?timeout=job:{SECRET}@host", {}),
    ({f"redis://job:{SECRET}@host": {}}, {}),
    ({"type": "db", "args": f"redis://job:{SECRET}@host"}, {}),
    ([f"redis://job:{SECRET}@host"], {}),
    ([{"password": SECRET}], {}),
    (None, {"type": f"redis://job:{SECRET}@host"}),
    (None, {"type": "db", "file": "f", "timeout": f"redis://job:{SECRET}@host"}),
]


@pytest.mark.parametrize(("config", "options"), ATTEMPTS, ids=range(len(ATTEMPTS)))
def test_no_message_quotes_a_password(config: Any, options: dict[str, Any]) -> None:
    """Neither of a URL, even in the wrong argument, nor of an option."""
    with pytest.raises(oc.ChannelError) as caught:
        oc.open_channel("x", config, **options)
    for part in (SECRET, "pa55", "w@rd", "@rd"):
        assert part not in str(caught.value)


def test_no_message_quotes_a_token(simple_storage: Storage) -> None:
    """An incomplete lease document still contains the token."""
    with pytest.raises(oc.InvalidOption, match="'name'") as caught:
        simple_storage.open().lease_from({"token": SECRET})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("value", [SECRET, 5, {"redis": SECRET}], ids=repr)
def test_the_value_of_a_secret_option_is_never_quoted(value: object) -> None:
    """The message gives only its type."""
    options = (oc.Option("password", bytes, "password of the user", secret=True),)
    type = oc.ChannelType("test", "for the test", lambda *_: object(), options)
    with pytest.raises(oc.InvalidOption, match="expects bytes, not a value of type") as caught:
        plugins.checked_options(type, {"password": value})
    assert repr(value) not in str(caught.value)


@pytest.mark.parametrize("text", ["6_379", " 6379", "\u0666", "6379.0", "0x10", ""])
def test_a_number_as_text_has_plain_digits(text: str) -> None:
    """Not all that Python itself would accept."""
    options = (oc.Option("port", int, "TCP port"), oc.Option("timeout", float, "seconds"))
    type = oc.ChannelType("test", "for the test", lambda *_: object(), options)
    with pytest.raises(oc.InvalidOption, match="expects int"):
        plugins.checked_options(type, {"port": text})
    with pytest.raises(oc.InvalidOption, match="expects float"):
        plugins.checked_options(type, {"timeout": f"1_0{text}"})
    valid = plugins.checked_options(type, {"port": "6379", "timeout": "2.5e-1"})
    assert (valid["port"], valid["timeout"]) == (6379, 0.25)
