"""The figures of tables.py in the documentation: two tables of Markdown, and a picture of figures against seconds.

Run: python bench/accuracy/table_report.py [--results FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # bench/

from accuracy.table_results import ELSEWHERE, counted_seconds, machine_sentence, runs_of
from accuracy.table_sets import DEVELOPMENT, REGRESSIONS, SETS, metric_of
from accuracy.table_tools import TOOLS
from tools.report import with_tables
from tools.svg_picture import svg_picture

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("tables.json")
PAGE = ROOT / "docs" / "guide" / "tables.md"
PICTURE = ROOT / "docs" / "_static" / "tables.svg"
TICKS = (1, 10, 100, 1000, 10_000)  # seconds; with more, their labels would touch
MARKS = "<!-- figures: written by bench/accuracy/table_report.py -->", "<!-- end of figures -->"


class Cell(NamedTuple):
    """The runs of a tool on a set."""

    figure: float  # mean over the seeds
    spread: float  # standard deviation over the seeds
    seconds: float  # of processors, for fit and prediction; median over the seeds
    n_seeds: int
    processor: str = ""  # if it is another one than that of the file


def cells_of(results: dict[str, dict[str, Any]]) -> dict[tuple[str, str], Cell]:
    """Return the cells of the tables, by (tool, set), of the entries "tool/set/seed" of tables.json."""
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for key, entry in runs_of(results).items():
        tool, name, _ = key.split("/")
        runs.setdefault((tool, name), []).append(entry)
    found = {}
    for place, entries in runs.items():
        figures, seconds = ([entry[key] for entry in entries] for key in ("figure", "processor_seconds"))
        mean, spread = float(np.mean(figures)), float(np.std(figures))
        elsewhere = next((entry[ELSEWHERE] for entry in entries if ELSEWHERE in entry), "")
        found[place] = Cell(mean, spread, float(np.median(seconds)), len(entries), elsewhere)
    return found


def ranks(cells: dict[tuple[str, str], Cell], tools: list[str], sets: list[str]) -> dict[str, float]:
    """Return each tool's mean rank over the sets, 1 for the best figure; equal figures share their ranks."""
    total = dict.fromkeys(tools, 0.0)
    for name in sets:
        sign = 1 if name in REGRESSIONS else -1
        figures = np.array([sign * cells[tool, name].figure for tool in tools])
        for tool, figure in zip(tools, figures, strict=True):
            total[tool] += (figures < figure).sum() + ((figures == figure).sum() + 1) / 2
    return {tool: sum_of_ranks / len(sets) for tool, sum_of_ranks in total.items()}


def markdown(results: dict[str, dict[str, Any]]) -> str:
    """Return the tables of figures and of seconds, and where they were measured.

    Best figures are bold, and a tool without runs has no column.
    """
    cells = cells_of(results)
    tools = [tool for tool in TOOLS if any((tool, name) in cells for name in SETS)]
    sets = [name for name in SETS if any((tool, name) in cells for tool in tools)]
    whole = [name for name in sets if all((tool, name) in cells for tool in tools)]
    lines = [f"| set | {' | '.join(TOOLS[tool].title for tool in tools)} |", "|---" * (len(tools) + 1) + "|"]
    for name in sets:
        row = {tool: cells.get((tool, name)) for tool in tools}
        best = (min if name in REGRESSIONS else max)(cell.figure for cell in row.values() if cell)
        texts = [_figure(row[tool], best) for tool in tools]
        star = "" if name in DEVELOPMENT else " \\*"
        lines.append(f"| {name.replace('_', ' ')}, {metric_of(name)}{star} | {' | '.join(texts)} |")
    if whole:
        mean_ranks = ranks(cells, tools, whole)
        lines.append(f"| mean rank on {len(whole)} sets | {' | '.join(f'{mean_ranks[t]:.1f}' for t in tools)} |")
    lines += ["", f"Processor seconds of {counted_seconds(results)}:", "", *lines[:2]]
    for name in sets:
        texts = [_seconds(cells.get((tool, name))) for tool in tools]
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(texts)} |")
    counts = {tool: max(cell.n_seeds for (t, _), cell in cells.items() if t == tool) for tool in tools}
    seeds = ", ".join(f"{TOOLS[tool].title} {n}" for tool, n in counts.items())
    notes = [f"Seeds: {seeds}. \\*: the set had no part in choosing defaults.", machine_sentence(results)]
    if processors := {cell.processor for cell in cells.values() if cell.processor}:
        notes.append(f"†: on {' and '.join(sorted(processors))}.")
    return "\n".join([*lines, "", " ".join(filter(None, notes))])


def _figure(cell: Cell | None, best: float) -> str:
    if cell is None:
        return ""
    return f"**{cell.figure:.4f}**" if cell.figure == best else f"{cell.figure:.4f}"


def _seconds(cell: Cell | None) -> str:
    if cell is None:
        return ""
    return f"{cell.seconds:.1f} †" if cell.processor else f"{cell.seconds:.1f}"


def picture(results: dict[str, dict[str, Any]]) -> str:
    """Return an SVG with a panel for each set: figures over processor seconds, a point for each tool."""
    cells = cells_of(results)
    sets = [name for name in SETS if any(place[1] == name for place in cells)]
    n_rows = -(-(len(sets) + 1) // 4)

    def draw(figure: Any) -> None:
        panels = figure.subplots(n_rows, 4, squeeze=False).ravel()
        for axes, name in zip(panels, sets, strict=False):
            _draw_set(axes, name, cells)
        for axes in panels[len(sets) :]:
            axes.axis("off")
        _draw_legend(panels[-1], [tool for tool in TOOLS if any(place[0] == tool for place in cells)])
        figure.supxlabel("processor seconds")

    return svg_picture((9.0, 2.3 * n_rows), draw)


def _draw_set(axes: Any, name: str, cells: dict[tuple[str, str], Cell]) -> None:
    for tool in TOOLS:
        if cell := cells.get((tool, name)):
            axes.errorbar(cell.seconds, cell.figure, cell.spread or None, linewidth=1, markersize=5, **_style(tool))
    seconds = [cell.seconds for cell in cells.values()]
    axes.set(xscale="log", xlim=(0.7 * min(seconds), 1.5 * max(seconds)))
    axes.set_title(f"{name.replace('_', ' ')}, {metric_of(name)}", fontsize=9)
    ticks = [tick for tick in TICKS if min(seconds) <= tick <= max(seconds)]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_xticks([], minor=True)
    if name in REGRESSIONS:
        axes.invert_yaxis()  # better is higher in all panels


def _draw_legend(axes: Any, tools: list[str]) -> None:
    for tool in tools:
        axes.plot([], [], linestyle="", label=TOOLS[tool].title, **_style(tool))
    axes.legend(frameon=False, loc="center")


def _style(tool: str) -> dict[str, Any]:
    from fastmlp.plots.style import MARKERS, PALETTE

    k = [*TOOLS].index(tool)
    return {"color": PALETTE[k % len(PALETTE)], "marker": MARKERS[k]}


def main() -> None:
    from fastmlp.runtime.output_files import write_text

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON file that tables.py has written")
    results = json.loads(parser.parse_args().results.read_text())
    write_text(PAGE, with_tables(PAGE.read_text(), markdown(results), MARKS))
    write_text(PICTURE, picture(results))


if __name__ == "__main__":
    main()
