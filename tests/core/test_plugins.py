"""Plugins: how channel types of installed distributions are found, loaded and refused."""

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

if TYPE_CHECKING:
    pass


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
    """A folder of installed distributions, on the path of a new interpreter."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def install(
        self, distribution: str, type: str, source: str = BACKEND, entry_point: str | None = None
    ) -> None:
        """Install a distribution as an installer does: package, metadata, entry point."""
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
        """Run a script there; return what it printed as JSON."""
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
def report(thing):
    print(json.dumps(thing))
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An empty folder of distributions."""
    return Site(tmp_path / "site")


def test_a_backend_of_an_installed_distribution_is_found(site: Site) -> None:
    """By its type, by a mapping and by its URL scheme; it works like any other type."""
    site.install("acme-channels", "acme")
    assert site.run(
        """
results = []
for opened in (
    oc.open_channel("test", type="acme", server="one"),
    oc.open_channel("test", {"type": "acme", "args": {"server": "one", "port": 7001}}),
    oc.open_channel("test", "acme://one"),
):
    with opened as channel, channel.lock("nightly", ttl=30) as lease:
        channel.set("a", 1, fence=lease.fence)
        results.append([channel.type, channel.get("a"), sorted(channel.capabilities)])
[provided] = [one for one in registry().all() if one.type.name == "acme"]
report([results, provided.distribution, provided.type.summary])
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
report(steps)
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
    ids=["import", "exception", "exit", "syntax", "nothing", "result", "hook"],
)
def test_a_broken_plugin_raises_only_when_its_type_is_opened(
    site: Site, source: str, reason: str
) -> None:
    """Other types are not affected; the error of its own type gives distribution and exception."""
    site.install("acme-channels", "acme", source)
    site.install("fine-channels", "fine")
    if not source:
        site.install("other-channels", "no-attribute", "", "acme2")
    works, failures, error = site.run(
        """
works = [oc.open_channel("test", type="simple").type,
         oc.open_channel("test", type="fine", server="x").type]
failures = [[one.name, one.distribution, repr(one.error)] for one in registry().failures]
report([works, failures, error_of(lambda: oc.open_channel("test", type="acme", server="x"))])
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


def test_a_type_of_two_distributions_raises_an_error_with_both_names(site: Site) -> None:
    """When it is opened by name or by scheme; all other types work."""
    site.install("acme-channels", "acme")
    site.install("rival-channels", "acme")
    conflicts, by_name, by_scheme, other = site.run(
        """
report([registry().conflicts(),
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


def test_a_plugin_cannot_replace_a_built_in_type(site: Site) -> None:
    """It is a conflict like any other, and the error names ojobchannels itself."""
    site.install("acme-channels", "db")
    kind, message = site.run(
        'report(error_of(lambda: oc.open_channel("test", type="db", file="x")))'
    )
    assert kind == "DuplicateChannelType"
    assert "acme-channels" in message
    assert "ojobchannels " in message


@pytest.mark.parametrize("disable", ["rival-channels", " other , rival-channels,", "rival"])
def test_plugins_can_be_disabled(site: Site, disable: str) -> None:
    """By distribution or entry point, separated by commas: they are not imported."""
    site.install("acme-channels", "acme")
    site.install("rival-channels", "acme", "1 / 0", "rival")
    assert site.run(
        'report([oc.open_channel("test", type="acme", server="x").type, registry().failures])',
        OJOBCHANNELS_DISABLE_PLUGINS=disable,
    ) == ["acme", []]


def test_a_distribution_that_is_on_the_path_twice_counts_once(site: Site, tmp_path: Path) -> None:
    """Such as an editable install beside an installed one; the first on the path is used."""
    site.install("acme-channels", "acme")
    again = Site(tmp_path / "again")
    again.install("acme-channels", "acme")
    script = 'report(oc.open_channel("test", type="acme", server="x").type)'
    both = os.pathsep.join([str(again.folder), str(site.folder), os.environ.get("PYTHONPATH", "")])
    assert site.run(script, PYTHONPATH=both) == "acme"


@pytest.mark.parametrize(
    ("type", "distribution"),
    [
        ("redis", "ojobchannels-redis"),
        ("mongo", "ojobchannels-mongo"),
        ("postgres", "ojobchannels-postgres"),
        ("ignite", "ojobchannels-ignite"),
    ],
)
def test_the_error_for_a_known_type_names_the_package_to_install(
    monkeypatch: pytest.MonkeyPatch, type: str, distribution: str
) -> None:
    """By its name and by its URL schemes."""
    monkeypatch.setenv("OJOBCHANNELS_DISABLE_PLUGINS", distribution)
    monkeypatch.setattr(plugins, "_registry", None)
    schemes = {
        "redis": ["redis", "rediss"],
        "mongo": ["mongodb", "mongodb+srv"],
        "postgres": ["postgresql", "postgres"],
        "ignite": ["ignite", "ignites"],
    }.get(type, [])
    configs: list[dict[str, str] | str] = [{"type": type}]
    for config in [*configs, *(f"{scheme}://localhost" for scheme in schemes)]:
        with pytest.raises(oc.UnknownChannelType, match=f"pip install {distribution}"):
            oc.open_channel("test", config)
