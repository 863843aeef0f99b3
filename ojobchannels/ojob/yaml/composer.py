"""Nodes from YAML text, with bounds on what a short text can stand for.

An alias stands for all that is below its anchor, aliases too, so that a few lines can stand for
more than fits into memory. Whoever walks the nodes made here walks no more than the text shows and
what its aliases may add, and never in a circle.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import Node

MAX_DEPTH: Final = 100
MAX_ADDED: Final = 100_000
"""How many parts all aliases of a text may add to it."""


class Unbounded(Exception):
    """A text stands for more than it may; the message tells how.

    Attributes:
        line: Of what is too much, counted from 1.
        column: Likewise.
        advice: What to do about it.
    """

    def __init__(self, mark: Any, reason: str, advice: str) -> None:
        super().__init__(reason)
        self.line: int = mark.line + 1
        self.column: int = mark.column + 1
        self.advice = advice


def compose(text: str) -> Node | None:
    """Returns the root node of a text, None for an empty one.

    Raises:
        Unbounded: It is nested too deeply, or stands for too much.
        YAMLError: It is no YAML.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Composer
    node: Node | None = yaml.compose(text)
    return node


class _Extent(NamedTuple):
    """How much a node stands for: how many parts, on how many levels."""

    parts: int
    levels: int


class _Composer(Composer):
    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self.warn_double_anchors = False  # YAML allows to use the name of an anchor again
        self._parts = 0
        self._added = 0
        self._depth = 0
        self._levels = 0  # below the node that is being composed, as far as it goes by now
        self._extents: dict[int, _Extent] = {}  # of the nodes with an anchor, once they are whole

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        if isinstance(event, AliasEvent):
            if event.anchor in self.anchors:
                self._add(self.anchors[event.anchor], event.start_mark)
            return super().compose_node(parent, index)
        self._check_depth(1, event.start_mark)
        before, beside = self._parts, self._levels
        self._parts, self._levels, self._depth = before + 1, 0, self._depth + 1
        node = super().compose_node(parent, index)
        extent = _Extent(self._parts - before, self._levels + 1)
        self._levels, self._depth = max(beside, extent.levels), self._depth - 1
        if event.anchor is not None:
            self._extents[id(node)] = extent
        return node

    def _add(self, node: Node, mark: Any) -> None:
        extent = self._extents.get(id(node))
        if extent is None:
            raise Unbounded(mark, "the alias stands inside its own anchor", "take the alias out")
        self._check_depth(extent.levels, mark)
        self._levels = max(self._levels, extent.levels)
        self._parts += extent.parts
        self._added += extent.parts
        if self._added > MAX_ADDED:
            reason = f"up to here, aliases stand for more than {MAX_ADDED} parts"
            raise Unbounded(mark, reason, "alias less, or make the data in code")

    def _check_depth(self, more: int, mark: Any) -> None:
        if self._depth + more > MAX_DEPTH:
            reason = f"from here on it is nested deeper than {MAX_DEPTH} levels"
            raise Unbounded(mark, reason, "write it flatter")
