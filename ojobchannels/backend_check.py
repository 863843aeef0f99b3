"""Checks that a backend implements the operations: pluggy would pass over a missing one."""

import inspect
from collections.abc import Callable, Iterator, Set
from typing import Any, Final

from ojobchannels.errors import InvalidBackend
from ojobchannels.hookspecs import PROJECT, ChannelSpec
from ojobchannels.suggestions import closest, did_you_mean

OPERATIONS: Final[dict[str, Callable[..., Any]]] = {
    name: spec for name, spec in vars(ChannelSpec).items() if not name.startswith("_")
}
_EVENTS: Final = frozenset({"events_every", "events_coalesced"})
_OPTIONAL: Final = {"watch", "asynchronous", "index", "below", "size_until"}
_MARK: Final = f"{PROJECT}_impl"

_checked: set[tuple[type, Set[str]]] = set()


def check_backend(type: str, backend: object, capabilities: Set[str]) -> None:
    """Check the names and arguments of a backend's hooks, once for each class.

    Raises:
        InvalidBackend: An operation is missing, unknown, or takes an unknown argument.
    """
    kind = backend.__class__
    if (kind, capabilities) in _checked:
        return
    errors = list(_errors(backend, capabilities))
    if errors:
        raise InvalidBackend(type, _name(backend), "; ".join(errors))
    _checked.add((kind, capabilities))


def _errors(backend: object, capabilities: Set[str]) -> Iterator[str]:
    hooks = dict(_hooks(backend))
    if not hooks:
        yield "none of its methods is marked with `@hookimpl`"
        return
    for name, method in hooks.items():
        if name not in OPERATIONS:
            missing = OPERATIONS.keys() - hooks.keys()
            yield f"`{name}` is not an operation ({did_you_mean(name, sorted(missing))})"
        else:
            yield from _argument_errors(name, method)
    known = {name for name in hooks if name in OPERATIONS}
    misspelt = {closest(name, OPERATIONS.keys() - known) for name in hooks if name not in known}
    needed = OPERATIONS.keys() - _OPTIONAL
    if not capabilities & _EVENTS:
        needed -= {"subscribe"}
    for name in OPERATIONS:
        if name in needed - known - misspelt:
            unmarked = callable(getattr(backend, name, None))
            yield f"`{name}` {'is not marked with `@hookimpl`' if unmarked else 'is missing'}"


def _hooks(backend: object) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in dir(backend):
        method = getattr(backend, name, None)
        options = getattr(method, _MARK, None)
        if inspect.isroutine(method) and isinstance(options, dict):
            yield options.get("specname") or name, method


def _argument_errors(name: str, method: Callable[..., Any]) -> Iterator[str]:
    known = list(inspect.signature(OPERATIONS[name]).parameters)[1:]
    for argument, parameter in inspect.signature(method).parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL or parameter.kind is parameter.VAR_KEYWORD:
            continue
        if argument not in known and parameter.default is parameter.empty:
            hint = did_you_mean(argument, known) or "it takes none"
            yield f"`{name}` has no argument `{argument}` ({hint})"


def _name(backend: object) -> str:
    return getattr(backend, "__name__", None) or type(backend).__name__
