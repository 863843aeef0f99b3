"""Templates in args: ``{{name}}``, ``${name}`` and ``${name:-default}``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from ojobchannels.documents import encode
from ojobchannels.errors import InvalidJobArgs
from ojobchannels.ojob.yaml.source import scalar

_TEMPLATE: Final = re.compile(
    r"\\(?P<literal>\$\{|\{\{)|\$\{(?P<name>[^{}]*)\}|\{\{(?P<braced>[^{}]*)\}\}"
)
_OPENING: Final = re.compile(r"\$\{|\{\{")
_NAME: Final = re.compile(r"[^\s.:#/!>&^][^.:]*(\.[^.:]+)*")
_MISSING: Final = object()
_MAX_PARTS: Final = 100_000
_MAX_DEPTH: Final = 100


def invalid_templates(text: str) -> Iterator[str]:
    """Yield what looks like a template but is not valid: ``{{#if x}}``, or an open ``${``."""
    rest = 0
    for match in _TEMPLATE.finditer(text):
        yield from _OPENING.findall(text, rest, match.start())
        if not match["literal"] and not _NAME.fullmatch(_parts(match)[0]):
            yield match.group()
        rest = match.end()
    yield from _OPENING.findall(text, rest)


def has_template(text: str) -> bool:
    """Whether rendering may change a text."""
    return _OPENING.search(text) is not None


def template_names(value: Any) -> Iterator[str]:
    """Yield the names of the args that templates in a value use."""
    match value:
        case str():
            for found in _TEMPLATE.finditer(value):
                if not found["literal"]:
                    yield _parts(found)[0].partition(".")[0]
        case dict():
            for part in value.values():
                yield from template_names(part)
        case list():
            for part in value:
                yield from template_names(part)


def render(written: Mapping[str, Any], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Render the templates in `written`.

    Names are looked up in `given`, then in `written`. Values in `given` are data, in which no
    templates are rendered. A text that consists of one template becomes the value itself, of any
    type.

    Raises:
        InvalidJobArgs: A template without a default has an unknown name, or templates that refer to
            each other expand to too much.
    """
    renderer = _Renderer(written, given, where)
    return {key: renderer.render(value, (key,)) for key, value in written.items()}


def copied(value: Any) -> Any:
    """Return a copy of the maps and lists of a value; other values are shared."""
    match value:
        case dict():
            return {key: copied(part) for key, part in value.items()}
        case list():
            return [copied(part) for part in value]
        case _:
            return value


class Rendered(str):
    """A text in which templates were rendered, and which remembers their values.

    Attributes:
        pieces: Text and values in turn, beginning and ending with text.
    """

    __slots__ = ("pieces",)
    pieces: tuple[str, ...]

    def __new__(cls, pieces: Iterable[str]) -> Rendered:
        """Join the pieces."""
        pieces = tuple(pieces)
        text = super().__new__(cls, "".join(pieces))
        text.pieces = pieces
        return text

    def __reduce__(self) -> tuple[type[Rendered], tuple[tuple[str, ...]]]:
        return Rendered, (self.pieces,)


class _Renderer:
    def __init__(self, written: Mapping[str, Any], given: Mapping[str, Any], where: str) -> None:
        self._written = written
        self._given = given
        self._where = where
        self._open: list[tuple[str, ...]] = []  # being rendered, so not available
        self._parts = 0  # the number of values that templates have added

    def render(self, value: Any, path: tuple[str, ...]) -> Any:
        if self._open:
            self._count()
        match value:
            case str():
                return self._text(value, path)
            case dict():
                return {key: self.render(part, (*path, key)) for key, part in value.items()}
            case list():
                return [self.render(part, (*path, str(at))) for at, part in enumerate(value)]
            case _:
                return value

    def _text(self, text: str, path: tuple[str, ...]) -> Any:
        self._open.append(path)
        try:
            whole = _TEMPLATE.fullmatch(text)
            if whole and not whole["literal"]:
                return self._value(whole, exact=True)
            return self._rendered(text)
        finally:
            self._open.pop()

    def _rendered(self, text: str) -> str:
        pieces, rest = [""], 0
        for match in _TEMPLATE.finditer(text):
            pieces[-1] += text[rest : match.start()] + (match["literal"] or "")
            if not match["literal"]:
                pieces += [self._embedded(match), ""]
            rest = match.end()
        pieces[-1] += text[rest:]
        return Rendered(pieces) if len(pieces) > 1 else pieces[0]

    def _embedded(self, match: re.Match[str]) -> str:
        value = self._value(match, exact=False)
        as_json = value is None or isinstance(value, bool | dict | list)
        return encode(value) if as_json else str(value)

    def _value(self, match: re.Match[str], *, exact: bool) -> Any:
        name, default = _parts(match)
        found = self._look_up(tuple(name.split(".")))
        if found is not _MISSING:
            return found
        if default is None:
            raise self._unknown(name)
        if not exact or not default:
            return default
        try:
            return scalar(default)
        except ValueError:
            reason = f"the default {default[:40]!r} is not a number that JSON has"
            raise self._error(self._open[-1], reason, "quote it in the template") from None

    def _look_up(self, path: tuple[str, ...]) -> Any:
        if self._is_open(path):
            return _MISSING
        is_data = path[0] in self._given
        value: Any = self._given if is_data else self._written
        for at, step in enumerate(path):
            if isinstance(value, str) and not is_data:
                value, is_data = self.render(value, path[:at]), True
            if isinstance(value, Mapping) and step in value:
                value = value[step]
            elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
                value = value[int(step)]
            else:
                return _MISSING
        return copied(value) if is_data else self.render(value, path)

    def _is_open(self, path: tuple[str, ...]) -> bool:
        return any(one[: len(path)] == path for one in self._open)

    def _unknown(self, name: str) -> InvalidJobArgs:
        itself = self._is_open(tuple(name.split(".")))
        known = ", ".join(f"`{one}`" for one in sorted({*self._written, *self._given}))
        return self._error(
            self._open[-1],
            f"`{name}` refers to itself" if itself else f"unknown name `{name}`",
            f"pass it, or write `${{{name}:-default}}`; known names: {known}",
        )

    def _count(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            reason = f"its templates expand to more than {_MAX_PARTS} values"
            raise self._error(self._open[0], reason, "use fewer of them, or make the value in code")
        if len(self._open) > _MAX_DEPTH:
            reason = f"its templates refer to each other over more than {_MAX_DEPTH} steps"
            raise self._error(self._open[0], reason, "refer to the last of them")

    def _error(self, path: tuple[str, ...], reason: str, advice: str) -> InvalidJobArgs:
        return InvalidJobArgs(f"{self._where}, args.{'.'.join(path)}", reason, advice)


def _parts(match: re.Match[str]) -> tuple[str, str | None]:
    if match["braced"] is not None:
        return match["braced"].strip(), None
    name, has_default, default = match["name"].partition(":-")
    return name.strip(), default if has_default else None
