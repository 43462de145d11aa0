"""Benchmark results as one self-contained HTML page.

The page begins with the ratio of the best competitor's duration to fastmlp's for each benchmark case, and shows losses
as plainly as wins. All measured programs of each case follow with their spread, then the scaling plots and the method
of measurement.
"""

from __future__ import annotations

import math
from html import escape
from pathlib import Path
from typing import Any

from fastmlp.runtime.output_files import write_text

from .result_statistics import (
    FAR_FROM_LIMIT,
    GROUPS,
    LEVEL,
    Result,
    Row,
    behind,
    best_peer,
    by_group,
    curves,
    far_from_limit,
    full_title,
    limit,
    median,
    ours,
    outside_curves,
    ratio,
    spread,
    timed,
    to_best_peer,
    to_limit,
    verdict,
)
from .result_texts import (
    duration,
    headline,
    label,
    machine_lines,
    missing_lines,
    products_in_use,
    report_markdown,
    times,
    times_of_peer,
    warnings_of,
)
from .scaling_plots import pictures

STYLE = """
:root { --ink: #1c1c1e; --soft: #6b6b70; --line: #e2e2e6; --paper: #ffffff; --ours: #d62728; --peer: #7f9fbf;
        --limit: #a0a0a0; --good: #1a7f37; --bad: #b42318; --band: #f6f6f8; --link: #1a5fb4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececf0; --soft: #a0a0a8; --line: #38383d; --paper: #18181b; --band: #212126; --good: #4cc36b;
          --bad: #ff7a6b; --peer: #5f7f9f; --link: #8ab4f8; }
}
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
       max-width: 1080px; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.8rem 0 .3rem; }
p { margin: .4rem 0; max-width: 85ch; }
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
.soft { color: var(--soft); font-size: .9em; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(165px, 1fr)); gap: .7rem; margin: 1.2rem 0; }
.card { border: 1px solid var(--line); border-radius: 8px; padding: .6rem .9rem; }
.card b { display: block; font-size: 1.5rem; line-height: 1.3; }
.card.bad b { color: var(--bad); }
.card.good b { color: var(--good); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92em; }
th, td { text-align: right; padding: .28rem .55rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
th:first-child, td:first-child { text-align: left; white-space: normal; }
table.case td:first-child { white-space: nowrap; }
table.case th, table.case td { padding: .28rem .4rem; }
table.case th { white-space: normal; vertical-align: bottom; }
td.text { text-align: left; color: var(--soft); }
tr.ours td:first-child { font-weight: 700; color: var(--ours); }
tr.limit td { color: var(--soft); }
td.good, span.good { color: var(--good); font-weight: 600; }
td.bad, span.bad { color: var(--bad); font-weight: 600; }
.warning { border-left: 4px solid var(--bad); background: var(--band); padding: .5rem .9rem; margin: .8rem 0; }
.bar { display: inline-block; height: .7em; border-radius: 2px; background: var(--peer); vertical-align: baseline; }
.ours .bar { background: var(--ours); }
.limit .bar { background: var(--limit); }
td.bars { text-align: left; min-width: 100px; }
figure { margin: .6rem 0; max-width: 680px; background: #fff; color: #222; border: 1px solid var(--line);
         border-radius: 8px; padding: .6rem; }
figure svg { width: 100%; height: auto; }
"""


def write(results: dict[str, Any], source: Path) -> list[Path]:
    """Write the HTML page and a Markdown report beside the file of the results, and return both paths.

    source : path of the file of the results
    """
    paths = [source.with_suffix(".html"), source.with_suffix(".md")]
    for path, text in zip(paths, (page(results), report_markdown(results)), strict=True):
        write_text(path, text)
    return paths


