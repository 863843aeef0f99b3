"""Metrics as text, in the exposition format of Prometheus (version 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, TypeAlias

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Kind: TypeAlias = Literal["counter", "gauge"]
Labels: TypeAlias = Mapping[str, str]
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def family(
    name: str, kind: Kind, help: str, samples: Iterable[tuple[Labels, float]]
) -> Iterator[str]:
    """Yield the lines of a metric: nothing if it has no samples."""
    lines = [f"{name}{_labels(labels)} {_number(value)}" for labels, value in samples]
    if lines:
        yield from _head(name, kind, help)
        yield from lines


def histogram(
    name: str,
    help: str,
    buckets: Sequence[float],
    samples: Iterable[tuple[Labels, Sequence[int]]],
) -> Iterator[str]:
    """Yield the lines of a histogram.

    Args:
        name: Its name.
        help: What it is.
        buckets: The upper bounds of its buckets.
        samples: Its values by labels: the number of values in each bucket, in one without a bound,
            and the sum of all values in milliseconds.
    """
    lines: list[str] = []
    for labels, (*counts, total) in samples:
        count = 0
        for bound, number in zip((*buckets, None), counts, strict=True):
            count += number
            limit = "+Inf" if bound is None else _number(bound)
            lines.append(f"{name}_bucket{_labels({**labels, 'le': limit})} {count}")
        lines += [
            f"{name}_sum{_labels(labels)} {_number(total / 1000)}",
            f"{name}_count{_labels(labels)} {count}",
        ]
    if lines:
        yield from _head(name, "histogram", help)
        yield from lines


def _head(name: str, kind: str, help: str) -> Iterator[str]:
    yield f"# HELP {name} {help}"
    yield f"# TYPE {name} {kind}"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    pairs = (f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())
    return f"{{{','.join(pairs)}}}"


def _number(value: float) -> str:
    return f"{value:d}" if isinstance(value, int) else repr(value)
