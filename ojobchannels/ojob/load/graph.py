"""Walks over the graphs that jobs form by naming each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence


def reach(graph: Mapping[str, Sequence[str]], start: str) -> list[str]:
    """Returns `start` and all that can be reached from it, in the order of finding."""
    found = {start: None}
    waiting = [start]
    for name in waiting:
        new = [one for one in dict.fromkeys(graph.get(name, ())) if one not in found]
        found |= dict.fromkeys(new)
        waiting += new
    return waiting


def circles(graph: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Yields circles, each with its first name repeated at the end; none is told twice."""
    done: set[str] = set()
    for start in graph:
        trail: list[str] = []
        waiting = [iter((start,))]
        while waiting:
            name = next(waiting[-1], None)
            if name is None:
                waiting.pop()
                if trail:
                    done.add(trail.pop())
            elif name in trail:
                yield [*trail[trail.index(name) :], name]
            elif name not in done:
                trail.append(name)
                waiting.append(iter(graph.get(name, ())))


def unfolded(graph: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Returns how many nodes each one of a graph without circles unfolds into as a tree."""
    sizes: dict[str, int] = {}
    for start in graph:
        waiting = [start]
        while waiting:
            below = graph.get(waiting[-1], ())
            unknown = [one for one in below if one not in sizes]
            if unknown:
                waiting += unknown
            else:
                sizes[waiting.pop()] = 1 + sum(sizes[one] for one in below)
    return sizes


def in_order(graph: Mapping[int, Sequence[int]]) -> list[int]:
    """Returns the nodes of a graph without circles, each behind all that it points to.

    They stay in their order otherwise: a node is put off, never brought forward.
    """
    ordered: list[int] = []
    left = dict.fromkeys(graph)
    while left:
        node = next(one for one in left if not any(before in left for before in graph[one]))
        del left[node]
        ordered.append(node)
    return ordered
