"""Nodes from YAML text, with limits on what aliases may expand to.

An alias stands for everything below its anchor, including other aliases, so that a few lines can
expand to more than fits into memory. A walk over the nodes made here visits no more than the text
contains plus what its aliases may add, and never runs in a circle.

The events come from libyaml, which is written in C and more than ten times as fast as ruamel.yaml,
but implements YAML 1.1. So it only reads texts without what the two versions treat differently.
What it refuses is read again by ruamel.yaml, whose errors are the ones that are reported.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from ojobchannels.ojob.yaml import syntax_errors
from ojobchannels.ojob.yaml.scalars import TAG, plain_tag

MAX_DEPTH: Final = 100
MAX_ADDED: Final = 100_000
"""The number of nodes that all aliases of a text may add to it."""
_NULL: Final = f"{TAG}null"
_FOR_RUAMEL: Final = re.compile(
    r"[\t\r\x7f-\x9f\u2028\u2029\ufeff]|^%|(?:^|[\s\[{,-])\?(?:\s|$)|!(?:\s|$)", re.MULTILINE
)
"""What the parsers treat differently: tabs, line ends, directives, complex keys, empty tags."""


class Refused(Exception):
    """libyaml does not read a text; ruamel.yaml may."""


def fast_events(text: str) -> Iterator[Any]:
    """Yield the events of libyaml.

    Raises:
        Refused: It cannot read the text, is not installed, or must not be asked.
    """
    if _FOR_RUAMEL.search(text):
        raise Refused
    try:
        from yaml import CSafeLoader, YAMLError
    except ImportError:  # PyYAML was built without libyaml
        raise Refused from None
    try:
        parser = CSafeLoader(text)
        while parser.check_event():
            yield parser.get_event()
    except YAMLError:
        raise Refused from None


def exact_events(text: str) -> Iterator[Any]:
    """Yield the events of ruamel.yaml.

    Raises:
        InvalidText: The text is not YAML 1.2.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError
    from ruamel.yaml.reader import ReaderError

    if version := syntax_errors.unsupported_version(text):
        raise version
    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as error:
        mark, opening = error.problem_mark or error.context_mark, error.context_mark
        words = ", ".join(part for part in (error.context, error.problem) if part)
        raise syntax_errors.invalid_yaml(
            text, words, _offset(mark), opening and _offset(opening)
        ) from None
    except ReaderError as error:
        raise syntax_errors.forbidden_character(text, error.position) from None


def _offset(mark: Any) -> syntax_errors.Offset:
    return syntax_errors.Offset(mark.line, mark.column)


class Node:
    """A scalar, a sequence or a mapping in a text.

    Attributes:
        value: The text of a scalar, the nodes of a sequence, or the pairs of nodes of a mapping.
        line: Line of its beginning, counted from 1; likewise `column`.
        style: How a text is written: ``|``, ``>``, a quote, or None for a plain one.
        in_flow: Whether a sequence or mapping is written in brackets.
    """

    __slots__ = ("column", "in_flow", "line", "style", "tag", "value")

    def __init__(self, event: Any, tag: str, value: Any) -> None:
        self.tag = tag
        self.value = value
        self.line = event.start_mark.line + 1
        self.column = event.start_mark.column + 1
        self.style: str | None = None
        self.in_flow = False


class Scalar(Node):
    """A node whose value is a text."""

    __slots__ = ()


class Sequence(Node):
    """A node whose value is a list of nodes."""

    __slots__ = ()


class Mapping(Node):
    """A node whose value is a list of pairs of nodes."""

    __slots__ = ()


def compose(text: str) -> Node | None:
    """Return the root node of a text, None for an empty one.

    Raises:
        InvalidText: It is not YAML, or is nested too deeply, or its aliases expand to too much.
    """
    try:
        return _Composer(fast_events(text)).document()
    except (Refused, syntax_errors.InvalidText):
        return _Composer(exact_events(text)).document()


class _Extent(NamedTuple):
    """The size of a node with all that is below it: the number of nodes, and of levels."""

    nodes: int
    levels: int