def page(results: dict[str, Any]) -> str:
    plots = pictures(results)
    body = [
        "<h1>fastmlp's benchmarks</h1>",
        *(f'<p class="soft">{escape(line)}</p>' for line in machine_lines(results)),
        *(f'<p class="warning">{escape(text)}</p>' for text in warnings_of(results)),
        _cards(results),
        _overview(results),
        _losses(results),
        _not_measured(results),
        *(_group(group, members) for group, members in by_group(outside_curves(results))),
        _scaling(results, plots),
        f"<h2>How it was measured</h2><p>{escape(results['how'])}</p>",
        *(
            f"<p>Matrix products by: {escape('; '.join(libraries))}.</p>"
            for libraries in [products_in_use(results)]
            if libraries
        ),
        _removed_variables(results),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>fastmlp's benchmarks</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _cards(results: dict[str, Any]) -> str:
    cards = []
    for group, n, low, middle, high in headline(results):
        extent = f"{times(low)} to {times(high)} over {n} cases" if n > 1 else "one case"
        tone = "bad" if middle < 1 - LEVEL else "good" if middle > 1 + LEVEL else ""
        cards.append(
            f'<div class="card {tone}">{escape(GROUPS[group])}<b>{times(middle)} x</b>'
            f'<span class="soft">{extent}</span></div>'
        )
    if not cards:
        return ""
    intro = (
        "<p>How many times as long the best competitor takes (median of the group's cases; above 1 fastmlp is "
        "faster):</p>"
    )
    return f'{intro}<div class="cards">{"".join(cards)}</div>'


def _overview(results: dict[str, Any]) -> str:
    members = [result for _, members in by_group(outside_curves(results)) for result in members]
    return "<h2>All cases</h2>" + _outcomes("case", [(_link(result), result) for result in members])


def _link(result: Result) -> str:
    """Return a link to the table of a benchmark case, or to its scaling plot."""
    anchor = _curve_id(result) if result["group"] == "scaling" else result["name"]
    return f'<a href="#{escape(anchor)}">{escape(full_title(result))}</a>'


def _curve_id(point: Result) -> str:
    return "curve-" + point["curve"]["axis"].replace(" ", "-")


def _outcomes(heading: str, labelled_results: list[tuple[str, Result]]) -> str:
    """Return a table with a row for each result: fastmlp, the best competitor, the roofline.

    heading : heading of the first column
    labelled_results : (first cell as HTML, result) for each row
    """
    rows = []
    for first_cell, result in labelled_results:
        fastmlp_row, peer, floor = ours(result), best_peer(result), limit(result)
        ratio_to_peer, ratio_to_limit = to_best_peer(result), to_limit(result)
        rows.append(
            f"<tr><td>{first_cell}</td><td>{escape(result['unit'])}</td>"
            f"<td>{duration(median(fastmlp_row)) if fastmlp_row else '-'}</td>"
            f"<td>{duration(median(peer)) if peer else '-'}</td>"
            f'<td class="text">{escape(label(peer["name"])) if peer else "no competitor"}</td>'
            f"{_ratio_cell(times_of_peer(result) if ratio_to_peer else '-', verdict(result))}"
            f"<td>{duration(median(floor)) if floor else '-'}</td>"
            f"<td>{times(ratio_to_limit.median) + ' x' if ratio_to_limit else '-'}</td></tr>"
        )
    return _table(
        (heading, "per", "fastmlp", "best competitor", "", "competitor takes", "limit", "over the limit"), rows
    )


def _ratio_cell(text: str, outcome: str) -> str:
    tone = {"ahead": "good", "behind": "bad"}.get(outcome, "")
    return f'<td class="{tone}">{text}</td>'


def _table(heads: tuple[str, ...], rows: list[str], kind: str = "all") -> str:
    header = "".join(f"<th>{escape(head)}</th>" for head in heads)
    body = f"<thead><tr>{header}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="scroll"><table class="{kind}">{body}</table></div>'


def _losses(results: dict[str, Any]) -> str:
    """Return the lists of cases where a competitor is faster, and where fastmlp is far from the roofline."""
    lines = []
    for result in behind(results):
        fastmlp_row, peer = ours(result), best_peer(result)
        assert fastmlp_row is not None
        assert peer is not None
        slower = ratio(fastmlp_row, peer).median
        figures = f"{label(peer['name'])} {duration(median(peer))}, fastmlp {duration(median(fastmlp_row))}, "
        lines.append(
            f'<li>{_link(result)}: {escape(figures)}<span class="bad">{times(slower)} times as long</span>, the median '
            "of the rounds</li>"
        )
    text = "<h2>Where a competitor is faster</h2>"
    text += f"<ul>{''.join(lines)}</ul>" if lines else "<p>Nowhere, neither among the cases above nor on a curve.</p>"
    if far_results := far_from_limit(results):
        items = "".join(f"<li>{_link(result)}: {escape(_over_limit(result))}</li>" for result in far_results)
        text += f"<h3>More than {FAR_FROM_LIMIT} times over the limit</h3><ul>{items}</ul>"
    return text


def _over_limit(result: Result) -> str:
    over, floor = to_limit(result), limit(result)
    assert over is not None
    assert floor is not None
    return f"{times(over.median)} times {floor['name']}"


def _not_measured(results: dict[str, Any]) -> str:
    items = "".join(f"<li>{escape(line.removeprefix('not measured, '))}</li>" for line in missing_lines(results))
    return f"<h3>Not measured</h3><ul>{items}</ul>" if items else ""


def _group(group: str, members: list[Result]) -> str:
    return f"<h2>{escape(GROUPS[group])}</h2>" + "".join(_case_section(result) for result in members)


def _case_section(result: Result) -> str:
    rows = timed(result)
    fastmlp_row, floor = ours(result), limit(result)
    costs = ", ".join(_count(value, unit) for unit, value in result["costs"].items())
    costs = f" One {result['unit']}: {costs}." if costs else ""
    head = f'<h3 id="{escape(result["name"])}">{escape(result["title"])}</h3>'
    head += f'<p class="soft">Data: {escape(result["source"])}.{escape(costs)}</p>'
    if not rows:
        return head + _rows_without_times(result)
    low, high = median(rows[0]), median(rows[-1])
    body = [_program_row(row, fastmlp_row, floor, low, high) for row in rows]
    heads = (
        "program",
        f"time per {result['unit']}",
        "",
        "spread",
        "/ fastmlp",
        "/ limit",
        "compile",
        "threads",
        "peak memory",
    )
    return head + _table((*heads, ""), body, "case") + _rows_without_times(result)


def _program_row(row: Row, fastmlp_row: Row | None, floor: Row | None, low: float, high: float) -> str:
    middle, first, last, _, _ = spread(row["seconds"])
    # Bars are logarithmic, since durations differ by up to three decades; a full bar is at least ten times the fastest.
    bar_length = math.log(middle / low) / math.log(max(high / low, 10.0))
    bar = f'<span class="bar" style="width:{6 + 84 * bar_length:.0f}px"></span>'
    to_own = times(ratio(row, fastmlp_row).median) if fastmlp_row else "-"
    to_floor = times(ratio(row, floor).median) if floor else "-"
    memory = f"{row['peak_memory'] / 2**20:,.0f} MiB" if row["peak_memory"] else "-"
    notes = "; ".join([f"{note_name} {value}" for note_name, value in row["notes"].items()])
    tone = "ours" if row["name"].startswith("fastmlp") else "peer" if row["kind"] == "peer" else "limit"
    return (
        f'<tr class="{tone}"><td>{escape(label(row["name"]))}</td>'
        f'<td>{duration(middle)}</td><td class="bars">{bar}</td>'
        f"<td>{duration(first)} to {duration(last)}</td><td>{to_own}</td><td>{to_floor}</td><td>{_compiling(row)}</td>"
        f'<td>{row["threads"] or "own"}</td><td>{memory}</td><td class="text">{escape(notes)}</td></tr>'
    )


def _compiling(row: Row) -> str:
    """Return the preparation time as text; for fastmlp, with an empty object cache, then with its kernels in it."""
    seconds = row["prepare_seconds"]
    if "compile_seconds" in row:
        return f"{duration(row['compile_seconds'])}, then {duration(seconds)}"
    return duration(seconds) if seconds >= 1e-3 else "-"


def _rows_without_times(result: Result) -> str:
    rows = [row for row in result["rows"] if row["status"] != "timed"]
    if not rows:
        return ""
    return (
        '<p class="soft">'
        + "; ".join(f"{escape(label(row['name']))}: {escape(row['status'])} ({escape(row['reason'])})" for row in rows)
        + "</p>"
    )


def _count(value: float, unit: str) -> str:
    """Return an amount with its unit as text.

    >>> _count(983040.0, "FLOP"), _count(293, "multiply-adds")
    ('983 kFLOP', '293 multiply-adds')
    """
    if unit.split()[0] in ("FLOP", "B"):
        for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if value >= size:
                return f"{value / size:.3g} {prefix}{unit}"
    return f"{value:,.0f} {unit}"


def _scaling(results: dict[str, Any], plots: dict[str, str]) -> str:
    """Return the section of scaling plots: a table for each, and its plot if Matplotlib is installed."""
    sections = []
    for name, points in curves(results).items():
        axis = points[0]["curve"]["axis"]
        table = _outcomes(axis, [(f"{point['curve']['x']:,}", point) for point in points])
        figure = f"<figure>{plots[name]}</figure>" if name in plots else ""
        sections.append(f'<h3 id="{_curve_id(points[0])}">{escape(name)}</h3>{figure}{table}')
    note = (
        "Logarithmic axes; lower is better. The band is the middle half of the rounds. The limit is at each point the "
    )
    note += "highest lower bound that no program beats: bare products of matrices, or else the arithmetic."
    return f'<h2>Scaling</h2><p class="soft">{note}</p>{"".join(sections)}' if sections else ""


def _removed_variables(results: dict[str, Any]) -> str:
    names = results["machine"]["cleared"]
    return f"<p>Removed from the environment: {escape(', '.join(names))}.</p>" if names else ""
