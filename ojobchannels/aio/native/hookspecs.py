"""The second hook spec: the operations of a channel whose backend works in an event loop."""

from __future__ import annotations

from typing import Any, Final

import pluggy

from ojobchannels.hookspecs import PROJECT, ChannelSpec, hookspec


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
    name for name in vars(AsyncChannelSpec) if not name.startswith("_") and name != "close"
)


def async_hooks(hook: Any) -> Any:
    """Return the hooks of an open channel for an event loop; None if its backend uses threads.

    An extension that wraps one of these operations expects its result, not a coroutine: such a
    channel uses threads. Extensions that wrap ``watch`` alone wrap it here, too.
    """
    wrapped = [name for name in AWAITED if len(getattr(hook, name).get_hookimpls()) > 1]
    backend = None if wrapped and wrapped != ["watch"] else hook.asynchronous()
    if backend is None:
        return None
    manager = async_manager(backend)
    for implementation in hook.watch.get_hookimpls():
        if implementation.wrapper:
            manager.register(implementation.plugin)
    return manager.hook


def async_manager(backend: object) -> pluggy.PluginManager:
    """Return a plugin manager with the operations of a backend in an event loop."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(AsyncChannelSpec)
    manager.register(backend)
    return manager
