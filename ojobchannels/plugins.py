"""The plugin manager: which channel types there are, who provides them, and what failed to load."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import Any, NamedTuple

import pluggy

from ojobchannels import backends
from ojobchannels.errors import (
    DuplicateChannelType,
    InvalidOption,
    PluginFailed,
    UnknownChannelType,
    shown,
)
from ojobchannels.hookspecs import (
    HOOKS_ELSEWHERE,
    PROJECT,
    ChannelSpec,
    ChannelType,
    DiscoverySpec,
    Option,
)
from ojobchannels.suggestions import closest, did_you_mean

BUILT_IN = "ojobchannels"
_CLOCK = "clock"
_ELSEWHERE = {
    "redis": "ojobchannels-redis",
    "mongo": "ojobchannels-mongo",
    "ignite": "ojobchannels-ignite",
}
_SCHEMES_ELSEWHERE = {
    "redis": "redis",
    "rediss": "redis",
    "unix": "redis",
    "mongodb": "mongo",
    "mongodb+srv": "mongo",
    "ignite": "ignite",
}


class Provided(NamedTuple):
    """A channel type and the distribution that provides it."""

    type: ChannelType
    distribution: str


class Loaded(NamedTuple):
    """A plugin that was loaded, and the distribution that it came with."""

    plugin: object
    name: str
    distribution: str


class Failure(NamedTuple):
    """A plugin that could not be loaded."""

    name: str
    distribution: str
    error: BaseException


class Registry:
    """All that plugins offer, found once through the entry points of the group ``ojobchannels``.

    Plugins named in ``OJOBCHANNELS_DISABLE_PLUGINS`` (separated by commas) are left out.

    Attributes:
        failures: The plugins that could not be loaded.
    """

    def __init__(self) -> None:
        self.failures: list[Failure] = []
        self._loaded: list[Loaded] = []
        self._providers: dict[str, list[Provided]] = {}
        self._load()

    def all(self) -> list[Provided]:
        """Returns every type that can be opened, by name."""
        return [found[0] for _, found in sorted(self._providers.items()) if len(found) == 1]

    def conflicts(self) -> dict[str, tuple[str, ...]]:
        """Returns the types that several distributions offer, with their names."""
        return {
            name: tuple(one.distribution for one in found)
            for name, found in sorted(self._providers.items())
            if len(found) > 1
        }

    def find(self, type: str) -> ChannelType:
        """Returns the type of that name.

        Raises:
            UnknownChannelType: Nothing offers it; the message names what to install.
            DuplicateChannelType: Two distributions offer it.
            PluginFailed: What offers it could not be loaded.
        """
        found = self._providers.get(type, [])
        if len(found) == 1:
            return found[0].type
        if found:
            raise DuplicateChannelType(type, tuple(one.distribution for one in found))
        for failure in self.failures:
            if failure.name == type:
                raise PluginFailed(
                    type, failure.distribution, repr(failure.error)
                ) from failure.error
        raise UnknownChannelType(type, tuple(sorted(self._providers)), _ELSEWHERE.get(type))

    def find_scheme(self, scheme: str) -> ChannelType:
        """Returns the type that a URL scheme means."""
        for found in self._providers.values():
            if scheme in found[0].type.schemes:
                return self.find(found[0].type.name)
        known = sorted(
            f"{one}://" for found in self._providers.values() for one in found[0].type.schemes
        )
        if scheme in _SCHEMES_ELSEWHERE:
            return self.find(_SCHEMES_ELSEWHERE[scheme])
        raise UnknownChannelType(f"{scheme}://", tuple(known), None)

    def results(self, spec: type, hook: str) -> Iterator[tuple[Any, str]]:
        """Yields each item that plugins return from a discovery hook, and its distribution.

        A plugin whose hook raises is noted in `failures`.

        Args:
            spec: The class that specifies the hook.
            hook: The hook's name; it takes no arguments and returns an iterable.
        """
        for loaded in self._loaded:
            try:
                items = _call(loaded, spec, hook)
            except (Exception, SystemExit) as error:  # noqa: BLE001  one must not break all
                self.failures.append(Failure(loaded.name, loaded.distribution, error))
                continue
            yield from ((item, loaded.distribution) for item in items)

    def _load(self) -> None:
        self._loaded.append(Loaded(backends, BUILT_IN, BUILT_IN))
        disabled = os.environ.get("OJOBCHANNELS_DISABLE_PLUGINS", "").replace(" ", "").split(",")
        for entry_point, distribution in _entry_points():
            if entry_point.name in disabled or distribution in disabled:
                continue
            try:
                self._loaded.append(Loaded(entry_point.load(), entry_point.name, distribution))
            except (Exception, SystemExit) as error:  # noqa: BLE001  one must not break all
                self.failures.append(Failure(entry_point.name, distribution, error))
        for type, distribution in self.results(DiscoverySpec, "ojobchannels_channel_types"):
            self._providers.setdefault(type.name, []).append(Provided(type, distribution))


def _call(loaded: Loaded, spec: type, hook: str) -> list[Any]:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(spec)
    manager.register(loaded.plugin, loaded.name)
    known = {*HOOKS_ELSEWHERE, *(name for name in vars(DiscoverySpec) if name[0] != "_")}
    for caller in manager.get_hookcallers(loaded.plugin) or ():
        if caller.name not in known:
            reason = f"there is no hook {caller.name!r}; {did_you_mean(caller.name, known)}"
            raise pluggy.PluginValidationError(loaded.plugin, reason)
    return [item for returned in getattr(manager.hook, hook)() for item in returned]


_registry: Registry | None = None
_lock = threading.Lock()


def registry() -> Registry:
    """Returns the process's registry; the first call loads the plugins."""
    global _registry
    with _lock:
        if _registry is None:
            _registry = Registry()
        return _registry


