"""The plots: ours and the peers beside the floor, and cost by size."""

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
    """Write PART.png; a part without a floor is drawn as multiples of ours."""
    import matplotlib as mpl

    mpl.use("agg")
    with mpl.rc_context({"font.size": 8, "axes.spines.top": False}):
        figure = _by_size(rows) if part == "sizes" else _bars(rows)
        figure.savefig(out / f"{part}.png", dpi=120, bbox_inches="tight")
        _close(figure)


def draw_commands(rates: dict[int, float], path: Path) -> None:
    """Draw the commands a second by the number of idle daemons."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    with mpl.rc_context({"font.size": 8, "axes.spines.top": False}):
        figure, axes = pyplot.subplots(figsize=(5, 3))
        axes.loglog(list(rates), list(rates.values()), "o-", color=_OURS)
        axes.set_xlabel("idle daemons on one Redis server")
        axes.set_ylabel("commands a second")
        figure.savefig(path, dpi=120, bbox_inches="tight")
        _close(figure)


def _bars(rows: list[Row]) -> Any:
    """Draw a bar for each contestant, as a multiple of the floor, or of ours without a floor."""
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
        for result in row.results:
            if not result.rounds or result is base is row.result(FLOOR):
                continue
            if result.name == NAME and limit is not None:
                limits.append((len(bars), limit))
            colour = _OURS if result.name == NAME else _PEER
            bars.append((f"{title}: {result.name}", ratio(result, base, measure).median, colour))
    figure, axes = pyplot.subplots(figsize=(8, 0.6 + 0.19 * len(bars)))
    positions = range(len(bars))
    axes.barh(positions, [length for _, length, _ in bars], color=[colour for *_, colour in bars])
    for position, limit in limits:
        axes.plot([limit, limit], [position - 0.45, position + 0.45], color=_LIMIT, linewidth=1.5)
    axes.set_yticks(positions, [label for label, *_ in bars])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.6)
    axes.set_xlabel("time as a multiple of the floor (of ours, where there is no floor); "
                    "red: ours at most")  # fmt: skip
    axes.margins(y=0.01)
    return figure


def _by_size(rows: list[Row]) -> Any:
    from matplotlib import pyplot

    plots = list(
        dict.fromkeys((row.case.of, measure) for row in rows for measure in row.case.limits)
    )
    columns = 3
    plot_rows = -(-len(plots) // columns)
    figure, grid = pyplot.subplots(plot_rows, columns, figsize=(10, 2.6 * plot_rows), squeeze=False)
    for axes in grid.flat[len(plots) :]:
        axes.set_visible(False)
    for axes, (of, measure) in zip(grid.flat, plots, strict=False):
        drawn = [row for row in rows if row.case.of == of and measure in row.case.limits]
        for type in dict.fromkeys(row.case.type for row in drawn):
            points = [
                (row.case.size, result.median(measure) * 1e6)
                for row in drawn
                if row.case.type == type and (result := row.result(NAME))
            ]
            style = {"color": f"C{TYPES.index(type)}", "marker": "o", "markersize": 3}
            axes.plot(*zip(*points, strict=True), label=type, **style)
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
