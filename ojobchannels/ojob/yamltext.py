"""YAML 1.2 text to plain data, with the place of every part and all faults of single parts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from ojobchannels.errors import Problem
from ojobchannels.ojob.places import DocumentPath, Place, written

_TAG: Final = "tag:yaml.org,2002:"
_TEXT: Final = {f"{_TAG}{kind}" for kind in ("str", "timestamp", "value")}
_SCALARS: Final = {f"{_TAG}{kind}" for kind in ("int", "float", "bool", "null")}
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
        problems: What is wrong with the text.
        places: Where each part stands.
    """

    def __init__(self, name: str) -> None:
        self.problems: list[Problem] = []
        self.places: dict[DocumentPath, Place] = {}
        self._name = name
        self._yaml = _yaml()
        self._within: list[Node] = []

    def read(self, text: str) -> Any:
        """Returns the document, None for an empty one or where it is no YAML at all."""
        try:
            node = _yaml().compose(text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            said = ", ".join(part for part in (error.context, error.problem) if part)
            hint = _advice(text, mark.line, mark.column)
            self._fault((mark.line + 1, mark.column + 1), (), f"this is not YAML: {said}", hint)
            return None
        except ReaderError as error:
            before = text[: error.position]
            at = before.count("\n") + 1, len(before) - before.rfind("\n")
            shown = f"U+{ord(text[error.position]):04X}"
            self._fault(at, (), f"the character {shown} is not allowed in YAML", "take it out")
            return None
        except RecursionError:
            self._fault((1, 1), (), "it is nested too deeply", "write it flatter")
            return None
        return None if node is None else self._build(node, (), None)

    def _build(self, node: Node, path: DocumentPath, key: Node | None) -> Any:
        style = node.style if isinstance(node, ScalarNode) else None
        self.places[path] = Place(*_mark(node), *_mark(key or node), style)
        if any(node is one for one in self._within):
            return self._fault(_mark(node), path, "it contains itself", "take the alias out")
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        self._within.append(node)
        try:
            if isinstance(node, MappingNode) and node.tag == f"{_TAG}map":
                return self._map(node, path)
            if isinstance(node, SequenceNode) and node.tag == f"{_TAG}seq":
                return [self._build(part, (*path, at), None) for at, part in enumerate(node.value)]
        finally:
            self._within.pop()
        return self._unknown_tag(node, path)

    def _scalar(self, node: ScalarNode, path: DocumentPath) -> Any:
        if node.tag in _TEXT:
            return _text(node)
        if node.tag not in _SCALARS:
            return self._unknown_tag(node, path)
        try:
            return _value(self._yaml, node)
        except ValueError:
            kind = node.tag.removeprefix(_TAG)
            return self._fault(_mark(node), path, f"{node.value!r} is no {kind}", "")

    def _map(self, node: MappingNode, path: DocumentPath) -> dict[str, Any]:
        built: dict[str, Any] = {}
        merged: list[tuple[Node, Node]] = []
        for key, value in node.value:
            if key.tag == f"{_TAG}merge":
                merged += self._pairs(value, path)
            elif (name := self._name_of(key, path)) in built:
                hint = f"keep one of them; the first is in line {self.places[*path, name].key_line}"
                self._fault(_mark(key), (*path, name), f"the key `{name}` is here twice", hint)
            else:
                built[name] = self._build(value, (*path, name), key)
        for key, value in merged:
            if (name := self._name_of(key, path)) not in built:
                built[name] = self._build(value, (*path, name), key)
        return built

    def _pairs(self, node: Node, path: DocumentPath) -> Iterable[tuple[Node, Node]]:
        """The pairs that a merge key (``<<``) brings in, of one map or of a list of maps."""
        parts = node.value if isinstance(node, SequenceNode) else [node]
        if all(isinstance(part, MappingNode) for part in parts):
            return [pair for part in parts for pair in part.value]
        self._fault(_mark(node), path, "`<<` takes a map or a list of maps", "")
        return []

    def _name_of(self, key: Node, path: DocumentPath) -> str:
        if isinstance(key, ScalarNode) and key.tag in _TEXT:
            return _text(key)
        shown = str(key.value) if isinstance(key, ScalarNode) else "this"
        self._fault(_mark(key), path, f"the key `{shown}` is not text", "put quotes around it")
        return shown

    def _unknown_tag(self, node: Node, path: DocumentPath) -> None:
        self._fault(_mark(node), path, f"the tag {node.tag} means nothing here", "take it out")

    def _fault(self, at: tuple[int, int], path: DocumentPath, message: str, hint: str) -> None:
        self.problems.append(Problem(self._name, *at, written(path), message, hint))


def _advice(text: str, number: int, column: int) -> str:
    line = next(iter(text.split("\n")[number : number + 1]), "")
    if line[: column + 1].strip(" ") == "\t":
        return "indent with spaces, YAML takes no tabs"
    if line.startswith("---"):
        return "a job file is one document"
    if ": " in line.partition(": ")[2]:
        return "put quotes around a text that contains a colon and a space"
    return "look at the indentation and the quotes here and in the lines above"


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
