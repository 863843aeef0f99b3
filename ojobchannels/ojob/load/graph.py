"""Graphs of jobs that name each other."""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

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


def reverse(graph: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the graph with each arrow in the other direction."""
    found: dict[str, list[str]] = {}
    for name, below in graph.items():
        for node in below:
            found.setdefault(node, []).append(name)
    return found


def accumulate(
    graph: Mapping[str, Sequence[str]], own: Mapping[str, _T], join: Callable[[list[_T]], _T]
) -> dict[str, _T]:
    """Return for each node the value of itself joined with those of all nodes below it.

    An arrow that closes a circle is passed over.
    """
    found: dict[str, _T] = {}
    for start in own:
        waiting, begun = [start], set[str]()
        while waiting:
            name = waiting[-1]
            below = [node for node in graph.get(name, ()) if node in own]
            if name in found or name in begun:
                waiting.pop()
                if name not in found:
                    found[name] = join(
                        [own[name], *(found[node] for node in below if node in found)]
                    )
            else:
                begun.add(name)
                waiting += [node for node in below if node not in found and node not in begun]
    return found


def circles(graph: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Yield circles, each with its first node repeated at the end, and each once."""
    done: set[str] = set()
    for start in graph:
        trail: dict[str, None] = {}
        waiting = [iter((start,))]
        while waiting:
            name = next(waiting[-1], None)
            if name is None:
                waiting.pop()
                if trail:
                    done.add(trail.popitem()[0])
            elif name in trail:
                path = list(trail)
                yield [*path[path.index(name) :], name]
            elif name not in done:
                trail[name] = None
                waiting.append(iter(graph.get(name, ())))


def unfolded(graph: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return the sizes of the trees into which the nodes of a graph without circles unfold."""
    sizes: dict[str, int] = {}
    for start in graph:
        waiting = [start]
        while waiting:
            below = graph.get(waiting[-1], ())
            unknown = [node for node in below if node not in sizes]
            if unknown:
                waiting += unknown
            else:
                sizes[waiting.pop()] = 1 + sum(sizes[node] for node in below)
    return sizes


def in_order(graph: Mapping[int, Sequence[int]]) -> list[int]:
    """Return the nodes of a graph without circles, each after all nodes that it points to.

    Otherwise they keep their order: a node moves back, never forward.
    """
    after: dict[int, list[int]] = {}
    for node, before in graph.items():
        for one in before:
            after.setdefault(one, []).append(node)
    missing = {node: len(before) for node, before in graph.items()}
    position = {node: at for at, node in enumerate(graph)}
    free = [at for node, at in position.items() if not missing[node]]
    nodes, ordered = list(graph), list[int]()
    while free:
        node = nodes[heapq.heappop(free)]
        ordered.append(node)
        for one in after.get(node, ()):
            missing[one] -= 1
            if not missing[one]:
                heapq.heappush(free, position[one])
    return ordered