def channel_manager(extensions: tuple[object, ...]) -> pluggy.PluginManager:
    """Returns the plugin manager of one open channel, with its extensions in it.

    Raises:
        InvalidOption: An extension names a hook that no operation has.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(ChannelSpec)
    try:
        for extension in extensions:
            manager.register(extension)
        manager.check_pending()
    except (pluggy.PluginValidationError, ValueError) as error:
        raise InvalidOption(
            "extension", str(error), "name its hooks as the operations of ChannelSpec are named"
        ) from error
    return manager


def checked_options(type: ChannelType, given: Mapping[str, Any]) -> dict[str, Any]:
    """Completes options by their defaults and converts texts, as URLs have them.

    Raises:
        InvalidOption: One is unknown, missing or of the wrong kind; the message names the nearest.
    """
    known = offered_options(type)
    for name, value in given.items():
        if name not in known and not _is_clock(name, value, type):
            near = closest(name, known)
            meant = f"did you mean {near!r}? " if near else ""
            raise InvalidOption(
                f"option {shown(name, secret='@' in name)}",
                f"type {type.name!r} does not take it",
                f"{meant}it takes {', '.join(sorted(known)) or 'none'}",
            )
    for option in type.options:
        if option.required and given.get(option.name) is None:
            raise InvalidOption(
                f"option {option.name!r}", f"type {type.name!r} needs it", f"give the {option.help}"
            )
    return {
        option.name: converted(type, option, given.get(option.name, option.default))
        for option in type.options
    }


def offered_options(type: ChannelType) -> dict[str, Option]:
    """Returns the options that people give: all but the clock, an object that a test brings."""
    return {option.name: option for option in type.options if option.name != _CLOCK}


def _is_clock(name: str, value: Any, type: ChannelType) -> bool:
    taken = any(option.name == _CLOCK for option in type.options)
    return taken and name == _CLOCK and not isinstance(value, str | int | float | list | dict)


def converted(type: ChannelType, option: Option, value: Any) -> Any:
    """Returns the value of an option, converted from text where a URL has it so.

    Raises:
        InvalidOption: It is of the wrong kind.
    """
    if value is option.default or option.type is object:
        return value
    if option.type is bool and value in ("true", "false"):
        return value == "true"
    if option.type is str and isinstance(value, os.PathLike):
        return os.fspath(value)
    if option.type in (int, float) and isinstance(value, str):
        try:
            return option.type(value)
        except ValueError:
            pass
    if option.type is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, option.type) and not (option.type is int and isinstance(value, bool)):
        return value
    got = shown(value, option.secret)
    raise InvalidOption(
        f"option {option.name!r}",
        f"type {type.name!r} takes {option.type.__name__} for it, not {got}",
        f"give the {option.help}",
    )


def _entry_points() -> Iterator[tuple[EntryPoint, str]]:
    seen: set[tuple[str, str]] = set()
    for distribution in distributions():
        name = _name(distribution)
        for entry_point in distribution.entry_points:
            if entry_point.group == PROJECT and (name, entry_point.name) not in seen:
                seen.add((name, entry_point.name))
                yield entry_point, name


def _name(distribution: Distribution) -> str:
    return str(distribution.metadata["Name"])
