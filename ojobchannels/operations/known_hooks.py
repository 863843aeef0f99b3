"""The hooks of a class, which are looked for and checked at the first opening."""

from collections.abc import Mapping, Sequence
from operator import is_
from types import FunctionType, ModuleType
from typing import Any, Final, NamedTuple

import pluggy

from ojobchannels.hookspecs import ChannelSpec
from ojobchannels.operations.hook_manager import MARK, NOT_HOOKS, HookManager

Hooks = Mapping[str, Sequence[tuple[FunctionType, pluggy.HookimplOpts]]]
"""The functions that implement each operation, in the order of pluggy, with their options."""

_MOST_KINDS: Final = 100


class _Namespace(NamedTuple):
    """The attributes that a class had."""

    of: type
    names: tuple[str, ...]
    values: tuple[Any, ...]

    def is_unchanged(self) -> bool:
        now = vars(self.of)
        return tuple(now) == self.names and all(map(is_, now.values(), self.values))


class _Kind(NamedTuple):
    """A class, as it was when its hooks were looked for."""

    bases: tuple[type, ...]
    namespaces: tuple[_Namespace, ...]
    names: frozenset[str]
    hooks: Hooks

    def is_unchanged(self, kind: type) -> bool:
        return kind.__mro__ is self.bases and all(each.is_unchanged() for each in self.namespaces)


_kinds: dict[type, _Kind] = {}


def known_hooks(plugin: object) -> Hooks | None:
    """Return the hooks of a plugin; None if only pluggy can find them, or they are invalid.

    They are those of its class, unless the plugin has some of its own. A class that was changed is
    looked at again, and a class that a function has made is not kept: it may be one of many.
    """
    kind = type(plugin)
    known = _kinds.get(kind)
    if known is None or not known.is_unchanged(kind):
        known = _look_at(plugin)
        if known is None:
            return None
        if len(_kinds) >= _MOST_KINDS:
            _kinds.clear()
        _kinds[kind] = known
    return None if _has_its_own(plugin, known.names) else known.hooks


def _look_at(plugin: object) -> _Kind | None:
    kind = type(plugin)
    if any("<locals>" in each.__qualname__ for each in kind.__mro__):
        return None
    attributes = _attributes(kind)
    if isinstance(plugin, type | ModuleType) or any(
        attributes[name] is not vars(object)[name]
        for name in ("__class__", "__dir__", "__getattribute__")
    ):
        return None
    if not all(map(_is_plain, attributes.values())) or not _is_valid(plugin):
        return None
    hooks: dict[str, list[tuple[FunctionType, pluggy.HookimplOpts]]] = {}
    names = [name for name in sorted(attributes) if _is_hook(attributes[name])]
    for name in names:
        options = getattr(attributes[name], MARK)
        hooks.setdefault(options["specname"] or name, []).append((attributes[name], options))
    namespaces = (
        _Namespace(each, tuple(vars(each)), tuple(vars(each).values()))
        for each in kind.__mro__
        if each is not object
    )
    return _Kind(kind.__mro__, tuple(namespaces), frozenset(names), hooks)


def _attributes(kind: type) -> dict[str, Any]:
    return {name: value for each in reversed(kind.__mro__) for name, value in vars(each).items()}


def _is_hook(attribute: object) -> bool:
    return isinstance(attribute, FunctionType) and isinstance(getattr(attribute, MARK, None), dict)


def _is_plain(attribute: object) -> bool:
    """Return whether an attribute of a class is the same hook, or none, for all its objects."""
    if isinstance(attribute, (FunctionType, *NOT_HOOKS)):
        return True
    if isinstance(attribute, staticmethod | classmethod):
        function = attribute.__func__
        is_marked = hasattr(attribute, MARK) or hasattr(function, MARK)
        return isinstance(function, FunctionType) and not is_marked
    return not hasattr(type(attribute), "__get__")


def _is_valid(plugin: object) -> bool:
    manager = HookManager(ChannelSpec)
    try:
        manager.register(plugin)
        manager.check_pending()
    except (pluggy.PluginValidationError, ValueError):
        return False
    return True


def _has_its_own(plugin: object, hooks: frozenset[str]) -> bool:
    """Return whether an object has attributes that are hooks, or that hide those of its class."""
    own: Mapping[str, Any] = getattr(plugin, "__dict__", {})
    return not hooks.isdisjoint(own) or any(
        hasattr(type(value), "__get__") and hasattr(value, MARK) for value in own.values()
    )
