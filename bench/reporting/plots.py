"""Plots of benchmark results as SVG: all cases at a glance, and the scaling curves on log-log axes."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from fastmlp.console.durations import duration

from .result_statistics import GROUPS, Result, best_peer, by_group, curves, limit, outside_curves, spread, timed
from .result_statistics import to_best_peer as ratio_of
from .result_texts import family_of, label, times

# fastmlp stands out; each competing library has the same colour in all plots (palette of Okabe and Ito).
COLOURS = {"jax": "#0072b2", "numpy": "#009e73", "torch": "#e69f00", "keras": "#cc79a7", "sklearn": "#56b4e9"}
OURS, LIMIT, OTHER = "#d62728", "#555555", "#999999"


def svg_picture(size: tuple[float, float], draw: Callable[[Any], None]) -> str:
    """Return a picture as an SVG element with text as text, and with the same bytes for the same data.

    size : width and height in inches
    draw : function that gets the empty Matplotlib figure, and draws in panels that it makes
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "fastmlp", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        for axes in figure.axes:
            axes.spines[["top", "right"]].set_visible(False)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return "\n".join(line.rstrip() for line in text[text.index("<svg") :].splitlines()) + "\n"


def curve_pictures(results: dict[str, Any]) -> dict[str, str]:
    """Return {name of the curve: SVG element}."""
    return {name: svg_picture((6.4, 4.0), lambda figure: _draw_curve(figure.add_subplot(), points))  # noqa: B023
            for name, points in curves(results).items()}  # fmt: skip


def series(points: list[Result]) -> dict[str, list[tuple[float, float, float, float]]]:
    """Return {name: [(x, median, low quartile, high quartile), ...]} in seconds per unit, for fastmlp and competitors.

    The name "limit" stands for the roofline, which result_statistics.limit chooses at each point.
    """
    found: dict[str, list[tuple[float, float, float, float]]] = {}
    for result in points:
        rows = [(row["name"], row) for row in timed(result) if row["kind"] in ("ours", "peer")]
        for name, row in [*rows, ("limit", limit(result))]:
            if row:
                found.setdefault(name, []).append((result["curve"]["x"], *spread(row["seconds"])[:3]))
    return found


def _draw_curve(axes: Any, points: list[Result]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    seen: list[str] = []
    for name, values in series(points).items():
        x, middle, low, high = zip(*values, strict=True)
        family = family_of(name)
        colour, order = (
            {"fastmlp": OURS, "limit": LIMIT, **COLOURS}.get(family, OTHER),
            {"fastmlp": 4, "limit": 2}.get(family, 3),
        )
        line = {"linestyle": "--"} if name == "limit" else {"marker": "s" if family in seen else "o", "markersize": 4}
        width = {"fastmlp": 2.4, "limit": 1.5}.get(family, 1.3)
        axes.plot(x, middle, color=colour, linewidth=width, label=label(name), zorder=order, **line)
        if name != "limit":
            axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        seen.append(family)
    axes.set(xscale="log", yscale="log", xlabel=points[0]["curve"]["axis"], ylabel=f"time per {points[0]['unit']}")
    bottom, top = axes.get_ylim()
    if top < 20 * bottom:  # there is at most one power of ten in this range, so other values need labels too
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    ticks = sorted({result["curve"]["x"] for result in points})
    axes.set_xticks(ticks, [short(tick) for tick in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))


def short(count: int) -> str:
    """Return a count as a short text for an axis, rounded to three digits from 10,000 on.

    >>> short(8192), short(65_536), short(1_048_576), short(10_000_000)
    ('8,192', '65.5k', '1.05M', '10M')
    """
    for unit, letter in ((10**6, "M"), (10**3, "k")):
        if count >= max(unit, 10**4):
            return f"{count / unit:.3g}{letter}"
    return f"{count:,}"


def overview(results: dict[str, Any]) -> str:
    """Return a plot of how many times as long the best competitor takes at each case, with the rounds' quartiles."""
    rows: list[tuple[str, Any]] = []
    for group, members in by_group(outside_curves(results)):
        rows += [(GROUPS[group], None), *((result["title"], result) for result in members if ratio_of(result))]
    return svg_picture((8.0, 0.21 * len(rows) + 0.8), lambda figure: _draw_overview(figure.add_subplot(), rows))


def _draw_overview(axes: Any, rows: list[tuple[str, Any]]) -> None:
    """Draw a point for each row that has a result; a row without one is the heading of a group."""
    seen: set[str] = set()
    for height, (_, result) in enumerate(rows):
        if result is None:
            continue
        ratio, family = ratio_of(result), family_of(best_peer(result)["name"])  # type: ignore[index]
        assert ratio is not None
        colour, name = COLOURS.get(family, OTHER), label(family) if family not in seen else None
        seen.add(family)
        axes.plot(ratio.median, height, "o", color=colour, markersize=5, label=name, zorder=3)
        axes.plot([ratio.low, ratio.high], [height, height], color=colour, linewidth=2.5, alpha=0.45)
        place = {"xytext": (5, 0), "textcoords": "offset points", "va": "center", "size": 8}
        axes.annotate(times(ratio.median), (ratio.high, height), **place)
    axes.axvline(1.0, color="#555555", linewidth=1)
    axes.set(xscale="log", ylim=(len(rows) - 0.4, -0.8), xlabel="best competitor's time / fastmlp's")
    axes.set_xticks([1, 2, 3, 5, 10, 20], ["1 x", "2 x", "3 x", "5 x", "10 x", "20 x"])
    axes.set_xticks([], minor=True)
    axes.set_yticks(range(len(rows)), [text for text, _ in rows])
    for tick, (_, result) in zip(axes.get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if result is None else "normal")
    axes.tick_params(axis="y", length=0)
    axes.grid(True, axis="x", color="#dddddd", linewidth=0.6)
    axes.spines["left"].set_visible(False)
    axes.legend(frameon=False, title="best competitor", fontsize=8, loc="lower right")
