"""Graphs of jobs that name each other."""

from collections.abc import Iterator, Mapping, Sequence


def reach(graph: Mapping[str, Sequence[str]], start: str) -> list[str]:
    """Return `start` and all nodes reachable from it, in breadth-first order."""
    found = {start: None}
    waiting = [start]
    for name in waiting:
        new = [node for node in dict.fromkeys(graph.get(name, ())) if node not in found]
        found |= dict.fromkeys(new)
        waiting += new
    return waiting


def circles(graph: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Yield circles, each with its first node repeated at the end, and each once."""
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
    ordered: list[int] = []
    left = dict.fromkeys(graph)
    while left:
        node = next(one for one in left if not any(before in left for before in graph[one]))
        del left[node]
        ordered.append(node)
    return ordered
