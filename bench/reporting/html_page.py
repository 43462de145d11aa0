"""Benchmark results as one self-contained HTML page: the tables of the documents, all programs of each case, plots."""

from __future__ import annotations

from html import escape
from typing import Any

import pandas as pd

from fastmlp.console.durations import duration

from .plots import curve_pictures
from .result_statistics import GROUPS, Result, by_group, curves, limit, median, ours, outside_curves, ratio, timed
from .result_texts import (
    group_table,
    headline_table,
    label,
    losses,
    machine_lines,
    missing_lines,
    products_in_use,
    times,
    warnings_of,
)

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1080px; padding: 2rem 1.25rem; color: #1c1c1e;
       background: #fff; }
table { border-collapse: collapse; font-size: .92em; }
th, td { text-align: right; padding: .25rem .5rem; border-bottom: 1px solid #e2e2e6; }
th:first-child, td:first-child { text-align: left; }
.warning { border-left: 4px solid #b42318; background: #f6f6f8; padding: .5rem .9rem; }
svg { width: 100%; max-width: 680px; height: auto; }
"""
PROGRAM_HEADS = ["program", "time", "fastest", "slowest", "/ fastmlp", "/ limit", "prepared in", "threads", "memory"]


def page(results: dict[str, Any]) -> str:
    lines = machine_lines(results) + missing_lines(results)
    parts = ["<h1>fastmlp's benchmarks</h1>", *(f"<p>{escape(line)}</p>" for line in lines)]
    parts += [f'<p class="warning">{escape(text)}</p>' for text in warnings_of(results)]
    parts += [_table(*headline_table(results)), "<h2>Where a competitor is faster</h2>"]
    parts += [f"<p>{escape(text)}</p>" for text in losses(results)] or ["<p>Nowhere.</p>"]
    for group, members in by_group(outside_curves(results)):
        parts += [f"<h2>{escape(GROUPS[group])}</h2>", _table(*group_table(members))]
        parts += map(_case, members)
    pictures = curve_pictures(results)
    for name, points in curves(results).items():
        parts += [f"<h2>{escape(name)}</h2>", pictures[name], _table(*group_table(points))]
    parts += ["<h2>How it was measured</h2>", f"<p>{escape(results['how'])}</p>"]
    parts += [f"<p>Matrix products by: {escape('; '.join(products_in_use(results)) or 'not known')}.</p>"]
    head = f'<meta charset="utf-8"><title>fastmlp\'s benchmarks</title><style>{STYLE}</style>'
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _table(heads: list[str], rows: list[list[str]]) -> str:
    cells = [[cell.replace("**", "") for cell in row] for row in rows]
    return pd.DataFrame(cells, columns=heads).to_html(index=False, border=0, justify="unset")


def _case(result: Result) -> str:
    """Return the section of a case: a row for each program that was timed, and a line for each of the others."""
    own, floor = ours(result), limit(result)
    rows, others = [], []
    for row in timed(result):
        seconds, memory = row["seconds"], f"{row['peak_memory'] / 2**20:,.0f} MiB"
        rows.append(
            [
                label(row["name"]),
                *map(duration, (median(row), min(seconds), max(seconds))),
                *(times(ratio(row, base).median) if base else "-" for base in (own, floor)),
                duration(row["prepare_seconds"]),
                str(row["threads"] or "own"),
                memory if row["peak_memory"] else "-",
            ]
        )
    for row in result["rows"]:
        if row["status"] != "timed":
            others.append(f"{label(row['name'])}: {row['status']} ({row['reason']})")
    costs = "".join(f", {value:,.4g} {unit}" for unit, value in result["costs"].items())
    text = f"Data: {result['source']}; per {result['unit']}{costs}."
    lines = "".join(f"<p>{escape(line)}</p>" for line in (text, *others))
    return f"<h3>{escape(result['title'])}</h3>{lines}{_table(PROGRAM_HEADS, rows) if rows else ''}"