class _Composer:
    def __init__(self, events: Iterator[Any]) -> None:
        self._next: Callable[[], Any] = events.__next__
        self._anchors: dict[str, Node | None] = {}  # None while the node is being composed
        self._nodes = 0
        self._added = 0
        self._depth = 0
        self._levels = 0  # below the node that is being composed, as far as it is known
        self._extents: dict[int, _Extent] = {}  # of nodes with an anchor, once they are complete

    def document(self) -> Node | None:
        self._next()  # the start of the stream
        if _name(self._next()) != "DocumentStartEvent":
            return None
        node = self._node(self._next())
        self._next()  # the end of the document
        if _name(event := self._next()) == "DocumentStartEvent":
            raise _error(event, "a second document begins here", "a job file is one document")
        return node

    def _node(self, event: Any) -> Node:
        name = _name(event)
        if name == "AliasEvent":
            return self._alias(event)
        self._check_depth(1, event)
        before, beside = self._nodes, self._levels
        self._nodes, self._levels = before + 1, 0
        self._depth += 1
        anchor = event.anchor
        if anchor is not None:
            self._anchors[anchor] = None
        node = _COMPOSE[name](self, event)
        self._depth -= 1
        levels = self._levels + 1
        if anchor is not None:
            self._anchors[anchor] = node
            self._extents[id(node)] = _Extent(self._nodes - before, levels)
        self._levels = max(beside, levels)
        return node

    def _scalar(self, event: Any) -> Node:
        tag = event.tag
        if tag is None or tag == "!":
            tag = plain_tag(event.value) if event.implicit[0] else f"{TAG}str"
        node = Scalar(event, str(tag), event.value)
        node.style = event.style or None
        return node

    def _sequence(self, event: Any) -> Node:
        node = Sequence(event, _collection_tag(event, "seq"), [])
        node.in_flow = bool(event.flow_style)
        while _name(part := self._next()) != "SequenceEndEvent":
            node.value.append(self._node(part))
        return node

    def _mapping(self, event: Any) -> Node:
        node = Mapping(event, _collection_tag(event, "map"), [])
        node.in_flow = bool(event.flow_style)
        while _name(part := self._next()) != "MappingEndEvent":
            key = self._node(part)
            value = self._node(self._next())
            if value.tag == _NULL and not value.value:  # nothing to point at
                value.line, value.column = key.line, key.column
            node.value.append((key, value))
        return node

    def _alias(self, event: Any) -> Node:
        if event.anchor not in self._anchors:
            hint = f"write `&{event.anchor}` before what it stands for, or quote a string that "
            hint += "begins with `*`"
            raise _error(event, f"undefined alias: no anchor `&{event.anchor}` above", hint)
        node = self._anchors[event.anchor]
        if node is None:
            raise _error(event, "the alias is inside its own anchor", "remove the alias")
        extent = self._extents[id(node)]
        self._check_depth(extent.levels, event)
        self._levels = max(self._levels, extent.levels)
        self._nodes += extent.nodes
        self._added += extent.nodes
        if self._added > MAX_ADDED:
            message = f"the aliases up to here expand to more than {MAX_ADDED} nodes"
            raise _error(event, message, "use fewer aliases, or make the data in code")
        return node

    def _check_depth(self, more: int, event: Any) -> None:
        if self._depth + more > MAX_DEPTH:
            message = f"nested deeper than {MAX_DEPTH} levels from here on"
            raise _error(event, message, "use fewer levels")


_COMPOSE: Final[dict[str, Callable[[_Composer, Any], Node]]] = {
    "ScalarEvent": _Composer._scalar,
    "SequenceStartEvent": _Composer._sequence,
    "MappingStartEvent": _Composer._mapping,
}


def _name(event: Any) -> str:
    return type(event).__name__  # the two parsers have classes of the same names


def _collection_tag(event: Any, kind: str) -> str:
    return f"{TAG}{kind}" if event.tag in (None, "!") else str(event.tag)


def _error(event: Any, message: str, hint: str) -> syntax_errors.InvalidText:
    mark = event.start_mark
    return syntax_errors.InvalidText((mark.line + 1, mark.column + 1), message, hint)
