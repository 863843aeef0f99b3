"""YAML 1.2 text to plain data, with the place of every part and all faults of single parts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from ojobchannels.errors import Diagnostic
from ojobchannels.ojob.yaml.composer import Unbounded, compose
from ojobchannels.ojob.yaml.positions import DocumentPath, Position, diagnostic_at
from ojobchannels.ojob.yaml.syntax_errors import (
    QUOTE_TEMPLATES,
    SyntaxFault,
    no_yaml,
    unknown_version,
    unreadable,
)

_TAG: Final = "tag:yaml.org,2002:"
_TEXT: Final = {f"{_TAG}{kind}" for kind in ("str", "timestamp", "value")}
_SCALARS: Final = {f"{_TAG}{kind}" for kind in ("int", "float", "bool", "null")}
_KINDS: Final = {"int": "whole number", "float": "number", "bool": "boolean", "null": "null"}
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def scalar(text: str) -> Any:
    """Reads a text as YAML reads a scalar: a number, a boolean, null, or text.

    Example:
        >>> [scalar(text) for text in ("5", "true", "", "2026-11-22", "'5'", "a: b")]
        [5, True, None, '2026-11-22', '5', 'a: b']
    """
    stripped = text.strip()
    yaml = _yaml()
    if stripped[:1] in ("'", '"'):
        try:
            node = yaml.compose(stripped)
        except YAMLError:
            return text
        return node.value if isinstance(node, ScalarNode) else text
    node = ScalarNode(yaml.resolver.resolve(ScalarNode, stripped, (True, False)), stripped)
    return _value(yaml, node) if node.tag in _SCALARS else text


class Reader:
    """Reads one text.

    The nodes that ruamel.yaml composes are turned into data here, and not by its constructors:
    those stop at the first fault, and keep no place for a scalar.

    Attributes:
        diagnostics: What is wrong with the text.
        places: Where each part stands.
    """

    def __init__(self, name: str) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.places: dict[DocumentPath, Position] = {}
        self._name = name
        self._yaml = _yaml()

    def read(self, text: str) -> Any:
        """Returns the document, None for an empty one or where it is no YAML at all."""
        try:
            node = compose(text)
        except MarkedYAMLError as error:
            self._tell(no_yaml(error, text))
            return None
        except ReaderError as error:
            self._tell(unreadable(error, text))
            return None
        except AssertionError:
            self._tell(unknown_version(text))
            return None
        except Unbounded as error:
            self._tell(SyntaxFault(error.line, error.column, str(error), error.advice))
            return None
        return None if node is None else self._build(node, (), None)

    def _build(self, node: Node, path: DocumentPath, key: Node | None) -> Any:
        style = node.style if isinstance(node, ScalarNode) else None
        self.places[path] = Position(*_mark(node), *_mark(key or node), style)
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, MappingNode) and node.tag == f"{_TAG}map":
            return self._map(node, path)
        if isinstance(node, SequenceNode) and node.tag == f"{_TAG}seq":
            return [self._build(part, (*path, at), None) for at, part in enumerate(node.value)]
        return self._unknown_tag(node, path)

    def _scalar(self, node: ScalarNode, path: DocumentPath) -> Any:
        if node.tag in _TEXT:
            return _text(node)
        if node.tag not in _SCALARS:
            return self._unknown_tag(node, path)
        try:
            return _value(self._yaml, node)
        except (ValueError, LookupError):
            kind = _KINDS[node.tag.removeprefix(_TAG)]
            said = f"`{node.value[:40]}` is no {kind} that can be read"
            return self._fault(_mark(node), path, said, "put quotes around it, without a tag")

    def _map(self, node: MappingNode, path: DocumentPath) -> dict[str, Any]:
        built: dict[str, Any] = {}
        merged: list[tuple[Node, Node]] = []
        for key, value in node.value:
            if _merges(key):
                merged += self._pairs(value, path)
            elif node.flow_style and _lacks_a_space(key, value):
                hint = "put a space behind the colon, or quotes around the key"
                self._fault(_mark(key), path, f"the key `{key.value}` has no value", hint)
            elif (name := self._name_of(key, path)) in built:
                hint = f"keep one of them; the first is in line {self.places[*path, name].key_line}"
                self._fault(_mark(key), (*path, name), f"the key `{name}` is here twice", hint)
            else:
                built[name] = self._build(value, (*path, name), key)
        for key, value in merged:
            if (name := self._name_of(key, path)) not in built:
                built[name] = self._build(value, (*path, name), key)
        return built

    def _pairs(self, node: Node, path: DocumentPath) -> Iterator[tuple[Node, Node]]:
        """The pairs that a merge key (``<<``) brings in, of one map or of a list of maps."""
        for part in node.value if isinstance(node, SequenceNode) else [node]:
            if not isinstance(part, MappingNode):
                hint = "name the anchor of one: `<<: *anchor`"
                self._fault(_mark(part), path, "`<<` takes a map or a list of maps", hint)
                continue
            yield from (pair for pair in part.value if not _merges(pair[0]))
            for key, value in part.value:
                if _merges(key):
                    yield from self._pairs(value, path)

    def _name_of(self, key: Node, path: DocumentPath) -> str:
        if isinstance(key, ScalarNode) and key.tag in _TEXT:
            return _text(key)
        if not isinstance(key, ScalarNode):
            is_map = isinstance(key, MappingNode)
            said = f"{'a map' if is_map else 'a list'} cannot be a key"
            self._fault(_mark(key), path, said, QUOTE_TEMPLATES if is_map else "write text")
        elif key.value:
            said = f"the key `{key.value}` is not text"
            self._fault(_mark(key), path, said, "put quotes around it")
        else:
            self._fault(_mark(key), path, "no key stands before the colon", "write one")
        return str(key.value)

    def _unknown_tag(self, node: Node, path: DocumentPath) -> None:
        tag = str(node.tag).replace(_TAG, "!!")
        hint = "take it out" if tag.startswith("!!") else "take it out, or put quotes around it"
        self._fault(_mark(node), path, f"the tag `{tag}` means nothing here", hint)

    def _tell(self, found: SyntaxFault) -> None:
        self._fault(found[:2], (), found.message, found.hint)

    def _fault(self, at: tuple[int, int], path: DocumentPath, message: str, hint: str) -> None:
        self.diagnostics.append(diagnostic_at(self._name, at, path, message, hint))


def _lacks_a_space(key: Node, value: Node) -> bool:
    """Tells whether a pair was written as ``{name:value}``, which is a key alone."""
    return (
        isinstance(key, ScalarNode)
        and key.style is None
        and re.match(r"[\w-]+:\S", str(key.value)) is not None
        and isinstance(value, ScalarNode)
        and value.style is None
        and value.value == ""
    )


def _merges(key: Node) -> bool:
    return str(key.tag) == f"{_TAG}merge"


def _text(node: ScalarNode) -> str:
    text = str(node.value)
    if _SURROGATE.search(text):  # JSON writes what is beyond U+FFFF as two escapes
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return text


def _mark(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _yaml() -> YAML:
    return YAML(typ="safe", pure=True)


def _value(yaml: YAML, node: ScalarNode) -> Any:
    return yaml.constructor.construct_object(node)
