"""The plugin manager: the available channel types, their providers, and plugins that failed."""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pluggy

from ojobchannels import backends, errors
from ojobchannels.hookspecs import (
    HOOKS_ELSEWHERE,
    PROJECT,
    ChannelType,
    DiscoverySpec,
    Option,
)
from ojobchannels.masking import mask_text
from ojobchannels.plain_numbers import number
from ojobchannels.suggestions import closest, did_you_mean

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

BUILT_IN = "ojobchannels"
_CLOCK = "clock"
_ELSEWHERE = {
    "redis": "ojobchannels-redis",
    "mongo": "ojobchannels-mongo",
    "postgres": "ojobchannels-postgres",
    "ignite": "ojobchannels-ignite",
}
_SCHEMES_ELSEWHERE = {
    "redis": "redis",
    "rediss": "redis",
    "unix": "redis",
    "mongodb": "mongo",
    "mongodb+srv": "mongo",
    "postgresql": "postgres",
    "postgres": "postgres",
    "ignite": "ignite",
    "ignites": "ignite",
}


class Provided(NamedTuple):
    """A channel type and the distribution that provides it."""

    type: ChannelType
    distribution: str


class Loaded(NamedTuple):
    """A plugin that was loaded, and its distribution."""

    plugin: object
    name: str
    distribution: str


class Failure(NamedTuple):
    """A plugin that could not be loaded."""

    name: str
    distribution: str
    error: BaseException


class Registry:
    """The plugins of the entry-point group ``ojobchannels``, loaded once.

    Plugins named in ``OJOBCHANNELS_DISABLE_PLUGINS`` (separated by commas) are not loaded.
    """

    def __init__(self) -> None:
        self.failures: list[Failure] = []
        self._loaded: list[Loaded] = []
        self._providers: dict[str, list[Provided]] = {}
        self._load()

    def all(self) -> list[Provided]:
        """Return every type that can be opened, sorted by name."""
        return [types[0] for _, types in sorted(self._providers.items()) if len(types) == 1]

    def conflicts(self) -> dict[str, tuple[str, ...]]:
        """Return the types that several distributions provide, with the distributions' names."""
        return {
            name: tuple(provided.distribution for provided in types)
            for name, types in sorted(self._providers.items())
            if len(types) > 1
        }

    def find(self, type: str) -> ChannelType:
        """Return the type with that name.

        Raises:
            UnknownChannelType: No plugin provides it; the message names the package to install.
            DuplicateChannelType: Two distributions provide it.
            PluginFailed: The plugin that provides it could not be loaded.
        """
        types = self._providers.get(type, [])
        if len(types) == 1:
            return types[0].type
        if types:
            raise errors.DuplicateChannelType(
                type, tuple(provided.distribution for provided in types)
            )
        for failure in self.failures:
            if failure.name == type:
                raise errors.PluginFailed(
                    type, failure.distribution, repr(failure.error)
                ) from failure.error
        raise errors.UnknownChannelType(type, tuple(sorted(self._providers)), _ELSEWHERE.get(type))

    def find_scheme(self, scheme: str) -> ChannelType:
        """Return the type of a URL scheme."""
        first = [types[0].type for types in self._providers.values()]
        for type in first:
            if scheme in type.schemes:
                return self.find(type.name)
        known = sorted(f"{name}://" for type in first for name in type.schemes)
        if scheme in _SCHEMES_ELSEWHERE:
            return self.find(_SCHEMES_ELSEWHERE[scheme])
        raise errors.UnknownChannelType(f"{scheme}://", tuple(known), None)

    def results(self, spec: type, hook: str) -> Iterator[tuple[Any, str]]:
        """Yield each item that plugins return from a discovery hook, and its distribution.

        A plugin whose hook raises is added to `failures`.

        Args:
            spec: The class that specifies the hook.
            hook: The hook's name; it takes no arguments and returns an iterable.
        """
        for loaded in self._loaded:
            try:
                items = _call(loaded, spec, hook)
            except (Exception, SystemExit) as error:  # noqa: BLE001  one broken plugin must not break the others
                self.failures.append(Failure(loaded.name, loaded.distribution, error))
                continue
            yield from ((item, loaded.distribution) for item in items)

    def plugins(self) -> list[object]:
        """Return what the installed plugins are: modules or objects with hooks."""
        return [loaded.plugin for loaded in self._loaded]

    def _load(self) -> None:
        self._loaded.append(Loaded(backends, BUILT_IN, BUILT_IN))
        disabled = os.environ.get("OJOBCHANNELS_DISABLE_PLUGINS", "").replace(" ", "").split(",")
        for entry_point, distribution in _entry_points():
            if entry_point.name in disabled or distribution in disabled:
                continue
            try:
                self._loaded.append(Loaded(entry_point.load(), entry_point.name, distribution))
            except (Exception, SystemExit) as error:  # noqa: BLE001  one broken plugin must not break the others
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
            reason = f"unknown hook {caller.name!r}; {did_you_mean(caller.name, known)}"
            raise pluggy.PluginValidationError(loaded.plugin, reason)
    return [item for returned in getattr(manager.hook, hook)() for item in returned]


