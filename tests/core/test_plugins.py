"""Plugins: how channel types are found, what happens when one is broken, and the forms of open."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels import plugins
from ojobchannels.plugins import registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import ManualClock, Storage

BACKEND = """
from collections.abc import Mapping
from ojobchannels import ChannelType, Option, hookimpl
from ojobchannels import plugins
from ojobchannels.plugins import registry

def open_backend(channel, options):
    import {package}.driver
    inner = registry().find("simple")
    return inner.open(channel, {{"clock": inner.options[0].default}})

@hookimpl
def ojobchannels_channel_types():
    return [
        ChannelType(
            name="{type}",
            summary="what the plugin says of it",
            open=open_backend,
            options=(Option("server", str, "name of the server", required=True),
                     Option("port", int, "port of the server", 7000),
                     Option("quick", bool, "whether it hurries", False)),
            schemes=("{type}",),
            parse_url=lambda url: {{"server": url.partition("://")[2]}},
            capabilities=frozenset({{"fifo"}}),
        )
    ]
"""


class Site:
    """A folder of installed distributions, and a Python that has it on its path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def install(
        self, distribution: str, type: str, source: str = BACKEND, entry_point: str | None = None
    ) -> None:
        """Puts a distribution there as an installer leaves it: package, metadata, entry point."""
        package = distribution.replace("-", "_")
        (self.folder / package).mkdir()
        (self.folder / package / "__init__.py").write_text(
            source.format(type=type, package=package) if source is BACKEND else source
        )
        (self.folder / package / "driver.py").write_text("")
        metadata = self.folder / f"{package}-1.2.3.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2.3\n"
        )
        (metadata / "entry_points.txt").write_text(
            f"[ojobchannels]\n{entry_point or type} = {package}\n"
        )
        (metadata / "RECORD").write_text("")

    def run(self, script: str, **environment: str) -> Any:
        """Runs a script there; returns what it printed as JSON."""
        path = os.pathsep.join(filter(None, [str(self.folder), os.environ.get("PYTHONPATH", "")]))
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", PRELUDE + script],
            env=os.environ | {"PYTHONPATH": path} | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


PRELUDE = """
import json, sys
import ojobchannels as oc
from ojobchannels import plugins
from ojobchannels.plugins import registry
def error_of(attempt):
    try:
        attempt()
    except oc.ChannelError as error:
        return [type(error).__name__, str(error)]
def tell(thing):
    print(json.dumps(thing))
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An empty folder of distributions."""
    return Site(tmp_path / "site")


def test_a_backend_of_an_installed_distribution_is_found(site: Site) -> None:
    """By its type, by a mapping and by its URL scheme; it works like any other."""
    site.install("acme-channels", "acme")
    assert site.run(
        """
answers = []
for opened in (
    oc.open_channel("test", type="acme", server="one"),
    oc.open_channel("test", {"type": "acme", "args": {"server": "one", "port": 7001}}),
    oc.open_channel("test", "acme://one"),
):
    with opened as channel, channel.lock("nightly", ttl=30) as lease:
        channel.set("a", 1, fence=lease.fence)
        answers.append([channel.type, channel.get("a"), sorted(channel.capabilities)])
[provided] = [one for one in registry().all() if one.type.name == "acme"]
tell([answers, provided.distribution, provided.type.summary])
"""
    ) == [[["acme", 1, ["fifo"]]] * 3, "acme-channels", "what the plugin says of it"]


