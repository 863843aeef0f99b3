"""ChannelPlugins: the extensions and the backend of one channel, whose hooks are its operations."""

from itertools import combinations
from typing import Final

import pluggy

from ojobchannels.errors import InvalidOption
from ojobchannels.hookspecs import ChannelSpec
from ojobchannels.operations.hook_manager import HookManager, specs
from ojobchannels.operations.known_hooks import Hooks, known_hooks


class ChannelPlugins:
    """The extensions and the backend of one channel.

    Where all that matters is known of their classes, the hook of an operation is made when it is
    asked for. Otherwise a plugin manager looks for all hooks of all plugins.

    Args:
        extensions: Objects whose hooks wrap the operations.

    Raises:
        InvalidOption: A hook of an extension does not have the name of an operation.
    """

    def __init__(self, extensions: tuple[object, ...]) -> None:
        self._plugins: list[object] = []
        self._hooks: list[Hooks] = []
        self._manager: HookManager | None = None
        try:
            for extension in extensions:
                self.add(extension)
            self._check_names()
        except (pluggy.PluginValidationError, ValueError) as error:
            advice = "use the names of the operations of ChannelSpec for its hooks"
            raise InvalidOption("extension", str(error), advice) from error

    def add(self, plugin: object) -> None:
        """Add a plugin: the backend after the extensions."""
        self._plugins.append(plugin)
        hooks = None if self._manager else known_hooks(plugin)
        if hooks is not None and self._are_distinct():
            self._hooks.append(hooks)
            return
        unregistered = [plugin] if self._manager else self._plugins
        self._manager = self._manager or HookManager(ChannelSpec)
        for each in unregistered:
            self._manager.register(each)

    def caller(self, operation: str) -> pluggy.HookCaller | None:
        """Return the hook of an operation, or None if there is no such operation."""
        if self._manager:
            return getattr(self._manager.hook, operation, None)
        is_known = operation in specs(ChannelSpec) or any(operation in each for each in self._hooks)
        return self._new_caller(operation) if is_known else None

    def names(self) -> list[str]:
        """Return the names of the operations."""
        return list(specs(ChannelSpec))

    def _check_names(self) -> None:
        if self._manager:
            self._manager.check_pending()

    def _new_caller(self, operation: str) -> pluggy.HookCaller:
        caller = _NONE.new_caller(ChannelSpec, operation)
        for plugin, hooks in zip(self._plugins, self._hooks, strict=True):
            for function, options in hooks.get(operation, ()):
                method = function.__get__(plugin)
                caller._add_hookimpl(pluggy.HookImpl(plugin, _name(plugin), method, options))
        return caller

    def _are_distinct(self) -> bool:
        names = set(map(_name, self._plugins))
        return len(names) == len(self._plugins) and not any(
            one == other for one, other in combinations(self._plugins, 2)
        )


def _name(plugin: object) -> str:
    return getattr(plugin, "__name__", None) or str(id(plugin))


_NONE: Final = HookManager(ChannelSpec)
"""The manager without plugins, which executes the hooks of all channels."""
