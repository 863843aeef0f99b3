"""The args of a run: where they come from, and which of them wins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ojobchannels.errors import InvalidJobArgs
from ojobchannels.ojob.args.templates import copied, render
from ojobchannels.ojob.yaml.reader import scalar


def parse_args(words: Iterable[str]) -> dict[str, Any]:
    """Reads ``key=value`` words of a command line; each value is read as a YAML scalar.

    Example:
        >>> parse_args(["day=2026-11-22", "limit=5", "note='5'", "dry="])
        {'day': '2026-11-22', 'limit': 5, 'note': '5', 'dry': None}

    Raises:
        InvalidJobArgs: A word is no ``key=value``.
    """
    args = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise InvalidJobArgs("command line", f"{word!r} is no argument", "write key=value")
        args[key] = scalar(value)
    return args


class Layer(NamedTuple):
    """Some args, and whether they were written in a job file, where templates count."""

    values: Mapping[str, Any]
    written: bool


def merge(layers: Iterable[Layer], where: str) -> dict[str, Any]:
    """Puts layers over each other, the last on top, key by key, and renders what was written.

    Raises:
        InvalidJobArgs: A template cannot be rendered.
    """
    top = {key: layer for layer in layers for key in layer.values}
    written = {key: layer.values[key] for key, layer in top.items() if layer.written}
    given = {key: layer.values[key] for key, layer in top.items() if not layer.written}
    return render(written, given, where) | {key: copied(value) for key, value in given.items()}


def merged(maps: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Puts maps over each other, the last on top, and likewise the maps in them."""
    result: dict[str, Any] = {}
    for one in maps:
        for key, value in one.items():
            below = result.get(key)
            if isinstance(below, dict) and isinstance(value, dict):
                value = merged([below, value])
            result[key] = value
    return result


class CallArgs:
    """The one map of args that all steps of a flow share.

    The own args of a `from` or `to` job are lent to the map when its turn comes. They rank below
    all else that is there, except for what an earlier step was lent: so two `to` jobs do not take
    each other's.

    Attributes:
        values: The map.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self._lent: dict[str, Any] = {}

    def add_defaults(
        self, own: Mapping[str, Any], above: frozenset[str], where: str
    ) -> frozenset[str]:
        """Lends the own args of a step; `above` are those of the steps that it is part of.

        Returns:
            What is `above` for the parts of the step.
        """
        free = {
            key: value
            for key, value in own.items()
            if key not in self.values or (key not in above and self._is_lent(key))
        }
        others = {key: value for key, value in self.values.items() if key not in free}
        rendered = render(free, others, where)
        self._lent |= rendered
        self.values |= rendered
        return above | own.keys()

    def _is_lent(self, key: str) -> bool:
        return key in self._lent and self.values[key] is self._lent[key]