def test_a_plugin_is_loaded_at_the_first_open_and_its_driver_at_its_own(site: Site) -> None:
    """Importing the package imports no plugin; opening another type imports no driver of it."""
    site.install("acme-channels", "acme")
    assert site.run(
        """
steps = ["acme_channels" in sys.modules]
oc.open_channel("test").close()
steps += ["acme_channels" in sys.modules, "acme_channels.driver" in sys.modules]
oc.open_channel("test", type="acme", server="x").close()
steps.append("acme_channels.driver" in sys.modules)
tell(steps)
"""
    ) == [False, True, False, True]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_driver", "no_such_driver"),
        ("1 / 0", "ZeroDivisionError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("syntax error", "SyntaxError"),
        ("", "AttributeError"),
        (
            "from ojobchannels import hookimpl\n"
            "@hookimpl\ndef ojobchannels_channel_types():\n    return 7\n",
            "TypeError",
        ),
        (
            "from ojobchannels import hookimpl\n@hookimpl\ndef no_such_hook():\n    return []\n",
            "no_such_hook",
        ),
    ],
    ids=["import", "exception", "exit", "syntax", "nothing", "answer", "hook"],
)
def test_a_broken_plugin_is_remembered_and_raised_only_where_it_is_asked_for(
    site: Site, source: str, reason: str
) -> None:
    """Other types work as if it were not there; its own names distribution and exception."""
    site.install("acme-channels", "acme", source)
    site.install("fine-channels", "fine")
    if not source:
        site.install("other-channels", "no-attribute", "", "acme2")
    works, failures, error = site.run(
        """
works = [oc.open_channel("test", type="simple").type,
         oc.open_channel("test", type="fine", server="x").type]
failures = [[one.name, one.distribution, repr(one.error)] for one in registry().failures]
tell([works, failures, error_of(lambda: oc.open_channel("test", type="acme", server="x"))])
"""
    )
    assert works == ["simple", "fine"]
    if not source:  # a plugin may offer nothing
        assert failures == []
        assert error[0] == "UnknownChannelType"
        return
    assert [failure[:2] for failure in failures] == [["acme", "acme-channels"]]
    assert reason in failures[0][2]
    assert error[0] == "PluginFailed"
    assert "acme-channels" in error[1]
    assert reason in error[1]
    assert "pip install" in error[1]


def test_two_distributions_that_offer_one_type_are_both_named(site: Site) -> None:
    """Where it is asked for, by name or by scheme; all other types work."""
    site.install("acme-channels", "acme")
    site.install("rival-channels", "acme")
    conflicts, by_name, by_scheme, other = site.run(
        """
tell([registry().conflicts(),
      error_of(lambda: oc.open_channel("test", type="acme", server="x")),
      error_of(lambda: oc.open_channel("test", "acme://x")),
      oc.open_channel("test").type])
"""
    )
    assert sorted(conflicts["acme"]) == ["acme-channels", "rival-channels"]
    assert other == "simple"
    for kind, message in (by_name, by_scheme):
        assert kind == "DuplicateChannelType"
        assert "acme-channels" in message
        assert "rival-channels" in message
        assert "OJOBCHANNELS_DISABLE_PLUGINS" in message


def test_a_plugin_cannot_take_a_built_in_types_place(site: Site) -> None:
    """It is a conflict like any other, and names ojobchannels itself."""
    site.install("acme-channels", "db")
    kind, message = site.run('tell(error_of(lambda: oc.open_channel("test", type="db", file="x")))')
    assert kind == "DuplicateChannelType"
    assert "acme-channels" in message
    assert "ojobchannels " in message


@pytest.mark.parametrize("disable", ["rival-channels", " other , rival-channels,", "rival"])
def test_plugins_can_be_left_out(site: Site, disable: str) -> None:
    """By distribution or entry point, several separated by commas: they are not even imported."""
    site.install("acme-channels", "acme")
    site.install("rival-channels", "acme", "1 / 0", "rival")
    assert site.run(
        'tell([oc.open_channel("test", type="acme", server="x").type, registry().failures])',
        OJOBCHANNELS_DISABLE_PLUGINS=disable,
    ) == ["acme", []]


def test_a_distribution_that_is_on_the_path_twice_counts_once(site: Site, tmp_path: Path) -> None:
    """As an editable install beside an installed one; the first on the path wins."""
    site.install("acme-channels", "acme")
    again = Site(tmp_path / "again")
    again.install("acme-channels", "acme")
    script = 'tell(oc.open_channel("test", type="acme", server="x").type)'
    both = os.pathsep.join([str(again.folder), str(site.folder), os.environ.get("PYTHONPATH", "")])
    assert site.run(script, PYTHONPATH=both) == "acme"


