"""Scaling plots of benchmark results as SVG: time over size on log-log axes, of fastmlp, competitors and roofline."""

from __future__ import annotations

import io
from typing import Any

from .result_statistics import Result, Row, curves, limit, spread, timed

# fastmlp stands out; each competing library has the same colour in all plots (palette of Okabe and Ito).
COLOURS = {"jax": "#0072b2", "numpy": "#009e73", "torch": "#e69f00", "keras": "#cc79a7", "sklearn": "#56b4e9"}
OURS, LIMIT, OTHER = "#d62728", "#555555", "#999999"


def pictures(results: dict[str, Any], fonttype: str = "path") -> dict[str, str]:
    """Return {name of the curve: SVG element}; empty if Matplotlib is not installed.

    fonttype : "path" draws letters as shapes, which look alike everywhere; "none" keeps text, in a third of the bytes
    """
    try:
        import matplotlib
    except ImportError:
        return {}
    with matplotlib.rc_context({"svg.hashsalt": "fastmlp", "svg.fonttype": fonttype, "font.size": 9}):
        return {name: _draw(points) for name, points in curves(results).items()}


def series(points: list[Result]) -> dict[str, list[tuple[float, float, float, float]]]:
    """Return {name: [(x, median, low quartile, high quartile), ...]} in seconds per unit, for fastmlp and competitors.

    The name "limit" stands for the roofline, which result_statistics.limit chooses at each point.
    """
    points_by_name: dict[str, list[tuple[float, float, float, float]]] = {}
    for result in points:
        floor = limit(result)
        rows: list[tuple[str, Row]] = [(row["name"], row) for row in timed(result) if row["kind"] in ("ours", "peer")]
        rows += [("limit", floor)] if floor else []
        for name, row in rows:
            middle, low, high, _, _ = spread(row["seconds"])
            points_by_name.setdefault(name, []).append((result["curve"]["x"], middle, low, high))
    return points_by_name


def _draw(points: list[Result]) -> str:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    from fastmlp.console.durations import duration

    from .result_texts import label

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    peers_seen: dict[str, int] = {}
    for name, values in series(points).items():
        x, middle, low, high = zip(*values, strict=True)
        family = name.split()[0]
        if name == "limit":
            axes.plot(x, middle, "--", color=LIMIT, label="limit", zorder=2)
            continue
        is_ours = family == "fastmlp"
        n_seen = peers_seen[family] = peers_seen.get(family, 0) + 1
        style: dict[str, Any] = {
            "color": OURS if is_ours else COLOURS.get(family, OTHER),
            "linewidth": 2.4 if is_ours else 1.3,
        }
        axes.plot(
            x,
            middle,
            marker="o" if n_seen == 1 else "s",
            markersize=4,
            label=label(name),
            zorder=4 if is_ours else 3,
            **style,
        )
        axes.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)
    first = points[0]
    axes.set(xscale="log", yscale="log", xlabel=first["curve"]["axis"], ylabel=f"time per {first['unit']}")
    bottom, top = axes.get_ylim()
    if top < 20 * bottom:  # there is at most one power of ten in this range, so other values need labels too
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    ticks = sorted({result["curve"]["x"] for result in points})
    axes.set_xticks(ticks, [short(tick) for tick in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def short(count: int) -> str:
    """Return a count as a short text for an axis, rounded to three digits from 10,000 on.

    >>> short(8192), short(65_536), short(1_048_576), short(10_000_000)
    ('8,192', '65.5k', '1.05M', '10M')
    """
    for unit, letter in ((10**6, "M"), (10**3, "k")):
        if count >= max(unit, 10**4):
            return f"{count / unit:.3g}{letter}"
    return f"{count:,}"
