"""Graphs of jobs that name each other."""

import heapq
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

_Node = TypeVar("_Node", str, int)
_T = TypeVar("_T")


def reach(graph: Mapping[str, Sequence[str]], start: str) -> list[str]:
    """Return `start` and all nodes reachable from it, in breadth-first order."""
    found = {start: None}
    waiting = [start]
    for name in waiting:
        new = [node for node in dict.fromkeys(graph.get(name, ())) if node not in found]
        found |= dict.fromkeys(new)
        waiting += new
    return waiting


def reverse(graph: Mapping[_Node, Sequence[_Node]]) -> dict[_Node, list[_Node]]:
    """Return the graph with each arrow in the other direction."""
    found: dict[_Node, list[_Node]] = {}
    for name, below in graph.items():
        for node in below:
            found.setdefault(node, []).append(name)
    return found


def accumulate(
    graph: Mapping[str, Sequence[str]], own: Mapping[str, _T], join: Callable[[list[_T]], _T]
) -> dict[str, _T]:
    """Return for each node its own value joined with those of all nodes below it.

    An arrow that closes a circle is passed over.
    """
    found: dict[str, _T] = {}
    for start in own:
        waiting, begun = [start], set[str]()
        while waiting:
            name = waiting[-1]
            below = [node for node in graph.get(name, ()) if node in own]
            if name not in found and name not in begun:
                begun.add(name)
                waiting += [node for node in below if node not in found and node not in begun]
                continue
            waiting.pop()
            if name not in found:
                found[name] = join([own[name], *(found[one] for one in below if one in found)])
    return found


def in_order(graph: Mapping[int, Sequence[int]]) -> list[int]:
    """Return the nodes of a graph without circles, each after all nodes that it points to.

    Otherwise they keep their order: a node moves back, never forward.
    """
    waiting = {node: len(before) for node, before in graph.items()}
    after = reverse(graph)
    nodes = list(graph)
    free = [at for at, node in enumerate(nodes) if not waiting[node]]
    position = {node: at for at, node in enumerate(nodes)}
    ordered: list[int] = []
    while free:
        node = nodes[heapq.heappop(free)]
        ordered.append(node)
        for one in after.get(node, ()):
            waiting[one] -= 1
            if not waiting[one]:
                heapq.heappush(free, position[one])
    return ordered