@pytest.mark.parametrize(
    ("type", "distribution"),
    [
        ("redis", "ojobchannels-redis"),
        ("mongo", "ojobchannels-mongo"),
        ("ignite", "ojobchannels-ignite"),
    ],
)
def test_a_type_of_ours_that_is_not_installed_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch, type: str, distribution: str
) -> None:
    """By its name and by its URL schemes."""
    monkeypatch.setenv("OJOBCHANNELS_DISABLE_PLUGINS", distribution)
    monkeypatch.setattr(plugins, "_registry", None)
    schemes = {"redis": ["redis", "rediss"], "mongo": ["mongodb", "mongodb+srv"]}.get(type, [])
    configs: list[dict[str, str] | str] = [{"type": type}]
    for config in [*configs, *(f"{scheme}://localhost" for scheme in schemes)]:
        with pytest.raises(oc.UnknownChannelType, match=f"pip install {distribution}"):
            oc.open_channel("test", config)


def test_an_unknown_type_or_scheme_names_the_known_ones() -> None:
    """So that a slip of the pen is seen at once."""
    with pytest.raises(oc.UnknownChannelType) as unknown:
        oc.open_channel("test", type="dbb")
    assert unknown.value.type == "dbb"
    assert {"simple", "file", "db"} <= set(unknown.value.known)
    assert "db, file, simple" in str(unknown.value)
    with pytest.raises(oc.UnknownChannelType, match="sqlite://"):
        oc.open_channel("test", "sqlit:///x.db")


@pytest.mark.parametrize("text", ["db", "no url", "/path/to/x.db", "x.db", ""])
def test_a_text_without_a_scheme_is_told_what_a_url_looks_like(text: str) -> None:
    """A type or a path in its place is a likely slip."""
    with pytest.raises(oc.InvalidOption, match="has no scheme; write one such as sqlite:///"):
        oc.open_channel("test", text)


def test_the_built_in_types_say_what_they_are() -> None:
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
def test_the_three_forms_of_open_are_one(
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


def test_without_a_type_it_is_simple_one_store_per_name(clock: ManualClock) -> None:
    """In every form; until `destroy`, through however many handles."""
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
    ("sqlite:///x.db", {"type": "db"}, ["'type'"]),
]


@pytest.mark.parametrize(("config", "options", "parts"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_option_is_told_with_a_hint(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: Any,
    options: dict[str, Any],
    parts: list[str],
) -> None:
    """What is wrong, for which type, and what was probably meant; nothing is made."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(oc.InvalidOption) as invalid:
        oc.open_channel("test", config, **options)
    for part in parts:
        assert part in str(invalid.value)
    assert list(tmp_path.iterdir()) == []


def test_options_are_read_from_texts_as_urls_have_them(tmp_path: Path) -> None:
    """Numbers and booleans; what was no text keeps its meaning."""
    for query in ("durable=false&timeout=1", "durable=true", "timeout=0.5"):
        oc.open_channel("test", f"sqlite:///{tmp_path}/{len(query)}.db?{query}").close()
    oc.open_channel("test", type="db", file=str(tmp_path / "x.db"), timeout=3).close()


@pytest.mark.parametrize("type", ["file", "db"])
def test_on_windows_file_and_db_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, type: str
) -> None:
    """They are for POSIX hosts; the message names what works."""
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(oc.NotSupported, match="Windows") as refused:
        oc.open_channel("test", type=type, file=tmp_path / "x")
    assert "simple" in str(refused.value)
    oc.open_channel("test").close()


SECRET = "pa55:w@rd"  # noqa: S105

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
    """Neither of a URL, in whatever place it stands by mistake, nor of an option."""
    with pytest.raises(oc.ChannelError) as told:
        oc.open_channel("x", config, **options)
    for part in (SECRET, "pa55", "w@rd", "@rd"):
        assert part not in str(told.value)


def test_no_message_quotes_a_token(simple_storage: Storage) -> None:
    """A lease document that lacks something still proves ownership."""
    with pytest.raises(oc.InvalidOption, match="'name'") as told:
        simple_storage.open().lease_from({"token": SECRET})
    assert SECRET not in str(told.value)


@pytest.mark.parametrize("value", [SECRET, 5, {"redis": SECRET}], ids=repr)
def test_the_value_of_a_secret_option_is_never_quoted(value: object) -> None:
    """The message tells its type alone."""
    options = (oc.Option("password", bytes, "password of the user", secret=True),)
    type = oc.ChannelType("test", "for the test", lambda *_: object(), options)
    with pytest.raises(oc.InvalidOption, match="expects bytes, not a value of type") as told:
        plugins.checked_options(type, {"password": value})
    assert repr(value) not in str(told.value)
