"""The pictures: ours and the peers beside the floor, and cost by size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.cases import TYPES
from benchmarks.entrants import FLOOR
from benchmarks.measure import ratio
from benchmarks.ours import NAME
from benchmarks.report import Row

_OURS, _PEER, _LIMIT = "#1f6f8b", "#b8b8b8", "#c0392b"


def draw(part: str, rows: list[Row], out: Path) -> None:
    """Writes PART.png and PART.svg; a part without a floor is drawn as times."""
    import matplotlib as mpl

    mpl.use("agg")
    with mpl.rc_context({"svg.hashsalt": part, "font.size": 8, "axes.spines.top": False}):
        figure = _by_size(rows) if part == "sizes" else _bars(rows)
        for kind in ("png", "svg"):
            metadata = {"Date": None} if kind == "svg" else {}
            figure.savefig(out / f"{part}.{kind}", dpi=120, bbox_inches="tight", metadata=metadata)
        _close(figure)


def _bars(rows: list[Row]) -> Any:
    """Draws a bar for each contestant, as a multiple of the floor, else of ours."""
    from matplotlib import pyplot

    bars: list[tuple[str, float, str]] = []
    limits: list[tuple[int, float]] = []
    for row in rows:
        measure = next(iter(row.case.limits))
        base = row.result(FLOOR) or row.result(NAME)
        if base is None:
            continue
        title = f"{row.case.type} {row.case.name}".strip()
        limit = row.case.limits[measure]
        for one in row.results:
            if not one.rounds or one is base is row.result(FLOOR):
                continue
            if one.name == NAME and limit is not None:
                limits.append((len(bars), limit))
            colour = _OURS if one.name == NAME else _PEER
            bars.append((f"{title}: {one.name}", ratio(one, base, measure).median, colour))
    figure, axes = pyplot.subplots(figsize=(8, 0.6 + 0.19 * len(bars)))
    places = range(len(bars))
    axes.barh(places, [length for _, length, _ in bars], color=[colour for *_, colour in bars])
    for place, limit in limits:
        axes.plot([limit, limit], [place - 0.45, place + 0.45], color=_LIMIT, linewidth=1.5)
    axes.set_yticks(places, [label for label, *_ in bars])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.6)
    axes.set_xlabel("time as a multiple of the floor (of ours, where there is no floor); "
                    "red: ours at most")  # fmt: skip
    axes.margins(y=0.01)
    return figure


def _by_size(rows: list[Row]) -> Any:
    from matplotlib import pyplot

    pictures = list(
        dict.fromkeys((row.case.of, measure) for row in rows for measure in row.case.limits)
    )
    columns = 3
    lines = -(-len(pictures) // columns)
    figure, grid = pyplot.subplots(lines, columns, figsize=(10, 2.6 * lines), squeeze=False)
    for axes in grid.flat[len(pictures) :]:
        axes.set_visible(False)
    for axes, (of, measure) in zip(grid.flat, pictures, strict=False):
        drawn = [row for row in rows if row.case.of == of and measure in row.case.limits]
        for type in dict.fromkeys(row.case.type for row in drawn):
            known = [
                (row.case.size, found.median(measure) * 1e6)
                for row in drawn
                if row.case.type == type and (found := row.result(NAME))
            ]
            line = {"color": f"C{TYPES.index(type)}", "marker": "o", "markersize": 3}
            axes.plot(*zip(*known, strict=True), label=type, **line)
        axes.set_title(f"{measure}, by {of}", fontsize=8)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylabel("µs")
        axes.legend(fontsize=6)
    figure.tight_layout()
    return figure


def _close(figure: Any) -> None:
    from matplotlib import pyplot

    pyplot.close(figure)
