"""YAML 1.2 text to plain data, with the position of every part and all errors of single parts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from ojobchannels.errors import Diagnostic
from ojobchannels.ojob.yaml.composer import Mapping, Node, Scalar, Sequence, compose
from ojobchannels.ojob.yaml.positions import DocumentPath, Position, diagnostic_at
from ojobchannels.ojob.yaml.scalars import KINDS, TAG, TEXTS, plain_tag, scalar_value
from ojobchannels.ojob.yaml.syntax_errors import QUOTE_TEMPLATES, InvalidText

_MAP: Final = f"{TAG}map"
_LIST: Final = f"{TAG}seq"
_MERGE: Final = f"{TAG}merge"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_NO_SPACE: Final = re.compile(r"[\w-]+:\S")


def scalar(text: str) -> Any:
    """Read a text as a YAML scalar: a number, a boolean, null, or text.

    Example:
        >>> [scalar(text) for text in ("5", "true", "", "2026-11-22", "'5'", "a: b")]
        [5, True, None, '2026-11-22', '5', 'a: b']
    """
    stripped = text.strip()
    if stripped[:1] in ("'", '"'):
        try:
            node = compose(stripped)
        except InvalidText:
            return text
        return node.value if isinstance(node, Scalar) else text
    tag = plain_tag(stripped)
    return scalar_value(tag, stripped) if tag in KINDS else text


class Reader:
    """Reads one text.

    Attributes:
        diagnostics: What is wrong with the text.
        positions: Where each part is in the text.
    """

    def __init__(self, name: str) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.positions: dict[DocumentPath, Position] = {}
        self._name = name

    def read(self, text: str) -> Any:
        """Return the document; None for an empty one, and for a text that is not YAML."""
        try:
            node = compose(text)
        except InvalidText as error:
            self._report(error.at, (), str(error), error.hint)
            return None
        return None if node is None else self._build(node, (), node)

    def _build(self, node: Node, path: DocumentPath, key: Node) -> Any:
        self.positions[path] = Position(node.line, node.column, key.line, key.column, node.style)
        if type(node) is Scalar:
            return _text(node) if node.tag in TEXTS else self._scalar(node, path)
        if node.tag == _MAP and type(node) is Mapping:
            return self._map(node, path)
        if node.tag == _LIST and type(node) is Sequence:
            return [self._build(part, (*path, at), part) for at, part in enumerate(node.value)]
        return self._unknown_tag(node, path)

    def _scalar(self, node: Scalar, path: DocumentPath) -> Any:
        if node.tag not in KINDS:
            return self._unknown_tag(node, path)
        try:
            return scalar_value(node.tag, node.value)
        except ValueError:
            message = f"`{node.value[:40]}` is not a valid {KINDS[node.tag]}"
            return self._report(_at(node), path, message, "quote it, and write no tag")

    def _map(self, node: Mapping, path: DocumentPath) -> dict[str, Any]:
        built: dict[str, Any] = {}
        merged: list[tuple[Node, Node]] = []
        for key, value in node.value:
            if key.tag == _MERGE:
                merged += self._pairs(value, path)
                continue
            if node.in_flow and _lacks_a_space(key, value):
                hint = "put a space after the colon, or quote the key"
                self._report(_at(key), path, f"the key `{key.value}` has no value", hint)
                continue
            name = self._name_of(key, path)
            inner = (*path, name)
            if name in built:
                hint = f"remove one of them; the first is on line {self.positions[inner].key_line}"
                self._report(_at(key), inner, f"duplicate key `{name}`", hint)
            else:
                built[name] = self._build(value, inner, key)
        for key, value in merged:
            if (name := self._name_of(key, path)) not in built:
                built[name] = self._build(value, (*path, name), key)
        return built

    def _pairs(self, node: Node, path: DocumentPath) -> Iterator[tuple[Node, Node]]:
        """Yield the pairs that a merge key (``<<``) adds, from one map or from a list of maps."""
        for part in node.value if isinstance(node, Sequence) else [node]:
            if not isinstance(part, Mapping):
                hint = "name the anchor of one: `<<: *anchor`"
                self._report(_at(part), path, "`<<` takes a map or a list of maps", hint)
                continue
            yield from (pair for pair in part.value if pair[0].tag != _MERGE)
            for key, value in part.value:
                if key.tag == _MERGE:
                    yield from self._pairs(value, path)

    def _name_of(self, key: Node, path: DocumentPath) -> str:
        if isinstance(key, Scalar):
            if key.tag in TEXTS:
                return _text(key)
            if key.value:
                self._report(_at(key), path, f"the key `{key.value}` is not a string", "quote it")
            else:
                self._report(_at(key), path, "a key is missing before the colon", "write one")
        elif isinstance(key, Mapping):
            self._report(_at(key), path, "a map cannot be a key", QUOTE_TEMPLATES)
        else:
            self._report(_at(key), path, "a list cannot be a key", "write a string")
        return str(key.value)

    def _unknown_tag(self, node: Node, path: DocumentPath) -> None:
        tag = node.tag.replace(TAG, "!!")
        hint = "remove it" if tag.startswith("!!") else "remove it, or quote the text"
        self._report(_at(node), path, f"the tag `{tag}` is not supported", hint)

    def _report(self, at: tuple[int, int], path: DocumentPath, message: str, hint: str) -> None:
        self.diagnostics.append(diagnostic_at(self._name, at, path, message, hint))


def _lacks_a_space(key: Node, value: Node) -> bool:
    """Whether a pair was written as ``{name:value}``, which is only a key."""
    return (
        isinstance(value, Scalar)
        and value.value == ""
        and value.style is None
        and isinstance(key, Scalar)
        and key.style is None
        and _NO_SPACE.match(key.value) is not None
    )


def _text(node: Scalar) -> str:
    text: str = node.value
    if not text.isascii() and _SURROGATE.search(text):  # JSON escapes characters above U+FFFF twice
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return text


def _at(node: Node) -> tuple[int, int]:
    return node.line, node.column
