"""Operations: the attributes of an open channel that its methods call."""

import inspect
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import pluggy

from ojobchannels.operations.plugins import ChannelPlugins


class _Direct(partial[object]):
    """A hook that only the backend implements, called at once.

    Pluggy looks for implementations in each call, which takes longer than some of them. A partial
    needs no frame of its own.
    """

    _caller: pluggy.HookCaller

    @classmethod
    def of(cls, caller: pluggy.HookCaller, only: pluggy.HookImpl) -> "_Direct":
        """Return the hook of a caller with one implementation."""
        function, names = only.function, only.argnames
        takes_all = caller.spec is not None and set(names) == set(caller.spec.argnames)
        if takes_all and _takes_keywords(function, names):
            direct = cls(function)
        else:
            direct = cls(lambda **arguments: function(*map(arguments.__getitem__, names)))
        direct._caller = caller
        return direct

    def __getattr__(self, name: str) -> Any:
        return getattr(self._caller, name)


def _takes_keywords(function: Callable[..., object], names: Collection[str]) -> bool:
    """Return whether a method can be called by the names of its arguments.

    A decorator may show the signature of what it wraps, and pass on positional arguments only.
    """
    code = getattr(getattr(function, "__func__", None), "__code__", None)
    if code is None:
        return False
    named = code.co_varnames[code.co_posonlyargcount : code.co_argcount + code.co_kwonlyargcount]
    return bool(code.co_flags & inspect.CO_VARKEYWORDS) or set(names) <= set(named)


class Operations:
    """The operations of one open channel: hooks that extensions wrap, or the backend's methods.

    Each is made when it is first used.
    """

    def __init__(self, plugins: ChannelPlugins) -> None:
        self._plugins = plugins

    def __getattr__(self, name: str) -> Any:
        caller = None if name.startswith("_") else self._plugins.caller(name)
        if caller is None:
            raise AttributeError(f"a channel has no operation {name!r}")
        only = caller.get_hookimpls()
        is_direct = len(only) == 1 and not (only[0].wrapper or only[0].hookwrapper)
        operation = _Direct.of(caller, only[0]) if is_direct else caller
        setattr(self, name, operation)
        return operation

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._plugins.names()})