_registry: Registry | None = None
_lock = threading.Lock()


def registry() -> Registry:
    """Return the registry of the process; the first call loads the plugins."""
    global _registry
    with _lock:
        if _registry is None:
            _registry = Registry()
        return _registry


def checked_options(type: ChannelType, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options, completed by defaults and converted from strings as in URLs.

    Raises:
        InvalidOption: An option is unknown, missing or of the wrong type; the message suggests a
            similar option.
    """
    known = offered_options(type)
    for name, value in options.items():
        if name not in known and not _is_clock(name, value, type):
            suggestion = closest(name, known)
            hint = f"did you mean {suggestion!r}? " if suggestion else ""
            reason = f"type {type.name!r} does not take it"
            advice = f"{hint}its options: {', '.join(sorted(known)) or 'none'}"
            raise errors.InvalidOption(
                f"option {errors.shown(name, secret='@' in name)}", reason, advice
            )
    for option in type.options:
        if option.required and options.get(option.name) is None:
            reason = f"type {type.name!r} requires it"
            advice = f"pass the {option.help}"
            raise errors.InvalidOption(f"option {option.name!r}", reason, advice)
    checked = {
        option.name: converted(type, option, options.get(option.name, option.default))
        for option in type.options
    }
    for option in type.options:
        if option.is_path and checked[option.name]:
            checked[option.name] = absolute(option.name, checked[option.name])
    return checked


def absolute(option: str, path: str) -> str:
    """Return a path that does not depend on the working directory.

    Raises:
        InvalidOption: It is relative, and the working directory was deleted.
    """
    if path.startswith("~"):
        return path
    try:
        return str(Path(path).absolute())
    except FileNotFoundError as error:
        reason = f"{path!r} is relative, and the working directory was deleted"
        raise errors.InvalidOption(f"option {option!r}", reason, "pass an absolute path") from error


def offered_options(type: ChannelType) -> dict[str, Option]:
    """Return all options but the clock, which is an object for tests."""
    return {option.name: option for option in type.options if option.name != _CLOCK}


def _is_clock(name: str, value: Any, type: ChannelType) -> bool:
    taken = any(option.name == _CLOCK for option in type.options)
    return taken and name == _CLOCK and not isinstance(value, str | int | float | list | dict)


def converted(type: ChannelType, option: Option, value: Any) -> Any:
    """Return the value of an option, converted from a string as in URLs.

    Raises:
        InvalidOption: The value is of the wrong type.
    """
    if value is option.default or option.type is object:
        return value
    if isinstance(value, str) and "://" in value and mask_text(value) != value:
        reason = f"{errors.shown(value)} is a URL with a login, not the {option.help}"
        advice = "pass it as the URL of the channel"
        raise errors.InvalidOption(f"option {option.name!r}", reason, advice)
    if option.type is bool and value in ("true", "false"):
        return value == "true"
    if option.type is str and isinstance(value, os.PathLike):
        return os.fspath(value)
    if option.type in (int, float) and isinstance(value, str):
        with suppress(ValueError):
            return number(value, option.type)
    if option.type is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, option.type) and not (option.type is int and isinstance(value, bool)):
        return value
    text = errors.shown(value, option.secret)
    reason = f"type {type.name!r} expects {option.type.__name__}, not {text}"
    advice = f"it means: {option.help}"
    raise errors.InvalidOption(f"option {option.name!r}", reason, advice)


def _entry_points() -> Iterator[tuple["EntryPoint", str]]:
    from importlib.metadata import distributions  # slow, and not every program opens a channel

    seen: set[tuple[str, str]] = set()
    for distribution in distributions():
        # Parsing what all other distributions have takes longer than the rest.
        if f"[{PROJECT}]" not in (distribution.read_text("entry_points.txt") or ""):
            continue
        for entry_point in distribution.entry_points.select(group=PROJECT):
            name = str(distribution.metadata["Name"])
            if (name, entry_point.name) not in seen:
                seen.add((name, entry_point.name))
                yield entry_point, name
