"""Graphs of jobs that name each other."""

from collections.abc import Mapping, Sequence


def reach(graph: Mapping[str, Sequence[str]], start: str) -> list[str]:
    """Return `start` and all nodes reachable from it, in breadth-first order."""
    found = {start: None}
    waiting = [start]
    for name in waiting:
        new = [node for node in dict.fromkeys(graph.get(name, ())) if node not in found]
        found |= dict.fromkeys(new)
        waiting += new
    return waiting


def in_order(graph: Mapping[int, Sequence[int]]) -> list[int]:
    """Return the nodes of a graph without circles, each after all nodes that it points to.

    Otherwise they keep their order: a node moves back, never forward.
    """
    ordered: list[int] = []
    left = dict.fromkeys(graph)
    while left:
        node = next(one for one in left if not any(before in left for before in graph[one]))
        del left[node]
        ordered.append(node)
    return ordered
