"""The args of a call: their sources, and their precedence."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ojobchannels.errors import InvalidJobArgs
from ojobchannels.masking import is_secret_name
from ojobchannels.ojob.args.templates import copied, render
from ojobchannels.ojob.yaml.source import scalar


def parse_args(words: Iterable[str]) -> dict[str, Any]:
    """Read ``key=value`` words of a command line; each value is read as a YAML scalar.

    Example:
        >>> parse_args(["day=2026-11-22", "limit=5", "note='5'", "dry="])
        {'day': '2026-11-22', 'limit': 5, 'note': '5', 'dry': None}

    Raises:
        InvalidJobArgs: A word does not have the form ``key=value``.
    """
    args = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise InvalidJobArgs("command line", f"{word!r} is not an argument", "write key=value")
        try:
            args[key] = scalar(value)
        except ValueError:
            known = "…" if is_secret_name(key) else value[:40]
            reason = f"{known!r} is not a number that JSON has"
            advice = f"if it is text, quote it twice: {key}=\"'{known}'\""
            raise InvalidJobArgs(f"command line, {key}", reason, advice) from None
    return args


class Layer(NamedTuple):
    """Some args, and whether they come from a job file, where templates are rendered."""

    values: Mapping[str, Any]
    written: bool


def merge(layers: Iterable[Layer], where: str) -> dict[str, Any]:
    """Merge layers key by key, the last one on top, and render the templates.

    Raises:
        InvalidJobArgs: A template cannot be rendered.
    """
    top = {key: layer for layer in layers for key in layer.values}
    written = {key: layer.values[key] for key, layer in top.items() if layer.written}
    given = {key: layer.values[key] for key, layer in top.items() if not layer.written}
    return render(written, given, where) | {key: copied(value) for key, value in given.items()}


def merged(maps: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge maps and the maps inside them, the last one on top."""
    result: dict[str, Any] = {}
    for one in maps:
        for key, value in one.items():
            below = result.get(key)
            if isinstance(below, dict) and isinstance(value, dict):
                value = merged([below, value])
            result[key] = value
    return result


class CallArgs:
    """The map of args that all steps of a call share.

    The own args of a `from` or `to` job are added before its step. They rank below all other args,
    except those that an earlier step has added: so two `to` jobs do not see each other's.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self._defaults: dict[str, Any] = {}

    def add_defaults(
        self, own: Mapping[str, Any], above: frozenset[str], where: str
    ) -> frozenset[str]:
        """Add the own args of a step; `above` are those of the steps that it is part of.

        Returns:
            The value of `above` for the parts of the step.
        """
        free = {
            key: value
            for key, value in own.items()
            if key not in self.values or (key not in above and self._is_default(key))
        }
        others = {key: value for key, value in self.values.items() if key not in free}
        rendered = render(free, others, where)
        self._defaults |= rendered
        self.values |= rendered
        return above | own.keys()

    def _is_default(self, key: str) -> bool:
        return key in self._defaults and self.values[key] is self._defaults[key]
