"""HookManager: finds the hooks of any object as pluggy does, in half of the time."""

from collections.abc import Mapping
from functools import cache
from types import (
    BuiltinMethodType,
    ClassMethodDescriptorType,
    FunctionType,
    GetSetDescriptorType,
    MethodDescriptorType,
    WrapperDescriptorType,
)
from typing import Any, Final

import pluggy

from ojobchannels.hookspecs import PROJECT

MARK: Final = f"{PROJECT}_impl"
"""The attribute of a function that makes it a hook; its value is the options."""

NOT_HOOKS: Final = (
    BuiltinMethodType,
    ClassMethodDescriptorType,
    GetSetDescriptorType,
    MethodDescriptorType,
    WrapperDescriptorType,
    property,
    str,
    type,
)
"""Types of attributes of a class that are not hooks."""


class HookManager(pluggy.PluginManager):
    """A plugin manager for the operations of one open channel.

    It finds what pluggy finds, in half of the time: what is known of the operations is kept, and
    what is a function of a class cannot be computed, which pluggy rules out for each attribute.

    Args:
        spec: The class with the operations.
    """

    def __init__(self, spec: type) -> None:
        super().__init__(PROJECT)
        for name in specs(spec):
            setattr(self.hook, name, self.new_caller(spec, name))

    def new_caller(self, spec: type, name: str) -> pluggy.HookCaller:
        """Return a hook that nothing implements yet."""
        caller = pluggy.HookCaller(name, self._hookexec)
        caller.spec = specs(spec).get(name)
        return caller

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        """Return the options of a hook, or None for another attribute."""
        if not isinstance(plugin, type) and name not in getattr(plugin, "__dict__", ()):
            found = (vars(each)[name] for each in type(plugin).__mro__ if name in vars(each))
            attribute = next(found, None)
            if isinstance(attribute, FunctionType):
                return getattr(attribute, MARK, None)
            if isinstance(attribute, NOT_HOOKS):
                return None
        return super().parse_hookimpl_opts(plugin, name)


@cache
def specs(spec: type) -> Mapping[str, Any]:
    """Return the specification of each operation."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(spec)
    return {name: caller.spec for name, caller in vars(manager.hook).items()}
