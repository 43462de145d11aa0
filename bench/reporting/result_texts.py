"""Benchmark results as text: lines for a terminal, Markdown for the documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastmlp.console.durations import duration

from .result_statistics import (
    GROUPS,
    LEVEL,
    UNSTEADY,
    Result,
    Row,
    behind,
    best_peer,
    by_group,
    full_title,
    is_unsteady,
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

# First word of a program's name -> spelling of the library's name.
FAMILIES = {"jax": "JAX", "numpy": "NumPy", "torch": "PyTorch", "keras": "Keras", "sklearn": "scikit-learn"}
# Rows of fastmlp with other settings that have a column of their own -> its head.
PART_COLUMNS = {"fastmlp, one thread": "one thread", "fastmlp, AVX2": "AVX2 only", "fastmlp, wheel": "wheel"}
BUSY = 0.1  # fraction of CPU time taken by other programs above which durations are doubtful
SLOW_STARTS = 0.02  # fraction of measurements that began on slow CPUs above which a warning is shown
NO_FIGURE = "-"

Table = tuple[list[str], list[list[str]]]  # heads, and rows of cells, of which the best are **bold**


def times(ratio: float) -> str:
    """Return a ratio as text, with fewer decimals the larger it is.

    >>> times(1.234), times(0.98765), times(23.4), times(1234.5)
    ('1.23', '0.99', '23', '1,234')
    """
    return f"{ratio:,.0f}" if ratio >= 20 else f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.2f}"


def family_of(name: str) -> str:
    """Return the library of a program.

    >>> family_of("torch eager"), family_of("fastmlp, AVX2")
    ('torch', 'fastmlp')
    """
    return name.split()[0].rstrip(",")


def label(name: str) -> str:
    """Return a program's name with its library spelled correctly.

    >>> label("torch eager"), label("fastmlp, own stopping")
    ('PyTorch eager', 'fastmlp, own stopping')
    """
    family = family_of(name)
    return FAMILIES.get(family, family) + name[len(family) :]


def one_line(result: Result) -> str:
    """Return the outcome of a benchmark case: fastmlp, the best competitor, the roofline, and failures."""
    fastmlp_row, peer, floor = ours(result), best_peer(result), limit(result)
    phrases = [
        f"fastmlp {duration(median(fastmlp_row))} per {result['unit']}" if fastmlp_row else "fastmlp has no figure"
    ]
    if factor := to_best_peer(result):
        phrases.append(f"the best competitor, {label(peer['name'])}, takes {times(factor.median)} times as long")  # type: ignore[index]
    elif peer:
        phrases.append(f"best competitor {label(peer['name'])} {duration(median(peer))}")
    if over := to_limit(result):
        phrases.append(f"{times(over.median)} times the limit, {floor['name']}")  # type: ignore[index]
    phrases += [f"{label(row['name'])} {row['status']}: {row['reason']}" for row in failures(result)]
    return "; ".join(phrases)


def failures(result: Result) -> list[Row]:
    return [row for row in result["rows"] if row["status"] in ("failed", "wrong")]


def warnings_of(results: dict[str, Any]) -> list[str]:
    """Return warnings about disturbances of the measurement, wrong settings and failures."""
    warnings = []
    if busy := [result for result in results["results"] if result["others_busy"] > BUSY]:
        worst = max(result["others_busy"] for result in busy)
        warnings.append(
            f"Other programs were running: at {len(busy)} of {len(results['results'])} cases they took up to "
            f"{worst:.0%} of the processors. Ratios within a case were measured side by side and may hold; do not "
            "quote the durations."
        )
    n_slow_starts = sum(result.get("slow_starts", 0) for result in results["results"])
    measured = sum(len(row["seconds"]) for result in results["results"] for row in result["rows"])
    if n_slow_starts > SLOW_STARTS * measured:
        warnings.append(
            f"Before {n_slow_starts:,} of {measured:,} measurements the CPUs did not reach full speed, as if two of "
            "them were one core, or another machine used the core too: programs with two threads are slower then."
        )
    if unsteady := sum(map(is_unsteady, results["results"])):
        warnings.append(
            f"At {unsteady} of {len(results['results'])} cases, marked ~, the rounds of fastmlp or of the best "
            f"competitor differ by more than {UNSTEADY} times: their ratio is not reliable."
        )
    if slowed := results["machine"]["slowed_by"]:
        warnings.append(f"{' and '.join(slowed)} set: OpenBLAS, and NumPy with it, is slower than it could be.")
    for result in results["results"]:
        warnings += [
            f"{result['title']}: {label(row['name'])} {row['status']}, {row['reason']}" for row in failures(result)
        ]
    return warnings


def device_text(results: dict[str, Any]) -> str:
    """Return what results were measured on: the processor and its number of CPUs, after the GPU if there is one."""
    machine = results["machine"]
    gpu = f"{machine['gpu']}, " if "gpu" in machine else ""
    name = f" ({machine['microarchitecture']})" if machine.get("microarchitecture") else ""
    return f"{gpu}{machine['processor']}{name}, {machine['cpus']} CPU{'s' if machine['cpus'] > 1 else ''}"


def machine_lines(results: dict[str, Any]) -> list[str]:
    machine = results["machine"]
    memory = f", {machine['memory'] / 2**30:.0f} GiB" if machine["memory"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return [
        f"{device_text(results)}{memory}, {machine['system']}; "
        f"device {results['options']['device']}, float32, {results['finished'][:10]}",
        versions,
        *(["a quick run: few cases, few rounds"] if results["options"]["quick"] else []),
    ]


def missing_lines(results: dict[str, Any]) -> list[str]:
    return [f"not measured, {reason}: {', '.join(map(label, names))}" for reason, names in results["missing"].items()]


def summary(results: dict[str, Any]) -> list[str]:
    """Return lines for a terminal.

    They show the machine, warnings, missing competitors, a line per benchmark case, and the cases where a competitor is
    faster.
    """
    products = products_in_use(results)
    lines = machine_lines(results) + ([f"products by: {', '.join(products)}"] if products else [])
    lines += [f"WARNING: {text}" for text in warnings_of(results)] + missing_lines(results)
    for group, members in by_group(outside_curves(results)):
        lines += ["", GROUPS[group]]
        lines += [f"  {result['title']}: {one_line(result)}" for result in members]
    if lost := behind(results):
        lines += ["", "A competitor is faster at: " + "; ".join(map(full_title, lost))]
    return lines


def products_in_use(results: dict[str, Any]) -> list[str]:
    """Return the libraries that computed matrix products, each once; empty if none was recorded."""
    libraries: dict[str, None] = {}
    for result in results["results"]:
        for row in timed(result):
            libraries.update(dict.fromkeys(text for text in row["products"].split("; ") if text))
    return list(libraries)


def best_of(result: Result, kind: str, name: Callable[[str], bool]) -> Row | None:
    """Return the fastest row of a kind whose name is one of these."""
    return next((row for row in timed(result, kind) if name(row["name"])), None)


def group_table(members: list[Result]) -> Table:
    """Return the table of a group: fastmlp, ratios, the roofline, and the fastest program of each library.

    fastmlp on one thread or with AVX2 only has a column in groups with such rows. The best figure of a case is bold.
    """
    of_family = lambda result, family: best_of(result, "peer", lambda name: family_of(name) == family)
    of_part = lambda result, part: best_of(result, "part", lambda name: name == part)
    families = [name for name in FAMILIES if any(of_family(result, name) for result in members)]
    parts = [name for name in PART_COLUMNS if any(of_part(result, name) for result in members)]
    with_limit = any(limit(result) for result in members)
    heads = ["case", "per", "fastmlp", *(PART_COLUMNS[name] for name in parts), "best competitor takes"]
    heads += [*(["limit", "over the limit"] if with_limit else []), *(FAMILIES[name] for name in families)]
    rows = []
    for result in members:
        peer, factor, over, outcome = best_peer(result), to_best_peer(result), to_limit(result), verdict(result)
        cells = [full_title(result), result["unit"], _cell(ours(result), outcome == "ahead")]
        cells += [_cell(of_part(result, name)) for name in parts]
        cells += [f"{'~ ' * is_unsteady(result)}{times(factor.median)} x" if factor else NO_FIGURE]
        if with_limit:
            cells += [_cell(limit(result)), f"{times(over.median)} x" if over else NO_FIGURE]
        for family in families:
            row = of_family(result, family)
            cells.append(_cell(row, outcome == "behind" and row is peer))
        rows.append(cells)
    return heads, rows


def _cell(row: Row | None, is_bold: bool = False) -> str:
    text = duration(median(row)) if row else NO_FIGURE
    return f"**{text}**" if is_bold else text


def headline(results: dict[str, Any]) -> list[tuple[str, int, float, float, float]]:
    """Return (group, number of cases with a competitor, smallest, median and largest ratio) in the order of GROUPS.

    The ratio is that of the best competitor's duration to fastmlp's.
    """
    rows = []
    for group, members in by_group(outside_curves(results)):
        ratios = [factor.median for result in members if (factor := to_best_peer(result))]
        if ratios:
            rows.append((group, len(ratios), min(ratios), spread(ratios).median, max(ratios)))
    return rows


def headline_table(results: dict[str, Any]) -> Table:
    """Return the table with the ratio of the best competitor's duration to fastmlp's for each group."""
    rows = []
    for group, n, low, middle, high in headline(results):
        extent = f"{times(low)} to {times(high)} x" if n > 1 else f"{times(middle)} x"
        rows.append([GROUPS[group], str(n), extent, f"{times(middle)} x"])
    return ["group", "cases", "the best competitor takes", "median"], rows


def markdown_table(table: Table, n_texts: int) -> str:
    """Return a table in Markdown; n_texts : number of its first columns that are not aligned at the right"""
    heads, rows = table
    line = lambda cells: f"| {' | '.join(cells)} |"
    return "\n".join([line(heads), line(["---"] * n_texts + ["---:"] * (len(heads) - n_texts)), *map(line, rows)])


def markdown(results: dict[str, Any]) -> str:
    """Return a Markdown table for each group."""
    groups = by_group(outside_curves(results))
    return "\n\n".join(f"**{GROUPS[group]}**\n\n{table_markdown(members)}" for group, members in groups)


def table_markdown(members: list[Result]) -> str:
    return markdown_table(group_table(members), 2)


def case_markdown(result: Result) -> str:
    """Return the section of a case: a row for each program that was timed, and a line for each of the others."""
    bases = ours(result), limit(result)
    heads = ["program", "time", "fastest", "slowest", "/ fastmlp", "/ limit", "prepared in", "threads", "memory"]
    rows = []
    for row in timed(result):
        seconds, memory = row["seconds"], row["peak_memory"]
        cells = [label(row["name"]), *map(duration, (median(row), min(seconds), max(seconds)))]
        cells += [times(ratio(row, base).median) if base else NO_FIGURE for base in bases]
        cells += [duration(row["prepare_seconds"]), str(row["threads"] or "own")]
        rows.append([*cells, f"{memory / 2**20:,.0f} MiB" if memory else NO_FIGURE])
    costs = "".join(f", {value:,.4g} {unit}" for unit, value in result["costs"].items())
    lines = [f"### {result['title']}", f"Data: {result['source']}; per {result['unit']}{costs}."]
    others = [row for row in result["rows"] if row["status"] != "timed"]
    lines += [f"{label(row['name'])}: {row['status']} ({row['reason']})" for row in others]
    return "\n\n".join([*lines, markdown_table((heads, rows), 1)])


def headline_markdown(results: dict[str, Any]) -> str:
    return markdown_table(headline_table(results), 1)


def losses(results: dict[str, Any]) -> list[str]:
    """Return a line for each case where a competitor is faster."""
    return [f"{full_title(result)}: {one_line(result)}" for result in behind(results)]


def losses_markdown(results: dict[str, Any]) -> str:
    """Return a list of the cases where a competitor is faster, or a sentence that there are none."""
    if lines := losses(results):
        return "Where a competitor is faster:\n\n" + "\n".join(f"- {line}" for line in lines)
    return f"In no case, and at no point of a curve, is a competitor faster by more than {100 * LEVEL:.0f} %."
