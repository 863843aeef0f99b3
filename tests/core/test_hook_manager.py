"""The plugin manager of a channel finds the hooks that pluggy itself finds."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
import pytest

import ojobchannels as oc
from ojobchannels.hookspecs import PROJECT, ChannelSpec, hookimpl
from ojobchannels.plugins import HookManager


class Plain:
    """Has marked and unmarked methods, one of them for an operation of another name."""

    @hookimpl
    def get(self, key: object) -> object:
        return key

    def set(self, key: object) -> None:
        """No hook."""

    @hookimpl(specname="unset", optionalhook=True)
    def removed(self, key: object) -> bool:
        return bool(key)


class Overriding(Plain):
    """Overrides a hook with a plain method."""

    def get(self, key: object) -> object:
        return key


class Odd(Plain):
    """Has attributes that differ from methods, and that must not be computed."""

    __slots__ = ("size",)
    size: Any

    @property
    def get_all(self) -> object:
        raise AssertionError("computed")

    @staticmethod
    @hookimpl
    def get_keys() -> list[object]:
        return []

    @classmethod
    @hookimpl
    def pop(cls) -> object:
        return cls

    lock = hookimpl(lambda self, name: (self, name))


def with_its_own() -> Plain:
    """Return an object with hooks of its own, one of which hides that of its class."""
    made = Plain()
    vars(made).update(get=lambda key: key, shift=hookimpl(lambda: None))
    return made


def with_a_slot() -> Odd:
    """Return an object whose slot has a hook."""
    made = Odd()
    made.size = hookimpl(lambda: 0)
    return made


def module() -> ModuleType:
    """Return a module with one hook."""
    made = ModuleType("extension")
    vars(made).update(get=hookimpl(lambda key: key), set=None)
    return made


def hooks_of(plugin: object) -> dict[str, Any]:
    """Return the options of its hooks by attribute, after a comparison with pluggy."""
    ours, plain = HookManager(ChannelSpec), pluggy.PluginManager(PROJECT)
    found = {name: ours.parse_hookimpl_opts(plugin, name) for name in dir(plugin)}
    assert found == {name: plain.parse_hookimpl_opts(plugin, name) for name in dir(plugin)}
    return found


@pytest.mark.parametrize(
    "plugin",
    [Plain(), Overriding(), Odd(), Plain, Odd, with_its_own(), with_a_slot(), module()],
)
def test_hooks_are_those_that_pluggy_finds(plugin: object) -> None:
    """With the same options, for any kind of object, and nothing is computed to find them."""
    assert any(hooks_of(plugin).values())


@pytest.mark.parametrize("type", ["simple", "file", "db"])
def test_the_hooks_of_a_backend_are_those_that_pluggy_finds(type: str, tmp_path: Path) -> None:
    """With the same options."""
    options = {} if type == "simple" else {"file": str(tmp_path / "data")}
    with oc.open_channel("channel", type=type, **options) as channel:
        (backend,) = channel.hook.get.get_hookimpls()
        assert sum(found is not None for found in hooks_of(backend.plugin).values()) > 20


def test_operations_have_the_arguments_that_pluggy_finds() -> None:
    """Of each manager, although they are looked up once."""
    plain = pluggy.PluginManager(PROJECT)
    plain.add_hookspecs(ChannelSpec)
    for _ in range(2):
        ours = vars(HookManager(ChannelSpec).hook)
        assert ours.keys() == vars(plain.hook).keys()
        for name, caller in vars(plain.hook).items():
            assert ours[name].spec.argnames == caller.spec.argnames
            assert ours[name].get_hookimpls() == []
