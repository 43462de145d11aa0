"""Plots of benchmark results for docs/explanation/performance.md, as SVG: all cases, and the scaling curves."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from tools.svg_picture import svg_picture

OVERVIEW = "cases.svg"
MARK = "<!-- results: {} -->"  # at the end of a plot, with a digest of the results that it shows


def digest(path: Path) -> str:
    """Return a digest of a file of results, by which a test sees that the plots belong to it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def file_name(axis: str) -> str:
    """Return the name of a curve's file.

    >>> file_name("units in a hidden layer")
    'units-in-a-hidden-layer.svg'
    """
    return axis.replace(" ", "-") + ".svg"


def names(results: dict[str, Any]) -> list[str]:
    """Return the names of all plots of the results."""
    from reporting.result_statistics import curves

    return [OVERVIEW, *(file_name(points[0]["curve"]["axis"]) for points in curves(results).values())]


def write(results: dict[str, Any], source: Path, folder: Path) -> list[Path]:
    """Write all plots into a folder, and return their paths.

    source : path of the file of the results
    """
    from reporting.result_statistics import curves
    from reporting.scaling_plots import pictures

    from fastmlp.runtime.output_files import write_text

    texts = {OVERVIEW: _overview(results)}
    drawn = pictures(results, fonttype="none")
    for name, points in curves(results).items():
        texts[file_name(points[0]["curve"]["axis"])] = drawn[name]
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in texts.items():
        lines = (line.rstrip() for line in f"{text.rstrip()}\n{MARK.format(digest(source))}".splitlines())
        write_text(folder / name, "\n".join(lines) + "\n")
        paths.append(folder / name)
    return paths


def _overview(results: dict[str, Any]) -> str:
    """Return a plot of how many times as long the best competitor takes at each case, with the rounds' quartiles."""
    from reporting.result_statistics import GROUPS, by_group, outside_curves, to_best_peer

    rows: list[tuple[str, Any]] = []
    for group, members in by_group(outside_curves(results)):
        rows.append((GROUPS[group], None))
        rows += [(result["title"], result) for result in members if to_best_peer(result)]
    return svg_picture((8.0, 0.21 * len(rows) + 0.8), lambda figure: _draw_overview(figure.add_subplot(), rows))


def _draw_overview(axes: Any, rows: list[tuple[str, Any]]) -> None:
    """Draw a point for each row that has a result; a row without one is the heading of a group."""
    from reporting.result_statistics import best_peer, to_best_peer
    from reporting.result_texts import label, times
    from reporting.scaling_plots import COLOURS, OTHER

    seen: set[str] = set()
    for height, (_, result) in enumerate(rows):
        if result is None:
            continue
        ratio, family = to_best_peer(result), best_peer(result)["name"].split()[0].rstrip(",")
        colour = COLOURS.get(family, OTHER)
        name = label(family) if family not in seen else None
        seen.add(family)
        axes.plot(ratio.median, height, "o", color=colour, markersize=5, label=name, zorder=3)
        axes.plot([ratio.low, ratio.high], [height, height], color=colour, linewidth=2.5, alpha=0.45)
        place = {"xytext": (5, 0), "textcoords": "offset points", "va": "center", "size": 8}
        axes.annotate(times(ratio.median), (ratio.high, height), **place)
    axes.axvline(1.0, color="#555555", linewidth=1)
    axes.set(xscale="log", ylim=(len(rows) - 0.4, -0.8), xlabel="best competitor's time / fastmlp's")
    ticks = [1, 2, 3, 5, 10, 20]
    axes.set_xticks(ticks, [f"{tick} x" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_yticks(range(len(rows)), [text for text, _ in rows])
    for tick, (_, result) in zip(axes.get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if result is None else "normal")
    axes.tick_params(axis="y", length=0)
    axes.grid(True, axis="x", color="#dddddd", linewidth=0.6)
    axes.spines["left"].set_visible(False)
    axes.legend(frameon=False, title="best competitor", fontsize=8, loc="lower right")
