"""The operations of a channel are the hooks that pluggy itself finds."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
import pytest

import ojobchannels as oc
from ojobchannels.hookspecs import PROJECT, ChannelSpec, hookimpl
from ojobchannels.operations import ChannelPlugins, HookManager, Operations
from ojobchannels.operations.known_hooks import known_hooks


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


class Wrapping:
    """Has several hooks for one operation, whose order their options change."""

    @hookimpl(wrapper=True)
    def get(self) -> Any:
        return (yield)

    @hookimpl(specname="get", trylast=True)
    def first(self, key: object) -> object:
        return key

    @hookimpl(specname="get", tryfirst=True)
    def last(self, key: object) -> object:
        return key


class Fixed:
    """Has no room for attributes of its own."""

    __slots__ = ()

    @hookimpl
    def get(self, key: object) -> object:
        return key


class Renamed(Plain):
    """Shows other attributes than it has."""

    def __dir__(self) -> list[str]:
        return ["get"]


def found_by(get_caller: Any) -> dict[str, list[tuple[Any, ...]]]:
    """Return the hooks of each operation, in the order of their calls."""
    return {
        name: [
            (each.plugin, each.plugin_name, each.function, each.opts, each.argnames)
            for each in get_caller(name).get_hookimpls()
        ]
        for name in vars(HookManager(ChannelSpec).hook)
    }


def assert_as_pluggy(*plugins: object) -> None:
    """Compare all hooks of the plugins of a channel with those that pluggy registers."""
    plain = pluggy.PluginManager(PROJECT)
    plain.add_hookspecs(ChannelSpec)
    channel = ChannelPlugins(plugins[:-1])
    for each in plugins:
        plain.register(each)
    channel.add(plugins[-1])
    expected = found_by(lambda name: getattr(plain.hook, name))
    assert found_by(channel.caller) == expected
    operations = Operations(channel)
    assert found_by(lambda name: getattr(operations, name)) == expected


@pytest.mark.parametrize(
    "make",
    [Plain, Overriding, Odd, with_its_own, with_a_slot, module, Wrapping, Fixed, Renamed, object],
)
def test_operations_are_the_hooks_that_pluggy_registers(make: Any) -> None:
    """At the first opening and later, alone and between others, for any kind of object."""
    for _ in range(2):
        assert_as_pluggy(make())
        assert_as_pluggy(Wrapping(), make(), Wrapping(), Plain())


def test_a_changed_class_has_the_hooks_that_pluggy_registers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hook that was replaced, added, hidden, removed, or added to the class below."""

    class Below:
        @hookimpl
        def pop(self) -> object:
            return None

    class Changing(Below, Plain):
        pass

    mine = Changing()
    assert_as_pluggy(mine)
    with monkeypatch.context() as patch:
        patch.setattr(Changing, "get", hookimpl(lambda self, key: key))
        assert_as_pluggy(mine)
        patch.setattr(Changing, "shift", hookimpl(lambda self: None), raising=False)
        assert_as_pluggy(mine)
        patch.setattr(Changing, "pop", lambda self: None)
        assert_as_pluggy(mine)
        patch.setattr(Below, "size", hookimpl(lambda self: 0), raising=False)
        assert_as_pluggy(mine)
        patch.delattr(Below, "pop")
        assert_as_pluggy(mine)
    assert_as_pluggy(mine)
    vars(mine)["pop"] = hookimpl(lambda: 1)
    assert_as_pluggy(mine)
    Changing.__bases__ = (Plain,)
    assert_as_pluggy(mine)


def test_an_operation_keeps_the_method_that_the_class_had_at_the_opening(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also if it is called for the first time after the change."""
    plugins = ChannelPlugins(())
    plugins.add(Plain())
    operations = Operations(plugins)
    monkeypatch.setattr(Plain, "get", hookimpl(lambda self, key: "changed"))
    assert operations.get(key="key") == "key"


def test_a_plugin_is_registered_once() -> None:
    """Not again, and not beside another of the same name."""
    named = [Plain(), Plain()]
    for each in named:
        vars(each)["__name__"] = "same"
    for twice in ([named[0]] * 2, named):
        with pytest.raises(oc.InvalidOption, match="already registered"):
            ChannelPlugins(tuple(twice))


def test_there_are_only_the_operations_of_the_spec() -> None:
    """And those that an extension adds."""

    class Adding:
        @hookimpl(optionalhook=True)
        def count(self) -> int:
            return 1

    operations = Operations(ChannelPlugins((Adding(),)))
    assert operations.count() == 1
    assert not hasattr(operations, "counts")


def test_the_class_of_a_function_is_not_kept() -> None:
    """Each call of the function makes another one, with all that its methods refer to."""

    class Local:
        @oc.hookimpl(wrapper=True)
        def get(self) -> Any:
            return (yield)

    assert known_hooks(Local()) is None


class Proxy:
    """Pretends to be of the class of another object, as proxies do."""

    def __init__(self, target: object) -> None:
        self.__dict__["_target"] = target

    @property  # type: ignore[misc]  # a proxy may say what it is
    def __class__(self) -> type:
        return type(self._target)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_target"], name)


def test_the_hooks_of_a_proxy_are_left_to_pluggy() -> None:
    """Only it can see those of the object behind it."""
    assert known_hooks(Proxy(object())) is None
