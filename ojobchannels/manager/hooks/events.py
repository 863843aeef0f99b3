"""RunListeners: calls plugins and callbacks for what happens to the runs of a manager."""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, get_args

import pluggy

from ojobchannels.errors import InvalidOption
from ojobchannels.hookspecs import PROJECT
from ojobchannels.host.synchronous import check_synchronous
from ojobchannels.manager.hooks.spec import EVENTS, PREFIX, RunEvent, RunSpec
from ojobchannels.manager.records import Record
from ojobchannels.manager.run_record import RunRecord, sealed
from ojobchannels.plugins import Registry, registry
from ojobchannels.suggestions import did_you_mean

if TYPE_CHECKING:
    from ojobchannels.manager.manager import JobManager

RunCallback: TypeAlias = Callable[[RunRecord], object]
"""A function that takes the record of a run."""

_NAMES: Final[tuple[str, ...]] = get_args(RunEvent)
_log = logging.getLogger("ojobchannels.jobs")


class RunListeners:
    """The plugins and callbacks of one manager.

    Args:
        manager: The manager; hooks get it as an argument.
        plugins: Objects with hooks of `RunSpec`, beside the installed plugins that have some.

    Raises:
        InvalidOption: A plugin has no hook of `RunSpec`, or one with an unknown name.
    """

    def __init__(self, manager: Any, plugins: Iterable[object]) -> None:
        self._manager: JobManager = manager
        self._hooks = (*_hooks_of_installed(registry()), *map(_required_hooks, plugins))
        self._callbacks: dict[str, Sequence[RunCallback]] = {}
        self._lock = threading.Lock()

    def add(self, callback: RunCallback, events: Sequence[str]) -> None:
        """Call a function for these events from now on; for all of them if there are none.

        Raises:
            InvalidOption: An event is unknown, or a call would not run the function.
        """
        check_synchronous("callback", callback)
        for event in events:
            if event not in _NAMES:
                raise InvalidOption("event", repr(event), did_you_mean(event, _NAMES))
        with self._lock:
            for event in events or _NAMES:
                self._callbacks[event] = (*self._callbacks.get(event, ()), callback)

    def remove(self, callback: RunCallback) -> None:
        """Do not call a function any more."""
        with self._lock:
            for event, callbacks in self._callbacks.items():
                self._callbacks[event] = [each for each in callbacks if each != callback]

    def report(self, record: Record) -> None:
        """Call what wants to hear of the present status of a run; errors are logged."""
        event = EVENTS[record["status"]]
        callbacks = self._callbacks.get(event, ())
        if not (self._hooks or callbacks):
            return
        record = sealed(record)
        for hooks in self._hooks:
            hook = getattr(hooks, PREFIX + event)
            _call(partial(hook, record=record, manager=self._manager), event, record)
        for callback in callbacks:
            _call(partial(callback, record), event, record)


def _call(call: Callable[[], object], event: str, record: Record) -> None:
    try:
        call()
    except Exception:  # noqa: BLE001  it must not disturb the run that it hears of
        _log.exception("a hook or callback for %r of job %r failed", event, record["name"])


@lru_cache(maxsize=1)
def _hooks_of_installed(plugins: Registry) -> Sequence[pluggy.HookRelay]:
    """Return the hooks of the installed plugins that have some, which all managers call."""
    return [hooks for each in plugins.plugins() if (hooks := _hooks_of(each))]


def _required_hooks(plugin: object) -> pluggy.HookRelay:
    hooks = _hooks_of(plugin)
    if hooks is None:
        reason = f"{plugin!r} has no hook of runs"
        advice = f"mark methods such as {PREFIX}failed with @ojobchannels.hookimpl"
        raise InvalidOption("plugin", reason, advice)
    return hooks


def _hooks_of(plugin: object) -> pluggy.HookRelay | None:
    """Return the hooks of a plugin, which has a plugin manager of its own; None if it has none."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(RunSpec)
    try:
        manager.register(plugin)
    except pluggy.PluginValidationError as error:
        raise InvalidOption("plugin", str(error), "see the arguments in RunSpec") from error
    names = [caller.name for caller in manager.get_hookcallers(plugin) or ()]
    known = [PREFIX + name for name in _NAMES]
    for name in names:
        if name.startswith(PREFIX) and name not in known:
            raise InvalidOption("plugin", f"unknown hook {name!r}", did_you_mean(name, known))
    return manager.hook if set(names) & set(known) else None
