"""The second hook spec: the operations of a channel whose backend works in an event loop."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final

import pluggy

from ojobchannels.aio.native.wrappers import may_run_in_loop, within
from ojobchannels.hookspecs import ChannelSpec, hookspec
from ojobchannels.operations import HookManager


class AsyncChannelSpec:
    """The operations that an event loop awaits; `ChannelSpec` describes each of them.

    A backend returns an object with these hooks from its hook ``asynchronous``. Each returns a
    coroutine, whose result is that of the hook of the same name in `ChannelSpec`; only ``watch``
    returns at once, and the method `look` of its result returns a coroutine. All are called in one
    event loop, up to ``async_requests`` of them at once.
    """

    get = ChannelSpec.get
    set = ChannelSpec.set
    unset = ChannelSpec.unset
    get_all = ChannelSpec.get_all
    items = ChannelSpec.items
    get_keys = ChannelSpec.get_keys
    size = ChannelSpec.size
    set_all = ChannelSpec.set_all
    unset_all = ChannelSpec.unset_all
    get_set = ChannelSpec.get_set
    pop = ChannelSpec.pop
    shift = ChannelSpec.shift
    destroy = ChannelSpec.destroy
    lock = ChannelSpec.lock
    unlock = ChannelSpec.unlock
    extend = ChannelSpec.extend
    lock_info = ChannelSpec.lock_info
    locks = ChannelSpec.locks
    force_unlock = ChannelSpec.force_unlock
    watch = ChannelSpec.watch

    @hookspec(firstresult=True)
    def close(self) -> Any:
        """Close the connections of the loop; the leases are released before.

        It is a plain function, which is called at once, and may return a coroutine for the rest.
        """


AWAITED: Final = tuple(
    name for name in vars(AsyncChannelSpec) if name[0] != "_" and name not in ("watch", "close")
)


class _Watching:
    """The wrapper of ``watch`` of one extension, which is called at once in an event loop, too."""

    def __init__(self, wrapper: pluggy.HookImpl) -> None:
        self.watch = wrapper.function


def async_hooks(hook: Any) -> Any:
    """Return the hooks of an open channel for an event loop; None if its backend uses threads.

    So does a channel with an extension that wraps one of the awaited operations and may block.
    """
    wrapped = {name: extra for name in AWAITED if (extra := _beside_backend(hook, name))}
    if not all(may_run_in_loop(each) for extra in wrapped.values() for each in extra):
        return None
    backend = hook.asynchronous()
    if backend is None:
        return None
    manager = async_manager(backend)
    for each in hook.watch.get_hookimpls():
        if each.wrapper:
            manager.register(_Watching(each))
    operations = vars(manager.hook)
    return SimpleNamespace(
        **operations | {name: within(extra, operations[name]) for name, extra in wrapped.items()}
    )


def async_manager(backend: object) -> pluggy.PluginManager:
    """Return a plugin manager with the operations of a backend in an event loop."""
    manager = HookManager(AsyncChannelSpec)
    manager.register(backend)
    return manager


def _beside_backend(hook: Any, operation: str) -> list[pluggy.HookImpl]:
    """Return the implementations of an operation after the first one, which is the backend's.

    If an extension has one that is not a wrapper, that is the first: then the backend's is among
    the others, and is not taken for a wrapper.
    """
    implementations: list[pluggy.HookImpl] = getattr(hook, operation).get_hookimpls()
    return implementations[1:]
