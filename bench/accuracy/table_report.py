"""The figures of tables.py in the documentation: two tables of Markdown, and a picture of figures against seconds.

Run: python bench/accuracy/table_report.py [--results FILE]

The file of results has entries "tool/set/seed", and one of the machine that they were measured on; an entry that was
measured on another processor names it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # bench/

from accuracy.table_sets import DEVELOPMENT, REGRESSIONS, SETS, metric_of
from accuracy.table_tools import TOOLS
from reporting.plots import svg_picture
from tools.report import with_tables

from fastmlp.errors import counted

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("tables.json")
PAGE = ROOT / "docs" / "guide" / "tables.md"
PICTURE = ROOT / "docs" / "_static" / "tables.svg"
MACHINE, ELSEWHERE = "machine", "processor"  # key of the machine's entry, and of another processor in that of a fit
TICKS = (1, 10, 100, 1000, 10_000)  # seconds; with more, their labels would touch
MARKS = "<!-- figures: written by bench/accuracy/table_report.py -->", "<!-- end of figures -->"

Results = dict[str, dict[str, Any]]


def cells_of(results: Results) -> pd.DataFrame:
    """Return the cells of the tables, by tool and set.

    Columns: mean and standard deviation of the figure over the seeds, median of the seconds of processors, number of
    seeds, and another processor than that of the file, or ""
    """
    rows = [
        {**dict(zip(("tool", "set", "seed"), key.split("/"), strict=True)), ELSEWHERE: "", **entry}
        for key, entry in results.items()
        if key != MACHINE
    ]
    return (
        pd.DataFrame(rows)
        .groupby(["tool", "set"])
        .agg(
            figure=("figure", "mean"),
            spread=("figure", lambda figures: figures.std(ddof=0)),
            seconds=("processor_seconds", "median"),
            n_seeds=("figure", "size"),
            processor=(ELSEWHERE, "max"),
        )
    )


def ranks(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the rank of each tool (a column) on each set that all have, 1 for the best; equals share their ranks."""
    figures = cells["figure"].unstack("tool").dropna()
    return figures.mul([1 if name in REGRESSIONS else -1 for name in figures.index], axis=0).rank(axis=1)


def markdown(results: Results) -> str:
    """Return the tables of figures and of seconds, and where they were measured.

    Best figures are bold, and a tool without runs has no column.
    """
    cells = cells_of(results)
    tools = [tool for tool in TOOLS if tool in cells.index.levels[0]]
    sets = [name for name in SETS if name in cells.index.levels[1]]

    def row(head: str, text: Any) -> str:
        return f"| {head} | {' | '.join(map(text, tools))} |"

    def figure(tool: str, name: str) -> str:
        if (tool, name) not in cells.index:
            return ""
        of_set = cells["figure"].xs(name, level="set")
        text = f"{of_set[tool]:.4f}"
        return f"**{text}**" if of_set[tool] == (of_set.min if name in REGRESSIONS else of_set.max)() else text

    def seconds(tool: str, name: str) -> str:
        if (tool, name) not in cells.index:
            return ""
        cell = cells.loc[(tool, name)]
        return f"{cell['seconds']:.1f}{' †' * bool(cell['processor'])}"

    heads = [row("set", lambda tool: TOOLS[tool].title), "|---" * (len(tools) + 1) + "|"]
    lines = [*heads]
    for name in sets:
        star = "" if name in DEVELOPMENT else " \\*"
        lines.append(row(f"{name.replace('_', ' ')}, {metric_of(name)}{star}", lambda tool: figure(tool, name)))  # noqa: B023
    if len(table := ranks(cells)):
        lines.append(row(f"mean rank on {len(table)} sets", lambda tool: f"{table[tool].mean():.1f}"))
    lines += ["", f"Processor seconds of {results[MACHINE]['counted']}:", "", *heads]
    lines += [row(name.replace("_", " "), lambda tool: seconds(tool, name)) for name in sets]  # noqa: B023
    seeds = ", ".join(f"{TOOLS[tool].title} {cells.loc[tool, 'n_seeds'].max()}" for tool in tools)
    machine = results[MACHINE]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    notes = f"Seeds: {seeds}. \\*: the set had no part in choosing defaults. Measured on {machine['processor']}, with "
    notes += f"{counted(machine['threads'], 'thread')}; {versions}."
    if processors := sorted({*cells["processor"]} - {""}):
        notes += f" †: on {' and '.join(processors)}."
    return "\n".join([*lines, "", notes])


def picture(results: Results) -> str:
    """Return an SVG with a panel for each set: figures over processor seconds, a point for each tool."""
    from fastmlp.plots.style import MARKERS, PALETTE

    cells = cells_of(results)
    sets, tools = (
        [name for name in table if name in level]
        for table, level in zip((SETS, TOOLS), cells.index.levels[::-1], strict=True)
    )
    style = {tool: {"color": PALETTE[k % len(PALETTE)], "marker": MARKERS[k]} for k, tool in enumerate(TOOLS)}
    low, high = cells["seconds"].min(), cells["seconds"].max()
    ticks = [tick for tick in TICKS if low <= tick <= high]
    n_rows = -(-(len(sets) + 1) // 4)

    def draw(figure: Any) -> None:
        panels = figure.subplots(n_rows, 4, squeeze=False).ravel()
        for axes, name in zip(panels, sets, strict=False):
            for tool in (tool for tool in tools if (tool, name) in cells.index):
                cell = cells.loc[(tool, name)]
                spread = cell["spread"] or None
                axes.errorbar(cell["seconds"], cell["figure"], spread, linewidth=1, markersize=5, **style[tool])
            axes.set(xscale="log", xlim=(0.7 * low, 1.5 * high))
            axes.set_title(f"{name.replace('_', ' ')}, {metric_of(name)}", fontsize=9)
            axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
            axes.set_xticks([], minor=True)
            if name in REGRESSIONS:
                axes.invert_yaxis()  # better is higher in all panels
        for axes in panels[len(sets) :]:
            axes.axis("off")
        for tool in tools:
            panels[-1].plot([], [], linestyle="", label=TOOLS[tool].title, **style[tool])
        panels[-1].legend(frameon=False, loc="center")
        figure.supxlabel("processor seconds")

    return svg_picture((9.0, 2.3 * n_rows), draw)


def main() -> None:
    from fastmlp.runtime.output_files import write_bytes

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON file that tables.py has written")
    results = json.loads(parser.parse_args().results.read_text())
    write_bytes(PAGE, with_tables(PAGE.read_text(), markdown(results), MARKS).encode())
    write_bytes(PICTURE, picture(results).encode())


if __name__ == "__main__":
    main()
